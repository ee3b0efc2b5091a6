"""One pod under two decisions: two versions of the policies, or what was recorded and what would be decided now."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Literal

from webhook.admission.changes import Changes, changes
from webhook.admission.decision import Decision, PolicyVerdict
from webhook.kube import Object, names
from webhook.kube import pod as pods
from webhook.kube.patch import equal
from webhook.policy.model import Mode

_MOST_NAMED = 5  # variables in one line
_ANNOTATIONS = "/metadata/annotations"
_SIGNATURE = f"{_ANNOTATIONS}/{names.ANNOTATION_DECISION.replace('/', '~1')}"

Kind = Literal["denied", "admitted", "gained", "lost", "changed", "mode", "verdict"]

KINDS: tuple[Kind, ...] = ("denied", "admitted", "lost", "changed", "gained", "mode", "verdict")
"""Gravest first: denied now; no longer denied; no longer changed; changed in another way; changed for the first time;
the same change but from Audit to Enforce or back; the same pod, and other words about it."""


@dataclass(frozen=True, slots=True)
class Pod:
    """Which pod it is. `source` says where it was found, for people: `FILE:LINE`, or the record."""

    source: str
    kind: str
    namespace: str
    name: str


@dataclass(frozen=True, slots=True)
class Difference:
    """A pod that two decisions see differently. `lines` say how, one sentence each, never with values of the pod."""

    pod: Pod
    sent: Object
    before: Decision
    after: Decision
    kind: Kind
    lines: tuple[str, ...]

    @property
    def seconds(self) -> float:
        """Seconds that the second decision saves more, Audit counted as if enforced; to 1/1024 s.

        Sums of such numbers are exact, so that it does not matter how many processes summed up their parts.
        """
        return round((_seconds(self.after) - _seconds(self.before)) * 1024) / 1024


@dataclass(slots=True)
class Group:
    """Differences of one kind that are told in the same words, as those of a workload's pods are.

    `namespaces` counts them by namespace; `first` is one of them.
    """

    first: Difference
    count: int = 0
    seconds: float = 0.0
    namespaces: Counter[str] = field(default_factory=Counter)


@dataclass(slots=True)
class Groups:
    """Differences, put together as they come."""

    _known: dict[tuple[Kind, tuple[str, ...]], Group] = field(default_factory=dict)

    def add(self, each: Difference) -> None:
        """Put one to those that read the same."""
        self._join(Group(each, 1, each.seconds, Counter({each.pod.namespace: 1})))

    def merge(self, later: Groups) -> None:
        """Put all of the others to these."""
        for group in later.ranked:
            self._join(group)

    @property
    def ranked(self) -> list[Group]:
        """Gravest kinds first, then the largest groups."""
        return sorted(self._known.values(), key=_rank)

    def _join(self, group: Group) -> None:
        first = group.first
        known = self._known.setdefault((first.kind, first.lines), Group(first))
        known.count += group.count
        known.seconds += group.seconds
        known.namespaces.update(group.namespaces)


def _rank(group: Group) -> tuple[int, int, str, str]:
    pod = group.first.pod
    return KINDS.index(group.first.kind), -group.count, pod.namespace, pod.name


def difference(pod: Pod, sent: Object, before: Decision, after: Decision) -> Difference | None:
    """How the second decision differs from the first; None where both do and say the same."""
    kind = _kind(before, after)
    lines = tuple(_lines(sent, before, after))
    if kind is None and not lines:
        return None
    return Difference(pod, sent, before, after, kind or "verdict", lines)


def grouped(differences: Iterable[Difference]) -> list[Group]:
    """Differences that read the same, together: gravest kinds first, then the largest groups."""
    groups = Groups()
    for each in differences:
        groups.add(each)
    return groups.ranked


def _seconds(decision: Decision) -> float:
    return decision.would_seconds_saved if decision.would_patch else decision.seconds_saved


def _would(decision: Decision) -> list[Object]:
    """The patch with Audit counted as if enforced."""
    return decision.would_patch or decision.patch


def _kind(before: Decision, after: Decision) -> Kind | None:
    if before.allowed != after.allowed:
        return "admitted" if after.allowed else "denied"
    if equal(before.patch, after.patch) and equal(before.would_patch, after.would_patch):
        return None
    old, new = _unsigned(_would(before)), _unsigned(_would(after))
    if equal(old, new):
        return "mode" if bool(before.patch) != bool(after.patch) else None
    if not old:
        return "gained"
    return "changed" if new else "lost"


def _unsigned(operations: list[Object]) -> list[Object]:
    """Without the annotation that names policies and inventory: the pod runs the same whoever changed it."""
    return [unsigned for operation in operations if (unsigned := _without_signature(operation)) is not None]


def _without_signature(operation: Object) -> Object | None:
    path, value = operation.get("path"), operation.get("value")
    if path == _SIGNATURE:
        return None
    if path == _ANNOTATIONS and isinstance(value, dict) and names.ANNOTATION_DECISION in value:
        kept = {key: text for key, text in value.items() if key != names.ANNOTATION_DECISION}
        return {**operation, "value": kept} if kept else None
    return operation


def _lines(sent: Object, before: Decision, after: Decision) -> Iterator[str]:
    if before.allowed != after.allowed:
        yield f"denied: {after.message}" if before.allowed else f"no longer denied: {before.message}"
    yield from _verdicts(before.policies, after.policies)
    parts = [*_parts(changes(sent, before.would_pod), changes(sent, after.would_pod))]
    if values := _values(before.would_pod, after.would_pod):
        parts.append(values)
    if not parts and not equal(_unsigned(_would(before)), _unsigned(_would(after))):
        parts.append("the same parts with other values")
    yield from parts
    saved = _seconds(after) - _seconds(before)
    if abs(saved) >= 1:
        yield f"saves {abs(saved):.0f} s {'more' if saved > 0 else 'less'}"
    for violation in sorted(set(after.violations) - set(before.violations)):
        yield f"breaks a law: {violation}"


def _verdicts(before: Iterable[PolicyVerdict], after: Iterable[PolicyVerdict]) -> Iterator[str]:
    old, new = ({verdict.name: verdict for verdict in verdicts} for verdicts in (before, after))
    for name in sorted(old.keys() | new.keys()):
        was, now = old.get(name), new.get(name)
        if _is_idle(was) and _is_idle(now):
            continue
        if _standing(was) != _standing(now):
            reason = f": {now.reason}" if now is not None and now.result != "matched" else ""
            yield f"policy {name}: {_standing(was)} -> {_standing(now)}{reason}"
        elif was is not None and now is not None and len(was.conflicts) != len(now.conflicts):
            yield f"policy {name}: {len(was.conflicts)} -> {len(now.conflicts)} conflicts"


def _is_idle(verdict: PolicyVerdict | None) -> bool:
    """Whether the policy has nothing to do with the pod, for whatever reason."""
    return verdict is None or verdict.mode is Mode.OFF or verdict.result == "skipped"


def _standing(verdict: PolicyVerdict | None) -> str:
    if verdict is None:
        return "absent"
    if verdict.mode is Mode.OFF:
        return "off"
    return f"{verdict.result} ({verdict.mode})" if verdict.result == "matched" else verdict.result


def _parts(before: Changes, after: Changes) -> Iterator[str]:
    told = False
    for old, new in zip(before.clauses, after.clauses, strict=True):
        if old != new:
            told = True
            yield f"{old} -> {new}" if old and new else new or f"no longer {old}"
    if not told and before != after:
        yield "the same for other containers, or more variables"


def _values(before: Object | None, after: Object | None) -> str:
    """The variables that both pods have with different values, by name."""
    old, new = _variables(before), _variables(after)
    differing = dict.fromkeys(name for (_, name), value in new.items() if old.get((_, name), value) != value)
    shown = list(differing)[:_MOST_NAMED]
    more = f" and {len(differing) - len(shown)} more" if len(differing) > len(shown) else ""
    return f"another value of {', '.join(shown)}{more}" if shown else ""


def _variables(pod: Object | None) -> dict[tuple[str, str], str]:
    return {
        (str(container.get("name")), str(entry.get("name"))): json.dumps(entry, sort_keys=True)
        for _, _, container in pods.every_container(pod or {})
        for entry in pods.objects(container.get("env"))
    }
