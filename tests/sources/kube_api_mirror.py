"""What a follower tells, kept as a mirror that complains of anything lost or told twice."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

from webhook.inventory.objects import Resource, Watched
from webhook.sources.kube_api import Changed, KubeApi, Listed, Pace, WatchStats, follow
from webhook.sources.kube_api.decoding import key

FAST = Pace(
    base=0.001,
    cap=0.02,
    retry_after_cap=0.05,
    calm=0.0,
    watch=(1, 1),
    silence=0.2,
    bookmarked_silence=0.3,
    initial=(0.3, 1.0),
    unserved=0.02,
)
"""Short waits, so that many faults fit into a test. A watch that is silent for long is dropped, which does no harm."""

SECONDS = 90.0
"""How long a test waits for what must come: never reached unless it does not come."""


class Mirror:
    """A sink. Raises AssertionError, which ends the follower, for a change that does not fit what was told before."""

    def __init__(self) -> None:
        self.objects: dict[str, Watched] = {}
        self.versions: list[int] = []
        """Of the changes since the last list, in the order in which they came."""
        self.lists = 0
        self.changes = 0

    def __call__(self, told: Listed | Changed) -> None:
        if isinstance(told, Listed):
            self.objects = {key(one): one for one in told.objects}
            assert len(self.objects) == len(told.objects), "a list names nothing twice"
            self.versions = []
            self.lists += 1
            return
        assert self.lists, "a list comes first"
        name = key(told.object)
        assert (name in self.objects) == (told.kind != "ADDED"), f"{told.kind} of {name}"
        version = int(told.object.metadata.resource_version)
        assert not self.versions or version > self.versions[-1], "in order, and none twice"
        self.versions.append(version)
        self.changes += 1
        if told.kind == "DELETED":
            del self.objects[name]
        else:
            self.objects[name] = told.object

    def shown(self) -> dict[str, str]:
        return {name: one.metadata.resource_version for name, one in self.objects.items()}


class Following:
    """A follower that runs, with its mirror and its stats."""

    def __init__(self) -> None:
        self.mirror = Mirror()
        self.stats = WatchStats()
        self.task: asyncio.Task[None] | None = None

    async def until(self, ready: Callable[[], bool]) -> None:
        """Wait for something; raises what ended the follower."""
        async with asyncio.timeout(SECONDS):
            while not ready():
                assert self.task
                if self.task.done():
                    await self.task
                await asyncio.sleep(0.002)


@asynccontextmanager
async def following(
    api: KubeApi, resource: Resource = "nodes", *, optional: bool = False, pace: Pace = FAST
) -> AsyncIterator[Following]:
    one = Following()

    async def run() -> None:
        await follow(api, resource, one.mirror, one.stats, optional=optional, pace=pace)

    one.task = asyncio.create_task(run())
    try:
        yield one
    finally:
        one.task.cancel()
        with suppress(asyncio.CancelledError):
            await one.task
