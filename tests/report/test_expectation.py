"""Expectations against decisions: what holds is silent, what does not is told with what is there instead."""

from __future__ import annotations

from typing import Any, get_args

import pytest

from tests import builders
from webhook.admission import admit
from webhook.admission.changes import PARTS
from webhook.admission.decision import Facts
from webhook.kube import Object
from webhook.policy.warmtest import ExpectDocument, Part
from webhook.report.expectation import misses

OFF = builders.policy("  env: [{name: A, value: b}]", name="off", mode="Off")
FAILS = """
  failurePolicy: Fail
  matchConditions: [{name: broken, expression: "object.metadata.nothing == 'x'"}]
  env: [{name: A, value: b}]
"""
FACTS = builders.facts(builders.policy(), OFF)
AUDIT = builders.facts(builders.policy(mode="Audit"))
DENIES = builders.facts(builders.policy(FAILS, name="strict"))
POD = builders.gpu_pod(args=["--model=s3://acme-models/llama/"], env=[{"name": "AWS_MAX_ATTEMPTS", "value": "20"}])


def told(expect: dict[str, Any], facts: Facts = FACTS, sent: Object = POD) -> list[tuple[str, str]]:
    document = ExpectDocument.model_validate(expect)
    decision = admit(builders.request(sent), facts)
    return [(".".join(miss.at), miss.message) for miss in misses(document, sent, decision)]


def test_the_parts_of_a_test_are_those_of_a_change() -> None:
    assert get_args(Part) == PARTS


@pytest.mark.parametrize(
    "expect",
    [
        {"matched": ["llm-serving"]},
        {"skipped": {"off": "mode is Off"}},
        {"skipped": {"off": "mode*"}},
        {"denied": False},
        {"warnings": []},
        {"changes": ["env", "placement", "hydration", "volumes", "redirect", "awsConfig"]},
        {"pod": {"spec.containers[vllm].args[0]": "--model=/models", "spec.hostNetwork": None}},
        {"env": {"vllm": {"NCCL_DEBUG": "WARN", "AWS_MAX_ATTEMPTS": "20", "OTHER": None}}},
        {"patchContains": [{"op": "replace", "path": "/spec/containers/0/args/0"}]},
        {"secondsSaved": {"min": 1, "max": 1000}},
        {"would": {"changes": ["env", "placement", "hydration", "volumes", "redirect", "awsConfig"]}},
    ],
    ids=lambda expect: next(iter(expect)),
)
def test_what_holds_is_silent(expect: dict[str, Any]) -> None:
    assert told(expect) == []


@pytest.mark.parametrize(
    ("expect", "at", "message"),
    [
        ({"matched": []}, "matched", "no policy should match, llm-serving did"),
        ({"matched": ["off"]}, "matched.[0]", "off did not match, it was skipped: mode is Off"),
        ({"matched": ["llm-servng"]}, "matched.[0]", 'there is no policy "llm-servng" here; did you mean'),
        ({"skipped": {"llm-serving": "*"}}, "skipped.llm-serving", "llm-serving should be skipped, it matched"),
        ({"skipped": {"off": "x"}}, "skipped.off", 'off was skipped: mode is Off; expected was "x"'),
        ({"errored": {"off": "*"}}, "errored.off", "off should fail, it was skipped: mode is Off"),
        ({"errored": {"of": "*"}}, "errored.of", 'there is no policy "of" here'),
        ({"denied": True}, "denied", "the pod should be refused, it is admitted"),
        ({"denied": "*x*"}, "denied", "the pod should be refused, it is admitted"),
        ({"warnings": ["*x*"]}, "warnings.[0]", 'no warning is like "*x*"; there: none'),
        ({"unchanged": True}, "unchanged", "the pod should not change, but it does: "),
        ({"changes": ["env"]}, "changes", "unexpected: placement, hydration, volumes, redirect, awsConfig"),
        ({"pod": {"spec.hostNetwork": True}}, "pod.spec.hostNetwork", "spec.hostNetwork: should be true, is absent"),
        ({"env": {"vlm": {"A": "b"}}}, "env.vlm", 'the pod has no container "vlm"; did you mean "vllm"?'),
        (
            {"env": {"vllm": {"AWS_MAX_ATTEMPTS": "10"}}},
            "env.vllm.AWS_MAX_ATTEMPTS",
            'AWS_MAX_ATTEMPTS of container vllm should be "10", is "20", the pod\'s own',
        ),
        (
            {"env": {"vllm": {"NCCL_DEBUG": None}}},
            "env.vllm.NCCL_DEBUG",
            'NCCL_DEBUG of container vllm should not be set, is "WARN"',
        ),
        ({"env": {"vllm": {"X": ""}}}, "env.vllm.X", 'X of container vllm should be "", is not set'),
        ({"patch": []}, "patch", "the patch is another one"),
        (
            {"patchContains": [{"op": "remove", "path": "/spec/containers/0/args/0"}]},
            "patchContains.[0]",
            'no operation is like {"op": "remove", "path": "/spec/containers/0/args/0"}; there: {"op": "replace"',
        ),
        ({"patchContains": [{"path": "/x"}]}, "patchContains.[0]", "it changes /metadata/annotations/"),
        ({"secondsSaved": {"min": 9999}}, "secondsSaved.min", "at least 9999 s should be saved, "),
        ({"secondsSaved": {"max": 1}}, "secondsSaved.max", "at most 1 s should be saved, "),
        ({"would": {"unchanged": True}}, "would.unchanged", "the pod should not change, but it does: "),
    ],
    ids=lambda value: value if isinstance(value, str) and " " not in value else "",
)
def test_what_does_not_hold_is_told(expect: dict[str, Any], at: str, message: str) -> None:
    ((where, text),) = told(expect)
    assert where == at
    assert message in text


def test_nothing_changes_is_said() -> None:
    assert told({"changes": ["env"]}, sent=builders.pod()) == [("changes", "missing: env (nothing changes)")]


def test_what_audit_withholds_is_asked_for_apart() -> None:
    assert told({"unchanged": True, "matched": ["llm-serving"]}, AUDIT) == []
    assert told({"would": {"env": {"vllm": {"NCCL_DEBUG": "WARN"}}, "secondsSaved": {"min": 1}}}, AUDIT) == []
    ((at, _),) = told({"env": {"vllm": {"NCCL_DEBUG": "WARN"}}}, AUDIT)
    assert at == "env.vllm.NCCL_DEBUG"


def test_a_refusal_and_an_error_can_be_expected() -> None:
    assert told({"denied": True, "errored": {"strict": "condition broken: *"}}, DENIES) == []
    assert told({"denied": "policy strict *failurePolicy: Fail*"}, DENIES) == []
    ((_, message),) = told({"denied": "*because*"}, DENIES)
    assert message.startswith("the pod is refused with another message: policy strict could not judge")
    ((_, message),) = told({"denied": False}, DENIES)
    assert message.startswith("the pod should be admitted, it is refused: policy strict")


def test_an_expected_warning_is_a_glob() -> None:
    sent = builders.gpu_pod("s3://evil/llama/")
    assert told({"warnings": ["*evil*not allowed*"]}, sent=sent) == []
    ((at, message),) = told({"warnings": []}, sent=sent)
    assert (at, message.startswith("no warning is expected, there is ")) == ("warnings", True)


def test_a_value_from_elsewhere_is_no_value() -> None:
    entry = {"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}}
    ((_, message),) = told({"env": {"vllm": {"A": ""}}}, sent=builders.gpu_pod(env=[entry]))
    assert message == 'A of container vllm should be "", is read from elsewhere (valueFrom), the pod\'s own'
