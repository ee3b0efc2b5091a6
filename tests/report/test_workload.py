"""The objects of a live cluster as judgements: which pods count, how often, and as what."""

from __future__ import annotations

from typing import Any

import pytest

from tests.builders import PRIVILEGED, container, facts, gpu_pod, inventory, policy, request
from webhook.admission import admit
from webhook.admission.decision import Facts
from webhook.kube import Object
from webhook.kube.owner import Owner
from webhook.report.judgement import Judgement
from webhook.report.workload import judgements

STRICT = """
  failurePolicy: Fail
  matchConditions: [{name: team, expression: "object.metadata.annotations['team'] == 'ml'"}]
  env: [{name: A, value: b}]
"""


def known(*texts: str) -> Facts:
    spaces = dict.fromkeys(("default", "serving"), PRIVILEGED)
    return facts(*texts, inventory=inventory(namespaces=spaces))


def workload(kind: str, *, namespace: str = "serving", pod: Object | None = None, **sections: Any) -> Object:
    template = pod or gpu_pod()
    template = {"metadata": {"annotations": template["metadata"].get("annotations", {})}, "spec": template["spec"]}
    metadata = {"name": "llama", "namespace": namespace}
    spec = {**sections.pop("spec", {})}
    if kind == "CronJob":
        spec["jobTemplate"] = {"spec": {"template": template}}
    else:
        spec["template"] = template
    return {"apiVersion": "apps/v1", "kind": kind, "metadata": metadata, "spec": spec, **sections}


def only(document: Object, *texts: str) -> Judgement:
    [found] = judgements(document, known(*texts))
    return found


@pytest.mark.parametrize(
    ("document", "pods"),
    [
        (workload("Deployment"), 1),
        (workload("Deployment", spec={"replicas": 7}), 7),
        (workload("StatefulSet", spec={"replicas": 2}), 2),
        (workload("DaemonSet", status={"desiredNumberScheduled": 5}), 5),
        (workload("Job", spec={"parallelism": 3}), 3),
        (workload("CronJob"), 1),
        (workload("Deployment", spec={"replicas": "many"}), 1),
        (workload("Deployment", spec={"replicas": -1}), 1),
    ],
    ids=["default", "deployment", "stateful-set", "daemon-set", "job", "cron-job", "text", "negative"],
)
def test_a_workload_counts_with_its_pods(document: Object, pods: int) -> None:
    found = only(document, policy())
    assert found.pods == pods
    assert (found.namespace, found.owner) == ("serving", Owner(document["kind"], "llama"))
    assert found.done is None
    assert found.would is not None, "in Audit, whatever the policy's mode"


@pytest.mark.parametrize(
    "document",
    [
        workload("Deployment", spec={"replicas": 0}),
        workload("Deployment", namespace="kube-system"),
        workload("Deployment", namespace="warmpod-system"),
        workload("Deployment", pod={"metadata": {}, "spec": {"containers": [container(gpus=0)]}}),
        {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "x"}, "spec": {}},
    ],
    ids=["no-pods", "kube-system", "ours", "no-accelerator", "no-workload"],
)
def test_what_warmpod_never_hears_of_is_left_out(document: Object) -> None:
    assert list(judgements(document, known())) == []


def test_pods_of_a_daemon_set_are_not_placed() -> None:
    placed, not_placed = only(workload("Deployment")).would, only(workload("DaemonSet")).would
    assert placed is not None
    assert not_placed is not None
    assert "placement" in placed.parts
    assert "placement" not in not_placed.parts
    assert "hydration" in not_placed.parts


def test_a_pod_that_was_changed_is_looked_at_as_it_was_sent() -> None:
    sent, now = gpu_pod(), known()
    stored = admit(request(sent), now).pod
    assert stored is not None
    [fresh], [again] = judgements(sent, now), judgements(stored, now)
    assert fresh.would is not None
    assert again.would is not None
    assert {"placement", "hydration"} <= set(again.would.parts)
    assert again.would.seconds == fresh.would.seconds
    assert again.owner == Owner("Pod", "llm-0")


def test_a_pod_that_would_be_denied_is_told_although_nothing_is_enforced() -> None:
    found = only(workload("Deployment"), policy(STRICT))
    assert "could not judge this pod" in found.denial
    assert [one.result for one in found.verdicts] == ["errored"]
    lenient = only(workload("Deployment"), policy(STRICT, mode="Audit"))
    assert lenient.denial == "", "a policy in Audit denies nothing"
    assert [one.result for one in lenient.verdicts] == ["errored"]
