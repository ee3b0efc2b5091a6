"""What a real run of the hydrator reports is known of its node, and the next pod goes there and finds the model.

The API server, the webhook, the controller, the scheduler, S3 and the hydrator are real; only the kubelet is not: the
test runs the init container, and kwok reports what it wrote.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import kubelet, object_store
from tests.cluster import labels, pods
from tests.object_store import ObjectStore
from webhook.inventory import report
from webhook.kube import Object, names
from webhook.sandbox import models
from webhook.sandbox.sandbox import Sandbox

pytestmark = pytest.mark.cluster

SOURCE = "s3://acme-models/llama/"
WANTED = {"config.json": b"{}", "model.safetensors": b"weights" * 100_000}
UNWANTED = {"pytorch_model.bin": b"b" * 1000, "original/consolidated.pth": b"p" * 1000}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ObjectStore]:
    """S3, with a model in the bucket that the policy allows."""
    with object_store.running(tmp_path_factory.mktemp("store")) as running:
        running.make("acme-models")
        for path, body in (WANTED | UNWANTED).items():
            running.put("acme-models", f"llama/{path}", body)
        yield running


def server(name: str, store: ObjectStore) -> Object:
    """A pod that serves the model; no node is known to hold its image."""
    env = [{"name": key, "value": value} for key, value in store.environment().items()]
    container = pods.container(image=pods.OTHER_IMAGE, args=[f"--model={SOURCE}"], env=env)
    return pods.pod(name, model=None, labels={"app": "run"}, containers=[container])


def test_what_a_run_reports_warms_its_node_for_the_next_pod(
    box: Sandbox, namespace: str, store: ObjectStore, tmp_path: Path
) -> None:
    pod = server("first", store)
    ended = kubelet.run(pods.create(box, namespace, pod, dryRun="All"), tmp_path)
    assert ended.code == 0, ended.log
    told = report.read(ended.message)
    assert isinstance(told, report.Report)
    [model] = told.models
    assert (told.result, model.source, model.tenant) == ("downloaded", SOURCE, namespace)

    pod["metadata"]["annotations"][models.ANNOTATION_REPORT] = ended.message
    pods.create(box, namespace, pod)
    node = pods.scheduled(box, namespace, "first")
    name = report.name(model)
    assert name == names.selection(SOURCE, model.directory), "some of the source's files are not the source"
    label = names.model_label(name, namespace)
    pods.eventually(lambda: labels.is_labelled(box, node, label), "the model's label on the node")
    [status] = pods.get(box, namespace, "first")["status"]["initContainerStatuses"]
    assert status["state"]["terminated"]["message"] == ended.message

    box.take_stock()
    held = labels.inventory(box).model(name, namespace)
    assert held is not None
    assert (held.bytes, labels.holders(box, lambda stock: stock.model(name, namespace))) == (
        sum(map(len, WANTED.values())),
        {node},
    )
    assert labels.inventory(box).model(SOURCE, namespace) is None

    second = pods.create(box, namespace, server("second", store))
    assert [term["preference"]["matchExpressions"][0]["key"] for term in pods.preferred(second)] == [label]
    assert pods.scheduled(box, namespace, "second") == node
    ended = kubelet.run(second, tmp_path)
    assert ended.code == 0, ended.log
    again = report.read(ended.message)
    assert isinstance(again, report.Report)
    assert (again.result, again.models) == ("hit", (model,))
    assert kubelet.seen(second, tmp_path, "/models") == WANTED
    assert second["spec"]["containers"][0]["args"] == ["--model=/models"]
