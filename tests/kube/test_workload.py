"""Finding the pods in what people apply."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from webhook.kube import Object
from webhook.kube.accelerator import Accelerators
from webhook.kube.workload import FoundPod, pods_of

CORPUS = Path(__file__).parents[2].parent / "shared" / "corpus"
SPEC: Object = {"containers": [{"name": "c"}]}
TEMPLATE: Object = {"metadata": {"labels": {"app": "x"}, "annotations": {"k": "v"}, "name": "ignored"}, "spec": SPEC}


def document(kind: str, spec: Any, namespace: str | None = "team-a", api: str = "apps/v1") -> Object:
    return {"apiVersion": api, "kind": kind, "metadata": {"name": "llm", "namespace": namespace}, "spec": spec}


WORKLOADS: dict[str, tuple[Object, list[str]]] = {
    "Deployment": (document("Deployment", {"template": TEMPLATE}), ["spec.template"]),
    "StatefulSet": (
        document("StatefulSet", {"template": TEMPLATE, "volumeClaimTemplates": [{"spec": {}}]}),
        ["spec.template"],
    ),
    "Job": (document("Job", {"template": TEMPLATE}), ["spec.template"]),
    "CronJob": (
        document("CronJob", {"jobTemplate": {"spec": {"template": TEMPLATE}}}),
        ["spec.jobTemplate.spec.template"],
    ),
    "LeaderWorkerSet": (
        document("LeaderWorkerSet", {"leaderWorkerTemplate": {"leaderTemplate": TEMPLATE, "workerTemplate": TEMPLATE}}),
        ["spec.leaderWorkerTemplate.leaderTemplate", "spec.leaderWorkerTemplate.workerTemplate"],
    ),
    "RayService": (
        document(
            "RayService",
            {
                "rayClusterConfig": {
                    "headGroupSpec": {"template": TEMPLATE},
                    "workerGroupSpecs": [{}, {"template": TEMPLATE}],
                }
            },
        ),
        ["spec.rayClusterConfig.headGroupSpec.template", "spec.rayClusterConfig.workerGroupSpecs[1].template"],
    ),
    "PyTorchJob": (
        document(
            "PyTorchJob", {"pytorchReplicaSpecs": {"Master": {"template": TEMPLATE}, "Worker": {"template": TEMPLATE}}}
        ),
        ["spec.pytorchReplicaSpecs.Master.template", "spec.pytorchReplicaSpecs.Worker.template"],
    ),
    "JobSet": (
        document("JobSet", {"replicatedJobs": [{"name": "w", "template": {"spec": {"template": TEMPLATE}}}]}),
        ["spec.replicatedJobs[0].template.spec.template"],
    ),
    "PodTemplate": (
        {
            "apiVersion": "v1",
            "kind": "PodTemplate",
            "metadata": {"name": "llm", "namespace": "team-a"},
            "template": TEMPLATE,
        },
        ["template"],
    ),
}


@pytest.mark.parametrize("kind", WORKLOADS)
def test_workloads(kind: str) -> None:
    holder, paths = WORKLOADS[kind]
    found = list(pods_of(holder))
    assert [one.path for one in found] == paths
    for one in found:
        assert (one.kind, one.name, one.namespace) == (kind, "llm", "team-a")
        assert one.pod == {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {
                "generateName": "llm-",
                "namespace": "team-a",
                "labels": {"app": "x"},
                "annotations": {"k": "v"},
            },
            "spec": SPEC,
        }
        assert one.pod["spec"] is SPEC


def test_a_pod_is_taken_as_it_is() -> None:
    pod = document("Pod", SPEC, api="v1")
    assert list(pods_of(pod)) == [FoundPod("", pod, "team-a", "Pod", "llm")]
    unnamed = {"apiVersion": "v1", "kind": "Pod", "metadata": {"generateName": "run-"}, "spec": SPEC}
    assert list(pods_of(unnamed)) == [FoundPod("", unnamed, None, "Pod", "run-")]


def test_members_of_a_list_are_objects_of_their_own() -> None:
    members = [document("Deployment", {"template": TEMPLATE}), document("Pod", SPEC, None, "v1"), {"kind": "Service"}]
    found = list(pods_of({"apiVersion": "v1", "kind": "List", "items": members}))
    assert [(one.path, one.kind, one.namespace) for one in found] == [
        ("items[0].spec.template", "Deployment", "team-a"),
        ("items[1]", "Pod", None),
    ]
    assert found[1].pod is members[1]


@pytest.mark.parametrize(
    "template",
    [{"spec": SPEC}, {"metadata": None, "spec": SPEC}, {"metadata": {"labels": None}, "spec": SPEC}],
    ids=str,
)
def test_a_template_without_metadata(template: Object) -> None:
    (one,) = pods_of(document("Deployment", {"template": template}, None))
    assert one.pod["metadata"] == {"generateName": "llm-"}


@pytest.mark.parametrize(
    "value",
    [
        None,
        "x",
        [],
        {},
        {"spec": None},
        {"spec": {"containers": None}},
        {"spec": {"containers": {}}},
        {"kind": "Service", "spec": {"ports": []}},
        {"kind": "CustomResourceDefinition", "spec": {"properties": {"spec": {"properties": {"containers": {}}}}}},
    ],
    ids=str,
)
def test_documents_without_pods(value: Any) -> None:
    assert list(pods_of(value)) == []


def test_a_pod_is_not_looked_into() -> None:
    nested = {"containers": [], "volumes": [{"ephemeral": {"volumeClaimTemplate": {"spec": SPEC}}}]}
    assert [one.path for one in pods_of(document("Deployment", {"template": {"spec": nested}}))] == ["spec.template"]


def test_a_document_made_of_references_to_itself_ends() -> None:
    knot: Object = {"a": []}
    knot["a"] += [knot] * 1000
    knot["b"] = knot["c"] = knot
    assert list(pods_of(knot)) == []


def test_depth_is_bounded() -> None:
    deep: Object = TEMPLATE
    for _ in range(100_000):
        deep = {"k": [deep]}
    assert list(pods_of(deep)) == []


JSON = st.recursive(
    st.none() | st.integers() | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["spec", "containers", "metadata", "name", "kind", "apiVersion", "items", "labels"]),
            inner,
            max_size=4,
        )
        | st.dictionaries(st.integers() | st.booleans(), inner, max_size=2)
    ),
)


@given(JSON)
def test_any_document(value: Any) -> None:
    for one in pods_of(value):
        assert isinstance(one.pod["spec"]["containers"], list)
        assert isinstance(one.name, str)


@pytest.mark.skipif(not CORPUS.is_dir(), reason="the public manifests are not beside this checkout")
def test_every_public_manifest_holds_pods_with_accelerators() -> None:
    for manifest in sorted(CORPUS.glob("*.yaml")):
        documents = yaml.safe_load_all(manifest.read_text())
        found = [one for each in documents for one in pods_of(each)]
        assert found, manifest.name
        for one in found:
            assert Accelerators().of_pod(one.pod), f"{manifest.name} {one.path}"
