"""Where a node class's local disks end up: mounted where, with which of the node's directories on them.

Facts from amazon-eks-ami 81fec2e (templates/al2023/runtime/bin/setup-local-disks, nodeadm/internal/system/
local_disk.go), bottlerocket-core-kit (sources/api/apiserver/src/server/ephemeral_storage.rs) and karpenter-provider-aws
1d92708 (pkg/providers/amifamily/bootstrap/{nodeadm,bottlerocket}.go): what Karpenter adds wins over user data.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from webhook.ec2 import systems
from webhook.nodeclass.bottlerocket import schema
from webhook.nodeclass.node_class import NodeClass
from webhook.nodeclass.node_config import merged

CONTAINERD, KUBELET, PODS = "/var/lib/containerd", "/var/lib/kubelet", "/var/log/pods"
SOCI = "/var/lib/soci-snapshotter-grpc"
DISABLED = {"Containerd": CONTAINERD, "PodLogs": PODS, "SOCI": SOCI}
"""By word of `disabledMounts`: the directory that stays where it is."""

#: Before 1.46 Karpenter names the directories itself.
_OLDER_BINDS = frozenset({CONTAINERD, KUBELET, PODS})


@dataclass(frozen=True, slots=True)
class LocalStorage:
    """`mount_point` is empty where nothing mounts the local disks; `binds` are the directories that lie on them.

    `of` says what lies below the mount point: "nvme", or "ebs" where it is an ordinary directory of an EBS volume.
    On an instance type without local disks all of it is on EBS, whatever the node class says.
    """

    system: str
    mount_point: str
    binds: frozenset[str]
    of: Literal["nvme", "ebs"]
    strategy: str = ""

    def holds(self, path: str) -> bool:
        """Whether a path of the node lies on the local disks."""
        places = [*self.binds, *([self.mount_point] if self.mount_point else [])]
        return any(path == place or path.startswith(f"{place}/") for place in places)


def local_storage(node_class: NodeClass) -> LocalStorage:
    """Return where the local disks of a node class are."""
    match node_class.system:
        case systems.AL2023:
            return _al2023(node_class)
        case systems.AL2 if node_class.raid0:
            binds = frozenset({CONTAINERD, KUBELET, PODS})
            return LocalStorage(systems.AL2, f"{systems.ARRAY}/0", binds, "nvme", "RAID0")
        case systems.BOTTLEROCKET:
            return _bottlerocket(node_class)
        case _:
            return _nothing(node_class)


def _nothing(node_class: NodeClass) -> LocalStorage:
    return LocalStorage(node_class.system, "", frozenset(), "ebs")


def _al2023(node_class: NodeClass) -> LocalStorage:
    config = merged(node_class.user_data.node_configs)
    said = config.at("instance", "localStorage", "strategy")
    strategy = "RAID0" if node_class.raid0 else said if isinstance(said, str) else ""
    path = config.at("instance", "localStorage", "mountPath")
    root = path.rstrip("/") if isinstance(path, str) and path else systems.ARRAY
    if strategy == "Mount":  # each disk on its own, counted from 1, and nothing bound
        return LocalStorage(node_class.system, f"{root}/1", frozenset(), "nvme", strategy)
    if strategy not in {"RAID0", "RAID10"}:
        return _nothing(node_class)
    words = config.at("instance", "localStorage", "disabledMounts")
    disabled = {DISABLED.get(word) for word in words if isinstance(word, str)} if isinstance(words, list) else set()
    binds = frozenset({CONTAINERD, KUBELET, PODS, SOCI}) - disabled
    return LocalStorage(node_class.system, f"{root}/0", binds, "nvme", strategy)


def _bottlerocket(node_class: NodeClass) -> LocalStorage:
    binds: set[str] = set()
    mounted = node_class.raid0
    if node_class.raid0:
        is_old = node_class.older_than(1, 46) or not node_class.version
        binds |= _OLDER_BINDS if is_old else set(schema()["bindable"])
    settings = node_class.user_data.settings
    if settings is not None and (settings.initialises or mounted):
        for each in settings.binds:
            mounted = True
            binds |= {name.rstrip("/") for name in each.directories} or set(schema()["bindable"])
    if not mounted:
        return _nothing(node_class)
    return LocalStorage(node_class.system, systems.EPHEMERAL, frozenset(binds), "nvme", "RAID0")
