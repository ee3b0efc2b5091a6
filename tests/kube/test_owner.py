"""Whose a pod is."""

from __future__ import annotations

from typing import Any

import pytest

from webhook.kube.owner import Owner, owner_of


def owned(kind: Any, name: Any, *, controller: Any = True, labels: dict[str, str] | None = None) -> dict[str, Any]:
    owner = {"apiVersion": "v1", "kind": kind, "name": name, "controller": controller}
    return {"metadata": {"name": "pod-1", "labels": labels or {}, "ownerReferences": [owner]}}


HASH = {"pod-template-hash": "99c97fcf4"}


@pytest.mark.parametrize(
    ("pod", "owner"),
    [
        (owned("ReplicaSet", "vllm-99c97fcf4", labels=HASH), Owner("Deployment", "vllm")),
        (owned("ReplicaSet", "vllm-99c97fcf4"), Owner("ReplicaSet", "vllm-99c97fcf4")),
        (owned("ReplicaSet", "alone", labels=HASH), Owner("ReplicaSet", "alone")),
        (owned("Job", "nightly-29373120"), Owner("CronJob", "nightly")),
        (owned("Job", "import-2026"), Owner("Job", "import-2026")),
        (owned("StatefulSet", "llm"), Owner("StatefulSet", "llm")),
        (owned("RayCluster", "ray"), Owner("RayCluster", "ray")),
        (owned("StatefulSet", "llm", controller=None), Owner("Pod", "pod-1")),
        (owned(7, []), Owner("Pod", "pod-1")),
        ({"metadata": {"generateName": "gen-"}}, Owner("Pod", "gen-*")),
        ({"metadata": {"ownerReferences": 7}}, Owner("Pod", "(unnamed)")),
        ({"metadata": []}, Owner("Pod", "(unnamed)")),
        ({}, Owner("Pod", "(unnamed)")),
    ],
    ids=["deployment", "no-hash", "other-hash", "cron-job", "job", "stateful-set", "ray", "not-its-controller",
         "wrong-types", "generated", "no-owners", "no-metadata", "empty"],
)  # fmt: skip
def test_a_pod_is_known_by_its_workload(pod: dict[str, Any], owner: Owner) -> None:
    assert owner_of(pod) == owner


def test_a_pod_without_a_name_is_called_as_told() -> None:
    assert owner_of({}, "bare") == Owner("Pod", "bare")
