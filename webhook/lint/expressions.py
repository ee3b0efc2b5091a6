"""Lint of CEL: what only one engine can bound or read, and fields that some pods, or all pods, lack."""

from __future__ import annotations

from collections.abc import Iterator

from webhook.cel import Expression, InvalidExpression, structure
from webhook.lint import pod_fields
from webhook.lint.clash import Finding
from webhook.policy.finding import suggestion
from webhook.policy.model import Policy


def expression_findings(policy: Policy) -> Iterator[Finding]:
    """Look at every expression of a policy."""
    for path, expression in _expressions(policy):
        try:
            read = structure(expression.source)
        except InvalidExpression as error:
            yield (
                "W017",
                path,
                f"only the default CEL engine reads this: {error.message}",
                "fine where that engine runs",
            )
            continue
        loop = read.unbounded or read.grown
        if loop is not None:
            message = f"{loop.text}() loops over a list for each element of another, which only one CEL engine can stop"
            yield "W014", path, message, "loop over what the outer element holds, or over lists written out"
        seen: set[str] = set()
        told: set[str] = set()
        asked = {pod_fields.prefixes(path)[-1] for path in read.tested}
        for use in read.paths:
            if not use.text.startswith("object") or use.text in seen:
                continue
            seen.add(use.text)
            unknown = pod_fields.unknown_field(use.text)
            if unknown is not None:
                name, holder = unknown
                hint = suggestion(name, pod_fields.FIELDS[holder])
                yield "W016", path, f"{use.text}: there is no field {name} in {holder}", hint
                continue
            optional = pod_fields.unasked_part(use.text, asked)
            if optional is not None and optional not in told:
                told.add(optional)
                yield "W015", path, f"{optional} is missing from some pods, where this is an error", _guard(optional)


def _guard(optional: str) -> str:
    if optional == "object.metadata.name":
        return "pods of a ReplicaSet or Job have only generateName yet: ask has(object.metadata.name), or use a label"
    if optional.endswith("]"):
        holder, _, key = optional.rpartition("[")
        return f"ask first: {key.removesuffix(']')} in {holder}"
    return f"ask first: has({optional})"


def _expressions(policy: Policy) -> Iterator[tuple[str, Expression]]:
    for index, variable in enumerate(policy.variables):
        yield f"spec.variables[{index}].expression", variable.expression
    for index, condition in enumerate(policy.conditions):
        yield f"spec.matchConditions[{index}].expression", condition.expression
    for index, model in enumerate(policy.models):
        if model.source.expression is not None:
            yield f"spec.models[{index}].source.expression", model.source.expression
