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
        self._since = float("-inf")
        self.latest = float("-inf")
        """The time of the latest report, ever."""

    def forget(self, since: float = float("-inf")) -> set[Key]:
        """Believe no report that was made until now, or until `since`, any more; the models that this concerns."""
        touched = {*self._checked, *((held.tenant, held.source) for held in self.held())}
        self._since = max(self._since, self.latest, since)
        self._facts.clear()
        self._checked.clear()
        self._whole.clear()
        return touched

    def absorb(self, report: Report, namespace: str, time: float, *, for_all: bool) -> tuple[set[Key], int]:
        """Take in the report that a pod of `namespace` made at `time`, in unix seconds.

        `for_all`: whether that namespace may speak of everyone's models. Returns the tenants and sources that the
        report speaks of, and how many of its statements are not believed since they are about other tenants.
        """
        if time <= self._since:
            return set(), 0
        self.latest = max(self.latest, time)
        own = Scope(namespace, namespace)
        scopes = {namespace: own, "": Scope("", "") if for_all else Scope(namespace, "")}
        checked = any(model.checked for model in report.models)
        touched: set[Key] = set()
        spoken: set[Scope] = set()
        refused = 0
        for statement in (*report.evicted, *report.models):
            if statement.tenant not in scopes:
                refused += 1
                continue
            spoken.add(scopes[statement.tenant])
        # What a report both evicted and holds was fetched again.
        holds = {(model.tenant, _slashed(model.source)) for model in report.models}
        for evicted in report.evicted:
            source = _slashed(evicted.source)
            if evicted.tenant in scopes and (evicted.tenant, source) not in holds:
                touched.add(self._state(scopes[evicted.tenant], source, Fact(time, gone=True, version="", bytes=0)))
        for model in report.models:
            if model.tenant not in scopes:
                continue
            scope, source = scopes[model.tenant], _slashed(model.source)
            key = self._state(scope, source, Fact(time, gone=False, version=model.version, bytes=model.bytes))
            touched.add(key)
            if model.checked or (not checked and report.result != "error"):
                seen = (time, model.version)
                self._checked[key] = max(seen, self._checked.get(key, seen))
        if report.omitted == 0:
            for scope in spoken:
                if time > self._whole.get(scope, float("-inf")):
                    self._whole[scope] = time
                    touched.update((scope.tenant, source) for source in self._facts.get(scope, ()))
        for scope in spoken:
            touched |= self._bound(scope)
        return touched, refused

    def checked(self, key: Key) -> tuple[float, str] | None:
        """When the model was last compared with its source on this node, and the version that was found."""
        return self._checked.get(key)

    def held(self) -> Iterator[Held]:
        """The models on the node, of whatever version. One may come twice, as its tenant's own and as everyone's."""
        for scope, facts in self._facts.items():
            whole = self._whole.get(scope, float("-inf"))
            for source, fact in facts.items():
                if not fact.gone and fact.time >= whole:
                    yield Held(scope.tenant, source, fact.version, fact.bytes)

    def is_held(self, key: Key) -> bool:
        """Whether the node is known to hold the model, of whatever version."""
        tenant, source = key
        for scope in {Scope(tenant, tenant), Scope(tenant, "")}:
            fact = self._facts.get(scope, {}).get(source)
            if fact is not None and not fact.gone and fact.time >= self._whole.get(scope, float("-inf")):
                return True
        return False

    def is_gone(self, key: Key, since: float) -> bool:
        """Whether a report made at `since` or later says that the node does not hold the model."""
        tenant, source = key
        for scope in {Scope(tenant, tenant), Scope(tenant, "")}:
            fact = self._facts.get(scope, {}).get(source)
            if fact is not None and fact.gone and fact.time >= since:
                return True
            if self._whole.get(scope, float("-inf")) >= since:
                return True
        return False

    def _state(self, scope: Scope, source: str, fact: Fact) -> Key:
        facts = self._facts.setdefault(scope, {})
        facts[source] = max(fact, facts.get(source, fact))
        return (scope.tenant, source)

    def _bound(self, scope: Scope) -> set[Key]:
        facts = self._facts.get(scope)
        if facts is None or len(facts) <= MOST_FACTS:
            return set()
        oldest = sorted(facts, key=lambda source: (facts[source].time, source))[: len(facts) - MOST_FACTS]
        for source in oldest:
            del facts[source]
            self._checked.pop((scope.tenant, source), None)
        return {(scope.tenant, source) for source in oldest}


def _slashed(source: str) -> str:
    """A source in its one spelling, a slash at its end."""
    return source.rstrip("/") + "/"
