"""How two decisions over one pod are told apart, and what reviewers read of it."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webhook.admission import admit
from webhook.admission.decision import Decision, Facts
from webhook.cli import differences
from webhook.cli.cases import find, situation
from webhook.cli.world import read_policies
from webhook.kube import Object
from webhook.kube.review import AdmissionRequest
from webhook.policy.model import Mode, PolicySet
from webhook.policy.parse import parse
from webhook.policy.problem import Source
from webhook.report.difference import KINDS, Difference, Group, Pod, difference, grouped

POLICIES = Path(__file__).parents[2] / "policies"
CASES = find([str(POLICIES)])
POD = Pod("pod.yaml:1", "Deployment", "serving", "vllm")
TITLES = ("main", "HEAD")


def world(name: str) -> tuple[AdmissionRequest, Facts]:
    case = next(each for each in CASES if each.name == name)
    return situation(case, read_policies(str(case.policies)))


REQUEST, FACTS = world("vllm-s3-nvme/annotated")


def sent() -> Object:
    assert REQUEST.object is not None
    return REQUEST.object


def edited(*edits: tuple[str, str]) -> Facts:
    text = (POLICIES / "vllm-s3-nvme" / "policy.yaml").read_text()
    for old, new in edits:
        assert old in text
        text = text.replace(old, new)
    return replace(FACTS, policies=parse([Source("p.yaml", text)]))


def told(before: Facts, after: Facts) -> Difference | None:
    return difference(POD, sent(), admit(REQUEST, before), admit(REQUEST, after))


def test_the_same_is_no_difference() -> None:
    assert told(FACTS, FACTS) is None


def test_a_signature_alone_is_no_difference() -> None:
    before = admit(REQUEST, FACTS)
    text = json.dumps(before.patch)
    assert "inventory=2026-11-22-0007" in text
    after = replace(before, patch=json.loads(text.replace("inventory=2026-11-22-0007", "inventory=another")))
    assert difference(POD, sent(), before, after) is None


FAILS = "'x' in object.metadata.finalizers"
KIND_CASES = {
    "lost": (FACTS, replace(FACTS, policies=PolicySet())),
    "gained": (replace(FACTS, policies=PolicySet()), FACTS),
    "mode": (FACTS, replace(FACTS, mode_cap=Mode.AUDIT)),
    "changed": (FACTS, replace(FACTS, placement_usable=False)),
}


@pytest.mark.parametrize("kind", KIND_CASES)
def test_kinds(kind: str) -> None:
    before, after = KIND_CASES[kind]
    found = told(before, after)
    assert found is not None
    assert found.kind == kind
    assert found.lines


def test_a_policy_that_has_nothing_to_do_with_the_pod_is_no_difference() -> None:
    text = (POLICIES / "s3-tuning" / "policy.yaml").read_text()
    other = parse([Source("o.yaml", text), Source("p.yaml", (POLICIES / "vllm-s3-nvme" / "policy.yaml").read_text())])
    assert len(other.policies) > len(FACTS.policies.policies)
    assert told(FACTS, replace(FACTS, policies=other)) is None


def test_a_denial() -> None:
    fail = parse(
        [
            Source(
                "p.yaml",
                "apiVersion: warmpod.dev/v1alpha1\nkind: WarmPolicy\nmetadata: {name: strict}\n"
                "spec: {mode: Enforce, failurePolicy: Fail,\n"
                f'  matchConditions: [{{name: c, expression: "{FAILS}"}}]}}\n',
            )
        ]
    )
    found = told(FACTS, replace(FACTS, policies=fail))
    assert found is not None
    assert found.kind == "denied"
    assert found.lines[0].startswith("denied: policy strict could not judge")
    back = told(replace(FACTS, policies=fail), FACTS)
    assert back is not None
    assert back.kind == "admitted"


def test_lines_say_what_is_lost_and_what_it_costs() -> None:
    found = told(FACTS, replace(FACTS, placement_usable=False))
    assert found is not None
    assert found.lines == (
        "no longer prefers warm nodes by 2 terms",
        "saves 180 s less",
    )
    assert round(found.seconds) == -180


def test_another_value_alone_is_said() -> None:
    assert "standard" in (POLICIES / "vllm-s3-nvme" / "policy.yaml").read_text()
    found = told(FACTS, edited(("AWS_RETRY_MODE: standard", "AWS_RETRY_MODE: adaptive")))
    assert found is not None
    assert found.kind == "changed"
    assert found.lines == ("another value of AWS_RETRY_MODE",)


def many() -> list[Difference]:
    found = []
    for kind, (before, after) in KIND_CASES.items():
        for number in range(3):
            pod = Pod("records", "", "serving", f"{kind}-{number}")
            each = difference(pod, sent(), admit(REQUEST, before), admit(REQUEST, after))
            assert each is not None
            found.append(each)
    return found


@given(order=st.permutations(range(12)))
def test_groups_do_not_depend_on_order(order: list[int]) -> None:
    every = many_once()
    groups = grouped([every[index] for index in order])
    assert [(group.first.kind, group.count) for group in groups] == [(kind, 3) for kind in KINDS if kind in KIND_CASES]
    assert sum(group.seconds for group in groups) == pytest.approx(sum(each.seconds for each in every))


_MADE: list[Difference] = []


def many_once() -> list[Difference]:
    if not _MADE:
        _MADE.extend(many())
    return _MADE


HOSTILE = "<b>x</b> | `y` @owner [a](javascript:b) \x1b[2J\n## title"


def hostile() -> Group:
    decision = Decision(allowed=False, message=HOSTILE)
    found = difference(Pod("r", "Pod", "ns", HOSTILE), {"spec": {}}, Decision(), decision)
    assert found is not None
    return Group(found, 1, 0.0, Counter(ns=1))


def test_markdown_of_strangers_is_text() -> None:
    text = differences.markdown([hostile()], looked_at=1, titles=TITLES)
    row = next(line for line in text.splitlines() if line.startswith("| 1 "))
    assert row.count(" | ") == 3
    for harm in ("<b>", "`y`", "[a](", "@owner", "\x1b", "\n##"):
        assert harm not in row


def test_markdown_fits_a_comment() -> None:
    one = many_once()[0]
    groups = [Group(replace(one, pod=Pod("", "", "ns", "n" * 60 + str(n))), 1, 0.0) for n in range(2000)]
    text = differences.markdown(groups, looked_at=2000, titles=TITLES)
    assert len(text) <= 65_536
    assert "more rows left out" in text


def test_markdown_shows_the_pods() -> None:
    text = differences.markdown(grouped(many_once()), looked_at=30, titles=TITLES)
    assert "30 pods: 3 no longer changed, 3 changed in another way, 3 changed for the first time" in text
    assert text.count("<details>") == 3  # the pod of a mode's change is the same
    assert "\n-" in text


def test_json_is_whole() -> None:
    found = json.loads(json.dumps(differences.as_json(grouped(many_once()), looked_at=30, titles=TITLES)))
    assert (found["pods"], found["different"], len(found["groups"])) == (30, 12, 4)
    assert found["groups"][0]["first"]["before"]["patch"]
