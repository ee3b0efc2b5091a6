"""Volumes of nodes: the device names of each system, and the space that Karpenter believes a node to have.

Facts from karpenter-provider-aws 1d92708: pkg/providers/amifamily/*.go (device names) and
pkg/providers/instancetype/types.go, ephemeralStorage.
"""

from __future__ import annotations

from collections.abc import Iterator

from webhook.ec2 import systems
from webhook.kube import quantity
from webhook.lint.check import Codes, Finding
from webhook.lint.node_check import NodeCheck, Nodes, gibibytes, in_user_data
from webhook.nodeclass.documents import NodeDocument
from webhook.nodeclass.fault import Fault
from webhook.nodeclass.local_storage import KUBELET, local_storage
from webhook.nodeclass.node_class import EPHEMERAL_DEVICE

CODES: Codes = {
    "N018": ("error", "a device that is another one on this system"),
    "N019": ("warning", "a device by a name that changes from start to start"),
    "N020": ("warning", "local disks that Karpenter does not count"),
    "N021": ("warning", "a volume from a snapshot whose size Karpenter does not know"),
    "N022": ("warning", "a cache larger than the node's disk as Karpenter counts it"),
    "N023": ("warning", "pods that cannot reach the instance's metadata"),
}


def _names(nodes: Nodes) -> Iterator[tuple[NodeDocument, Finding]]:
    for node_class in nodes.classes:
        for device in node_class.devices:
            path = f"{device.path}.deviceName"
            if device.name.startswith("/dev/nvme"):
                message = f"EC2 takes no device name {device.name}: NVMe names are given when the system starts"
                hint = f"{EPHEMERAL_DEVICE.get(node_class.system, '/dev/xvda')}, as the AMI names it"
                yield node_class.document, Finding("N018", path, message, hint)
            elif device.name == "/dev/sda1" and node_class.system in EPHEMERAL_DEVICE:
                message = f"the root volume of {node_class.title} is /dev/xvda: this adds a volume that nothing uses"
                yield node_class.document, Finding("N018", path, message, "deviceName: /dev/xvda")
            elif node_class.system == systems.BOTTLEROCKET and device.name == "/dev/xvda" and device.snapshot:
                message = "/dev/xvda is Bottlerocket's system itself: nodes do not start from a snapshot of images"
                yield node_class.document, Finding("N018", path, message, "deviceName: /dev/xvdb, the data volume")


def _unstable(nodes: Nodes) -> Iterator[tuple[NodeDocument, Finding]]:
    for node_class in nodes.classes:
        for each in node_class.user_data.scripts:
            for mount in (*each.script.mounts, *each.script.formats):
                source = mount.source or mount.path
                if source.startswith("/dev/nvme"):
                    message = f"{source} is another disk from start to start, and may be a local one"
                    hint = "name the volume by its device name (/dev/xvdb), UUID= or LABEL="
                    yield in_user_data(node_class, Fault("N019", message, hint, each.outer(mount.line)))


def _uncounted(nodes: Nodes) -> Iterator[tuple[NodeDocument, Finding]]:
    for node_class in nodes.classes:
        storage, size = local_storage(node_class), node_class.ephemeral_storage
        device = node_class.image_device
        if node_class.raid0 or KUBELET not in storage.binds or size is None:
            continue
        if device is not None and (device.size is not None or device.snapshot):
            continue  # somebody has thought about it, or N021 says so
        message = (
            f"Karpenter counts {gibibytes(size)} of ephemeral-storage for these nodes, not the local disks: it makes"
            " none for a pod that requests more"
        )
        hint = (
            f"instanceStorePolicy: RAID0, or a volumeSize of {EPHEMERAL_DEVICE[node_class.system]} that is no less than"
            " pods request"
        )
        yield node_class.document, Finding("N020", "spec", message, hint)


def _unsized(nodes: Nodes) -> Iterator[tuple[NodeDocument, Finding]]:
    for node_class in nodes.classes:
        device = node_class.image_device
        if device is not None and device.snapshot and device.size is None and not node_class.raid0:
            size = gibibytes(node_class.ephemeral_storage or 0)
            message = f"the volume is as large as its snapshot, and Karpenter counts {size}"
            hint = "volumeSize, no less than the snapshot's"
            yield node_class.document, Finding("N021", f"{device.path}.ebs.snapshotID", message, hint)


def _too_large(nodes: Nodes) -> Iterator[tuple[NodeDocument, Finding]]:
    """An emptyDir whose limit is above the disk is no limit: the disk fills first, and pods are evicted."""
    for node_class in nodes.classes:
        size = node_class.ephemeral_storage
        if size is None or node_class.raid0 or KUBELET in local_storage(node_class).binds:
            continue
        for cache in nodes.policies.caches:
            for volume in filter(None, (cache.volume, cache.fallback_volume)):
                limit = _limit(volume)
                if limit is not None and limit > size:
                    message = (
                        f"nodes have {gibibytes(size)}, and the emptyDir of NodeCache {cache.name} may take"
                        f" {gibibytes(limit)}: the disk is full before"
                    )
                    device = node_class.image_device
                    path = "spec" if device is None else f"{device.path}.ebs.volumeSize"
                    hint = "a larger volumeSize, or local disks (instanceStorePolicy: RAID0)"
                    yield node_class.document, Finding("N022", path, message, hint)
                    break


def _limit(volume: dict[str, object]) -> int | None:
    empty = volume.get("emptyDir")
    if not isinstance(empty, dict) or empty.get("medium") == "Memory":
        return None
    try:
        return int(quantity.parse(empty.get("sizeLimit")))
    except quantity.InvalidQuantity:
        return None


def _metadata(nodes: Nodes) -> Iterator[tuple[NodeDocument, Finding]]:
    """Mountpoint's driver asks the instance's metadata for the region where no mount option names it.

    mountpoint-s3-csi-driver v2.7.0, docs/CONFIGURATION.md, "Configure the region".
    """
    asking = [
        each.name
        for each in nodes.documents.of("PersistentVolume")
        if each.at("spec", "csi", "driver") == "s3.csi.aws.com" and not _names_region(each.at("spec", "mountOptions"))
    ]
    if not asking:
        return
    for node_class in nodes.classes:
        if node_class.system == systems.OTHER:
            continue
        limit = node_class.document.at("spec", "metadataOptions", "httpPutResponseHopLimit")
        if limit is None or limit == 1:
            message = (
                f"PersistentVolume {asking[0]} names no region, so its driver asks the instance's metadata, which pods"
                " do not reach with a hop limit of 1"
            )
            hint = "mountOptions: [region us-east-1] in the volume; else httpPutResponseHopLimit: 2"
            path = "spec" if limit is None else "spec.metadataOptions.httpPutResponseHopLimit"
            yield node_class.document, Finding("N023", path, message, hint)


def _names_region(options: object) -> bool:
    return isinstance(options, list) and any(str(each).lstrip("-").startswith("region") for each in options)


CHECKS: tuple[NodeCheck, ...] = (_names, _unstable, _uncounted, _unsized, _too_large, _metadata)
