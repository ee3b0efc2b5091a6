"""Follow one resource: a complete list, then every change, over whatever faults lie between.

The rules, as in client-go's reflector: a watch that ends or breaks off is resumed from the last version seen; one that
cannot be (410, an ERROR event, garbage in the same place twice, versions that run backwards) is replaced by a new list.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable
from typing import Literal, NamedTuple, NoReturn

from webhook.inventory.objects import Resource, Watched
from webhook.sources.kube_api import listing
from webhook.sources.kube_api.backoff import Backoff, Pace
from webhook.sources.kube_api.connection import KubeApi
from webhook.sources.kube_api.decoding import Event, key
from webhook.sources.kube_api.failure import ApiFailure, ErrorEvent
from webhook.sources.kube_api.listing import Listing
from webhook.sources.kube_api.stats import WatchStats
from webhook.sources.kube_api.watch import NoInitialEvents, Watch

PAGED_SECONDS = 3600.0
"""How long an API server that does not know streaming lists is asked for pages, before it is tried again."""

INITIAL_ATTEMPTS = 3
"""Streaming lists that broke off one after the other; then pages are asked for."""

STEADY_SECONDS = 5.0
"""A watch that lived so long was good, whether it brought anything or not."""

_KINDS = {"ADDED", "MODIFIED", "DELETED", "BOOKMARK"}
_UNSERVED = {"missing", "forbidden"}
_FRUITLESS = {"expired", "rewound", "refused"}
"""What resuming from the same version would meet with again."""


class Listed(NamedTuple):
    """All objects of a resource. What is not among them is gone."""

    resource: Resource
    objects: list[Watched]


class Changed(NamedTuple):
    """One object came, changed or went; in the order of the API server's versions, each once."""

    resource: Resource
    kind: Literal["ADDED", "MODIFIED", "DELETED"]
    object: Watched


Sink = Callable[[Listed | Changed], None]


async def follow(
    api: KubeApi, resource: Resource, sink: Sink, stats: WatchStats, *, optional: bool = False, pace: Pace | None = None
) -> NoReturn:
    """Hand `sink` a `Listed`, then `Changed` after `Changed`, and a new `Listed` where changes may have been missed.

    Runs until it is cancelled; what the sink raises ends it, too. An `optional` resource that is not served, or not
    allowed, is looked for again every few minutes; when it goes away, an empty `Listed` says so.
    """
    follower = _Follower(api, resource, sink, stats, pace or Pace())
    while True:
        try:
            await follower.attempt()
        except ApiFailure as failure:
            absent = optional and failure.kind in _UNSERVED
            wait = follower.unserved() if absent else follower.failed(failure)
        else:
            wait = follower.ended()
        await asyncio.sleep(wait)


class _Follower:
    """Where a follower stands. `attempt` runs over one connection at a time; the others say how long to wait after."""

    def __init__(self, api: KubeApi, resource: Resource, sink: Sink, stats: WatchStats, pace: Pace) -> None:
        self._api = api
        self._resource: Resource = resource
        self._sink = sink
        self._stats = stats
        self._pace = pace
        self._version = ""  # where to resume; empty: a list is needed
        self._garbled: str | None = None  # the version after which garbage came
        self._opened: float | None = None  # when the watch of this attempt began
        self._backoff = Backoff(pace)
        self._lists = Backoff(pace)
        self._listed_at = float("-inf")
        self._paged_until = float("-inf")
        self._broken_initials = 0

    async def attempt(self) -> None:
        """List if need be, then watch to the orderly end. Raises `ApiFailure`."""
        self._opened = None
        if not self._version and time.monotonic() < self._paged_until:
            await self._list()
        try:
            await self._watch()
        except NoInitialEvents:
            self._paged_until = time.monotonic() + PAGED_SECONDS
            self._opened = None
            await self._list()
            await self._watch()

    def ended(self) -> float:
        """After an orderly end: seconds to wait."""
        self._stats.restarts["ended"] += 1
        return self._wait(None)

    def failed(self, failure: ApiFailure) -> float:
        """After a failure: seconds to wait. Decides whether to resume or to list anew."""
        reason: str = failure.kind
        if self._opened is not None:
            reason = {"unreachable": "dropped", "timeout": "silent"}.get(reason, reason)
            if not self._version:
                self._broken_initials += 1
                if self._broken_initials >= INITIAL_ATTEMPTS:
                    self._paged_until = time.monotonic() + PAGED_SECONDS
        self._stats.restarts[reason] += 1
        if self._opened is None or failure.kind == "garbage":
            self._stats.problem = str(failure)
        garbled_again = failure.kind == "garbage" and self._garbled == self._version
        self._garbled = self._version if failure.kind == "garbage" else self._garbled
        if garbled_again or failure.kind in _FRUITLESS or isinstance(failure, ErrorEvent):
            self._version = ""
        return self._wait(failure.retry_after)

    def unserved(self) -> float:
        """After an answer that an optional resource is not served: seconds to wait."""
        self._stats.restarts["unserved"] += 1
        self._stats.problem = None
        self._version = ""
        if self._stats.synced:
            self._stats.last_sync = None
            self._stats.unreadable.clear()
            self._sink(Listed(self._resource, []))
        return self._pace.unserved * random.uniform(0.8, 1.2)  # noqa: S311 - no secret

    def _wait(self, retry_after: float | None) -> float:
        now = time.monotonic()
        if self._opened is not None and now - self._opened >= STEADY_SECONDS:
            self._backoff.reset()
        wait = self._backoff.next(retry_after)
        if self._version or not self._stats.synced:
            return wait
        # Lists are dear to the API server: one after the other, they come ever more slowly.
        if now - self._listed_at >= self._pace.calm:
            self._lists.reset()
        return max(wait, self._lists.next())

    async def _list(self) -> None:
        found = await listing.read(self._api.transport, self._resource, self._pace)
        self._stats.problem = None
        self._replace(found)

    async def _watch(self) -> None:
        watch = Watch(self._resource, self._version, self._pace)
        try:
            await watch.open(self._api.transport)
            self._opened = time.monotonic()
            self._stats.problem = None
            while True:
                lines = await watch.lines()
                self._stats.last_event = time.time()
                for line in lines:
                    self._take(watch, watch.event(line))
        except EOFError:
            return
        finally:
            watch.close()

    def _take(self, watch: Watch, event: Event) -> None:
        self._stats.events[event.kind if event.kind in _KINDS else "OTHER"] += 1
        if watch.initial is not None:
            found = watch.initial.take(event)
            if found:
                watch.initial = None
                self._replace(found)
        elif event.kind in _KINDS:
            self._in_order(event)

    def _in_order(self, event: Event) -> None:
        step = _distance(self._version, event.version)
        if step is not None and step < 0:
            raise ApiFailure(
                f"watch {self._resource}",
                "rewound",
                f"version {event.version} came after {self._version}; was etcd restored from a backup?",
            )
        if event.object is not None:
            if step == 0:
                self._stats.events["DUPLICATE"] += 1
            else:
                self._change(event, event.object)
        if step == 0 or not event.version:
            return  # a bookmark where we stand is no progress
        self._version = event.version
        self._backoff.reset()

    def _change(self, event: Event, found: Watched) -> None:
        name = key(found)
        hidden = self._stats.unreadable.pop(name, None) is not None
        kind = event.kind
        if event.unreadable and kind != "DELETED":
            self._stats.events["UNREADABLE"] += 1
            self._stats.unreadable[name] = event.unreadable
            # To the sink it is gone: that is what a list would tell it, too.
            if hidden or kind == "ADDED":
                return
            kind = "DELETED"
        elif hidden:
            if kind == "DELETED":
                return
            kind = "ADDED"
        match kind:
            case "ADDED" | "MODIFIED" | "DELETED":
                self._sink(Changed(self._resource, kind, found))

    def _replace(self, found: Listing) -> None:
        self._stats.unreadable.clear()
        self._stats.unreadable.update(found.unreadable)
        self._sink(Listed(self._resource, found.objects))
        self._version = found.version
        self._listed_at = time.monotonic()
        self._broken_initials = 0
        self._stats.lists += 1
        self._stats.last_sync = self._stats.last_event = time.time()


def _distance(before: str, after: str) -> int | None:
    """How far one version lies after another; None when they are not the decimal numbers that they have always been."""
    if all(version.isascii() and version.isdigit() and len(version) <= 40 for version in (before, after)):
        return int(after) - int(before)
    return None
