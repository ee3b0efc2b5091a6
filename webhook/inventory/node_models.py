"""Which models a node holds, by what the hydrators on it reported.

A report speaks for the namespace of its pod. What it says of everyone's models (tenant "") counts for that namespace
alone, unless the namespace is one that may fill caches of the whole cluster: then it counts for everyone. Reports may
come in any order and more than once; the result is that of the latest statement on each model.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from webhook.inventory.report import Report, name

MOST_FACTS = 256
"""Models of one tenant remembered on one node; beyond that those last spoken of longest ago are forgotten."""

MOST_CACHES = 16
"""Caches of one tenant on one node of which it is remembered when they were told of as a whole."""

NEVER = float("-inf")

Key = tuple[str, str]
"""Tenant and source, or the part of a source (`webhook.inventory.report.name`)."""


class Scope(NamedTuple):
    """Whose pods may use a model, and as whose it was reported: the tenant itself, or "" (everyone's)."""

    tenant: str
    stated: str


class Place(NamedTuple):
    """A model in one of a node's caches, which is empty where a report does not say which."""

    source: str
    cache: str


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
        self._facts: dict[Scope, dict[Place, Fact]] = {}
        self._checked: dict[Key, tuple[float, str]] = {}
        # When each cache was last told of as a whole.
        self._whole: dict[Scope, dict[str, float]] = {}
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
            self._facts[scope] = {place: fact for place, fact in facts.items() if fact.time > until}
            if not self._facts[scope]:
                del self._facts[scope]
        self._checked = {key: seen for key, seen in self._checked.items() if seen[0] > until}
        self._whole = {
            scope: {cache: time for cache, time in caches.items() if time > until}
            for scope, caches in self._whole.items()
        }

    def absorb(self, report: Report, namespace: str, time: float, *, for_all: bool) -> int:
        """Take in the report that a pod of `namespace` made at `time`, in unix seconds.

        `for_all`: whether that namespace may speak of everyone's models. Returns how many of its statements are not
        believed since they are about other tenants.
        """
        if time <= self._since:
            return 0
        self.latest = max(self.latest, time)
        scopes = {namespace: Scope(namespace, namespace), "": Scope("" if for_all else namespace, "")}
        held: set[tuple[Scope, Place]] = set()
        spoken: set[Scope] = set()
        refused = 0
        for model in report.models:
            scope = scopes.get(model.tenant)
            if scope is None:
                refused += 1
                continue
            spoken.add(scope)
            place = Place(name(model), report.cache_of(model))
            held.add((scope, place))
            self._state(scope, place, Fact(time, gone=False, version=model.version, bytes=model.bytes))
            if model.checked:
                key, seen = (scope.tenant, place.source), (time, model.version)
                self._checked[key] = max(seen, self._checked.get(key, seen))
        for evicted in report.evicted:
            scope = scopes.get(evicted.tenant)
            if scope is None:
                refused += 1
                continue
            spoken.add(scope)
            place = Place(name(evicted), report.cache_of(evicted))
            if (scope, place) not in held:  # what a report both evicted and holds was fetched again
                self._state(scope, place, Fact(time, gone=True, version="", bytes=0))
        for scope in spoken:
            if report.omitted == 0:
                caches = self._whole.setdefault(scope, {})
                caches.update({cache: max(time, caches.get(cache, NEVER)) for cache in report.spoken_of})
            self._bound(scope)
        return refused

    def keys(self) -> set[Key]:
        """Everything that reports speak of."""
        return {(scope.tenant, place.source) for scope, facts in self._facts.items() for place in facts}

    def checked(self, key: Key) -> tuple[float, str] | None:
        """When the model was last compared with its source on this node, and the version that was found."""
        return self._checked.get(key)

    def held(self) -> Iterator[Held]:
        """The models on the node, of whatever version. One may come often: from two caches, as everyone's, too."""
        for scope, facts in self._facts.items():
            whole = self._whole.get(scope, _NONE)
            for place, fact in facts.items():
                if not fact.gone and fact.time >= whole.get(place.cache, NEVER):
                    yield Held(scope.tenant, place.source, fact.version, fact.bytes)

    def is_gone(self, key: Key, since: float) -> bool:
        """Whether reports made at `since` or later say that the node does not hold a model that no report names.

        One that evicted it says so, and all caches together do that are known, when each was told of as a whole.
        """
        tenant, source = key
        known: dict[str, float] = {}
        for scope in {Scope(tenant, tenant), Scope(tenant, "")}:
            for place, fact in self._facts.get(scope, {}).items():
                if place.source == source and fact.gone and fact.time >= since:
                    return True
                known.setdefault(place.cache, NEVER)
            for cache, time in self._whole.get(scope, _NONE).items():
                known[cache] = max(time, known.get(cache, NEVER))
        return bool(known) and min(known.values()) >= since

    def _state(self, scope: Scope, place: Place, fact: Fact) -> None:
        facts = self._facts.setdefault(scope, {})
        facts[place] = max(fact, facts.get(place, fact))

    def _bound(self, scope: Scope) -> None:
        facts = self._facts[scope]
        if len(facts) > MOST_FACTS:
            for place in sorted(facts, key=lambda place: (facts[place].time, place))[: len(facts) - MOST_FACTS]:
                del facts[place]
                self._checked.pop((scope.tenant, place.source), None)
        whole = self._whole.get(scope, {})
        if len(whole) > MOST_CACHES:
            for cache in sorted(whole, key=lambda cache: (whole[cache], cache))[: len(whole) - MOST_CACHES]:
                del whole[cache]


_NONE: Mapping[str, float] = {}
