"""Demands that no pod can meet together: within a condition, between conditions, with the selectors of the policy."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from webhook.cel import Fact, Scalar
from webhook.kube.selector import LabelSelector
from webhook.lint.check import Check, Codes, Finding, Manifests
from webhook.lint.pod_fields import prefixes
from webhook.lint.readings import Reading, readings
from webhook.policy.model import Origin, Policy, PolicySet

CODES: Codes = {
    "W021": ("warning", "a condition that no pod meets"),
    "W022": ("warning", "a selector that no labels meet"),
}


@dataclass(frozen=True, slots=True)
class _Demand:
    """Something that must be so of what is at a path. `where` says who wants it; `reading` None: a selector."""

    fact: Fact
    path: str
    where: str
    reading: Reading | None


def _contradictions(policy_set: PolicySet, _: Manifests) -> Iterator[tuple[Origin, Finding]]:
    for policy in policy_set.policies:
        yield from ((policy.origin, finding) for finding in contradictions(policy))


def contradictions(policy: Policy) -> Iterator[Finding]:
    """Yield the demands of one policy that contradict each other, each at the later of two."""
    shared = [
        *_given(),
        *_of_selector(policy.object_selector, "object.metadata.labels", "objectSelector"),
        *_of_selector(policy.namespace_selector, "namespaceObject.metadata.labels", "namespaceSelector"),
    ]
    for reading in readings(policy):
        if reading.role != "condition":
            continue
        for group in reading.structure.required:
            mine = [_demand(fact, reading) for fact in group]
            of_elements = [each for each in mine if "[]" in each.path]
            yield from _clashing(of_elements, of_elements)
            shared.extend(each for each in mine if "[]" not in each.path)
    yield from _clashing(shared, shared)


def _demand(fact: Fact, reading: Reading) -> _Demand:
    return _Demand(fact, prefixes(fact.path)[-1], f"condition {reading.name}", reading)


def _given() -> Iterator[_Demand]:
    """What holds in every review: Warmpod is asked about new pods only."""
    yield _Demand(Fact("request.operation", "==", ("CREATE",), False, 1, 1), "request.operation", "every review", None)
    yield _Demand(Fact("oldObject", "==", (None,), False, 1, 1), "oldObject", "every review", None)


def _of_selector(selector: LabelSelector | None, labels: str, where: str) -> Iterator[_Demand]:
    if selector is None:
        return
    wanted: list[tuple[str, str, tuple[str, ...]]] = [(key, "In", (value,)) for key, value in selector.equal]
    wanted.extend((key, operator, tuple(sorted(values))) for key, operator, values in selector.expressions)
    for key, operator, values in wanted:
        path = prefixes(f"{labels}[{key!r}]")[-1]
        if operator in ("In", "NotIn"):
            fact = Fact(path, "in", values, operator == "NotIn", 1, 1)
        else:
            fact = Fact(path, "has", (), operator == "DoesNotExist", 1, 1)
        yield _Demand(fact, path, where, None)


def _clashing(demands: Sequence[_Demand], all_demands: Sequence[_Demand]) -> Iterator[Finding]:
    told: set[str] = set()
    for index, later in enumerate(demands):
        if later.path in told:
            continue
        about = [each for each in all_demands[: index + 1] if _related(each.path, later.path)]
        if _possible(about, later.path):
            continue
        told.add(later.path)
        first = next((each for each in about if not _possible([each, later], later.path)), about[0])
        yield _finding(first, later)


def _related(other: str, path: str) -> bool:
    return other == path or path.startswith((f"{other}.", f"{other}[")) or other.startswith((f"{path}.", f"{path}["))


def _possible(demands: Iterable[_Demand], path: str) -> bool:
    """Whether one value at the path, or none, can meet all of these."""
    demands = list(demands)
    absent = [each.path for each in demands if each.fact.relation == "has" and each.fact.negated]
    # Of what is absent nothing can be asked, nor of what lies below it, other than not to be so.
    if any(_below(each.path, gone) and not each.fact.negated for gone in absent for each in demands):
        return False
    mine = [each.fact for each in demands if each.path == path]
    equal = [fact for fact in mine if fact.relation in ("==", "in") and not fact.negated]
    if not equal:
        return True
    return any(all(_holds(fact, value) for fact in mine) for value in equal[0].values)


def _below(path: str, holder: str) -> bool:
    return path == holder or path.startswith((f"{holder}.", f"{holder}["))


def _holds(fact: Fact, value: Scalar) -> bool:
    """Whether the fact may hold of the value: what is not known here may."""
    if fact.relation in ("==", "in"):
        return any(value == each and isinstance(value, bool) == isinstance(each, bool) for each in fact.values) != (
            fact.negated
        )
    wanted = fact.values[0] if fact.values else None
    if not isinstance(value, str) or not isinstance(wanted, str):
        return True
    match fact.relation:
        case "startsWith":
            return value.startswith(wanted) != fact.negated
        case "endsWith":
            return value.endswith(wanted) != fact.negated
        case "contains":
            return (wanted in value) != fact.negated
        case _:
            return True


def _finding(first: _Demand, later: _Demand) -> Finding:
    said = f"{later.path} {_words(first.fact)} in {first.where} and {_words(later.fact)} in {later.where}"
    if first.where == later.where:
        said = f"{later.path} {_words(first.fact)} and {_words(later.fact)} at once"
    if later.reading is None:
        path = f"spec.match.{later.where}"
        return Finding("W022", path, f"no labels meet this: {said}", "take one of the two away")
    at = (later.fact.line, later.fact.column)
    hint = "join the two by || if either will do, or take one away"
    if first.where == "every review":
        said, hint = f"{later.path} {_words(first.fact)} in {first.where}", "Warmpod is asked about new pods only"
    return later.reading.finding("W021", f"no pod meets this: {said}", hint, at)


def _words(fact: Fact) -> str:
    values = " or ".join("null" if each is None else f'"{each}"' for each in fact.values)
    match fact.relation:
        case "has":
            return "is absent" if fact.negated else "is there"
        case "==" | "in":
            return f"is not {values}" if fact.negated else f"is {values}"
        case "<":
            return f"is compared with {values}"
        case _:
            verb = {"startsWith": "begins with", "endsWith": "ends with", "contains": "contains"}[fact.relation]
            return f"does not: {verb} {values}" if fact.negated else f"{verb} {values}"


CHECKS: tuple[Check, ...] = (_contradictions,)
