"""Images on nodes: snapshots that are slow or hidden, parallel pulls that do not help, stores without a pause image.

Facts from amazon-eks-ami 81fec2e (nodeadm/doc/examples.md on FastImagePull, templates/al2023/runtime/bin/
setup-local-disks), bottlerocket-core-kit (sources/api/apiserver/src/server/ephemeral_storage.rs: `bind` copies
nothing), Bottlerocket's settings reference (container-runtime.snapshotter) and the Amazon EBS User Guide, "Initialize
Amazon EBS volumes".
"""

from __future__ import annotations

from collections.abc import Iterator

from webhook.ec2 import systems
from webhook.lint.check import Codes, Finding
from webhook.lint.node_check import USER_DATA, NodeCheck, Nodes, in_user_data
from webhook.nodeclass.documents import NodeDocument
from webhook.nodeclass.fault import Fault
from webhook.nodeclass.local_storage import CONTAINERD, SOCI, local_storage
from webhook.nodeclass.node_class import Device, NodeClass
from webhook.nodeclass.node_config import merged
from webhook.nodeclass.script import Mount

CODES: Codes = {
    "N010": ("warning", "a volume from a snapshot whose blocks come when they are read"),
    "N011": ("warning", "parallel pulls onto a volume that is too slow for them"),
    "N012": ("warning", "parallel pulls that pass over the images of the snapshot"),
    "N013": ("warning", "settings of a snapshotter that is not in use"),
    "N014": ("error", "images of a snapshot that local disks hide"),
    "N015": ("warning", "images of a snapshot that are copied to the local disks at every start"),
    "N016": ("warning", "a containerd store that may lack the pause image"),
    "N017": ("error", "a volume from a snapshot that nothing mounts"),
}
#: MiB a second. Below, FastImagePull may be slower than the default (nodeadm/doc/examples.md).
LEAST_FOR_SOCI = 600
_SOCI_OF = {systems.AL2023: SOCI, systems.BOTTLEROCKET: "/var/lib/soci-snapshotter"}


def _lazy(nodes: Nodes) -> Iterator[tuple[NodeDocument, Finding]]:
    for node_class in nodes.classes:
        for device in node_class.devices:
            if device.snapshot and device.rate is None:
                message = (
                    "the blocks of this snapshot come from S3 when they are first read: images are there, and slow"
                )
                hint = (
                    "volumeInitializationRate: 300, or silence this where fast snapshot restore is on for the snapshot"
                    " in every zone"
                )
                yield node_class.document, Finding("N010", f"{device.path}.ebs.snapshotID", message, hint)


def _soci_line(node_class: NodeClass) -> int:
    """The line of user data that turns parallel pulls on; 0 where none does."""
    settings = node_class.user_data.settings
    if settings is not None and settings.at("container-runtime", "snapshotter") == "soci":
        return settings.line("container-runtime", "snapshotter")
    configs = node_class.user_data.node_configs
    if merged(configs).at("featureGates", "FastImagePull") is True:
        return next(each.line for each in configs if each.at("featureGates", "FastImagePull") is not None)
    return 0


def _slow(nodes: Nodes) -> Iterator[tuple[NodeDocument, Finding]]:
    for node_class in nodes.classes:
        line, storage = _soci_line(node_class), local_storage(node_class)
        has_it = node_class.system != systems.BOTTLEROCKET or not node_class.older_than(1, 44)
        if not line or not has_it or _SOCI_OF[node_class.system] in storage.binds:
            continue
        device = node_class.image_device
        throughput = 125 if device is None else device.effective_throughput
        if throughput is None or throughput >= LEAST_FOR_SOCI:
            continue
        which = "the default volume" if device is None else device.name
        message = (
            f"images are unpacked to {which}, which takes {throughput} MiB/s; below {LEAST_FOR_SOCI} parallel pulls may"
            " be slower than the default"
        )
        hint = "instanceStorePolicy: RAID0 with local disks, or throughput: 1000 and iops: 16000"
        if device is None:
            yield in_user_data(node_class, Fault("N011", message, hint, line))
        else:
            path = f"{device.path}.ebs{'.throughput' if device.throughput is not None else ''}"
            yield node_class.document, Finding("N011", path, message, hint)


def _other_snapshotter(nodes: Nodes) -> Iterator[tuple[NodeDocument, Finding]]:
    for node_class in nodes.classes:
        line, baked = _soci_line(node_class), _baked(node_class)
        if line and baked is not None:
            message = (
                "what is unpacked for overlayfs the SOCI snapshotter cannot use: the snapshot's images are pulled again"
            )
            hint = "use one of the two; silence this where the snapshot was made with the SOCI snapshotter"
            yield in_user_data(node_class, Fault("N012", message, hint, line))


def _unused_settings(nodes: Nodes) -> Iterator[tuple[NodeDocument, Finding]]:
    for node_class in nodes.classes:
        settings = node_class.user_data.settings
        if settings is None or settings.at("container-runtime-plugins", "soci-snapshotter") is None:
            continue
        line = settings.line("container-runtime-plugins", "soci-snapshotter")
        if settings.at("container-runtime", "snapshotter") != "soci":
            message = "the SOCI snapshotter has settings and is not in use"
            hint = '[settings.container-runtime] snapshotter = "soci"'
            yield in_user_data(node_class, Fault("N013", message, hint, line))
        elif node_class.older_than(1, 44):
            message = f"Bottlerocket {node_class.version} has no SOCI snapshotter"
            yield in_user_data(node_class, Fault("N013", message, "alias bottlerocket@v1.44.0 or later", line))


def _store_mount(node_class: NodeClass) -> tuple[Mount, int] | None:
    """What a script mounts over containerd's store, and the line of user data that does."""
    for each in node_class.user_data.scripts:
        mount = each.script.mounted(CONTAINERD)
        if mount is not None:
            return mount, each.outer(mount.line)
    return None


def _baked(node_class: NodeClass) -> Device | None:
    """The volume from a snapshot that is containerd's store: by the system's own layout, or by a script."""
    own = node_class.image_device
    if own is not None and own.snapshot:
        return own
    mount = _store_mount(node_class)
    if mount is None:
        return None
    return next((each for each in node_class.devices if each.snapshot and each.name == mount[0].source), None)


def _hidden(nodes: Nodes) -> Iterator[tuple[NodeDocument, Finding]]:
    """Bottlerocket binds an empty directory over the store; nodeadm copies the store to the array."""
    for node_class in nodes.classes:
        baked, storage = _baked(node_class), local_storage(node_class)
        if baked is None or CONTAINERD not in storage.binds:
            continue
        by = "spec.instanceStorePolicy" if node_class.raid0 else USER_DATA
        if node_class.system == systems.BOTTLEROCKET:
            message = (
                f"an empty directory of the local disks is bound over {CONTAINERD}: the snapshot's images are hidden"
            )
            hint = (
                "leave instanceStorePolicy away; bind /var/lib/kubelet and /var/log/pods alone by a bootstrap command"
            )
            yield node_class.document, Finding("N014", by, message, hint)
        elif node_class.system == systems.AL2023:
            mount = _store_mount(node_class)
            unless = " unless the mount of the script succeeds first" if mount is not None else ""
            message = (
                f"nodeadm copies {CONTAINERD} to the local disks at every start, reading all of the snapshot{unless}"
            )
            hint = "spec.instance.localStorage.disabledMounts: [Containerd] in a NodeConfig"
            yield node_class.document, Finding("N015", by, message, hint)


def _without_pause(nodes: Nodes) -> Iterator[tuple[NodeDocument, Finding]]:
    for node_class in nodes.classes:
        found = _store_mount(node_class)
        kept = any(each.script.keeps_pause for each in node_class.user_data.scripts)
        if found is None or kept or node_class.system != systems.AL2023:
            continue
        message = (
            "nothing is seen to keep the pause image in the store that is mounted here; without it no pod starts, and"
            " the node does not become ready"
        )
        hint = "ctr -n k8s.io images import /etc/eks/pause.tar, or copy the AMI's store when the snapshot is made"
        yield in_user_data(node_class, Fault("N016", message, hint, found[1]))


def _unmounted(nodes: Nodes) -> Iterator[tuple[NodeDocument, Finding]]:
    for node_class in nodes.classes:
        if node_class.system not in _SOCI_OF:
            continue
        used = {mount.source for each in node_class.user_data.scripts for mount in each.script.mounts}
        # A script that finds its device by other means (a label, a variable) is believed.
        if any(not source.startswith("/dev/xvd") and not source.startswith("/dev/sd") for source in used if source):
            continue
        for device in node_class.devices:
            if device.name in used or device.name == "/dev/xvda" or device is node_class.image_device:
                continue
            if device.snapshot:
                message = f"nothing mounts {device.name}, so that the snapshot's images are not used"
                hint = f"mount it on {CONTAINERD} by a script in user data"
                if node_class.system == systems.BOTTLEROCKET:
                    hint = "deviceName: /dev/xvdb, the data volume"
                yield node_class.document, Finding("N017", f"{device.path}.deviceName", message, hint)


CHECKS: tuple[NodeCheck, ...] = (
    _lazy,
    _slow,
    _other_snapshotter,
    _unused_settings,
    _hidden,
    _without_pause,
    _unmounted,
)
