"""Pods derived from a policy's own expressions: they have what those read, with the values they ask for, and others.

For each optional field there is one that lacks only that. So what an expression does without a field shows, whatever
the way in which it asks for it, or forgets to.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from webhook.cel import Fact, Scalar
from webhook.lint.growth import grown, pruned
from webhook.lint.pod_fields import optional_parts, prefixes
from webhook.lint.readings import Reading

_MOST: Final = 40  # derived of one policy
_FIXED: Final = ("oldObject", "request.operation", "variables", "inventory")
_GROWN: Final = ("object", "request", "namespaceObject")


@dataclass(frozen=True, slots=True)
class Derived:
    """The values of `object`, `request` and `namespaceObject`. `missing` is the path that was taken out, if one was."""

    roots: Mapping[str, Any]
    missing: str = ""


def derived(base: Mapping[str, Any], reads: Sequence[Reading]) -> Iterator[Derived]:
    """Yield the derived of a policy with these expressions. The first is the one that should meet every condition."""
    paths = _paths(reads)
    asked = _asked(reads)
    absent = {fact.path for fact in _required(reads) if fact.relation == "has" and fact.negated}
    whole: Mapping[str, Any] = base
    for path in paths:
        if not any(path == each or path.startswith((f"{each}.", f"{each}[")) for each in absent):
            whole = grown(whole, path)
    meeting = _with(whole, {path: met for path, (met, _) in asked.items()})
    yield Derived(meeting)
    yield Derived(_with(whole, {path: broken for path, (_, broken) in asked.items()}))
    parts = dict.fromkeys(part for path in paths for part in optional_parts(path) if _may_lack(part))
    for part in list(parts)[:_MOST]:
        yield Derived(pruned(meeting, part), part)
    if any(path.startswith("namespaceObject") for path in paths):
        yield Derived({**meeting, "namespaceObject": None}, "namespaceObject")
    for path, (met, broken) in list(asked.items())[:_MOST]:
        yield Derived(_with(meeting, {path: broken}))
        if len(met) > 1 and "[]" not in path:
            yield from (Derived(_with(meeting, {path: [value]})) for value in met[1:4])


def _may_lack(part: str) -> bool:
    return not part.startswith(_FIXED)


def _paths(reads: Iterable[Reading]) -> list[str]:
    found = dict.fromkeys(use.text for each in reads for use in each.structure.paths)
    return [path for path in found if path.startswith(_GROWN) and not path.startswith(_FIXED)]


def _required(reads: Iterable[Reading]) -> Iterator[Fact]:
    for each in reads:
        for group in each.structure.required:
            yield from group


def _asked(reads: Sequence[Reading]) -> dict[str, tuple[list[Scalar], list[Scalar]]]:
    """The values that meet what is said of each path, and those that do not. What must hold goes before the rest."""
    found: dict[str, tuple[list[Scalar], list[Scalar]]] = {}
    facts = [*_required(reads), *(fact for each in reads for fact in each.structure.facts)]
    for fact in facts:
        path = prefixes(fact.path)[-1]
        if not path.startswith(_GROWN) or path.startswith(_FIXED) or path in _GROWN or not fact.values:
            continue
        good, bad = list(_meeting(fact)), [_other(fact.values)]
        if fact.negated:
            good, bad = bad, good
        met, broken = found.setdefault(path, ([], []))
        met.extend(value for value in good if value not in met and value not in broken)
        broken.extend(value for value in bad if value not in broken and value not in met)
    return found


def _meeting(fact: Fact) -> Iterator[Scalar]:
    for value in fact.values:
        if fact.relation == "<" and isinstance(value, int | float):
            yield from (value, value + 1, value - 1)
        elif fact.relation == "startsWith" and isinstance(value, str):
            yield f"{value}x"
        elif fact.relation == "endsWith" and isinstance(value, str):
            yield f"x{value}"
        elif fact.relation == "contains" and isinstance(value, str):
            yield f"x{value}x"
        else:
            yield value


def _other(values: Sequence[Scalar]) -> Scalar:
    value = values[0]
    if isinstance(value, bool):
        return not value
    if isinstance(value, str):
        return f"other-{value}-other" if value else "other"
    return "x" if value is None else max(each for each in values if isinstance(each, int | float)) + 1


def _with(roots: Mapping[str, Any], values: Mapping[str, Sequence[Scalar]]) -> Mapping[str, Any]:
    for path, wanted in values.items():
        if wanted:
            roots = grown(roots, path, wanted)
    return roots
