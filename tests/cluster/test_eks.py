"""The recipes of manifests/eks on a real API server: Karpenter's definitions take their files and refuse wrong ones."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cluster import pods
from tests.cluster.conftest import MakeNamespace
from tests.eks.definitions import KINDS, definitions
from tests.eks.recipes import EKS, OBJECTS, RECIPES, Written, objects
from webhook.admission import admit
from webhook.cli import cases, world
from webhook.ec2.zones import ZONE_ID
from webhook.kube import Object, names
from webhook.kube.workload import pods_of
from webhook.sandbox.api import RefusedRequest
from webhook.sandbox.nodes import PretendNode, manifest
from webhook.sandbox.sandbox import Sandbox

pytestmark = pytest.mark.cluster

NAMESPACE = "inference"
DRY = {"dryRun": "All", "fieldValidation": "Strict"}
IN_FORCE = {"eks": "recipes"}
LIVE = ("fsx-lustre-static", "image-volume", "s3-express")
"""Recipes whose sources no policy of the other tests allows: they can be in force beside those."""

POOL = "gpu-al2023-nvme"
TAINT = {"key": "warmpod.test/eks", "effect": "NoSchedule"}


@pytest.fixture(scope="module")
def karpenter(box: Sandbox) -> Iterator[Sandbox]:
    """The cluster with Karpenter's definitions, and the namespace of the recipes, for as long as this module runs."""
    files = [argument for file in definitions() for argument in ("-f", str(file))]
    box.kubectl("apply", "--server-side", *files)
    box.kubectl("wait", "--for=condition=Established", "--timeout=90s", *(f"crd/{name}" for name in KINDS))
    one = next(each for each in OBJECTS if each.document["kind"] == "NodePool")
    pods.eventually(lambda: box.api.exists(one.path), "node pools served")
    box.make_namespace(NAMESPACE, {"pod-security.kubernetes.io/enforce": "privileged", **IN_FORCE})
    yield box
    box.kubectl("delete", "--wait=false", *files)
    box.api.call("DELETE", f"/api/v1/namespaces/{NAMESPACE}")
    pods.eventually(lambda: not box.api.exists(f"/api/v1/namespaces/{NAMESPACE}"), "end of the recipes' namespace")


@pytest.mark.parametrize("written", [each for each in OBJECTS if each.document["kind"] != "Namespace"], ids=str)
def test_the_api_server_takes_every_object_and_knows_every_field(karpenter: Sandbox, written: Written) -> None:
    stored = karpenter.api.call("POST", written.path, written.document, **DRY)
    assert stored["metadata"]["name"] == written.document["metadata"]["name"]


def _first(kind: str, recipe: str = "") -> Written:
    return next(each for each in OBJECTS if each.document["kind"] == kind and each.recipe.startswith(recipe))


def _set(*path: str | int, to: Any) -> Callable[[Object], None]:
    def change(document: Object) -> None:
        at: Any = document
        for step in path[:-1]:
            at = at[step]
        at[path[-1]] = to

    return change


_REQUIREMENT = {"key": "karpenter.sh/nodepool", "operator": "In", "values": ["x"]}
_EBS = ("spec", "blockDeviceMappings", 1, "ebs")
REFUSED = {
    "rate-without-a-snapshot": (
        "EC2NodeClass",
        _set(*_EBS, to={"volumeSize": "120Gi", "volumeInitializationRate": 300}),
        "snapshotID must be set when volumeInitializationRate is set",
    ),
    "rate-too-high": ("EC2NodeClass", _set(*_EBS, "volumeInitializationRate", to=400), "less than or equal to 300"),
    "neither-role-nor-profile": ("EC2NodeClass", lambda found: found["spec"].pop("role"), "must specify exactly one"),
    "another-family-s-alias": ("EC2NodeClass", _set("spec", "amiFamily", to="Bottlerocket"), "amiFamily"),
    "unknown-policy": ("EC2NodeClass", _set("spec", "instanceStorePolicy", to="RAID1"), "instanceStorePolicy"),
    "unknown-field": ("EC2NodeClass", _set("spec", "instanceStorage", to="RAID0"), "unknown field"),
    "label-of-karpenter-s-own": (
        "NodePool",
        lambda found: found["spec"]["template"]["spec"]["requirements"].append(_REQUIREMENT),
        "restricted",
    ),
    "no-values": (
        "NodePool",
        _set("spec", "template", "spec", "requirements", 0, "values", to=[]),
        "must have a value defined",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_the_definitions_rules_run(karpenter: Sandbox, name: str) -> None:
    kind, change, told = REFUSED[name]
    written = _first(kind, "al2023-snapshot")
    wrong = copy.deepcopy(written.document)
    change(wrong)
    with pytest.raises(RefusedRequest, match=told) as refused:
        karpenter.api.call("POST", written.path, wrong, **DRY)
    assert refused.value.status in {400, 422}


@contextmanager
def made(box: Sandbox, recipe: str) -> Iterator[list[Written]]:
    """The volume and the claim of a recipe, which are gone afterwards."""
    written = [each for each in objects(EKS / recipe) if each.document["kind"] != "Namespace"]
    places = [f"{each.path}/{each.document['metadata']['name']}" for each in written]
    try:
        for each in written:
            box.api.call("POST", each.path, each.document, fieldValidation="Strict")
        yield written
    finally:
        for place in reversed(places):
            box.api.call("DELETE", place)
        pods.eventually(lambda: not any(map(box.api.exists, places)), "end of the volume and its claim")


@pytest.mark.parametrize("recipe", ["fsx-lustre-static", "mountpoint-s3"])
def test_claims_are_bound_to_their_volumes(karpenter: Sandbox, recipe: str) -> None:
    with made(karpenter, recipe) as written:
        claim = next(each for each in written if each.document["kind"] == "PersistentVolumeClaim")
        path = f"{claim.path}/{claim.document['metadata']['name']}"
        pods.eventually(lambda: karpenter.api.call("GET", path)["status"].get("phase") == "Bound", "bound claim")


LEVELS = ("privileged", "baseline", "restricted")


@pytest.fixture(scope="module")
def unreviewed(make_namespace: MakeNamespace) -> dict[str, str]:
    """By PodSecurity level, a namespace of that level whose pods no webhook sees."""
    return {
        level: make_namespace(level, {"pod-security.kubernetes.io/enforce": level, "warmpod.dev/mode": "Off"})
        for level in LEVELS
    }


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.name)
def test_the_api_server_takes_every_pod_that_the_recipe_makes(
    karpenter: Sandbox, unreviewed: dict[str, str], recipe: Path
) -> None:
    """With every field known, and at the PodSecurity level of its namespace."""
    mounted = 0
    for case in cases.find([str(recipe)]):
        request, facts = cases.situation(case, world.read_policies(str(case.policies)))
        decision = admit(request, facts)
        decided = decision.pod
        if decided is None or not decision.patch:
            continue
        labels = yaml.safe_load((case.directory / "facts.yaml").read_text())["namespaceLabels"]
        namespace = unreviewed[labels["pod-security.kubernetes.io/enforce"]]
        metadata = {key: value for key, value in decided["metadata"].items() if key != "namespace"}
        body = {**decided, "apiVersion": "v1", "kind": "Pod", "metadata": {**metadata, "name": case.directory.name}}
        stored = karpenter.api.call("POST", f"/api/v1/namespaces/{namespace}/pods", body, **DRY)
        ours, theirs = (pods.mounts(each["spec"]["containers"][0]) for each in (decided, stored))
        assert ours.items() <= theirs.items()
        if "/models" in ours:
            assert theirs["/models"]["readOnly"] is True
            mounted += 1
    assert mounted >= 1


def remove(box: Sandbox, pod: str) -> None:
    """Delete a pod of the recipes' namespace at once."""
    box.api.call("DELETE", f"/api/v1/namespaces/{NAMESPACE}/pods/{pod}", gracePeriodSeconds="0")


@pytest.fixture(scope="module")
def nodes(karpenter: Sandbox) -> Iterator[Sandbox]:
    """Two nodes of the recipes' pool in two zones, which only pods of these tests may use."""
    for name, letter, zone in (("eks-near", "a", "use1-az4"), ("eks-far", "b", "use1-az6")):
        node = manifest(
            PretendNode(
                name,
                accelerators={"nvidia.com/gpu": 64},
                zone=f"us-east-1{letter}",
                instance_type="g6e.12xlarge",
                cpu="2000",
                memory="16Ti",
                labels={"karpenter.sh/nodepool": POOL, ZONE_ID: zone},
            )
        )
        told = {"osImage": "Amazon Linux 2023.9.20251117", "kubeletVersion": "v1.36.3-eks-1a2b3c4"}
        node["status"]["nodeInfo"].update(told)
        karpenter.api.call("POST", "/api/v1/nodes", {**node, "spec": {"taints": [TAINT]}})
    karpenter.take_stock()
    yield karpenter
    for stored in pods.listed(karpenter, NAMESPACE):  # before their nodes, without which nobody would end them
        remove(karpenter, stored["metadata"]["name"])
    for name in ("eks-near", "eks-far"):
        karpenter.api.call("DELETE", f"/api/v1/nodes/{name}")


def sample(recipe: str, case: str) -> Object:
    """The pod of a recipe's case, for the nodes of these tests."""
    [document] = yaml.safe_load_all((EKS / recipe / "policies" / "cases" / case / "input.yaml").read_text())
    pod = copy.deepcopy(next(pods_of(document)).pod)
    pod["spec"].update(nodeSelector={"karpenter.sh/nodepool": POOL}, tolerations=[{"operator": "Exists"}])
    metadata = {"name": f"{recipe}-{case}", "annotations": pod["metadata"]["annotations"]}
    return {**pod, "apiVersion": "v1", "kind": "Pod", "metadata": metadata}


@pytest.fixture(scope="module")
def in_force(nodes: Sandbox, policies: Path) -> Iterator[Sandbox]:
    """The policies of `LIVE` beside those of the other tests, for the namespace of the recipes alone."""
    files = []
    for recipe in LIVE:
        documents = list(yaml.safe_load_all((EKS / recipe / "policies" / "policy.yaml").read_text()))
        documents[0]["spec"]["match"]["namespaceSelector"] = {"matchLabels": IN_FORCE}
        files.append(policies / f"{recipe}.yaml")
        files[-1].write_text(yaml.safe_dump_all(documents))
    probe = sample("s3-express", "two-zones")
    probe["metadata"]["name"] = "probe"

    def reviewed() -> bool:
        return len(pods.hydrators(pods.create(nodes, NAMESPACE, probe, dryRun="All"))) == 1

    pods.eventually(reviewed, "policies of the recipes in force")
    yield nodes
    for file in files:
        file.unlink()
    pods.eventually(lambda: not reviewed(), "policies of the recipes out of force")


def zones(stored: Object) -> list[list[str]]:
    """The values of the preferred terms that speak of zones."""
    terms = [term["preference"]["matchExpressions"][0] for term in pods.preferred(stored)]
    return [term["values"] for term in terms if term["key"] == ZONE_ID]


def test_a_pod_with_a_model_in_a_directory_bucket_goes_to_its_zone(in_force: Sandbox) -> None:
    stored = pods.create(in_force, NAMESPACE, sample("s3-express", "two-zones"))
    assert len(pods.hydrators(stored)) == 1
    assert zones(stored) == [["use1-az4"]]
    assert pods.scheduled(in_force, NAMESPACE, stored["metadata"]["name"]) == "eks-near"


def test_a_streaming_reader_gets_the_file_system_itself_and_goes_to_its_zone(in_force: Sandbox) -> None:
    with made(in_force, "fsx-lustre-static"):
        stored = pods.create(in_force, NAMESPACE, sample("fsx-lustre-static", "streaming-reader"))
        mount = pods.mounts(stored["spec"]["containers"][0])["/models"]
        assert (mount["name"], mount["readOnly"], mount["subPath"]) == ("fsx", True, "models/llama-3.3-70b-instruct")
        assert pods.hydrators(stored) == []
        assert zones(stored) == [["use1-az4"]]
        # The real scheduler waits for the claim, which the real controller binds.
        name = stored["metadata"]["name"]
        assert pods.scheduled(in_force, NAMESPACE, name) == "eks-near"
        remove(in_force, name)


def test_an_artifact_becomes_an_image_volume_where_every_kubelet_has_them(in_force: Sandbox) -> None:
    stored = pods.create(in_force, NAMESPACE, sample("image-volume", "one-node-holds-it"))
    volume = pods.volumes(stored)[names.VOLUME_PREFIX + "model-weights"]
    assert volume["image"] == {"reference": "ghcr.io/acme/models/llama-3.1-8b:v1", "pullPolicy": "IfNotPresent"}
    assert pods.mounts(stored["spec"]["containers"][0])["/models"]["name"] == volume["name"]
    assert pods.scheduled(in_force, NAMESPACE, stored["metadata"]["name"]) in {"eks-near", "eks-far"}
