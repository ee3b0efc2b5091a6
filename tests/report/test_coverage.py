"""What decisions exercise of policies, and what of them could go."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests import builders
from webhook.admission import admit
from webhook.admission.decision import Facts
from webhook.kube import Object
from webhook.report.coverage import Answer, Coverage, elements, look
from webhook.report.observed import observed
from webhook.report.removal import removals

CONDITIONAL = """
  matchConditions:
    - {name: first, expression: "variables.wanted == 'yes'"}
    - {name: second, expression: "object.metadata.name != 'other'"}
  variables:
    - {name: wanted, expression: "object.metadata.labels['warm']"}
    - {name: idle, expression: "'x'"}
  env: [{name: A, value: b}]
"""


def seen(sent: Object, facts: Facts) -> set[str]:
    """`policy: element` for all that the decision over a pod exercises."""
    answers: list[Answer] = []
    listening = replace(facts, policies=observed(facts.policies, lambda *answer: answers.append(answer)))
    request = builders.request(sent)
    decision = admit(request, listening)
    assert decision == admit(request, facts), "to be overheard changes no decision"
    return {f"{each.policy}: {each.what}" for each in look(request, listening, decision, answers)}


def all_of(facts: Facts) -> list[str]:
    return [f"{policy.name}: {each.what}" for policy in facts.policies.policies for each in elements(policy)]


def test_every_part_of_a_policy_is_an_element_and_shows_in_a_pod() -> None:
    facts = builders.facts()
    sent = builders.gpu_pod(args=["--model=s3://acme-models/llama/"])
    missing = {"llm-serving: skipped", "llm-serving: model weights: fallback volume"}
    assert seen(sent, facts) == set(all_of(facts)) - missing
    assert set(all_of(facts)) >= missing
    restricted = replace(facts, namespace_labels={"pod-security.kubernetes.io/enforce": "baseline"})
    assert "llm-serving: model weights: fallback volume" in seen(sent, restricted)
    assert seen(builders.pod(), facts) == {"llm-serving: skipped"}


WAYS = """
  models:
    - name: weights
      source: {annotation: warmpod.dev/model}
      allow: ["s3://acme-models/*", "oci://ghcr.io/acme/*"]
      sourceVolume:
        volume: {name: models, persistentVolumeClaim: {claimName: models, readOnly: true}}
        holds: s3://acme-models/
      delivery: %s
      cache: nvme
      mountPath: /models
      redirect: true
"""


@pytest.mark.parametrize(
    ("delivery", "source", "image_volumes", "found"),
    [
        ("auto", "s3://acme-models/llama/", "on", {"hydration", "redirect"}),
        ("mount", "s3://acme-models/llama/", "on", {"mount", "redirect"}),
        ("mount", "oci://ghcr.io/acme/llama:v1", "on", {"image volume", "redirect", "placement"}),
        ("mount", "oci://ghcr.io/acme/llama:v1", "off", set()),
    ],
    ids=["hydrated", "mounted", "an image", "left out"],
)
def test_each_way_of_a_model_is_an_element(delivery: str, source: str, image_volumes: str, found: set[str]) -> None:
    held = builders.inventory(builders.image("ghcr.io/acme/llama:v1", nodes=(1,)))
    facts = builders.facts(builders.policy(WAYS % delivery), inventory=held, image_volumes=image_volumes)
    exercised = seen(builders.gpu_pod(source, args=["--model", source]), facts)
    start = "llm-serving: model weights: "
    assert {each.removeprefix(start) for each in exercised if each.startswith(start)} == found
    hydrated = {"hydration", "fallback volume"} if delivery == "auto" else set[str]()
    ways = {"mount", "image volume", "redirect", "placement"} | hydrated
    assert {each.removeprefix(start) for each in all_of(facts) if each.startswith(start)} == ways


def test_what_audit_withholds_is_exercised() -> None:
    assert "llm-serving: model weights: hydration" in seen(
        builders.gpu_pod(), builders.facts(builders.policy(mode="Audit"))
    )


@pytest.mark.parametrize(
    ("labels", "name", "found"),
    [
        (None, "llm-0", {"errored", "variable wanted: error", "condition second: true"}),
        ({"warm": "no"}, "llm-0", {"skipped", "variable wanted", "condition first: false"}),
        ({"warm": "yes"}, "other", {"skipped", "variable wanted", "condition first: true", "condition second: false"}),
        (
            {"warm": "yes"},
            "llm-0",
            {"matched", "variable wanted", "condition first: true", "condition second: true", "env A"},
        ),
    ],
    ids=["error", "false", "second-false", "true"],
)
def test_each_answer_of_a_condition_counts_where_it_was_asked(
    labels: dict[str, str] | None, name: str, found: set[str]
) -> None:
    sent = builders.pod(builders.container(), labels=labels)
    sent["metadata"]["name"] = name
    assert seen(sent, builders.facts(builders.policy(CONDITIONAL, name="p"))) == {f"p: {what}" for what in found}


def test_of_two_policies_each_is_credited_with_its_own() -> None:
    one = builders.policy("  env: [{name: A, value: same}, {name: B, value: b}]", name="one")
    two = builders.policy("  env: [{name: A, value: other}, {name: C, value: c}]", name="two")
    found = seen(builders.pod(builders.container()), builders.facts(one, two))
    assert found == {"one: matched", "one: env A", "one: env B", "two: matched", "two: env C"}


def test_that_a_pod_is_refused_for_an_error_is_owed() -> None:
    strict = builders.facts(builders.policy("  failurePolicy: Fail" + CONDITIONAL, name="p"))
    assert "p: errored" in all_of(strict)
    assert "p: errored" in seen(builders.pod(builders.container()), strict)


def test_counting() -> None:
    facts = builders.facts(builders.policy(CONDITIONAL, name="p"))
    coverage = Coverage()
    coverage.add(facts.policies)
    coverage.add(facts.policies)
    assert len(coverage.declared) == 9
    assert (coverage.percent, len(coverage.missing)) == (0.0, 9)
    coverage.count(list(coverage.declared)[:8])
    assert coverage.percent == 88.8
    assert [each.what for each in coverage.missing] == ["env A"]
    assert coverage.policies == [("policy.yaml", "p", 8, 9)]
    assert [each.line for each in coverage.missing] == [13], "of the field, not of the policy"
    coverage.count(coverage.declared)
    assert coverage.percent == 100
    assert Coverage().percent == 100


def test_every_element_can_be_taken_out_and_is_gone() -> None:
    facts = builders.facts(builders.policy(), builders.policy(CONDITIONAL, name="p"))
    whats = {}
    for element, changed in removals(facts.policies):
        whats[f"{element.policy}: {element.what}"] = changed
        assert changed != facts.policies
        assert len(changed.policies) >= len(facts.policies.policies) - 1
    assert {"p: the policy", "p: condition first", "p: condition second", "p: env A"} <= whats.keys()
    sent = builders.gpu_pod(args=["--model=s3://acme-models/llama/"])
    request = builders.request(sent)
    before = admit(request, facts).pod
    for what in ("images: placement", "model weights", "model weights: placement", "model weights: redirect"):
        after = admit(request, replace(facts, policies=whats[f"llm-serving: {what}"])).pod
        assert after != before, what
    assert any("evil" in text for text in admit(builders.request(builders.gpu_pod("s3://evil/x/")), facts).warnings)
    wider = replace(facts, policies=whats["llm-serving: model weights: allow"])
    assert not any("evil" in text for text in admit(builders.request(builders.gpu_pod("s3://evil/x/")), wider).warnings)
