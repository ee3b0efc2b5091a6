"""What many decisions come to."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.builders import facts, gpu_pod, policy, request
from tests.report.judgements import audited, effect, judged, verdict
from webhook.admission import admit
from webhook.admission.changes import PARTS
from webhook.kube.owner import Owner
from webhook.policy.model import Mode
from webhook.report import finding, tally
from webhook.report.judgement import Judgement, of_decision
from webhook.report.tally import OTHER, Sum, Tally


def counts(one: Sum) -> dict[str, float]:
    """What is not zero."""
    numbers = (
        "pods",
        "matched",
        "skipped",
        "errored",
        "changed",
        "would_change",
        "denied",
        "clashed",
        "saved",
        "would_save",
    )
    return {name: value for name in numbers if (value := getattr(one, name))}


def test_a_change_counts_with_its_policy_and_its_namespace() -> None:
    found = tally.tally([judged(verdict(did=("placement",)), done=effect(60.0), pods=3)])
    expected = {"pods": 3, "matched": 3, "changed": 3, "saved": 180.0}
    assert counts(found.total) == expected
    assert counts(found.namespaces["serving"]) == expected
    assert counts(found.policies["p"].total) == expected
    assert counts(found.policies["p"].namespaces["serving"]) == expected
    assert found.total.parts == {"placement": 3}
    assert found.total.spread.median == 60


def test_what_audit_would_add_is_to_gain_and_only_that() -> None:
    one = judged(
        verdict("a", did=("placement",)),
        audited("b", did=("placement", "env")),
        done=effect(60.0),
        would=effect(100.0, "placement", "env", operations=3),
    )
    found = tally.tally([one])
    assert counts(found.total) == {
        "pods": 1, "matched": 1, "changed": 1, "would_change": 1, "saved": 60.0, "would_save": 40.0,
    }  # fmt: skip
    assert counts(found.policies["a"].total) == {"pods": 1, "matched": 1, "changed": 1, "saved": 60.0}
    assert counts(found.policies["b"].total) == {"pods": 1, "matched": 1, "would_change": 1, "would_save": 40.0}
    assert found.total.spread.maximum == 100, "a pod is in the picture once, with all that would be saved"
    assert found.total.either == {"placement": 1, "env": 1}


def test_a_policy_is_not_given_what_another_one_did() -> None:
    one = judged(
        verdict("a", did=("placement",)),
        verdict("b"),
        verdict("c", did=("env",)),
        done=effect(60.0, "placement", "env"),
    )
    found = tally.tally([one])
    assert found.policies["a"].total.parts == {"placement": 1}
    assert counts(found.policies["b"].total) == {"pods": 1, "matched": 1}
    assert (found.policies["c"].total.parts, found.policies["c"].total.saved) == ({"env": 1}, 0.0)


def test_where_nobody_says_whose_doing_it_is_it_is_everybodys() -> None:
    found = tally.tally([judged(verdict("a"), verdict("b"), done=effect(60.0))])
    assert found.policies["a"].total.saved == found.policies["b"].total.saved == 60.0
    assert found.total.saved == 60.0


def test_skips_are_counted_by_reason_without_what_pods_say() -> None:
    skipped = [judged(verdict(result="skipped", reason=f"image 'x{number}' is none")) for number in range(9)]
    found = tally.tally([*skipped, judged(verdict(result="skipped", reason="mode is Off"))])
    assert found.policies["p"].total.skips == {'image "..." is none': 9, "mode is Off": 1}
    assert found.policies["p"].namespaces == {}


def test_reasons_without_end_fit() -> None:
    found = tally.tally(judged(verdict(result="skipped", reason=f"reason {number}")) for number in range(500))
    skips = found.policies["p"].total.skips
    assert len(skips) == 51
    assert skips[OTHER] == 450


def test_findings_are_said_once_with_their_number_and_the_first_pod() -> None:
    found = tally.tally(
        [
            judged(verdict(result="errored", reason="condition c: no such key: 'a'"), name="one", pods=2),
            judged(verdict(result="errored", reason="condition c: no such key: 'b'"), name="two"),
            judged(verdict(conflicts=("weights: vllm mounts its own at /models",))),
            judged(verdict(result="errored", reason="x"), denial="policy p could not judge this pod"),
            judged(verdict(), violations=("reach: x",)),
            judged(unanswered=True),
            judged(verdict(), conflicts=2),
        ]
    )
    told = [(one.kind, one.policy, one.pods, one.first) for one in found.findings.told()]
    assert told == [
        ("errors", "p", 3, "serving/Deployment/one"),
        ("errors", "p", 1, "serving/Deployment/llama"),
        ("denied", "", 1, "serving/Deployment/llama"),
        ("laws", "", 1, "serving/Deployment/llama"),
        ("unanswered", "", 1, "serving/Deployment/llama"),
        ("conflicts", "", 1, "serving/Deployment/llama"),
        ("conflicts", "p", 1, "serving/Deployment/llama"),
    ]
    assert found.findings.pods == {"errors": 4, "denied": 1, "laws": 1, "unanswered": 1, "conflicts": 2}
    assert (found.total.errored, found.total.denied, found.total.clashed) == (4, 1, 2)


def test_findings_without_end_fit_and_say_how_many_are_untold(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(finding, "_MOST", 10)
    found = tally.tally(judged(verdict(conflicts=(f"place {number}",))) for number in range(25))
    assert len(found.findings.told()) == 10
    assert (found.findings.pods["conflicts"], found.findings.untold["conflicts"]) == (25, 15)


def test_the_workloads_that_gain_most_come_first() -> None:
    found = tally.tally(
        [
            judged(verdict(), done=effect(10.0), name="small", pods=3),
            judged(audited(), would=effect(50.0), name="large"),
            judged(verdict(), done=effect(10.0), name="small"),
            judged(verdict(), name="unchanged"),
        ]
    )
    first, second = found.top(5)
    assert (first.owner.name, first.would_save, first.would_change) == ("large", 50.0, 1)
    assert (second.owner.name, second.pods, second.saved, second.text) == ("small", 4, 40.0, "prefers warm nodes")
    assert found.workloads == 2


def test_workloads_without_end_are_cut_down_to_those_that_gain_most(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tally, "_MOST_WORKLOADS", 20)
    order = list(range(1, 200))
    random.Random(1).shuffle(order)
    found = tally.tally(judged(verdict(), done=effect(float(number)), name=f"w{number}") for number in order)
    assert found.workloads <= 20
    assert [one.owner.name for one in found.top(5)] == ["w199", "w198", "w197", "w196", "w195"]
    assert found.total.changed == 199


def test_times_and_blindness_are_those_of_all() -> None:
    found = tally.tally([judged(time=30.0), judged(time=10.0), judged(), judged(time=20.0, blind=True)])
    assert (found.earliest, found.latest, found.blind) == (10.0, 30.0, True)


JUDGEMENTS = st.builds(
    lambda pods, space, name, done, would, mode, did: judged(
        verdict(name, mode, did=did),
        namespace=space,
        pods=pods,
        done=effect(done) if done is not None else None,
        would=effect(would) if would is not None else None,
    ),
    st.integers(1, 4),
    st.sampled_from(["a", "b"]),
    st.sampled_from(["p", "q"]),
    st.none() | st.integers(0, 900),
    st.none() | st.integers(0, 900),
    st.sampled_from([Mode.ENFORCE, Mode.AUDIT]),
    st.sampled_from([(), ("placement",), ("env",)]),
)


@given(st.lists(JUDGEMENTS, max_size=12), st.randoms(use_true_random=False))
def test_sums_are_of_the_namespaces_and_know_no_order(judgements: list[Judgement], order: random.Random) -> None:
    found = tally.tally(judgements)
    for name in ("pods", "changed", "would_change", "saved", "would_save"):
        assert getattr(found.total, name) == sum(getattr(one, name) for one in found.namespaces.values())
        for each in found.policies.values():
            if name != "pods":
                assert getattr(each.total, name) == sum(getattr(one, name) for one in each.namespaces.values())
    shuffled = list(judgements)
    order.shuffle(shuffled)
    again = tally.tally(shuffled)
    assert counts(again.total) == counts(found.total)
    assert {name: counts(one.total) for name, one in again.policies.items()} == {
        name: counts(one.total) for name, one in found.policies.items()
    }
    assert again.total.spread.bars() == found.total.spread.bars()


@pytest.mark.parametrize("mode", ["Audit", "Enforce"])
def test_a_decision_is_judged_alike_in_audit_and_enforce(mode: str) -> None:
    pod = gpu_pod()
    known = facts(policy(mode=mode))
    decision = admit(request(pod), known)
    found = of_decision(pod, decision, namespace="default")
    change = found.done if mode == "Enforce" else found.would
    assert change is not None
    assert change.parts == tuple(part for part in PARTS if part != "redirect")
    assert change.seconds > 0
    assert (found.done is None, found.would is None) == (mode == "Audit", mode == "Enforce")
    assert found.owner == Owner("Pod", "llm-0")
    [told] = found.verdicts
    assert told.did == tuple(part for part in PARTS if part != "redirect")


def test_each_policy_answers_for_its_own_doing() -> None:
    pod = gpu_pod()
    places, tunes, idles = (
        "  images: {placement: Prefer}\n",
        "  env: [{name: A, value: b}]\n",
        "  env: [{name: A, value: c}]\n",
    )
    known = facts(
        policy(places, name="a"), policy(tunes, name="b", mode="Audit"), policy(idles, name="c", mode="Audit")
    )
    found = Tally()
    found.add(of_decision(pod, admit(request(pod), known), namespace="default"))
    assert {name: dict(one.total.either) for name, one in found.policies.items()} == {
        "a": {"placement": 1},
        "b": {"env": 1},
        "c": {},
    }
    assert found.findings.pods["conflicts"] == 1
    assert [one.policies for one in found.top(1)] == [("a", "b")]
