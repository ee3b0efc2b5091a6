"""Which models a node holds, by what the hydrators on it reported.

A report speaks for the namespace of its pod. What it says of everyone's models (tenant "") counts for that namespace
alone, unless the namespace is one that may fill caches of the whole cluster: then it counts for everyone. Reports may
come in any order and more than once; the result is that of the latest statement on each model.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from webhook.inventory.report import Report

MOST_FACTS = 256
"""Models of one tenant remembered on one node; beyond that those last spoken of longest ago are forgotten."""

NEVER = float("-inf")

Key = tuple[str, str]
"""Tenant and source."""


class Scope(NamedTuple):
    """Whose pods may use a model, and as whose it was reported: the tenant itself, or "" (everyone's)."""

    tenant: str
    stated: str


class Fact(NamedTuple):
    """The latest statement on a model, comparable: of two of the same time the greater one stands.

    `time` is when the report was made, in unix seconds.
    """

    time: float
    gone: bool
    version: str
    bytes: int


class Held(NamedTuple):
    """A model on the node."""

    tenant: str
    source: str
    version: str
    bytes: int


class NodeModels:
    """What was reported of one node since it booted."""

    __slots__ = ("_checked", "_facts", "_since", "_whole", "latest")

    def __init__(self) -> None:
        self._facts: dict[Scope, dict[str, Fact]] = {}
        self._checked: dict[Key, tuple[float, str]] = {}
        self._whole: dict[Scope, float] = {}
        self._since = NEVER
        self.latest = NEVER
        """The time of the latest report that is believed."""

    def forget(self, now: float) -> None:
        """Forget every report, and believe none of them when it is seen again. `now` in unix seconds."""
        # Not beyond now: a clock that once ran ahead must not silence the reports to come.
        self._since = max(self._since, min(self.latest, now))
        self.latest = NEVER
        self._facts.clear()
        self._checked.clear()
        self._whole.clear()

    def distrust(self, until: float) -> None:
        """Believe no report that was made until then, whether or not it was seen by now."""
        self._since = max(self._since, until)
        for scope, facts in list(self._facts.items()):
            self._facts[scope] = {source: fact for source, fact in facts.items() if fact.time > until}
            if not self._facts[scope]:
                del self._facts[scope]
        self._checked = {key: seen for key, seen in self._checked.items() if seen[0] > until}
        self._whole = {scope: time for scope, time in self._whole.items() if time > until}

    def absorb(self, report: Report, namespace: str, time: float, *, for_all: bool) -> int:
        """Take in the report that a pod of `namespace` made at `time`, in unix seconds.

        `for_all`: whether that namespace may speak of everyone's models. Returns how many of its statements are not
        believed since they are about other tenants.
        """
        if time <= self._since:
            return 0
        self.latest = max(self.latest, time)
        scopes = {namespace: Scope(namespace, namespace), "": Scope("" if for_all else namespace, "")}
        is_any_checked = any(model.checked for model in report.models)
        held: set[tuple[Scope, str]] = set()
        spoken: set[Scope] = set()
        refused = 0
        for model in report.models:
            scope = scopes.get(model.tenant)
            if scope is None:
                refused += 1
                continue
            spoken.add(scope)
            source = _slashed(model.source)
            held.add((scope, source))
            self._state(scope, source, Fact(time, gone=False, version=model.version, bytes=model.bytes))
            if model.checked or (not is_any_checked and report.result != "error"):
                key, seen = (scope.tenant, source), (time, model.version)
                self._checked[key] = max(seen, self._checked.get(key, seen))
        for evicted in report.evicted:
            scope = scopes.get(evicted.tenant)
            if scope is None:
                refused += 1
                continue
            spoken.add(scope)
            source = _slashed(evicted.source)
            if (scope, source) not in held:  # what a report both evicted and holds was fetched again
                self._state(scope, source, Fact(time, gone=True, version="", bytes=0))
        for scope in spoken:
            if report.omitted == 0:
                self._whole[scope] = max(time, self._whole.get(scope, NEVER))
            self._bound(scope)
        return refused

    def keys(self) -> set[Key]:
        """Everything that reports speak of."""
        return {(scope.tenant, source) for scope, facts in self._facts.items() for source in facts}

    def checked(self, key: Key) -> tuple[float, str] | None:
        """When the model was last compared with its source on this node, and the version that was found."""
        return self._checked.get(key)

    def held(self) -> Iterator[Held]:
        """The models on the node, of whatever version. One may come twice, as its tenant's own and as everyone's."""
        for scope, facts in self._facts.items():
            whole = self._whole.get(scope, NEVER)
            for source, fact in facts.items():
                if not fact.gone and fact.time >= whole:
                    yield Held(scope.tenant, source, fact.version, fact.bytes)

    def is_held(self, key: Key) -> bool:
        """Whether the node is known to hold the model, of whatever version."""
        tenant, source = key
        for scope in {Scope(tenant, tenant), Scope(tenant, "")}:
            fact = self._facts.get(scope, {}).get(source)
            if fact is not None and not fact.gone and fact.time >= self._whole.get(scope, NEVER):
                return True
        return False

    def is_gone(self, key: Key, since: float) -> bool:
        """Whether a report made at `since` or later says that the node does not hold the model."""
        tenant, source = key
        for scope in {Scope(tenant, tenant), Scope(tenant, "")}:
            fact = self._facts.get(scope, {}).get(source)
            if fact is not None and fact.gone and fact.time >= since:
                return True
            if self._whole.get(scope, NEVER) >= since:
                return True
        return False

    def _state(self, scope: Scope, source: str, fact: Fact) -> None:
        facts = self._facts.setdefault(scope, {})
        facts[source] = max(fact, facts.get(source, fact))

    def _bound(self, scope: Scope) -> None:
        facts = self._facts[scope]
        if len(facts) > MOST_FACTS:
            for source in sorted(facts, key=lambda source: (facts[source].time, source))[: len(facts) - MOST_FACTS]:
                del facts[source]
                self._checked.pop((scope.tenant, source), None)


def _slashed(source: str) -> str:
    """A source in its one spelling, a slash at its end."""
    return source.rstrip("/") + "/"
