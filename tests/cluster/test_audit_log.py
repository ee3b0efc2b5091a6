"""What the API server's audit log, and the live cluster, say to `warmpod audit`."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from tests.cluster.conftest import MakeNamespace
from tests.cluster.pods import NOBODY, container, create, eventually, pod
from webhook.cli.main import main
from webhook.kube import Object, names
from webhook.sandbox.sandbox import Sandbox

pytestmark = pytest.mark.cluster

PARTS = {"placement": 1, "hydration": 1, "env": 1, "awsConfig": 1}


@pytest.fixture(scope="module")
def enforced(make_namespace: MakeNamespace) -> str:
    return make_namespace("enforced")


@pytest.fixture(scope="module")
def audited(make_namespace: MakeNamespace) -> str:
    return make_namespace("audited", {names.LABEL_NAMESPACE_MODE: "Audit"})


def report(*arguments: str | Path) -> dict[str, Any]:
    done = CliRunner().invoke(main, ["audit", "--output", "json", "--fail-on", "none", *map(str, arguments)])
    assert done.exit_code in (0, 3), done.output
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def logged(audit_log: Path, namespace: str, pods: int) -> dict[str, Any]:
    """The report over the namespace's events, once there are so many."""

    def look() -> dict[str, Any] | None:
        found = report("--audit-log", audit_log, "--namespace", namespace)
        return found if found["total"]["pods"] >= pods else None

    found: dict[str, Any] = eventually(look, f"{pods} events of {namespace}", 60)
    return found


def deployment(name: str, replicas: int) -> Object:
    labels = {"app": name}
    metadata = {"labels": labels, "annotations": {names.ANNOTATION_MODEL: "s3://acme-models/m/"}}
    template = {"metadata": metadata, "spec": {"containers": [container()], **NOBODY}}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name},
        "spec": {"replicas": replicas, "selector": {"matchLabels": labels}, "template": template},
    }


def test_the_audit_log_tells_what_was_done_and_what_would_have_been(
    box: Sandbox, audit_log: Path, enforced: str, audited: str
) -> None:
    for namespace in (enforced, audited):
        create(box, namespace, pod("never", **NOBODY), dryRun="All")
        plain = pod("cpu", **NOBODY)
        plain["spec"]["containers"] = [{"name": "c", "image": "busybox"}]
        create(box, namespace, plain)
        create(box, namespace, pod("once", **NOBODY))
    done, would = (logged(audit_log, namespace, 1) for namespace in (enforced, audited))
    for found in (done, would):
        assert found["total"]["pods"] == 1, "neither dry runs nor pods without an accelerator count"
        assert {one["name"] for one in found["policies"]} == {"a-images", "b-annotated"}
        [workload] = found["workloads"]
        assert (workload["kind"], workload["name"]) == ("Pod", "once")
    assert (done["total"]["changed"], done["total"]["wouldChange"]) == (1, 0)
    assert (would["total"]["changed"], would["total"]["wouldChange"]) == (0, 1)
    assert PARTS.items() <= done["total"]["changes"].items()
    assert done["total"]["changes"] == would["total"]["wouldChanges"], "Audit says what Enforce does"
    assert done["total"]["secondsSaved"] == would["total"]["secondsToGain"] > 0


def test_pods_of_a_deployment_are_one_workload(box: Sandbox, audit_log: Path, make_namespace: MakeNamespace) -> None:
    namespace = make_namespace("deployment")
    box.api.call("POST", f"/apis/apps/v1/namespaces/{namespace}/deployments", deployment("llama", 3))
    [workload] = logged(audit_log, namespace, 3)["workloads"]
    assert (workload["kind"], workload["name"], workload["pods"]) == ("Deployment", "llama", 3)
    assert workload["changed"] == 3


def test_a_webhook_that_does_not_answer_is_a_finding(
    box: Sandbox, audit_log: Path, make_namespace: MakeNamespace
) -> None:
    namespace = make_namespace("unanswered")
    box.webhook.process.send(signal.SIGSTOP)
    try:
        create(box, namespace, pod("alone", **NOBODY))
    finally:
        box.webhook.process.send(signal.SIGCONT)
    found = logged(audit_log, namespace, 1)
    assert [(one["kind"], one["first"]) for one in found["findings"]] == [("unanswered", f"{namespace}/Pod/alone")]


def test_the_live_cluster_is_told_as_it_would_be_created_now(
    box: Sandbox, policies: Path, make_namespace: MakeNamespace
) -> None:
    namespace = make_namespace("live", {names.LABEL_NAMESPACE_MODE: "Audit"})
    for name, replicas in (("served", 2), ("asleep", 0)):
        box.api.call("POST", f"/apis/apps/v1/namespaces/{namespace}/deployments", deployment(name, replicas))
    create(box, namespace, pod("alone", **NOBODY))
    live = f"/api/v1/namespaces/{namespace}/pods"
    eventually(lambda: len(box.api.call("GET", live)["items"]) == 3, "three pods", 60)
    found = report("--kubeconfig", box.kubeconfig, "--policies", policies, "--namespace", namespace)
    total = found["total"]
    assert (total["pods"], total["changed"], total["wouldChange"]) == (3, 0, 3)
    assert {(one["kind"], one["name"], one["pods"]) for one in found["workloads"]} == {
        ("Deployment", "served", 2),
        ("Pod", "alone", 1),
    }
    by_name = {one["name"]: one for one in found["policies"]}
    assert by_name["a-images"]["mode"] == "Enforce", "what the policy says, though all are looked at as in Audit"
    assert by_name["b-annotated"]["wouldChanges"]["hydration"] == 3
    assert "hydration" not in by_name["a-images"]["wouldChanges"], "that is the other policy's doing"


def test_a_changed_pod_is_looked_at_as_it_was_sent(box: Sandbox, policies: Path, make_namespace: MakeNamespace) -> None:
    namespace = make_namespace("again")
    stored = create(box, namespace, pod("alone", **NOBODY))
    assert stored["spec"]["initContainers"], "it was changed"
    found = report("--kubeconfig", box.kubeconfig, "--policies", policies, "--namespace", namespace)
    assert "hydration" in found["workloads"][0]["changes"]


def test_policies_of_the_installation_are_the_ones_that_count(box: Sandbox, make_namespace: MakeNamespace) -> None:
    namespace = make_namespace("installed")
    create(box, namespace, pod("alone", **NOBODY))
    data = box.api.call("GET", f"/api/v1/namespaces/{names.SYSTEM_NAMESPACE}/configmaps/{names.POLICIES_CONFIG_MAP}")
    found = report("--kubeconfig", box.kubeconfig, "--namespace", namespace)
    assert found["policies"]
    text = "".join(data["data"].values())
    assert all(f"name: {one['name']}" in text for one in found["policies"])
