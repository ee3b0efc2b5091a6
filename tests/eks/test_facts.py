"""What the recipes rest on, where a machine can hold them to it: drivers, releases and commands as others made them."""

from __future__ import annotations

import re
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.eks.recipes import EKS, OBJECTS, RECIPES
from webhook.lint.node_paths import SYSTEMS

recipes = pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.name)

OLDEST_AL2023 = 20251217
"""amazon-eks-ami, CHANGELOG.md: FastImagePull came with v20250813, and with v20251217 its images lie on the array."""

OLDEST_BOTTLEROCKET = (1, 44, 0)
"""bottlerocket-project-website, data/settings/1.44.x: the first with settings of the SOCI snapshotter."""


def of(recipe: str, kind: str) -> Any:
    [one] = [each.document for each in OBJECTS if (each.recipe, each.document["kind"]) == (recipe, kind)]
    return one


def pods(recipe: Path) -> list[dict[str, Any]]:
    files = sorted(recipe.glob("policies/cases/*/input.yaml"))
    return [yaml.safe_load(file.read_text())["spec"]["template"]["spec"] for file in files]


def test_pods_of_another_user_may_read_what_mountpoint_mounts() -> None:
    """Without `allow-other` only root may, or the pod's fsGroup: mountpoint-s3-csi-driver v2.7.0, node/node.go."""
    contexts = [pod.get("securityContext", {}) for pod in pods(EKS / "mountpoint-s3")]
    assert any(context.get("runAsUser", 0) and "fsGroup" not in context for context in contexts)
    assert "allow-other" in of("mountpoint-s3", "PersistentVolume")["spec"]["mountOptions"]


def test_the_provisioner_of_disks_runs_on_its_nodes_and_offers_no_array_of_other_pools() -> None:
    """Its chart tolerates no taint by itself. It wipes what it offered; elsewhere `/mnt/k8s-disks/0` is kubelet's."""
    page = (EKS / "generic-ephemeral" / "README.md").read_text()
    [block] = [text for text in re.findall(r"^```\n(.*?)^```", page, re.MULTILINE | re.DOTALL) if "classes:" in text]
    values = yaml.safe_load(block)
    pool = of("generic-ephemeral", "NodePool")
    taints = pool["spec"]["template"]["spec"]["taints"]
    assert {taint["key"] for taint in taints} <= {one["key"] for one in values["tolerations"]}
    assert values["nodeSelector"] == {"karpenter.sh/nodepool": pool["metadata"]["name"]}
    [disks] = values["classes"]
    assert disks["name"] == of("generic-ephemeral", "StorageClass")["metadata"]["name"]
    assert [name for name in ("0", "1", "2", "10") if fnmatchcase(name, disks["namePattern"])] == ["1", "2", "10"]
    # Claims and volumes of nodes that are gone stay otherwise, and Karpenter's nodes go often.
    assert values["nodeCleanupController"] == {"enabled": True, "storageClassNames": [disks["name"]]}


@pytest.mark.parametrize("file", sorted(EKS.glob("*/nodes.yaml")), ids=lambda path: path.parent.name)
def test_releases_that_are_named_know_the_settings_beside_them(file: Path) -> None:
    text = file.read_text()
    assert re.search(r"al2023@v\d|bottlerocket@v\d", text), "it shows how to pin one"
    assert [release for release in re.findall(r"al2023@v(\d+)", text) if int(release) < OLDEST_AL2023] == []
    bottlerocket = [tuple(map(int, found)) for found in re.findall(r"bottlerocket@v(\d+)\.(\d+)\.(\d+)", text)]
    assert [release for release in bottlerocket if release < OLDEST_BOTTLEROCKET] == []


@recipes
def test_commands_about_pods_say_their_namespace_and_those_on_nodes_may_do_what_they_do(recipe: Path) -> None:
    page = (recipe / "README.md").read_text()
    for line in re.findall(r"^kubectl .*$", page, re.MULTILINE):
        if re.match(r"kubectl (exec|logs|wait|get pvc)\b", line):
            assert " -n inference" in line, line
        if line.startswith("kubectl debug node/"):
            assert "--profile=sysadmin" in line, "chroot needs it"


@pytest.mark.parametrize("recipe", [path.parent for path in EKS.glob("*/nodes.yaml")], ids=lambda path: path.name)
def test_pages_of_amazon_linux_say_that_the_device_plugin_is_not_in_it(recipe: Path) -> None:
    """Amazon EKS User Guide, "Install Kubernetes device plugin for GPUs": Bottlerocket has it, AL2023 has not."""
    [alias] = of(recipe.name, "EC2NodeClass")["spec"]["amiSelectorTerms"]
    page = (recipe / "README.md").read_text()
    assert ("NVIDIA's device plugin" in page) == alias["alias"].startswith("al2023@")


@recipes
def test_a_page_says_that_applying_it_sets_the_level_of_a_namespace(recipe: Path) -> None:
    labels = [
        each.document["metadata"]["labels"]
        for each in OBJECTS
        if each.path == "/api/v1/namespaces" and each.recipe == recipe.name
    ]
    said = re.findall(
        r"sets the PodSecurity level of namespace `inference` to \*(\w+)\*", (recipe / "README.md").read_text()
    )
    assert said == [one["pod-security.kubernetes.io/enforce"] for one in labels]


@recipes
def test_a_page_says_whose_role_reads_the_bucket(recipe: Path) -> None:
    """Karpenter's default hop limit is 1: metadataOptions in karpenter.k8s.aws_ec2nodeclasses.yaml of v1.14.1."""
    reads = "s3://acme-models" in (recipe / "policies" / "policy.yaml").read_text()
    assert ("reads the bucket by the pod's own role" in (recipe / "README.md").read_text()) == reads


def test_a_path_of_al2023_is_said_to_be_on_bottlerocket_s_data_volume() -> None:
    """As lint has it: `/mnt` is a bind mount of it, packages/release/mnt.mount of bottlerocket-core-kit."""
    [bottlerocket] = [system for system in SYSTEMS if system.title == "Bottlerocket"]
    assert "/mnt" in bottlerocket.writable
    page = (EKS / "bottlerocket-raid0-soci" / "README.md").read_text()
    [line] = [line for line in page.splitlines() if "`/mnt/k8s-disks`" in line]
    assert "data volume" in line


@recipes
def test_no_page_counts_the_limit_of_an_emptydir_as_a_request(recipe: Path) -> None:
    """Neither scheduler nor Karpenter does: no SizeLimit in karpenter v1.14.1, pkg."""
    lines = [line for line in (recipe / "README.md").read_text().splitlines() if "sizeLimit" in line]
    assert [line for line in lines if "counts nowhere" not in line] == []
