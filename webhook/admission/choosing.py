"""`delivery: auto`: whether a model is in its reader's process sooner from the node's cache, or from its volume."""

from __future__ import annotations

from webhook.admission import nodes
from webhook.admission.holdings import held
from webhook.admission.scene import Scene
from webhook.cost.delivery import Comparison, compare
from webhook.cost.hydration import array
from webhook.cost.volume import Volume, VolumeKind
from webhook.inventory.candidates import Candidates
from webhook.inventory.model import Artifact
from webhook.kube import Object
from webhook.kube.accelerator import Accelerators
from webhook.mutate.load import Load
from webhook.mutate.reader import reader_of
from webhook.policy.model import Placement, SourceVolume

_DRIVERS = {"s3.csi.aws.com": VolumeKind.MOUNTPOINT, "fsx.csi.aws.com": VolumeKind.LUSTRE}


def choose(load: Load, container: Object, scene: Scene, accelerators: Accelerators | None) -> Comparison:
    """Both ways for a model that could go either; `container` is the one that reads it.

    Nothing here depends on what Warmpod gives the pod, so a second review would choose the same.
    """
    given = load.model.source_volume
    assert given is not None  # else there is no other way
    candidates = nodes.lasting(scene, accelerators)
    artifact = held(load, scene)
    size = artifact.bytes if artifact is not None else 0
    machine = nodes.machine(candidates.able, scene.facts.inventory.labels)
    disks = array(machine.disks)
    return compare(
        size or load.model.size,
        reader_of(container),
        network=machine.network,
        disk_read=disks.read,
        disk_write=disks.write,
        cpus=nodes.cpus(container),
        volume=Volume(_kind(given), given.throughput),
        from_s3=load.source.canonical.startswith("s3:"),
        warm=_is_warm(load, artifact, candidates) and scene.facts.placement_usable,
        shared=load.is_shared,
        processes=nodes.devices(container, scene.asked(accelerators).get(str(container.get("name")), frozenset())),
    )


def _is_warm(load: Load, artifact: Artifact | None, candidates: Candidates) -> bool:
    """Whether the pod will probably land on a node that holds the model."""
    if artifact is None or not load.is_shared or not candidates.able:
        return False
    held_by = artifact.labelled & candidates.able
    return held_by == candidates.able or (
        load.model.placement is not Placement.OFF and bool(held_by & candidates.roomy)
    )


def _kind(given: SourceVolume) -> VolumeKind:
    """What is behind a volume: a claim says nothing of its driver, so one that shows an S3 prefix is a Mountpoint's."""
    if "nfs" in given.volume:
        return VolumeKind.NFS
    source = given.volume.get("csi")
    driver = source.get("driver") if isinstance(source, dict) else None
    if isinstance(driver, str) and driver in _DRIVERS:
        return _DRIVERS[driver]
    return VolumeKind.MOUNTPOINT if given.holds else VolumeKind.OTHER
