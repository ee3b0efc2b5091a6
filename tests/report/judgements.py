"""Judgements to count."""

from __future__ import annotations

from typing import Any

from webhook.admission.decision import PolicyVerdict, Result
from webhook.kube.owner import Owner
from webhook.policy.model import Mode
from webhook.report.judgement import Effect, Judgement


def verdict(name: str = "p", mode: Mode = Mode.ENFORCE, result: Result = "matched", **fields: Any) -> PolicyVerdict:
    """What a policy said."""
    return PolicyVerdict(name, mode, result, fields.pop("reason", "a reason"), **fields)


def audited(name: str = "p", **fields: Any) -> PolicyVerdict:
    """A policy in Audit that was for the pod."""
    return verdict(name, Mode.AUDIT, **fields)


def effect(seconds: float = 60.0, *parts: str, operations: int = 1) -> Effect:
    """A change that saves so many seconds; by default one of placement."""
    return Effect(parts or ("placement",), operations, seconds, "prefers warm nodes")


def judged(*verdicts: PolicyVerdict, namespace: str = "serving", name: str = "llama", **fields: Any) -> Judgement:
    """A judgement of pods of a Deployment."""
    return Judgement(namespace, Owner("Deployment", name), verdicts=verdicts, **fields)
