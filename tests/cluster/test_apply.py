"""kubectl apply of what people have, against a real API server and scheduler: the stored pod is warm, once."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cluster import pods
from webhook.kube import Object, names
from webhook.kube.workload import pods_of
from webhook.sandbox.sandbox import Sandbox

pytestmark = pytest.mark.cluster

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "webhook" / "cli" / "examples" / "vllm.yaml"
# Manifests that other people wrote; they lie beside the checkout where they lie at all.
CORPUS = ROOT.parent / "shared" / "corpus"
PUBLIC = CORPUS / "kubernetes-examples-vllm-deployment.yaml"

LABELS = {"app": "workload"}
TEMPLATE: Object = {
    "metadata": {"labels": LABELS, "annotations": {names.ANNOTATION_MODEL: pods.MODEL}},
    "spec": {"containers": [pods.container()]},
}
ONCE: Object = {**TEMPLATE, "spec": {**TEMPLATE["spec"], "restartPolicy": "Never"}}
OTHER: Object = {**TEMPLATE, "spec": {"containers": [pods.container(image=pods.OTHER_IMAGE)]}}
SELECTOR = {"matchLabels": LABELS}
WORKLOADS: dict[str, Object] = {
    "Deployment": {"apiVersion": "apps/v1", "spec": {"replicas": 2, "selector": SELECTOR, "template": TEMPLATE}},
    "ReplicaSet": {"apiVersion": "apps/v1", "spec": {"replicas": 1, "selector": SELECTOR, "template": TEMPLATE}},
    "StatefulSet": {
        "apiVersion": "apps/v1",
        "spec": {"replicas": 1, "serviceName": "w", "selector": SELECTOR, "template": TEMPLATE},
    },
    # It runs on every node: of IMAGE it would leave no cold one.
    "DaemonSet": {"apiVersion": "apps/v1", "spec": {"selector": SELECTOR, "template": OTHER}},
    "Job": {"apiVersion": "batch/v1", "spec": {"template": ONCE}},
}


def apply(box: Sandbox, namespace: str, document: Object | Path, *flags: str) -> str:
    text = document.read_text() if isinstance(document, Path) else json.dumps(document)
    return box.kubectl("apply", "-n", namespace, "-f", "-", *flags, stdin=text).stdout


@pytest.mark.skipif(not PUBLIC.exists(), reason="the corpus of public manifests is not beside this checkout")
def test_a_public_vllm_deployment_comes_out_warm(box: Sandbox, make_namespace: Any) -> None:
    namespace = make_namespace("public")
    apply(box, namespace, PUBLIC)
    stored = pods.eventually(lambda: pods.listed(box, namespace, "app=gemma-server"), "pod of the Deployment")[0]
    pods.assert_warm(stored)
    [hydrator] = pods.hydrators(stored)
    [model] = [json.loads(arg.removeprefix("--model=")) for arg in hydrator["args"] if arg.startswith("--model=")]
    assert model["source"] == "s3://acme-models/gemma-3-1b-it/"
    app = stored["spec"]["containers"][0]
    copied = {"cpu": "2", "memory": "10Gi", "ephemeral-storage": "10Gi"}
    assert hydrator["resources"] == {"requests": copied, "limits": copied}
    assert app["resources"]["limits"] == {**copied, "nvidia.com/gpu": "1"}
    assert pods.env(app)["MODEL_ID"] == "google/gemma-3-1b-it"
    assert pods.env(app)["HF_HUB_OFFLINE"] == "1"
    assert pods.mounts(app)["/dev/shm"]["name"] == "dshm"
    assert stored["status"]["qosClass"] == "Guaranteed"
    assert pods.scheduled(box, namespace, stored["metadata"]["name"]) in pods.WARM_NODES


def test_our_example_comes_out_warm_and_reads_the_mounted_files(box: Sandbox, make_namespace: Any) -> None:
    namespace = make_namespace("example")
    apply(box, namespace, EXAMPLE)
    stored = pods.eventually(lambda: pods.listed(box, namespace), "pod of the Deployment")[0]
    pods.assert_warm(stored)
    assert "--model=/models" in stored["spec"]["containers"][0]["args"]
    assert apply(box, namespace, EXAMPLE) == "deployment.apps/vllm-llama unchanged\n"


@pytest.mark.parametrize("kind", WORKLOADS)
def test_pods_that_controllers_make(box: Sandbox, make_namespace: Any, kind: str) -> None:
    namespace = make_namespace(kind.lower())
    document = {"kind": kind, "metadata": {"name": "w"}, **WORKLOADS[kind]}
    apply(box, namespace, document)
    count = WORKLOADS[kind]["spec"].get("replicas", 4 if kind == "DaemonSet" else 1)
    stored = pods.eventually(
        lambda: found if len(found := pods.listed(box, namespace)) == count else None, f"{count} pods of a {kind}"
    )
    for one in stored:
        pods.assert_warm(one, placed=kind != "DaemonSet")
        node = pods.scheduled(box, namespace, one["metadata"]["name"])
        assert kind == "DaemonSet" or node in pods.WARM_NODES
    if kind == "DaemonSet":
        nodes = {pods.get(box, namespace, one["metadata"]["name"])["spec"]["nodeName"] for one in stored}
        assert nodes == {"gpu-1", "gpu-2", "gpu-3", "gpu-4"}


def test_a_pod_with_a_generated_name(box: Sandbox, namespace: str) -> None:
    document = pods.pod("unused")
    document["metadata"] = {**document["metadata"], "generateName": "vllm-"}
    del document["metadata"]["name"]
    first, second = (pods.create(box, namespace, document) for _ in range(2))
    assert first["metadata"]["name"] != second["metadata"]["name"]
    pods.assert_warm(first)
    assert first["metadata"]["annotations"] == second["metadata"]["annotations"]


def test_a_server_side_dry_run_shows_the_truth_and_leaves_no_trace(box: Sandbox, namespace: str) -> None:
    before = {line for line in box.webhook.metrics().splitlines() if line.startswith(PER_POD)}
    document = pods.pod("dry")
    shown = yaml.safe_load(apply(box, namespace, document, "--dry-run=server", "-o", "yaml"))
    pods.assert_warm(shown)
    assert not any(one["metadata"]["name"] == "dry" for one in pods.listed(box, namespace))
    assert {line for line in box.webhook.metrics().splitlines() if line.startswith(PER_POD)} == before
    assert f'"uid":"{shown["metadata"]["uid"]}"' not in box.webhook.process.log.read_text()


PER_POD = ("warmpod_policy_results_total", "warmpod_seconds_saved_total", "warmpod_law_violations_total")


def test_the_stored_pod_is_what_the_dry_run_showed(box: Sandbox, namespace: str) -> None:
    document = pods.pod("twin")
    shown = pods.create(box, namespace, document, dryRun="All")
    stored = pods.create(box, namespace, document)
    assert without_token_name(stored) == without_token_name(shown)


def without_token_name(stored: Object) -> Object:
    """A pod's spec with the random name of its service account token's volume taken out."""
    [token] = [name for name in pods.volumes(stored) if name.startswith("kube-api-access-")]
    spec: Object = json.loads(json.dumps(stored["spec"]).replace(token, "token"))
    return spec


def corpus() -> list[Any]:
    found = []
    for path in sorted(CORPUS.glob("*.yaml")):
        for document in yaml.safe_load_all(path.read_text()):
            for one in pods_of(document):
                found.append(pytest.param(one.pod, id=f"{path.stem}:{one.path or one.kind}"))  # noqa: PERF401 - deep
    return found


@pytest.mark.parametrize("sent", corpus())
def test_every_pod_of_the_corpus_is_admitted_and_whole(box: Sandbox, namespace: str, sent: Object) -> None:
    labels = sent["metadata"].get("labels", {})
    metadata = {"generateName": "corpus-", "labels": labels, "annotations": {names.ANNOTATION_MODEL: pods.MODEL}}
    document = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": sent["spec"]}
    pods.make_account(box, namespace, sent["spec"].get("serviceAccountName", "default"))
    stored = pods.create(box, namespace, document)
    cold = pods.create(box, namespace, without_us(document), dryRun="All")
    assert len(pods.hydrators(stored)) == 1
    assert pods.volumes(stored).keys() >= {CACHE_OF_CORPUS, names.VOLUME_AWS_CONFIG}
    for before, after in zip(cold["spec"]["containers"], stored["spec"]["containers"], strict=True):
        assert after["resources"] == before["resources"]
        assert pods.env(after).items() >= pods.env(before).items()
        assert pods.mounts(after).keys() >= set(pods.mounts(before)) | {"/models"}
    assert stored["status"]["qosClass"] == cold["status"]["qosClass"]


CACHE_OF_CORPUS = names.cache_volume("nvme")


def without_us(document: Object) -> Object:
    """The same pod, of which its author said that Warmpod leaves it alone."""
    metadata = document["metadata"]
    return {**document, "metadata": {**metadata, "annotations": {names.ANNOTATION_SKIP: "true"}}}
