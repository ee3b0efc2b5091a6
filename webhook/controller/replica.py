"""What this replica says of itself, in its Lease; and who else is there, by what their Leases say."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import msgspec

from webhook import __version__
from webhook.daemon.logs import LOGGER
from webhook.kube import Object
from webhook.sources import replicas
from webhook.sources.kube_api.failure import UNDECODABLE, ApiFailure
from webhook.sources.kube_api.objects import LEASES, ObjectApi
from webhook.sources.replicas import Replica, Replicas

LOOK_SECONDS = 1.0
RENEW_SECONDS = 10.0
SWEEP_SECONDS = 600.0
"""A Lease that nobody saw change for so long is deleted by the leader."""

_CALL_SECONDS = 5.0
_STATUS_SECONDS = 2.0
_STATUS_BYTES = 16 * 1024
_AGAIN_SECONDS = 2.0
_AGAIN_MOST = 30.0
_ROSTER_SECONDS = 10.0
_LEAVE_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Self:
    """Who this replica is. `uid` is its pod's, "" to leave the Lease without an owner."""

    namespace: str
    name: str
    identity: str
    uid: str = ""


class Reporter:
    """Keeps the Lease of this replica. `url` is the webhook's `/status`, "" for a controller without a webhook.

    `own` tells what the controller says of itself: `snapshotAge`, `leading`, `problems`.
    """

    def __init__(self, api: ObjectApi, who: Self, url: str, own: Callable[[], Mapping[str, Any]]) -> None:
        self._api = api
        self._who = who
        self._url = url
        self._own = own
        self._stored: Object | None = None
        self._said = ""
        self._at = float("-inf")
        self._not_before = float("-inf")
        self._failures = 0
        self.problem: str | None = None
        """Why the Lease is not kept at present."""
        self.webhook_problem: str | None = None
        """Why the webhook beside this controller says nothing; None when it does, and when there is none."""

    async def run(self) -> None:
        """Look every second, and write every ten or when something changed; for ever."""
        import aiohttp  # noqa: PLC0415 - with its friends half a second, which `--cleanup` and `--help` need not wait

        limit = aiohttp.ClientTimeout(total=_STATUS_SECONDS)
        async with aiohttp.ClientSession(timeout=limit, cookie_jar=aiohttp.DummyCookieJar()) as session:
            while True:
                webhook, problem = await self._ask(session)
                self.webhook_problem = (problem or None) if self._url else None
                await self.report(webhook, problem)
                await asyncio.sleep(LOOK_SECONDS)

    async def report(self, webhook: Object | None, problem: str) -> None:
        """Write the Lease if it is time. Every fault of the API is an ordinary event."""
        now = time.monotonic()
        said = Replica(
            name=self._who.name,
            identity=self._who.identity,
            version=__version__,
            webhook=webhook,
            problem=problem,
            controller=dict(self._own()),
        )
        essence = _essence(said)
        if now < self._not_before or (essence == self._said and now < self._at + RENEW_SECONDS):
            return
        try:
            async with asyncio.timeout(_CALL_SECONDS):
                await self._write(said)
        except (ApiFailure, TimeoutError) as error:
            self._stored = None  # who knows what is there now
            text = str(error) or "the API server does not answer in time"
            if text != self.problem:
                LOGGER.warning("replica not reported", extra={"fields": {"error": text}, "throttled": True})
            self.problem = text
            self._not_before = now + min(_AGAIN_SECONDS * 2.0 ** min(self._failures, 8), _AGAIN_MOST)
            self._failures += 1
            return
        if self.problem:
            LOGGER.info("replica reported again")
        self.problem, self._failures = None, 0
        self._said, self._at = essence, now

    async def leave(self) -> None:
        """Delete the Lease, when it is ours: nobody need wait for this replica any more."""
        try:
            async with asyncio.timeout(_LEAVE_SECONDS):
                stored = self._stored or await self._read()
                holder = (stored or {}).get("spec", {}).get("holderIdentity")
                if stored is not None and holder == self._who.identity:
                    uid = str(stored["metadata"].get("uid", ""))
                    name = replicas.lease_name(self._who.name)
                    await self._api.delete(LEASES, self._who.namespace, name, uid=uid)
        except (ApiFailure, TimeoutError) as error:
            text = str(error) or "no answer in time"
            LOGGER.warning("replica's lease not deleted", extra={"fields": {"error": text}})

    async def _write(self, said: Replica) -> None:
        """Over what is stored, or anew; once more after somebody else wrote it."""
        for attempt in (1, 2):
            stored = self._stored or await self._read()
            made = self._document(said, stored)
            try:
                if stored is None:
                    self._stored = await self._api.create(LEASES, self._who.namespace, made)
                else:
                    self._stored = await self._api.replace(LEASES, self._who.namespace, made)
            except ApiFailure as failure:
                self._stored = None
                if attempt > 1 or failure.kind not in ("conflict", "missing"):
                    raise
            else:
                return

    def _document(self, said: Replica, stored: Object | None) -> Object:
        version = str(stored["metadata"].get("resourceVersion", "")) if stored else ""
        now = replicas.server_time(None)
        return replicas.document(replace(said, resource_version=version), self._who.namespace, now, self._who.uid)

    async def _read(self) -> Object | None:
        return await self._api.find(LEASES, self._who.namespace, replicas.lease_name(self._who.name))

    async def _ask(self, session: Any) -> tuple[Object | None, str]:
        """What the webhook says of itself, or why it says nothing."""
        import aiohttp  # noqa: PLC0415 - as in run

        if not self._url:
            return None, "this controller has no webhook (--webhook-status)"
        try:
            async with session.get(self._url, allow_redirects=False) as response:
                if response.status != 200:
                    return None, f"its webhook answers /status with HTTP {response.status}"
                data = await response.content.read(_STATUS_BYTES + 1)
                while len(data) <= _STATUS_BYTES and (more := await response.content.read(_STATUS_BYTES)):
                    data += more
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
            return None, f"its webhook does not answer /status: {type(error).__name__}"
        if len(data) > _STATUS_BYTES:
            return None, f"its webhook's /status has more than {_STATUS_BYTES} bytes"
        try:
            found = msgspec.json.decode(data)
        except UNDECODABLE:
            return None, "its webhook's /status is no JSON"
        return (found, "") if isinstance(found, dict) else (None, "its webhook's /status is no JSON object")


class Roster:
    """Who is there, as this process sees it: a Lease counts until nobody saw it change for its duration.

    By our own clock, as in an election: a replica whose clock is wrong counts, and one that comes to be seen for the
    first time counts for a whole duration, whatever time its Lease names. So an authority stays trusted for longer,
    never for shorter, than somebody serves a leaf of it.
    """

    def __init__(self, api: ObjectApi, namespace: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._api = api
        self._namespace = namespace
        self._clock = clock
        self._seen: dict[str, tuple[str, float, Replica]] = {}
        self.known = False
        """Whether the last look was answered."""

    async def live(self) -> Replicas:
        """Look, and say who is there. Never raises ApiFailure."""
        await self.look()
        return Replicas({one.name: one.serial for one in self._live()}, known=self.known)

    async def look(self) -> None:
        """Look once."""
        try:
            async with asyncio.timeout(_CALL_SECONDS):
                found = await replicas.read(self._api, self._namespace)
        except (ApiFailure, TimeoutError) as error:
            if self.known:
                text = str(error) or "the API server does not answer in time"
                LOGGER.warning("replicas not known", extra={"fields": {"error": text}, "throttled": True})
            self.known = False
            return
        self.known = True
        now = self._clock()
        seen = {}
        for one in found:
            version = f"{one.uid}/{one.resource_version}"
            before = self._seen.get(one.name)
            since = before[1] if before is not None and before[0] == version else now
            seen[one.name] = (version, since, one)
        self._seen = seen

    async def run(self, leading: Callable[[], bool]) -> None:
        """Look every ten seconds, and, while leading, delete what replicas that are long gone left; for ever."""
        while True:
            await self.look()
            for name, (_, since, one) in list(self._seen.items()):
                if self._clock() > since + SWEEP_SECONDS and leading():
                    await self._sweep(name, one)
            await asyncio.sleep(_ROSTER_SECONDS)

    def counts(self) -> dict[str, int]:
        """How many replicas serve, are there without serving, and have gone without a word."""
        live = self._live()
        serving = sum(one.webhook is not None and one.webhook.get("ready") is True for one in live)
        return {"serving": serving, "not-ready": len(live) - serving, "silent": len(self._seen) - len(live)}

    def _live(self) -> list[Replica]:
        now = self._clock()
        return [one for _, since, one in self._seen.values() if now <= since + one.duration]

    async def _sweep(self, name: str, one: Replica) -> None:
        try:
            async with asyncio.timeout(_CALL_SECONDS):
                await self._api.delete(LEASES, self._namespace, replicas.lease_name(name), uid=one.uid)
        except (ApiFailure, TimeoutError) as error:
            text = str(error) or "the API server does not answer in time"
            LOGGER.warning("replica's lease not deleted", extra={"fields": {"error": text}, "throttled": True})
        else:
            self._seen.pop(name, None)


def _essence(said: Replica) -> str:
    """What is worth a write at once; ages and counters are not."""
    webhook = {key: value for key, value in (said.webhook or {}).items() if key != "reviews"}
    if isinstance(snapshot := webhook.get("snapshot"), dict):
        webhook["snapshot"] = {key: value for key, value in snapshot.items() if key not in ("age", "id")}
    controller = {key: value for key, value in (said.controller or {}).items() if key != "snapshotAge"}
    return msgspec.json.encode([said.version, webhook, said.problem, controller], order="deterministic").decode()
