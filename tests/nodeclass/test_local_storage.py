"""Where the local disks of a node class are, as Karpenter, nodeadm and Bottlerocket make it of policy and user data."""

from __future__ import annotations

import pytest

from webhook.ec2 import systems
from webhook.nodeclass.bottlerocket import bindable
from webhook.nodeclass.documents import read
from webhook.nodeclass.local_storage import CONTAINERD, KUBELET, PODS, SOCI, LocalStorage, local_storage
from webhook.nodeclass.node_class import NodeClass, node_classes
from webhook.policy.problem import Source

BOTTLEROCKET_SOCI = "/var/lib/soci-snapshotter"
ALL_OF_BOTTLEROCKET = {CONTAINERD, KUBELET, PODS, BOTTLEROCKET_SOCI, "/var/lib/host-containerd"}
COMMANDS = """
[settings.bootstrap-commands.disks]
commands = [["apiclient", "ephemeral-storage", "init"], ["apiclient", "ephemeral-storage", "bind"{dirs}]]
mode = "{mode}"
"""


def node_class(
    alias: str = "al2023@latest", *, raid0: bool = False, user_data: str = "", family: str = ""
) -> NodeClass:
    indented = "".join(f"    {line}\n" for line in user_data.strip("\n").split("\n"))
    text = (
        "apiVersion: karpenter.k8s.aws/v1\nkind: EC2NodeClass\nmetadata: {name: gpu}\nspec:\n"
        f"  amiSelectorTerms: [{{alias: {alias}}}]\n"
        + ("  instanceStorePolicy: RAID0\n" if raid0 else "")
        + (f"  amiFamily: {family}\n" if family else "")
        + (f"  userData: |\n{indented}" if user_data else "")
    )
    found = read([Source("nodes.yaml", text)])
    assert found.problems == ()
    (made,) = node_classes(found)
    assert made.user_data.faults == ()
    return made


def config(storage: str) -> str:
    return f"apiVersion: node.eks.aws/v1alpha1\nkind: NodeConfig\nspec: {{instance: {{localStorage: {storage}}}}}\n"


def storage(alias: str, user_data: str = "", *, raid0: bool = False) -> LocalStorage:
    return local_storage(node_class(alias, raid0=raid0, user_data=user_data))


OF_AL2023 = {CONTAINERD, KUBELET, PODS, SOCI}
CASES = {
    "al2023": ("al2023@latest", "", False, "", set()),
    "al2023 raid0 by karpenter": ("al2023@latest", "", True, "/mnt/k8s-disks/0", OF_AL2023),
    "al2023 raid0 by nodeadm": ("al2023@latest", config("{strategy: RAID0}"), False, "/mnt/k8s-disks/0", OF_AL2023),
    "al2023 raid10": ("al2023@latest", config("{strategy: RAID10}"), False, "/mnt/k8s-disks/0", OF_AL2023),
    "al2023 mount": ("al2023@latest", config("{strategy: Mount}"), False, "/mnt/k8s-disks/1", set()),
    "karpenter wins": ("al2023@latest", config("{strategy: Mount}"), True, "/mnt/k8s-disks/0", OF_AL2023),
    "al2023 path": ("al2023@latest", config("{strategy: RAID0, mountPath: /data/}"), False, "/data/0", OF_AL2023),
    "al2023 disabled": (
        "al2023@latest",
        config("{disabledMounts: [Containerd, SOCI]}"),
        True,
        "/mnt/k8s-disks/0",
        {KUBELET, PODS},
    ),
    "al2 raid0": ("al2@latest", "", True, "/mnt/k8s-disks/0", {CONTAINERD, KUBELET, PODS}),
    "al2": ("al2@latest", "", False, "", set()),
    "bottlerocket": ("bottlerocket@latest", "", False, "", set()),
    "bottlerocket raid0": ("bottlerocket@latest", "", True, "/mnt/.ephemeral", ALL_OF_BOTTLEROCKET),
    "bottlerocket 1.46": ("bottlerocket@v1.46.0", "", True, "/mnt/.ephemeral", ALL_OF_BOTTLEROCKET),
    "bottlerocket 1.45": ("bottlerocket@v1.45.9", "", True, "/mnt/.ephemeral", {CONTAINERD, KUBELET, PODS}),
    "bottlerocket by command": (
        "bottlerocket@latest",
        COMMANDS.format(dirs=', "--dirs", "/var/lib/kubelet/", "/mnt/warmpod"', mode="always"),
        False,
        "/mnt/.ephemeral",
        {KUBELET, "/mnt/warmpod"},
    ),
    "bottlerocket by command, all": (
        "bottlerocket@latest",
        COMMANDS.format(dirs="", mode="always"),
        False,
        "/mnt/.ephemeral",
        ALL_OF_BOTTLEROCKET,
    ),
    "bottlerocket, with words behind": (
        "bottlerocket@latest",
        COMMANDS.replace('"init"', '"init", "-t", "ext4"').format(dirs=', "--dirs", "/var/log/pods"', mode="once"),
        False,
        "/mnt/.ephemeral",
        {PODS},
    ),
    "bottlerocket, command off": ("bottlerocket@latest", COMMANDS.format(dirs="", mode="off"), False, "", set()),
    "windows": ("windows2022@latest", "", True, "", set()),
}


@pytest.mark.parametrize(("alias", "user_data", "raid0", "mount_point", "binds"), CASES.values(), ids=CASES.keys())
def test_where_local_disks_are(alias: str, user_data: str, raid0: bool, mount_point: str, binds: set[str]) -> None:
    found = storage(alias, user_data, raid0=raid0)
    assert (found.mount_point, set(found.binds)) == (mount_point, binds)
    assert found.of == ("nvme" if mount_point else "ebs")


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/mnt/k8s-disks/0", True),
        ("/mnt/k8s-disks/0/warmpod", True),
        ("/mnt/k8s-disks/01", False),
        ("/mnt/k8s-disks", False),
        ("/var/lib/kubelet/pods/x", True),
        ("/var/lib/kubelets", False),
        ("", False),
    ],
)
def test_what_lies_on_local_disks(path: str, expected: bool) -> None:
    assert storage("al2023@latest", raid0=True).holds(path) is expected


def test_the_family_is_heard_before_the_alias() -> None:
    assert node_class("al2023@latest", family="Custom").system == systems.OTHER
    assert node_class("al2023@latest", family="Bottlerocket").system == systems.BOTTLEROCKET


@pytest.mark.parametrize(
    ("directory", "expected"),
    [
        ("/var/lib/kubelet/", True),
        ("/mnt/models", True),
        ("/mnt/", False),
        ("/mnt/../etc", False),
        ("/mnt/.ephemeral/x", False),
        ("/var/lib/models", False),
        ("/opt", False),
    ],
)
def test_what_bottlerocket_binds(directory: str, expected: bool) -> None:
    assert bindable(directory) is expected


MAPPINGS = {
    "none": ("al2023@latest", "[]", 20 << 30),
    "root": ("al2023@latest", "[{deviceName: /dev/xvda, ebs: {volumeSize: 60Gi}}]", 60 << 30),
    "another": ("al2023@latest", "[{deviceName: /dev/xvdb, ebs: {volumeSize: 60Gi}}]", 20 << 30),
    "said to be the root": (
        "al2023@latest",
        (
            "[{deviceName: /dev/xvdc, rootVolume: true, ebs: {volumeSize: 1Ti}},"
            " {deviceName: /dev/xvda, ebs: {volumeSize: 9Gi}}]"
        ),
        1 << 40,
    ),
    "data of bottlerocket": ("bottlerocket@latest", "[{deviceName: /dev/xvdb, ebs: {volumeSize: 100G}}]", 10**11),
    "system of bottlerocket": ("bottlerocket@latest", "[{deviceName: /dev/xvda, ebs: {volumeSize: 100Gi}}]", 20 << 30),
    "no size": ("bottlerocket@latest", "[{deviceName: /dev/xvdb, ebs: {snapshotID: snap-0}}]", 20 << 30),
    "not known": ("windows2022@latest", "[]", None),
}


@pytest.mark.parametrize(("alias", "mappings", "expected"), MAPPINGS.values(), ids=MAPPINGS.keys())
def test_ephemeral_storage_as_karpenter_counts_it(alias: str, mappings: str, expected: int | None) -> None:
    text = (
        "apiVersion: karpenter.k8s.aws/v1\nkind: EC2NodeClass\nmetadata: {name: gpu}\nspec:\n"
        f"  amiSelectorTerms: [{{alias: {alias}}}]\n  blockDeviceMappings: {mappings}\n"
    )
    (made,) = node_classes(read([Source("nodes.yaml", text)]))
    assert made.ephemeral_storage == expected
