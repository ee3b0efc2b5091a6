"""Why the API server did not ask Warmpod about a pod, by documents as it has them."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import yaml

from tests import builders
from webhook.cli import reach, shipped
from webhook.doctor.evidence import Absent, Barred, Failed, Look, Seen
from webhook.inventory.report import seconds
from webhook.kube import Object
from webhook.kube.review import for_pod

CREATED = seconds("2026-11-22T10:00:00Z")
SHIPPED: Object = yaml.safe_load((shipped.manifests() / "base" / "mutatingwebhookconfiguration.yaml").read_text())
PLAIN = builders.pod()
ASKED = builders.gpu_pod()


NEVER = {"name": "never", "expression": "1 == 2"}
THEIRS = {"name": "theirs", "expression": "authorizer.group('')"}
FAILS = {"name": "fails", "expression": "object.nope.x == 1"}


def registration(created: str = "2026-11-22T09:00:00Z", **hook: Any) -> Look[Object]:
    """As shipped, with these fields of both webhooks."""
    made = copy.deepcopy(SHIPPED)
    made["metadata"]["creationTimestamp"] = created
    for one in made["webhooks"]:
        one.update(hook)
    return Seen(made)


def why(pod: Object, found: Look[Object], labels: dict[str, str] | None = None, namespace: str = "prod") -> str:
    space = {"kubernetes.io/metadata.name": namespace, **(labels or {})}
    return reach.unreached(for_pod(pod, namespace=namespace), space, found, CREATED)


@pytest.mark.parametrize(
    ("pod", "found", "labels", "expected"),
    [
        (ASKED, registration(), {}, ""),
        (ASKED, registration(), {"warmpod.dev/mode": "Audit"}, ""),
        (ASKED, registration(), {"warmpod.dev/mode": "Off"}, "namespace prod, which is labelled warmpod.dev/mode=Off"),
        (PLAIN, registration(), {}, "does not pick it: its matchCondition asks-for"),
        (PLAIN, registration(), {"warmpod.dev/mode": "Audit"}, "does not pick it: its matchCondition asks-for"),
        (ASKED, Absent(), {}, "there is no registration"),
        (ASKED, Seen({"webhooks": []}), {}, "has no webhook of Warmpod left"),
        (ASKED, Seen({"webhooks": [{"name": "istio.io"}]}), {}, "has no webhook of Warmpod left"),
        (ASKED, Barred("get it"), {}, ""),
        (ASKED, Failed("no answer"), {}, ""),
        (ASKED, registration("2026-11-22T11:00:00Z"), {}, "before the registration, which is of 2026-11-22T11:"),
        (ASKED, registration(objectSelector={"matchLabels": {"warm": "yes"}}), {}, "its objectSelector leaves out"),
        (ASKED, registration(rules=[]), {}, "its rules do not name the creation of pods"),
        (ASKED, registration(matchConditions=[NEVER]), {}, "its matchCondition never is false"),
        (ASKED, registration(matchConditions=[THEIRS]), {}, ""),
        (ASKED, registration(matchConditions=[FAILS]), {}, "its matchCondition fails has no answer for it: "),
        (ASKED, registration(matchConditions=[FAILS], failurePolicy="Fail"), {}, ""),
        (ASKED, registration(matchConditions=[FAILS, NEVER]), {}, "its matchCondition never is false"),
    ],
    ids=[
        "picked",
        "picked-in-audit",
        "off",
        "no-accelerator",
        "no-accelerator-in-audit",
        "missing",
        "emptied",
        "of-others",
        "barred",
        "failed",
        "older",
        "object-selector",
        "rules",
        "condition",
        "unknown-to-us",
        "fails",
        "fails-closed",
        "fails-and-is-false",
    ],
)
def test_why_nobody_asked(pod: Object, found: Look[Object], labels: dict[str, str], expected: str) -> None:
    told = why(pod, found, labels)
    assert expected in told
    assert bool(told) is bool(expected)


def test_the_path_says_how_far_policies_go() -> None:
    request = for_pod(ASKED, namespace="prod")
    name = {"kubernetes.io/metadata.name": "prod"}
    assert reach.mode_of(request, name, registration()) == "Enforce"
    assert reach.mode_of(request, {**name, "warmpod.dev/mode": "Audit"}, registration()) == "Audit"
    assert reach.mode_of(for_pod(PLAIN, namespace="prod"), name, registration()) == ""
    assert reach.mode_of(request, name, Absent()) == ""


def available(status: str, since: str) -> Look[Object]:
    condition = {"type": "Available", "status": status, "lastTransitionTime": since, "message": "too few"}
    return Seen({"status": {"conditions": [condition]}})


@pytest.mark.parametrize(
    ("deployment", "written", "ready", "expected"),
    [
        (available("True", "2026-11-22T09:00:00Z"), "2026-11-22T09:00:00Z", (True,), []),
        (available("False", "2026-11-22T09:00:00Z"), "", (), ["the webhook is not available: too few"]),
        (available("True", "2026-11-22T10:05:00Z"), "", (), ["the webhook has been available since 2026-"]),
        (Absent(), "2026-11-22T10:05:00Z", (), ["the registration was written at 2026-11-22T10:05:00Z"]),
        (Absent(), "", (False, False), ["no replica of the webhook says that it is ready"]),
        (Absent(), "", (False, True), []),
        (Barred("get it"), "soon", (), []),
    ],
    ids=["none", "unavailable", "later", "rewritten", "unready", "one-ready", "barred"],
)
def test_what_speaks_against_an_answer(
    deployment: Look[Object], written: str, ready: tuple[bool, ...], expected: list[str]
) -> None:
    found = registration()
    assert isinstance(found, Seen)
    found.value["metadata"]["managedFields"] = [{"time": written}, {}]
    told = list(reach.doubts(found, deployment, ready, CREATED))
    assert len(told) == len(expected)
    assert all(one.startswith(start) for one, start in zip(told, expected, strict=True))
