"""The recipes of manifests/eks on a real API server: Karpenter's definitions take their files and refuse wrong ones."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.cluster import pods
from tests.eks.definitions import KINDS, definitions
from tests.eks.recipes import EKS, OBJECTS, Written, objects
from webhook.kube import Object
from webhook.sandbox.api import RefusedRequest
from webhook.sandbox.sandbox import Sandbox

pytestmark = pytest.mark.cluster

NAMESPACE = "inference"
DRY = {"dryRun": "All", "fieldValidation": "Strict"}


@pytest.fixture(scope="module")
def karpenter(box: Sandbox) -> Iterator[Sandbox]:
    """The cluster with Karpenter's definitions, and the namespace of the recipes, for as long as this module runs."""
    files = [argument for file in definitions() for argument in ("-f", str(file))]
    box.kubectl("apply", "--server-side", *files)
    box.kubectl("wait", "--for=condition=Established", "--timeout=90s", *(f"crd/{name}" for name in KINDS))
    one = next(each for each in OBJECTS if each.document["kind"] == "NodePool")
    pods.eventually(lambda: box.api.exists(one.path), "node pools served")
    if not box.api.exists(f"/api/v1/namespaces/{NAMESPACE}"):
        box.make_namespace(NAMESPACE)
    yield box
    box.kubectl("delete", "--wait=false", *files)
    box.api.call("DELETE", f"/api/v1/namespaces/{NAMESPACE}")


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


@pytest.mark.parametrize("recipe", ["fsx-lustre-static", "mountpoint-s3"])
def test_claims_are_bound_to_their_volumes(karpenter: Sandbox, recipe: str) -> None:
    made = [each for each in objects(EKS / recipe) if each.document["kind"] != "Namespace"]
    try:
        for each in made:
            karpenter.api.call("POST", each.path, each.document, fieldValidation="Strict")
        claim = next(each for each in made if each.document["kind"] == "PersistentVolumeClaim")
        path = f"{claim.path}/{claim.document['metadata']['name']}"
        pods.eventually(lambda: karpenter.api.call("GET", path)["status"].get("phase") == "Bound", "bound claim")
    finally:
        for each in reversed(made):
            karpenter.api.call("DELETE", f"{each.path}/{each.document['metadata']['name']}")
