"""Which one of several controllers writes to the cluster: a Lease that its holder renews.

Written here, and not taken from `kubernetes.aio.leaderelection` (37.0), because that one

* counts by the wall clock: after a backward jump its renewal deadline lies as far ahead as the jump is wide, so a
  leader that cannot reach the API leads on beside its successor, and a follower waits for as long;
* lets every error but ApiException (a dropped connection, a timeout) end the election, and waits five minutes for an
  answer, which is past any deadline;
* writes local time marked as UTC, never counts `leaseTransitions`, and cannot release.

The rules are client-go's (k8s.io/client-go/tools/leaderelection): a lease counts as abandoned when nobody saw it change
for its duration, by the observer's own clock; its times are for people. The clock here is CLOCK_BOOTTIME, which no
administrator sets and which goes on while a machine sleeps. A leader stops writing 10 s (`Timing.renew`) after the
beginning of its last renewal that was answered, at the latest; nobody else takes the lease before 15 s after it. So two
lead at once only when a person deletes or empties a lease that is held, until its holder looks next: 2 s
(`Timing.retry`) and the time of one call, at most 5 s.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol

from webhook.controller.lease import Found, Lease, LeaseConflict, LeaseMissing
from webhook.daemon.logs import LOGGER
from webhook.sources.kube_api.failure import ApiFailure

_AGAIN_SECONDS = 0.2  # after somebody else wrote the lease between our look and our write


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds. `renew` < `lease`; the difference is what a write in flight has to end in."""

    lease: float = 15.0
    renew: float = 10.0
    retry: float = 2.0
    look: float = 1.0
    """Between two looks of one who waits: how soon a released lease is taken."""
    call: float = 5.0
    """Of one call, to the whole answer."""


class LeaseStore(Protocol):
    """Where the lease is kept. Every method raises ApiFailure when there is no answer to rely on."""

    async def read(self) -> Found:
        """The lease; LeaseMissing."""
        ...

    async def create(self, lease: Lease) -> None:
        """Make the lease; LeaseConflict when it is there."""
        ...

    async def replace(self, found: Found, lease: Lease) -> None:
        """Write over what was found; LeaseConflict when it changed since or is gone."""
        ...


def boot_clock() -> float:
    """Seconds since the machine started, sleep included."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class Election:
    """One candidate. `leading` is for asking right before every write; `problem` says why the lease is out of reach."""

    def __init__(
        self,
        store: LeaseStore,
        identity: str,
        timing: Timing | None = None,
        clock: Callable[[], float] = boot_clock,
    ) -> None:
        self._store = store
        self.identity = identity
        self._timing = timing or Timing()
        self._clock = clock
        self._until = float("-inf")
        self._observed: Lease | None = None
        self._observed_at = float("-inf")
        self.holder = ""
        self.problem: str | None = None
        self.terms = 0

    @property
    def leading(self) -> bool:
        """Whether this one may write now."""
        return self._clock() < self._until

    async def run(self, lead: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Wait for the lease, then run `lead()` while it is held, again and again, until one returns by itself.

        `lead` is cancelled, and its end awaited, when the lease is lost; so it is when this is cancelled, and then the
        lease is released. What it raises is raised here, after the release.
        """
        while True:
            await self._acquire()
            self.terms += 1
            LOGGER.info("leading", extra={"fields": {"identity": self.identity}})
            work = asyncio.ensure_future(lead())
            keeping = asyncio.ensure_future(self._keep())
            try:
                await asyncio.wait({work, keeping}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                finished, lost = work.done(), keeping.done()
                await _end(keeping)
                if lost:
                    self._until = float("-inf")
                await _end(work)
                if not lost:
                    await self._release()
            if not keeping.cancelled() and (defect := keeping.exception()):
                raise defect
            if finished:
                return work.result()
            LOGGER.warning("no longer leading", extra={"fields": {"holder": self.holder, "error": self.problem}})

    async def _acquire(self) -> None:
        while True:
            pause = self._timing.look
            try:
                async with asyncio.timeout(self._timing.call):
                    if await self._attempt():
                        return
            except (ApiFailure, TimeoutError) as error:
                pause = self._trouble(error)
            await asyncio.sleep(pause)

    async def _keep(self) -> None:
        """Renew until the deadline passed, or another one has the lease."""
        pause = self._timing.retry
        while (left := self._until - self._clock()) > 0:
            await asyncio.sleep(min(pause, left))
            pause = self._timing.retry
            try:
                async with asyncio.timeout(min(self._timing.call, max(0.0, self._until - self._clock()))):
                    if not await self._attempt():
                        pause = _AGAIN_SECONDS
            except (ApiFailure, TimeoutError) as error:
                pause = min(self._trouble(error), self._timing.renew / 4)

    async def _attempt(self) -> bool:
        """One look and one write; whether the lease is ours by it."""
        began = self._clock()
        try:
            found = await self._store.read()
        except LeaseMissing:
            return await self._write(None, began)
        self._observe(found.lease)
        self.problem = None
        held = found.lease.holder not in ("", self.identity)
        if held and self._clock() < self._observed_at + found.lease.bounded_duration(self._timing.lease):
            return False
        return await self._write(found, began)

    async def _write(self, found: Found | None, began: float) -> bool:
        now = datetime.now(UTC)
        before = found.lease if found else None
        same = before is not None and before.holder == self.identity
        wanted = Lease(
            holder=self.identity,
            duration=max(1, round(self._timing.lease)),
            acquired=before.acquired if before and same and before.acquired else microtime(now),
            renewed=microtime(now),
            transitions=(before.transitions + (not same)) if before else 0,
        )
        try:
            if found is None:
                await self._store.create(wanted)
            else:
                await self._store.replace(found, wanted)
        except LeaseConflict:
            return False  # somebody was faster, or took it away: the next look tells
        self._observe(wanted)
        self._until = began + self._timing.renew
        self.problem = None
        return True

    async def _release(self) -> None:
        """Leave the lease to the next one at once; when that fails they wait until it is abandoned."""
        held = self.leading
        self._until = float("-inf")
        if not held:
            return
        try:
            async with asyncio.timeout(self._timing.retry):
                found = await self._store.read()
                if found.lease.holder == self.identity:
                    free = Lease("", 1, found.lease.acquired, microtime(datetime.now(UTC)), found.lease.transitions)
                    await self._store.replace(found, free)
                    self.holder = ""
        except (ApiFailure, TimeoutError, LeaseConflict, LeaseMissing) as error:
            LOGGER.warning("lease not released", extra={"fields": {"error": str(error) or type(error).__name__}})
        else:
            LOGGER.info("lease released", extra={"fields": {"identity": self.identity}})

    def _observe(self, lease: Lease) -> None:
        if lease != self._observed:
            self._observed, self._observed_at = lease, self._clock()
        self.holder = lease.holder
        if lease.holder != self.identity:
            self._until = float("-inf")

    def _trouble(self, error: Exception) -> float:
        """Remember what is wrong, tell of it when it is news, and say how long to wait."""
        text = str(error) or f"no answer within {self._timing.call:g} s"
        if text != self.problem:
            LOGGER.warning("lease out of reach", extra={"fields": {"error": text}, "throttled": True})
        self.problem = text
        asked = error.retry_after if isinstance(error, ApiFailure) else None
        return min(max(self._timing.retry, asked or 0.0), self._timing.lease)


def microtime(moment: datetime) -> str:
    """The API's MicroTime: RFC 3339 with six digits of a second, in UTC."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


async def _end(task: asyncio.Future[None]) -> None:
    """Cancel and await. What it raised is for its caller to look at."""
    task.cancel()
    await asyncio.wait({task})
    if not task.cancelled():
        task.exception()
