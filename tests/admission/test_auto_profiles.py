"""`clientProfiles: auto` in a whole review: which containers, which network, what stays, and what the account says."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests import builders, strategies
from webhook.admission import admit
from webhook.admission.decision import Decision, Facts
from webhook.clients.programs import clients_of
from webhook.inventory.model import EMPTY, Inventory
from webhook.kube import Object, names
from webhook.report import record
from webhook.server.redaction import Redaction

AUTO = builders.policy("  clientProfiles: auto")
CLI = "public.ecr.aws/aws-cli/aws-cli:2.38.1"
TYPE = "node.kubernetes.io/instance-type"


def nodes(*types: str) -> Inventory:
    """A fleet of one node of each type."""
    column: dict[str, int] = {}
    for index, each in enumerate(types):
        column[each] = column.get(each, 0) | 1 << index
    return builders.inventory(nodes=len(types), labels={TYPE: column})


def decided(pod: Object, *texts: str, inventory: Inventory = EMPTY) -> Decision:
    decision = admit(builders.request(pod), builders.facts(*(texts or (AUTO,)), inventory=inventory))
    assert not decision.violations
    return decision


def environment(decision: Decision, index: int = 0) -> dict[str, Any]:
    assert decision.pod is not None
    return {each["name"]: each.get("value") for each in decision.pod["spec"]["containers"][index].get("env") or []}


def reason(decision: Decision) -> str:
    return decision.policies[0].reason


@pytest.mark.parametrize(
    ("inventory", "concurrency", "told"),
    [
        pytest.param(EMPTY, "32", "the slowest network (the instance type is not known)", id="nothing known"),
        pytest.param(
            nodes("p5.48xlarge", "p5.48xlarge"), "128", "p5.48xlarge (its candidates), 100 Gb/s to S3", id="one type"
        ),
        pytest.param(
            nodes("p5.48xlarge", "g5.24xlarge"),
            "64",
            "g5.24xlarge (the slowest of 2 among its candidates), 50 Gb/s to S3",
            id="the slowest",
        ),
        pytest.param(
            nodes("p5.48xlarge", "x9.large"), "32", "the slowest network (x9.large is not known)", id="a new type"
        ),
        pytest.param(
            builders.inventory(), "32", "the slowest network (the instance type is not known)", id="no labels"
        ),
    ],
)
def test_the_candidates_say_which_network(inventory: Inventory, concurrency: str, told: str) -> None:
    decision = decided(builders.gpu_pod(None), inventory=inventory)
    assert environment(decision)["RUNAI_STREAMER_CONCURRENCY"] == concurrency
    assert reason(decision).startswith(f"auto: for {told}, sets on vllm (vLLM) AWS_MAX_ATTEMPTS, ")


def test_what_the_pod_asks_for_counts_more_than_the_nodes_there_are() -> None:
    pod = builders.edited(builders.gpu_pod(None), nodeSelector={TYPE: "p5.48xlarge"})
    decision = decided(pod, inventory=nodes("g5.xlarge"))
    assert environment(decision)["RUNAI_STREAMER_CONCURRENCY"] == "128"
    assert "p5.48xlarge (the pod asks for it), 100 Gb/s to S3" in reason(decision)


def test_each_container_gets_what_suits_it_and_those_without_accelerators_nothing() -> None:
    pod = builders.pod(
        builders.container("vllm"),
        builders.container("copy", CLI),
        builders.container("list", "peakcom/s5cmd:v2.3.0"),
        builders.container("mine", "registry.example/mine:1"),
        builders.container("logs", CLI, gpus=0),
    )
    decision = decided(pod)
    assert "RUNAI_STREAMER_CONCURRENCY" in environment(decision, 0)
    assert environment(decision, 1)["AWS_CONFIG_FILE"] == names.AWS_CONFIG_FILE
    assert environment(decision, 2) == {"AWS_S3_US_EAST_1_REGIONAL_ENDPOINT": "regional"}
    assert environment(decision, 3)["AWS_CRT_S3_MEMORY_LIMIT_IN_MB"] == "640"
    assert environment(decision, 4) == {}
    assert "mine (clients not known)" in reason(decision)
    assert "auto: s5cmd: flags alone" in reason(decision)
    assert "gives copy an AWS CLI configuration" in reason(decision)


def test_what_the_author_the_policy_and_a_profile_before_it_set_stays() -> None:
    policy = builders.policy(
        '  env: [{name: RUNAI_STREAMER_CONCURRENCY, value: "7"}]\n  clientProfiles: [mine, auto]',
    )
    profile = """
---
kind: ClientProfile
apiVersion: warmpod.dev/v1alpha1
metadata: {name: mine}
spec:
  env: {AWS_MAX_ATTEMPTS: "4"}
  awsConfig: {s3: {target_bandwidth: 5Gb/s}}
"""
    mode = [{"name": "AWS_RETRY_MODE", "valueFrom": {"configMapKeyRef": {"name": "x", "key": "y"}}}]
    decision = decided(builders.gpu_pod(None, image=CLI, env=mode), policy, profile)
    found = environment(decision)
    assert (found["AWS_MAX_ATTEMPTS"], found["RUNAI_STREAMER_CONCURRENCY"], found["AWS_RETRY_MODE"]) == ("4", "7", None)
    assert "auto: vllm has AWS_MAX_ATTEMPTS, AWS_RETRY_MODE already" in reason(decision)
    assert decision.pod is not None
    text = decision.pod["metadata"]["annotations"][names.ANNOTATION_AWS_CONFIG]
    assert "target_bandwidth = 5Gb/s\n" in text
    assert "max_concurrent_requests = 40\n" in text


@pytest.mark.parametrize(
    ("sources", "left_out"),
    [
        pytest.param([{"configMapRef": {"name": "x"}}], True, id="all of a ConfigMap"),
        pytest.param([{"secretRef": {"name": "x"}, "prefix": ""}], True, id="all of a Secret"),
        pytest.param([{"secretRef": {"name": "x"}, "prefix": "AWS_"}], True, id="names that begin so"),
        pytest.param([{"secretRef": {"name": "x"}, "prefix": "HF_"}], False, id="names that begin otherwise"),
        pytest.param([{"secretRef": {"name": "x"}, "prefix": 7}], False, id="no prefix at all"),
        pytest.param([], False, id="none"),
    ],
)
def test_what_may_come_from_elsewhere_is_not_overridden(sources: list[Object], left_out: bool) -> None:
    decision = decided(builders.gpu_pod(None, image=CLI, envFrom=sources))
    assert ("AWS_MAX_ATTEMPTS" not in environment(decision)) == left_out
    assert ("AWS_CONFIG_FILE" not in environment(decision)) == left_out
    assert ("may have AWS_CRT_S3_MEMORY_LIMIT_IN_MB, AWS_MAX_ATTEMPTS" in reason(decision)) == left_out


def test_what_any_policy_says_itself_wins_whatever_its_name() -> None:
    other = builders.policy('  env: [{name: AWS_MAX_ATTEMPTS, value: "4"}]', name="z-after-the-other")
    decision = decided(builders.gpu_pod(None), AUTO, other)
    assert environment(decision)["AWS_MAX_ATTEMPTS"] == "4"
    assert "auto: vllm has AWS_MAX_ATTEMPTS already" in decision.policies[0].reason
    assert decision.policies[1].reason == "sets 1 env on 1 container"


@pytest.mark.parametrize(
    ("volume", "direct"),
    [
        pytest.param({"emptyDir": {}}, True, id="emptyDir"),
        pytest.param({"hostPath": {"path": "/mnt/k8s-disks/0"}}, True, id="hostPath"),
        pytest.param({"ephemeral": {"volumeClaimTemplate": {}}}, True, id="ephemeral"),
        pytest.param({"configMap": {"name": "x"}}, True, id="configMap"),
        pytest.param({"emptyDir": {"medium": "Memory"}}, False, id="memory"),
        pytest.param({"hostPath": {"path": "/dev/shm"}}, False, id="hostPath in memory"),
        pytest.param({"hostPath": {"path": "/run"}}, False, id="hostPath of /run"),
        pytest.param({"persistentVolumeClaim": {"claimName": "fsx"}}, False, id="claim"),
        pytest.param({"nfs": {"server": "x", "path": "/"}}, False, id="nfs"),
        pytest.param({}, False, id="a volume without a kind"),
    ],
)
def test_direct_io_is_for_disks(volume: Object, direct: bool) -> None:
    pod = builders.edited(
        builders.gpu_pod(None, image=CLI, volumeMounts=[{"name": "v", "mountPath": "/v"}]),
        volumes=[{"name": "v", **volume}],
    )
    decision = decided(pod)
    assert decision.pod is not None
    text = decision.pod["metadata"]["annotations"][names.ANNOTATION_AWS_CONFIG]
    assert ("direct_io = true" in text) == direct
    assert "target_bandwidth = 25Gb/s" in text


@pytest.mark.parametrize(
    ("limits", "pod_limits", "expected"),
    [
        pytest.param({"memory": "1Gi"}, None, "512", id="its own"),
        pytest.param({}, {"memory": "1Gi"}, "512", id="the pod's"),
        pytest.param({"memory": "8Gi"}, {"memory": "600Mi"}, "300", id="the lower one"),
        pytest.param({}, None, "640", id="none"),
        pytest.param({"memory": "not a quantity"}, None, "640", id="no quantity"),
        pytest.param({"memory": "100Mi"}, None, None, id="too little"),
    ],
)
def test_the_runtimes_memory_fits_the_limit(limits: Object, pod_limits: Object | None, expected: str | None) -> None:
    container = builders.container(image=CLI)
    container["resources"] = {"limits": {builders.GPU: "1", **limits}}
    decision = decided(builders.edited(builders.pod(container), resources={"limits": pod_limits}))
    assert environment(decision).get("AWS_CRT_S3_MEMORY_LIMIT_IN_MB") == expected


_FLEETS = [
    nodes(*types) for types in itertools.product(("g5.xlarge", "p5.48xlarge", "p6-b200.48xlarge", "x9.large"), repeat=2)
]
_IMAGES = st.sampled_from([builders.IMAGE, CLI, "peakcom/s5cmd:v2.3.0", "tritonserver:26.09-py3", "mine:1"])


@given(strategies.sound_pods(), _IMAGES, st.sampled_from(_FLEETS), st.sampled_from([*_FLEETS, EMPTY]))
def test_a_second_review_with_other_nodes_in_sight_changes_nothing(
    pod: Object, image: str, before: Inventory, after: Inventory
) -> None:
    pod = builders.edited(pod, containers=[{**each, "image": image} for each in pod["spec"]["containers"]])
    first = decided(pod, inventory=before)
    assert first.pod is not None
    assert decided(first.pod, inventory=after).patch == []


@given(strategies.sound_pods(), st.sampled_from(_FLEETS))
def test_no_value_that_was_there_is_touched(pod: Object, inventory: Inventory) -> None:
    decision = decided(pod, inventory=inventory)
    assert decision.pod is not None
    for sent, made in zip(pod["spec"]["containers"], decision.pod["spec"]["containers"], strict=True):
        own = sent.get("env") or []
        assert (made.get("env") or [])[: len(own)] == own
        assert clients_of(made) == clients_of(sent)


@given(strategies.sound_pods(), _IMAGES, st.sampled_from(_FLEETS))
@settings(max_examples=60)
def test_a_record_of_the_review_decides_the_same(pod: Object, image: str, inventory: Inventory) -> None:
    pod = builders.edited(pod, containers=[{**each, "image": image} for each in pod["spec"]["containers"]])
    given_facts = builders.facts(AUTO, inventory=inventory)
    request = builders.request(pod)
    kept, told = Redaction(b"0" * 32)(request.raw, admit(request, given_facts), given_facts.policies)
    text = record.encode(kept, given_facts, told, time=datetime(2026, 11, 22, tzinfo=UTC), version="1")
    again = record.decided(record.decode(text))
    assert [each.reason for each in again.policies] == [each.reason for each in told.policies]


@given(strategies.broken_pods())
def test_no_pod_is_too_odd(pod: Object) -> None:
    given_facts: Facts = builders.facts(AUTO, inventory=_FLEETS[0])
    decision = admit(builders.request(pod), given_facts)
    assert decision.allowed
