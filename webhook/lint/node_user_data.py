"""User data of node classes: what the node does not read, and scripts that cannot work when they run."""

from __future__ import annotations

from collections.abc import Iterator

from webhook.ec2 import systems
from webhook.lint.check import Codes, Finding
from webhook.lint.node_check import USER_DATA, NodeCheck, Nodes, in_user_data
from webhook.nodeclass.documents import NodeDocument
from webhook.nodeclass.fault import Fault
from webhook.nodeclass.local_storage import local_storage

CODES: Codes = {
    "N001": ("error", "user data of a form that the node does not read"),
    "N002": ("error", "a NodeConfig that nodeadm does not read as it is written"),
    "N003": ("error", "user data of Bottlerocket that is not TOML"),
    "N004": ("warning", "a setting that Bottlerocket does not know"),
    "N005": ("warning", "a setting of Bottlerocket that Karpenter drops"),
    "N006": ("error", "a directory that Bottlerocket does not bind onto the local disks"),
    "N007": ("error", "a script that cloud-init does not run"),
    "N008": ("warning", "a script that uses the local disks before they are mounted"),
    "N009": ("error", "a script that calls what the system does not have"),
}


def _faults(nodes: Nodes) -> Iterator[tuple[NodeDocument, Finding]]:
    for node_class in nodes.classes:
        for fault in node_class.user_data.faults:
            yield in_user_data(node_class, fault)


def _too_early(nodes: Nodes) -> Iterator[tuple[NodeDocument, Finding]]:
    """Disks are set up when nodeadm runs, and that is after cloud-init's scripts.

    amazon-eks-ami 81fec2e, templates/al2023/runtime/rootfs/etc/systemd/system/nodeadm-run.service (After=cloud-final)
    and nodeadm/cmd/nodeadm/init/init.go (the aspect local-disk is one of the run phase).
    """
    for node_class in nodes.classes:
        storage = local_storage(node_class)
        if node_class.system != systems.AL2023 or not storage.mount_point:
            continue
        for each in node_class.user_data.scripts:
            if each.script.uses_local_disks:
                message = (
                    "scripts run before nodeadm mounts the local disks: this writes to the root volume, and the mount"
                    " hides it"
                )
                hint = "let a pod make it: hostPath with type DirectoryOrCreate needs no script"
                line = each.outer(each.script.uses_local_disks)
                yield in_user_data(node_class, Fault("N008", message, hint, line))


def _not_there(nodes: Nodes) -> Iterator[tuple[NodeDocument, Finding]]:
    for node_class in nodes.classes:
        for each in node_class.user_data.scripts:
            if node_class.system == systems.AL2023 and each.script.al2_bootstrap:
                message = "Amazon Linux 2023 has no /etc/eks/bootstrap.sh: nodeadm starts the node"
                hint = "say it in a NodeConfig (apiVersion: node.eks.aws/v1alpha1)"
                yield in_user_data(node_class, Fault("N009", message, hint, each.outer(each.script.al2_bootstrap)))


def _auto_mode(nodes: Nodes) -> Iterator[tuple[NodeDocument, Finding]]:
    for document in nodes.documents.of("NodeClass"):
        if document.node("spec", "userData") is not None:
            message = "nodes of EKS Auto Mode take no user data"
            yield document, Finding("N001", USER_DATA, message, "use EC2NodeClass of Karpenter for nodes of your own")


CHECKS: tuple[NodeCheck, ...] = (_faults, _too_early, _not_there, _auto_mode)
