"""The expressions of a policy, each with where it stands, what it is for, and what it reads by its own structure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from webhook.cel import Expression, Structure, anatomy
from webhook.lint.check import Finding
from webhook.policy.model import Policy

Role = Literal["variable", "condition", "source"]


@dataclass(frozen=True, slots=True)
class Reading:
    """One expression. `name` is that of the variable, condition or model."""

    path: str
    role: Role
    name: str
    expression: Expression
    structure: Structure

    def finding(self, code: str, message: str, hint: str = "", at: tuple[int, int] = (1, 1)) -> Finding:
        """Return a finding at a line and column of the expression."""
        return Finding(code, self.path, message, hint, within=at)


def readings(policy: Policy) -> Iterator[Reading]:
    """Yield every expression of a policy: variables, conditions, sources of models."""
    for index, variable in enumerate(policy.variables):
        yield _reading(f"spec.variables[{index}].expression", "variable", variable.name, variable.expression)
    for index, condition in enumerate(policy.conditions):
        yield _reading(f"spec.matchConditions[{index}].expression", "condition", condition.name, condition.expression)
    for index, model in enumerate(policy.models):
        if model.source.expression is not None:
            yield _reading(f"spec.models[{index}].source.expression", "source", model.name, model.source.expression)


def _reading(path: str, role: Role, name: str, expression: Expression) -> Reading:
    return Reading(path, role, name, expression, anatomy(expression.source))
