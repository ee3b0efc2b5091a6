"""What a pod must be like for policies to match it, as far as selectors and conditions say it with literals.

What is found contradictory here is so for every pod; that nothing is found proves nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple

from webhook.cel import Fact, InvalidExpression, Scalar, anatomy
from webhook.kube.selector import LabelSelector
from webhook.lint.pod_fields import prefixes
from webhook.policy.model import Policy

_FRESH = "warmpod-example"
_NEGATED = re.compile(r"!\s*([A-Za-z0-9_.]*)(\(.*\))", re.DOTALL)  # `!(...)`, `!has(...)`, `!a.exists(...)`
_QUOTED = re.compile(r"""\[['"](.*)['"]\]""")


class Demands(NamedTuple):
    """`groups` of facts hold of one pod, or of one element of its lists, wherever all these policies match."""

    object_selectors: tuple[LabelSelector, ...]
    namespace_selectors: tuple[LabelSelector, ...]
    groups: tuple[tuple[Fact, ...], ...]
    texts: tuple[str, ...]

    @property
    def contradict(self) -> bool:
        """Whether no pod at all meets these demands."""
        facts = [fact for group in self.groups for fact in group if "[]" not in fact.path]
        return (
            choice(self.object_selectors, required_labels(facts, "object.metadata.labels")) is None
            or choice(self.namespace_selectors, required_labels(facts, "namespaceObject.metadata.labels")) is None
            or _facts_contradict(facts)
            or any(_opposite(a, b) for a in self.texts for b in self.texts)
        )


def demands(policies: Sequence[Policy]) -> Demands:
    """Gather what these policies ask of a pod that all of them match."""
    return together([_own(policy) for policy in policies])


def together(several: Sequence[Demands]) -> Demands:
    """The demands of a pod that meets all of these."""
    return Demands(*(tuple(part for each in parts for part in each) for parts in zip(*several, strict=True)))


def _own(policy: Policy) -> Demands:
    texts = tuple(each.expression.source for each in policy.conditions)
    objects = () if policy.object_selector is None else (policy.object_selector,)
    namespaces = () if policy.namespace_selector is None else (policy.namespace_selector,)
    return Demands(objects, namespaces, tuple(group for text in texts for group in _required(text)), texts)


def _required(text: str) -> tuple[tuple[Fact, ...], ...]:
    try:
        return anatomy(text).required
    except InvalidExpression:
        return ()


def required_labels(facts: Iterable[Fact], holder: str) -> dict[str, set[str]]:
    """The values that labels must be among, by key, as far as conditions compare them with literals."""
    found: dict[str, set[str]] = {}
    for fact in facts:
        parts = prefixes(fact.path)
        if len(parts) == 4 and parts[2] == holder and fact.relation in {"==", "in"} and not fact.negated:
            values = {value for value in fact.values if isinstance(value, str)}
            key = step_of(parts[3][len(holder) :])
            found[key] = found[key] & values if key in found else values
    return found


def step_of(step: str) -> str:
    """The name in one step of a path: `.a` and `['a']` are both `a`."""
    quoted = _QUOTED.fullmatch(step)
    return quoted[1] if quoted else step.removeprefix(".")


def choice(selectors: Sequence[LabelSelector], wanted: Mapping[str, set[str]] | None = None) -> dict[str, str] | None:
    """Return labels that all these selectors pick, and whose values are among those wanted; None if there are none.

    A requirement speaks of one key, and tells only values it names from all others; so each key is tried with every
    value named, with one that nobody names, and without.
    """
    wanted = wanted or {}
    if not selectors and not wanted:
        return {}
    keys = {key for selector in selectors for key, _ in selector.equal} | wanted.keys()
    keys |= {key for selector in selectors for key, _, _ in selector.expressions}
    chosen: dict[str, str] = {}
    for key in sorted(keys):
        named = {value for selector in selectors for label, value in selector.equal if label == key}
        for selector in selectors:
            named |= {value for label, _, values in selector.expressions if label == key for value in values}
        candidates = [None, *sorted(named | wanted.get(key, set())), _FRESH]
        about = [_only(selector, key) for selector in selectors]
        for value in candidates:
            labels = {} if value is None else {key: value}
            if all(each.matches(labels) for each in about) and (key not in wanted or value in wanted[key]):
                chosen |= labels
                break
        else:
            return None
    return chosen


def _only(selector: LabelSelector, key: str) -> LabelSelector:
    """The part of a selector that is about one key."""
    return LabelSelector(
        tuple(each for each in selector.equal if each[0] == key),
        tuple(each for each in selector.expressions if each[0] == key),
    )


def _facts_contradict(facts: Sequence[Fact]) -> bool:
    by_path: dict[tuple[str, ...], list[Fact]] = {}
    for fact in facts:
        by_path.setdefault(_normal(fact.path), []).append(fact)
    return any(_no_value(about) for about in by_path.values()) or any(
        fact.relation == "has" and fact.negated and any(path[: len(absent)] == absent for path in _present(by_path))
        for absent, about in by_path.items()
        for fact in about
    )


@lru_cache(maxsize=4096)
def _normal(path: str) -> tuple[str, ...]:
    parts = prefixes(path)
    return (parts[0], *(step_of(b[len(a) :]) for a, b in pairwise(parts)))


def _present(by_path: Mapping[tuple[str, ...], Sequence[Fact]]) -> list[tuple[str, ...]]:
    """The paths that must be there."""
    return [path for path, about in by_path.items() if any(not fact.negated for fact in about)]


def _no_value(about: Sequence[Fact]) -> bool:
    """Whether facts about one path leave it no value."""
    candidates: set[Scalar] | None = None
    for fact in about:
        if fact.relation in {"==", "in"} and not fact.negated:
            values = set(fact.values)
            candidates = values if candidates is None else candidates & values
    if candidates is not None:
        return not any(all(holds(fact, value) for fact in about) for value in candidates)
    begins = [str(fact.values[0]) for fact in about if fact.relation == "startsWith" and not fact.negated]
    return any(not (a.startswith(b) or b.startswith(a)) for a in begins for b in begins)


def holds(fact: Fact, value: Scalar) -> bool:
    """Whether the fact may hold of this value; true where that cannot be told."""
    if fact.relation in {"==", "in"}:
        return (value in fact.values) != fact.negated
    if fact.relation in {"startsWith", "endsWith", "contains"} and isinstance(value, str):
        text = str(fact.values[0])
        test = {"startsWith": value.startswith(text), "endsWith": value.endswith(text), "contains": text in value}
        return test[fact.relation] != fact.negated
    return True


def _opposite(a: str, b: str) -> bool:
    """Whether one text says that something is false which the other says: `!(x)`, or `!x || !y` beside `x && y`."""
    denied = _denied(b)
    return bool(denied) and denied <= _said(a)


@lru_cache(maxsize=4096)
def _said(text: str) -> frozenset[str]:
    """What is true wherever the text is; nothing where that takes more than a look at its `&&`."""
    if "?" in text or len(_split(text, "||")) > 1:
        return frozenset()
    return frozenset(_plain(each) for each in _split(text, "&&"))


@lru_cache(maxsize=4096)
def _denied(text: str) -> frozenset[str]:
    """What is not all true wherever the text is; nothing where that takes more than a look at its `||`."""
    found = [_NEGATED.fullmatch(_plain(each)) for each in _split(text, "||")] if "?" not in text else [None]
    denied = [_plain(each[1] + each[2]) for each in found if each is not None and _encloses(each[2])]
    return frozenset(denied) if len(denied) == len(found) else frozenset()


def _split(text: str, operator: str) -> list[str]:
    """The parts of a text between operators that stand in no bracket and no string."""
    parts, depth, quote, begin, index = [], 0, "", 0, 0
    while index < len(text):
        character = text[index]
        if quote:
            index += character == "\\"
            quote = "" if character == quote else quote
        elif character in "'\"":
            quote = character
        elif character in "([{":
            depth += 1
        elif character in ")]}":
            depth -= 1
        elif depth == 0 and text.startswith(operator, index):
            parts.append(text[begin:index])
            index += len(operator) - 1
            begin = index + 1
        index += 1
    return [*parts, text[begin:]]


def _plain(text: str) -> str:
    """A text without spaces around operators and without brackets around all of it."""
    text = text.strip()
    while text.startswith("(") and text.endswith(")") and _encloses(text):
        text = text[1:-1].strip()
    return text


def _encloses(text: str) -> bool:
    """Whether the first bracket closes with the last one."""
    depth = 0
    for index, character in enumerate(text):
        depth += (character == "(") - (character == ")")
        if depth == 0:
            return index == len(text) - 1
    return False
