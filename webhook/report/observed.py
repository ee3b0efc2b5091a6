"""Policies whose expressions tell what they answered: the same decisions, and a list of who said what on the way."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal

from webhook.cel import Activation, Expression, FailedEvaluation, Reads
from webhook.policy.model import Policy, PolicySet

Kind = Literal["condition", "variable", "source"]
Told = Literal["true", "false", "error", "value"]
Listener = Callable[[str, Kind, str, Told], None]
"""Hears the policy, what kind of expression it was, its name and its answer."""


@dataclass(frozen=True, slots=True)
class _Observed:
    """An expression that reports its answers. To every reader of `Expression` it is the one it stands for."""

    inner: Expression
    tell: Callable[[Told], None]

    @property
    def source(self) -> str:
        return self.inner.source

    @property
    def references(self) -> frozenset[str]:
        return self.inner.references

    @property
    def reads(self) -> Reads:
        return self.inner.reads

    def test(self, activation: Activation) -> bool:
        try:
            answer = self.inner.test(activation)
        except FailedEvaluation:
            self.tell("error")
            raise
        self.tell("true" if answer else "false")
        return answer

    def value(self, activation: Activation) -> Any:
        try:
            answer = self.inner.value(activation)
        except FailedEvaluation:
            self.tell("error")
            raise
        self.tell("value")
        return answer


def observed(policies: PolicySet, listener: Listener) -> PolicySet:
    """The same policies, overheard. Conditions are asked one by one, as they are written."""
    return replace(policies, policies=tuple(_overheard(policy, listener) for policy in policies.policies))


def _overheard(policy: Policy, listener: Listener) -> Policy:
    def heard(kind: Kind, name: str, expression: Expression) -> Expression:
        return _Observed(expression, lambda told: listener(policy.name, kind, name, told))

    return replace(
        policy,
        all_conditions=None,
        conditions=tuple(
            replace(each, expression=heard("condition", each.name, each.expression)) for each in policy.conditions
        ),
        variables=tuple(
            replace(each, expression=heard("variable", each.name, each.expression)) for each in policy.variables
        ),
        models=tuple(
            replace(
                model, source=replace(model.source, expression=heard("source", model.name, model.source.expression))
            )
            if model.source.expression is not None
            else model
            for model in policy.models
        ),
    )
