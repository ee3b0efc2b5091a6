"""Operating systems of EKS nodes, by what their kubelet says: where local disks lie differs between them."""

from __future__ import annotations

AL2023 = "al2023"
AL2 = "al2"
BOTTLEROCKET = "bottlerocket"
OTHER = "other"

# `PRETTY_NAME` of the systems' os-release, with which node.status.nodeInfo.osImage begins.
_NAMES = {
    "Amazon Linux 2023": AL2023,
    "Amazon Linux 2": AL2,
    "Bottlerocket OS": BOTTLEROCKET,
    "Bottlerocket (EKS Auto": BOTTLEROCKET,
}
TITLES = {AL2023: "Amazon Linux 2023", AL2: "Amazon Linux 2", BOTTLEROCKET: "Bottlerocket", OTHER: "another system"}
"""By system: what people call it."""

ARRAY = "/mnt/k8s-disks"
"""Below it AL2023 and AL2 mount instance stores (amazon-eks-ami, setup-local-disks): as one array at `0`."""
EPHEMERAL = "/mnt/.ephemeral"
"""Where Bottlerocket mounts them (bottlerocket-core-kit, ephemeral_storage.rs): one disk, or the array of several."""


def system_of(os_image: str) -> str:
    """The system of `node.status.nodeInfo.osImage`, such as `Bottlerocket OS 1.44.0 (aws-k8s-1.33-nvidia)`.

    `OTHER` for one that is none of these, empty where the node does not say.
    """
    if not os_image:
        return ""
    # A longer name first: "Amazon Linux 2" begins both.
    return next((_NAMES[name] for name in sorted(_NAMES, key=len, reverse=True) if os_image.startswith(name)), OTHER)
