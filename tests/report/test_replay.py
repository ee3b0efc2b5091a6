"""Records decided once more: Audit says what Enforce does, and a record decides as it did."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests import builders, strategies
from webhook.admission import admit
from webhook.admission.decision import Decision, Facts
from webhook.inventory.model import EMPTY, Inventory
from webhook.kube import Object, names
from webhook.policy.model import Mode
from webhook.report.record import Recorded, decode, encode
from webhook.report.replay import Proof, Replay, Replayed, matches
from webhook.report.replay_tally import ReplayTally

NOW = datetime(2026, 11, 22, tzinfo=UTC)
TUNING = 'env: [{name: NCCL_DEBUG, value: "%s"}]'
FAILING = """
  failurePolicy: Fail
  matchConditions: [{name: owner, expression: object.metadata.labels.owner == 'me'}]
  env: [{name: X, value: "1"}]
"""
MODES = {
    "enforced": [builders.policy()],
    "audited": [builders.policy(mode="Audit")],
    "both": [
        builders.policy(mode="Audit"),
        builders.policy("  " + TUNING % "INFO", name="a-tuning"),
        builders.policy("  " + TUNING % "TRACE", name="z-tuning"),
    ],
    "one off": [builders.policy(mode="Off"), builders.policy("  " + TUNING % "INFO", name="tuning", mode="Audit")],
    "failing": [builders.policy(FAILING, name="failing"), builders.policy(mode="Audit")],
}
FACTS = {name: builders.facts(*texts) for name, texts in MODES.items()}


def record(sent: Object, facts: Facts, **kwargs: Any) -> Recorded:
    request = builders.request(sent, **kwargs)
    return decode(encode(request.raw, facts, admit(request, facts), time=NOW, version="1"), file="a.jsonl", number=1)


def replayed(
    recorded: Recorded, facts: Facts, before: Facts | None = None, inventory: Inventory | None = None
) -> Replayed:
    known = inventory or facts.inventory
    exact = known.id == recorded.facts.snapshot
    return Replay(facts.policies, before.policies if before else None)(recorded, known, exact=exact)


@pytest.mark.parametrize("lowered", [None, "Audit", "Off", "Enforce"])
@pytest.mark.parametrize("cap", [Mode.ENFORCE, Mode.AUDIT])
@pytest.mark.parametrize("modes", MODES)
@given(sent=strategies.sound_pods())
@settings(max_examples=8, deadline=None)
def test_audit_says_what_enforce_does_and_a_record_decides_as_it_did(
    modes: str, cap: Mode, lowered: str | None, sent: Object
) -> None:
    labels = {**builders.PRIVILEGED, **({names.LABEL_NAMESPACE_MODE: lowered} if lowered else {})}
    facts = replace(FACTS[modes], mode_cap=cap, namespace_labels=labels)
    found = replayed(record(sent, facts), facts)
    assert found.unequal == ""
    assert found.unfaithful == ""
    assert found.difference is None


GPU_POD = builders.gpu_pod()
PATCH = [{"op": "add", "path": "/metadata/labels", "value": {"a": "b"}}]


def altered(decision: Decision, **changes: Any) -> Decision:
    return replace(decision, **changes)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"patch": PATCH}, "Audit changes the pod at /metadata/labels"),
        ({"would_patch": PATCH}, "what Audit reports is not what Enforce does: operation 0"),
        ({"would_patch": []}, "what Audit reports is not what Enforce does: operation 0"),
        ({"would_seconds_saved": 1.0}, "Audit reports 1.0 s saved"),
        ({"policies": ()}, "policy llm-serving: Audit and Enforce do not match alike"),
    ],
    ids=["a change", "another change", "no change", "other seconds", "no verdict"],
)
def test_the_proof_fails_where_the_two_do_not_agree(changes: dict[str, Any], told: str) -> None:
    facts = FACTS["audited"]
    request = builders.request(GPU_POD)
    now = admit(request, facts)
    assert Proof(facts.policies)(request, facts, now) == ""
    assert Proof(facts.policies)(request, facts, altered(now, **changes)).startswith(told)


def test_a_denial_is_told_by_audit_as_the_policy_that_fails() -> None:
    facts = FACTS["failing"]
    request = builders.request(GPU_POD)
    now = admit(request, facts)
    assert not now.allowed
    proof = Proof(facts.policies)
    assert proof(request, facts, now) == ""
    capped = replace(facts, mode_cap=Mode.AUDIT)
    silent = altered(admit(request, capped), policies=())
    assert "other policies fail: failing" in proof(request, capped, silent)


def test_a_changed_answer_from_the_same_facts_is_no_faithful_record() -> None:
    recorded = record(GPU_POD, FACTS["enforced"])
    recorded.decision["patch"] = recorded.decision["patch"][1:]
    found = replayed(recorded, FACTS["enforced"])
    assert found.unfaithful is not None
    assert found.unfaithful.startswith("patch: operation 0 at ")
    assert found.difference is not None


def test_nothing_is_said_of_faith_where_the_facts_are_others() -> None:
    recorded = record(GPU_POD, FACTS["enforced"])
    other = FACTS["enforced"].inventory.again("other", 0.0)
    assert replayed(recorded, FACTS["enforced"], inventory=other).unfaithful is None
    assert replayed(recorded, FACTS["audited"]).unfaithful is None
    # With two sets it is the one before that the records may be of.
    assert replayed(recorded, FACTS["audited"], before=FACTS["enforced"]).unfaithful == ""


def test_without_placement_then_is_without_placement_now() -> None:
    facts = replace(FACTS["enforced"], inventory=EMPTY, placement_usable=False)
    found = replayed(record(GPU_POD, facts), facts, inventory=FACTS["enforced"].inventory)
    assert (found.difference, found.unfaithful) == (None, "")


@pytest.mark.parametrize(
    ("before", "after", "kind"),
    [
        ("enforced", "audited", "mode"),
        ("audited", "enforced", "mode"),
        ("one off", "enforced", "changed"),
        ("enforced", "failing", "denied"),
        ("failing", "enforced", "admitted"),
    ],
)
def test_one_set_against_the_records_and_two_against_each_other_tell_the_same(
    before: str, after: str, kind: str
) -> None:
    recorded = record(GPU_POD, FACTS[before])
    alone = replayed(recorded, FACTS[after])
    both = replayed(recorded, FACTS[after], before=FACTS[before])
    assert alone.difference is not None
    assert both.difference is not None
    assert alone.difference.kind == both.difference.kind == kind
    assert alone.difference.lines == both.difference.lines
    assert alone.denied is (kind == "denied")
    assert alone.errors == (("failing",) if after == "failing" else ())


def test_a_second_look_is_compared_with_its_record_alone() -> None:
    changed = admit(builders.request(GPU_POD), FACTS["enforced"]).pod
    assert changed is not None
    found = replayed(record(changed, FACTS["enforced"]), FACTS["failing"], before=FACTS["enforced"])
    assert found.again
    assert (found.difference, found.denied, found.errors) == (None, False, ())
    assert (found.unfaithful, found.unequal) == ("", "")
    tally = ReplayTally()
    tally.add(record(changed, FACTS["enforced"]), found, "exact", 0.0)
    assert (tally.admissions, tally.pods) == (1, 0)


SECRET = 'env: [{name: API_KEY, value: "of the policy"}]'


def test_a_value_taken_out_of_the_record_makes_no_difference() -> None:
    facts = builders.facts(builders.policy("  " + SECRET))
    recorded = record(GPU_POD, facts)
    text = "redacted:0123abcd"
    recorded.decision["patch"] = [
        {**each, "value": _with(each["value"], "of the policy", text)} for each in recorded.decision["patch"]
    ]
    assert text in str(recorded.decision["patch"])
    found = replayed(recorded, facts)
    assert (found.difference, found.unfaithful) == (None, "")


def _with(value: Any, old: str, new: str) -> Any:
    if isinstance(value, dict):
        return {key: _with(each, old, new) for key, each in value.items()}
    if isinstance(value, list):
        return [_with(each, old, new) for each in value]
    return new if value == old else value


@pytest.mark.parametrize(
    ("recorded", "now", "same"),
    [
        ("redacted:0123abcd", "anything", True),
        ("a redacted:0123abcd b", "a x\ny b", True),
        ("a redacted:0123abcd b", "a x c", False),
        ("redacted:0123abcd", "redacted:0123abce", False),
        ("redacted:0123abcd", 1, False),
        ("a.c", "abc", False),
        ([1], [True], False),
        ({"a": "redacted:0123abcd"}, {"a": "x"}, True),
        ({"a": "redacted:0123abcd"}, {"b": "x"}, False),
        (["redacted:0123abcd"], ["x", "y"], False),
    ],
)
def test_a_token_stands_for_any_text(recorded: Any, now: Any, same: bool) -> None:
    assert matches(recorded, now) is same


@example(["failing"] * 6, 2)  # seconds whose sum depended on the order
@given(st.lists(st.sampled_from(sorted(MODES)), max_size=12), st.integers(0, 12))
@settings(max_examples=25, deadline=None)
def test_tallies_of_parts_add_up_to_the_tally_of_the_whole(chosen: list[str], cut: int) -> None:
    records = [record(GPU_POD, FACTS[name]) for name in chosen]
    results = [(each, replayed(each, FACTS["enforced"])) for each in records]
    whole, first, second = ReplayTally(), ReplayTally(), ReplayTally()
    for number, (each, found) in enumerate(results):
        whole.add(each, found, "exact", 0.0)
        (first if number < cut else second).add(each, found, "exact", 0.0)
    first.merge(second)
    assert first == whole
    assert [(g.first.lines, g.count) for g in first.groups] == [(g.first.lines, g.count) for g in whole.groups]
