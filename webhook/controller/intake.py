"""From the watches into the inventory, and what the controller may claim to know because of them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping

from webhook.daemon.logs import LOGGER
from webhook.inventory.cluster import Cluster
from webhook.inventory.objects import Resource
from webhook.inventory.versions import minor
from webhook.sources.kube_api import ApiFailure, KubeApi
from webhook.sources.kube_api.backoff import Backoff, Pace
from webhook.sources.kube_api.follow import Changed, Listed, follow
from webhook.sources.kube_api.stats import WatchStats

REQUIRED: tuple[Resource, ...] = ("nodes", "pods", "namespaces")
OPTIONAL: tuple[Resource, ...] = ("persistentvolumes", "resourceslices", "resourceclaims", "resourceclaimtemplates")
"""Volumes may be forbidden to us; the others are served by clusters with dynamic resource allocation only."""

SILENT_SECONDS = 100.0
"""An API server that sends bookmarks does so about once a minute; after so long without a word it may have hung."""

_AGAIN_SECONDS = 5.0
_VERSION_SECONDS = 300.0
"""Between two looks at the API server's version: an upgrade takes longer. After a failure it is less."""
_UNREADABLE_SECONDS = 10.0
_UNREADABLE_SHOWN = 5


class Intake:
    """Follows every resource and folds what comes into the cluster's facts, on the event loop."""

    def __init__(self, api: KubeApi, cluster: Cluster) -> None:
        self._api = api
        self._cluster = cluster
        self.stats: Mapping[Resource, WatchStats] = {resource: WatchStats() for resource in (*REQUIRED, *OPTIONAL)}
        self._known_at: float | None = None
        self._known = float("-inf")
        self._defects: dict[Resource, str] = {}
        self._heard: dict[Resource, tuple[float | None, float]] = {}  # the last word's time, and when we noticed
        self.version = ""
        """The API server's minor version (`1.36`), as it was last told."""
        self.version_problem: str | None = None

    def __call__(self, change: Listed | Changed) -> None:
        """Fold one change."""
        at = time.time()
        if isinstance(change, Listed):
            self._cluster.replace(change.resource, change.objects, at)
            self._defects.pop(change.resource, None)
            LOGGER.info("listed", extra={"fields": {"resource": change.resource, "objects": len(change.objects)}})
        elif change.kind == "DELETED":
            self._cluster.remove(change.resource, change.object, at)
        else:
            self._cluster.put(change.resource, change.object, at)

    def known_at(self) -> float | None:
        """The unix time at which all required watches were last in sync: now, unless one is broken; None before."""
        self._look()
        return self._known_at

    def unknown_for(self) -> float:
        """Seconds since all required watches were last in sync: 0 while they are, infinite before they were."""
        self._look()
        return time.monotonic() - self._known

    def _look(self) -> None:
        if self._cluster.synced and not any(self.problem(resource) for resource in REQUIRED):
            self._known_at, self._known = time.time(), time.monotonic()

    def problem(self, resource: Resource) -> str | None:
        """Why a resource is not followed at present; None when it is."""
        stats = self.stats[resource]
        now = time.monotonic()
        heard, since = self._heard.get(resource, (None, now))
        if heard != stats.last_event or resource not in self._heard:
            self._heard[resource] = (stats.last_event, since := now)
        if problem := self._defects.get(resource) or stats.problem:
            return problem
        if stats.synced and stats.events["BOOKMARK"] and now - since > SILENT_SECONDS:
            return f"the API server has not said a word for {now - since:.0f} s; does it hang?"
        return None

    async def run(self) -> None:
        """Follow everything, for ever."""
        async with asyncio.TaskGroup() as group:
            for resource in self.stats:
                group.create_task(self._follow(resource))
            group.create_task(self._tell())
            group.create_task(self._ask_version())

    async def _ask_version(self) -> None:
        """Keep the API server's version; nobody waits for it, and whoever needs it does without while it is unknown."""
        backoff = Backoff(Pace())
        while True:
            wait, problem = _VERSION_SECONDS, None
            try:
                self.version = minor(await self._api.version())
                self._cluster.serve(self.version)
                backoff.reset()
            except ApiFailure as failure:  # what was known before stays: API servers are seldom set back
                problem, wait = _of_version(failure), backoff.next(failure.retry_after)
            except Exception as error:  # noqa: BLE001  whatever it is, the resources are followed on
                problem = f"a defect in Warmpod: {type(error).__name__}; see the log"
                LOGGER.exception("asking the version failed")
            if problem and problem != self.version_problem:
                LOGGER.warning("version not known", extra={"fields": {"error": problem}})
            self.version_problem = problem
            await asyncio.sleep(wait)

    async def _tell(self) -> None:
        """Name what cannot be read in the log, some of it; `/readyz` and `/metrics` only count."""
        told: dict[Resource, frozenset[str]] = {}
        while True:
            for resource, stats in self.stats.items():
                found = frozenset(stats.unreadable)
                if news := sorted(found - told.get(resource, frozenset())):
                    shown = {name: stats.unreadable[name] for name in news[:_UNREADABLE_SHOWN]}
                    fields = {"resource": resource, "objects": len(found), "some": shown}
                    LOGGER.warning("objects not read", extra={"fields": fields})
                told[resource] = found
            await asyncio.sleep(_UNREADABLE_SECONDS)

    async def _follow(self, resource: Resource) -> None:
        """Follow one resource; a defect of ours is told of, and it starts over with a full list."""
        while True:
            try:
                await follow(self._api, resource, self, self.stats[resource], optional=resource in OPTIONAL)
            except Exception as error:  # noqa: BLE001  whatever it is, the other resources are followed on
                self._defects[resource] = f"a defect in Warmpod: {type(error).__name__}; see the log"
                LOGGER.exception("following failed", extra={"fields": {"resource": resource}, "throttled": True})
            await asyncio.sleep(_AGAIN_SECONDS)


def _of_version(failure: ApiFailure) -> str:
    """Our own roles say nothing of `/version`, so that to apply them would not help."""
    if failure.kind == "forbidden":
        return (
            f"cannot {failure.what}: {failure.text}; Kubernetes' own ClusterRole system:public-info-viewer lets "
            "everyone read it: is its binding gone?"
        )
    return str(failure)
