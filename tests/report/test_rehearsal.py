"""A decision tried over, among other injectors: what keeps the laws passes, and each way to break one is told."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests import builders, strategies
from webhook.admission import admit
from webhook.admission.decision import Decision, Facts
from webhook.kube import Object, names
from webhook.kube.review import AdmissionRequest
from webhook.report import rehearsal
from webhook.report.foreign import INJECTORS
from webhook.report.rehearsal import Rehearsal, rehearse

FACTS = builders.facts()
AUDIT = builders.facts(builders.policy(mode="Audit"))


def tried(sent: Object, facts: Facts = FACTS, seed: str = "0", **more: Any) -> Rehearsal:
    request = builders.request(sent)
    return rehearse(request, facts, admit(request, facts), seed, **more)


@pytest.mark.parametrize("injector", INJECTORS)
def test_an_injector_changes_nothing_the_second_time_and_edits_nothing_in_place(injector: str) -> None:
    sent = builders.gpu_pod()
    before = repr(sent)
    once = INJECTORS[injector](sent)
    assert once != sent
    assert repr(sent) == before
    assert INJECTORS[injector](once) == once


@settings(max_examples=60)
@given(strategies.sound_pods(), st.sampled_from([FACTS, AUDIT]), st.text(max_size=3))
def test_our_own_decisions_keep_the_laws(sent: Object, facts: Facts, seed: str) -> None:
    assert tried(sent, facts, seed).broken == ()


def test_the_seed_alone_chooses_the_order() -> None:
    condition = """
  matchConditions: [{name: alone, expression: "object.spec.containers.size() == 1"}]
  env: [{name: A, value: b}]
"""
    facts = builders.facts(builders.policy(condition))
    found = [tried(builders.gpu_pod(), facts, seed) for seed in ("a", "a", "b", "c", "d", "e", "f")]
    assert found[0] == found[1]
    assert len({each.notes for each in found}) > 1
    assert all(each.broken == () for each in found), "that a condition is false once others came is no law"
    assert any("condition alone is false" in note for each in found for note in each.notes)
    assert any("first-container" in note for each in found for note in each.notes)


@pytest.mark.parametrize("mode", ["Enforce", "Audit"])
def test_a_patch_that_makes_another_pod_is_told(mode: str) -> None:
    facts = builders.facts(builders.policy(mode=mode))
    request = builders.request(builders.gpu_pod())
    decision = admit(request, facts)
    field, patch = ("patch", decision.patch) if mode == "Enforce" else ("wouldPatch", decision.would_patch)
    wrong: dict[str, Any] = {"patch" if mode == "Enforce" else "would_patch": patch[:-1]}
    (broken,) = rehearse(request, facts, replace(decision, **wrong), "").broken
    assert broken.startswith(f"{field} does not make the pod that was decided: ")
    assert broken.endswith(", is absent")


def test_a_patch_that_cannot_be_applied_is_told() -> None:
    request = builders.request(builders.gpu_pod())
    decision = replace(admit(request, FACTS), patch=[{"op": "remove", "path": "/spec/nothing"}])
    assert "decided: it cannot be applied: " in rehearse(request, FACTS, decision, "").broken[0]


def test_one_object_in_two_places_is_two_to_the_api_server() -> None:
    shared = {"name": "MODEL_ID", "value": "s3://acme-models/llama"}
    sent = builders.gpu_pod(env=[shared])
    sent["spec"]["containers"].append(builders.container("app", gpus=0, env=[shared]))
    assert tried(sent).broken == ()


def takes_ours(pod: Object) -> Object:
    spec = pod["spec"]
    init = [each for each in spec.get("initContainers") or [] if each["name"] != names.INIT_CONTAINER]
    return {**pod, "spec": {**spec, "initContainers": [*init, {"name": names.INIT_CONTAINER, "image": "theirs"}]}}


def test_what_is_lost_among_others_is_told() -> None:
    seed = next(seed for seed in map(str, range(9)) if rehearsal._digest(seed, "") % 2 == 0)
    broken = tried(builders.gpu_pod(), seed=seed, injectors={"takes-ours": takes_ours}).broken
    assert any("lost: argument --model=" in text for text in broken), broken
    assert all("(WARMPOD > takes-ours > WARMPOD)" in text for text in broken)


def appends(request: AdmissionRequest, facts: Facts) -> Decision:
    """A decision that adds one variable each time it is asked, once another webhook came by."""
    decision = admit(request, facts)
    pod = request.object
    assert pod is not None
    if len(pod["spec"]["containers"]) == 1:
        return decision
    entries = [*(pod["spec"]["containers"][0].get("env") or []), {"name": "AGAIN", "value": "x"}]
    changed = builders.edited(pod)
    changed["spec"]["containers"][0]["env"] = entries
    operation = "replace" if "env" in pod["spec"]["containers"][0] else "add"
    patch = [{"op": operation, "path": "/spec/containers/0/env", "value": entries}]
    return replace(decision, patch=patch, pod=changed, would_patch=[])


def test_what_does_not_settle_or_comes_twice_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rehearsal, "admit", appends)
    request = builders.request(builders.gpu_pod())
    others = {"first-container": INJECTORS["first-container"]}
    broken = rehearse(request, FACTS, admit(request, FACTS), "0", others).broken
    assert any("it does not settle, a third review changes it again" in text for text in broken)
    assert any("twice: variable AGAIN of mesh-proxy" in text for text in broken)


@given(strategies.broken_pods())
def test_it_bears_pods_that_are_none(sent: Object) -> None:
    tried(sent)
