"""Lint of CEL by its structure: fields that are not there, values that a field cannot have, loops without bound.

What an expression answers is asked of pods, in `webhook.lint.answers`.
"""

from __future__ import annotations

from collections.abc import Iterator

from webhook.cel import Fact, Scalar
from webhook.lint import pod_fields
from webhook.lint.check import Check, Codes, Finding, Manifests
from webhook.lint.readings import Reading, readings
from webhook.policy.finding import suggestion
from webhook.policy.model import Origin, PolicySet

CODES: Codes = {
    "W014": ("error", "CEL with a loop that only one engine can stop"),
    "W016": ("warning", "CEL that reads a field no Pod has"),
    "W017": ("warning", "CEL that only the default engine reads"),
    "W024": ("warning", "CEL that compares a field with what it cannot be"),
    "W028": ("warning", "CEL that reads oldObject, which is null"),
}

# Fields of Deployments, StatefulSets and Jobs.
_OF_WORKLOADS = frozenset(
    ("replicas", "template", "selector", "strategy", "updateStrategy", "serviceName", "parallelism", "completions")
)
_KINDS = {"string": (str,), "integer": (int, float), "number": (int, float), "boolean": (bool,)}
_ARTICLES = {"string": "a text", "integer": "a number", "number": "a number", "boolean": "true or false"}


def _expressions(policy_set: PolicySet, _: Manifests) -> Iterator[tuple[Origin, Finding]]:
    for policy in policy_set.policies:
        for reading in readings(policy):
            yield from ((policy.origin, finding) for finding in structure_findings(reading))


def structure_findings(reading: Reading) -> Iterator[Finding]:
    """Yield what the structure of one expression tells."""
    read = reading.structure
    if read.foreign is not None:
        message = f"only the default CEL engine reads this: {read.foreign.text}"
        at = (read.foreign.line, read.foreign.column)
        yield reading.finding("W017", message, "fine where cel-expr-python is installed", at)
    loop = read.unbounded or read.grown
    if loop is not None:
        message = f"{loop.text}() loops over a list for each element of another, which only one CEL engine can stop"
        hint = "loop over what the outer element holds, or over lists written out"
        yield reading.finding("W014", message, hint, (loop.line, loop.column))
    yield from _fields(reading)
    for fact in read.facts:
        yield from _impossible(reading, fact)


def _fields(reading: Reading) -> Iterator[Finding]:
    told: set[str] = set()
    for use in reading.structure.paths:
        at = (use.line, use.column)
        if use.text.startswith(("oldObject.", "oldObject[")) and "oldObject" not in told:
            told.add("oldObject")
            hint = "read object: Warmpod is asked about new pods only"
            yield reading.finding("W028", "oldObject is null in every review", hint, at)
        unknown = pod_fields.unknown_field(use.text)
        if unknown is None or f"{unknown.holder}.{unknown.name}" in told:
            continue
        told.add(f"{unknown.holder}.{unknown.name}")
        yield reading.finding("W016", unknown.reason, _meant(unknown), at)


def _meant(unknown: pod_fields.Unknown) -> str:
    if unknown.holder == "object.spec" and unknown.name in _OF_WORKLOADS:
        return "this is of the workload: Warmpod is asked about its pods"
    hint = suggestion(unknown.name, unknown.known)
    return hint if hint.startswith("did you mean") or len(unknown.known) <= 12 else ""


def _impossible(reading: Reading, fact: Fact) -> Iterator[Finding]:
    """A comparison with a value of another type, or with a word that the API does not know for the field."""
    kind = pod_fields.type_of(fact.path)
    allowed = _KINDS.get(kind)
    if allowed is None or fact.relation == "has":
        return
    at = (fact.line, fact.column)
    words = pod_fields.words_of(fact.path)
    for value in fact.values:
        # A field may be compared with null: it is what `optional` values come to.
        if value is not None and (not isinstance(value, allowed) or (isinstance(value, bool) and kind != "boolean")):
            message = f"{fact.path} is {_ARTICLES[kind]}, and is compared with {_shown(value)}"
            yield reading.finding("W024", message, _converted(kind, value), at)
        elif words and isinstance(value, str) and value not in words and fact.relation in ("==", "in"):
            message = f"{fact.path} is never {_shown(value)}"
            yield reading.finding("W024", message, suggestion(value, words), at)


def _shown(value: Scalar) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case str():
            return f'the text "{value}"'
        case None:
            return "null"
        case _:
            return f"the number {value}"


def _converted(kind: str, value: Scalar) -> str:
    if kind == "string" and not isinstance(value, str):
        return f"write '{str(value).lower()}', or take int() of the field"
    if isinstance(value, str) and value.lstrip("-").isdigit() and kind != "boolean":
        return f"write {value} without quotes"
    if isinstance(value, str) and value in ("true", "false"):
        return f"write {value} without quotes"
    return ""


CHECKS: tuple[Check, ...] = (_expressions,)
