"""The verdict and the first finding of broken installations; of a healthy one, that nothing is said."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.doctor.broken import BROKEN, WORKS, Case, pointed_at_url
from tests.doctor.installation import (
    PODS,
    certificates,
    deployment,
    edited,
    healthy,
    registration,
    replica,
    reply,
    serial,
)
from webhook.doctor.diagnosis import diagnose
from webhook.doctor.evidence import Probe, Seen
from webhook.doctor.finding import State
from webhook.kube import Object


@pytest.mark.parametrize("case", BROKEN.values(), ids=BROKEN.keys())
def test_a_broken_installation_is_told_by_its_cause(case: Case) -> None:
    found = diagnose(case.evidence)
    assert found.text.startswith(case.verdict)
    first = found.findings[0]
    assert (first.name, first.state) == (case.finding, case.state)
    assert case.text in f"{first.text} {first.advice}"
    assert case.advice in first.advice
    assert found.works is case.works


def test_a_healthy_installation_is_told_to_be_so() -> None:
    found = diagnose(healthy())
    assert found.text == WORKS
    assert found.works
    assert [str(one) for one in found.findings if one.state is not State.OK] == []
    assert {one.name for one in found.findings} >= {"probe", "trust", "rights", "snapshot", "policies", "versions"}


def test_audit_is_told_to_change_nothing() -> None:
    found = registration()
    found["webhooks"][0]["clientConfig"]["service"]["path"] = "/mutate/audit"
    evidence = replace(healthy(), registration=Seen(found), probe=Seen(Probe(201, "", reply(mode="Audit"))))
    assert diagnose(evidence).text == "Warmpod works: pods are reviewed in Audit, so none is changed"


def test_a_namespace_that_lowers_the_mode_is_named_beside_the_others() -> None:
    evidence = replace(healthy(), probe=Seen(Probe(201, "", reply(mode="Audit"))))
    assert diagnose(evidence).text == f"{WORKS}, those of namespace default in Audit"


def test_a_rejected_probe_still_proves_the_way() -> None:
    evidence = replace(healthy(), probe=Seen(Probe(403, "exceeded quota: gpus", reply())))
    found = diagnose(evidence)
    assert found.text == WORKS
    assert any(one.state is State.NOTE and "exceeded quota" in one.text for one in found.findings)


@pytest.mark.parametrize(
    ("part", "text"),
    [("next_authority", "being published"), ("old_authority", "old authority is still trusted")],
)
def test_a_rotation_under_way_is_no_trouble(part: str, text: str) -> None:
    found = diagnose(replace(healthy(), certificates=Seen(certificates(**{part: True}))))
    assert found.text == WORKS
    assert [one.text for one in found.findings if one.name == "rotation" and text in one.text]


def test_replicas_that_do_not_serve_the_new_leaf_yet_are_a_note_while_the_old_authority_is_trusted() -> None:
    evidence = replace(
        healthy(),
        certificates=Seen(certificates(old_authority=True)),
        replicas=Seen([replica(PODS[0]), replica(PODS[1], certificate={"serial": "abc"})]),
    )
    found = diagnose(evidence)
    assert found.text == WORKS
    assert serial() != "abc"
    assert any("warmpod-b does not serve the new certificate yet" in one.text for one in found.findings)


def test_a_rollout_explains_different_versions() -> None:
    rolling = edited(deployment(), "status", "updatedReplicas", value=1)
    evidence = replace(
        healthy(), deployment=Seen(rolling), replicas=Seen([replica(PODS[0]), replica(PODS[1], version="1.3.0")])
    )
    found = diagnose(evidence)
    assert found.text == WORKS
    assert {one.state for one in found.findings if one.name == "versions"} == {State.NOTE}


def test_webhooks_of_others_that_reject_pods_are_named() -> None:
    rules = [{"apiGroups": ["*"], "apiVersions": ["*"], "resources": ["*"], "operations": ["*"]}]
    other: Object = {"webhooks": [{"name": "check.example.com", "failurePolicy": "Fail", "rules": rules}]}
    found = diagnose(replace(healthy(), validating=Seen([other])))
    texts = [one.text for one in found.findings if one.name == "other-webhooks"]
    assert len(texts) == 1
    assert "fail: check.example.com; of Warmpod's own pods, too: check.example.com" in texts[0]
    assert found.text == WORKS


def test_an_url_is_said_to_be_one_and_needs_no_endpoints() -> None:
    evidence = replace(
        healthy(),
        registration=Seen(pointed_at_url()),
        certificates=Seen(certificates(names=("127.0.0.1",))),
        slices=Seen([]),
    )
    found = diagnose(evidence)
    assert found.text == WORKS
    assert any("URL https://127.0.0.1:8443/mutate" in one.text for one in found.findings)
