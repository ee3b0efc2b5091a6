"""Keeps the serving certificate: does what `certs.rotation` decides, and puts the pair where the webhook reads it.

Every replica's keeper reads the Secret every second or two and writes the pair into its pod's directory. The leader's
also looks at the configuration and at what the replicas serve, and takes one step at a time. After a step it looks
again at once: nothing is carried over from one look to the next but counters.

The order of a look matters where two lead for a moment. The configuration is read first and written over the version
that was read. So a leader who writes bundles knows a Secret that is no older than they are, and cannot take an
authority from them that another leader has just announced.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Protocol

from certs import contents, marks, rotation
from certs.rotation import Seen, Terms
from certs.steps import Begin, Confirm, Doubt, Rewrite, Step, Trust, Wait
from webhook.controller.clock import ServerClock
from webhook.controller.condition import Condition
from webhook.controller.pair import NotWritten, PairDirectory
from webhook.controller.trust import Configuration, Stored, TrustStore, surroundings
from webhook.daemon.logs import LOGGER
from webhook.sources.kube_api.backoff import Backoff, Pace
from webhook.sources.kube_api.failure import ApiFailure
from webhook.sources.kube_api.objects import ObjectApi

LOOK_SECONDS = 20.0
"""A look that takes longer is given up. Its last write may or may not have been done, as after a crash."""

_STEPS_AT_ONCE = 8  # a whole rotation has six writes: who needs more is undone by somebody, and slows down
_MOST_SECONDS = 15.0  # between two looks, while the API server does not answer


class Reports(Protocol):
    """What live replicas serve: serial by name, None for one that does not say. Not `known`: nobody could be asked."""

    @property
    def serials(self) -> Mapping[str, str | None]:
        """By the replica's name."""

    @property
    def known(self) -> bool:
        """Whether they were asked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeeperOptions:
    """What is kept where. `interval` is in seconds between two looks when nothing is due."""

    namespace: str
    secret: str
    configuration: str
    directory: Path | None
    """Where the pair goes; it must be there. None for a keeper that serves nobody."""
    terms: Terms
    interval: float = 2.0


class Keeper:
    """`run` for ever; `condition` says how things are.

    `live` tells what the replicas serve, `leading` whether this one may write now, `skew` by how many seconds our clock
    is ahead of the API server's (None: unknown); `clock` is ours.
    """

    def __init__(
        self,
        api: ObjectApi,
        options: KeeperOptions,
        live: Callable[[], Awaitable[Reports]],
        leading: Callable[[], bool],
        skew: Callable[[], float | None],
        *,
        clock: Callable[[], datetime] | None = None,
    ) -> None:
        self._options = options
        self._store = TrustStore(api, options.namespace, options.secret, options.configuration)
        self._live = live
        self._leading = leading
        self._clock = ServerClock(skew, clock)
        self._pair = PairDirectory(options.directory) if options.directory else None
        self._backoff = Backoff(Pace(base=max(options.interval, 0.25), cap=_MOST_SECONDS))
        self._at_once = 0
        self.condition = Condition()

    async def run(self) -> None:
        """Look again and again, for ever."""
        while True:
            try:
                async with asyncio.timeout(LOOK_SECONDS):
                    pause = await self.look()
            except (ApiFailure, TimeoutError) as error:
                asked = error.retry_after if isinstance(error, ApiFailure) else None
                self.condition.trouble("api", _short(error), str(error) or f"no answer within {LOOK_SECONDS:g} s")
                pause = self._backoff.next(asked)
            else:
                self.condition.clear("api")
                self._backoff.reset()
            await asyncio.sleep(pause)

    async def look(self) -> float:
        """One look and at most one step; for how many seconds nothing need be done then. Raises ApiFailure."""
        options = self._options
        configuration, reports = Configuration(None), None
        leads = self._leading()
        if leads:
            configuration = await self._configuration()
            reports = await self._reports()
        stored = await self._store.read()
        await self._hand_out(stored)
        now = self._clock.now()
        held = contents.read(stored.data or {}, now)
        self.condition.read(held, exists=stored.data is not None)
        if not leads:
            self.condition.follows()
            return self._pause(None, now)
        if stored.owner:
            text = f"the Secret belongs to {stored.owner}: run without --tls-secret, or name another one"
            self.condition.trouble("owner", text)
            return options.interval
        self.condition.clear("owner")
        self._complain("asked", stored.complaint)
        serials = reports.serials.values() if reports is not None and reports.known else None
        seen = surroundings(stored, held, configuration, serials)
        step = rotation.decide(stored.data, seen, options.terms, now, stored.asked)
        self._complain("clock", self._clock.problem)
        try:
            if isinstance(step, Trust) and self._leading():
                if await self._trust(step, configuration):
                    return self._took(step)
                # The leaf is renewed all the same, as without a configuration.
                seen = Seen(serials=seen.serials, replicas_known=seen.replicas_known)
                step = rotation.decide(stored.data, seen, options.terms, now, stored.asked)
            if isinstance(step, Wait):
                return self._wait(step, now)
            if isinstance(step, Trust) or self._clock.problem or not self._leading():
                return options.interval
            await self._write(step, stored, now)
        except ApiFailure as failure:
            if failure.kind != "conflict":
                raise
            return self._again()  # somebody was faster: the next look tells
        return self._took(step)

    def _wait(self, step: Wait, now: datetime) -> float:
        self.condition.waits(step)
        self._at_once = 0
        return self._pause(step.until, now)

    # --- reading

    async def _configuration(self) -> Configuration:
        try:
            found = await self._store.read_configuration()
        except ApiFailure as failure:
            if failure.kind not in ("forbidden", "refused"):
                raise
            self.condition.trouble("configuration", "the configuration cannot be read", str(failure))
            return Configuration(None)
        self.condition.clear("configuration")
        return found

    async def _reports(self) -> Reports | None:
        try:
            found = await self._live()
        except ApiFailure as failure:
            self.condition.trouble("replicas", "it is not known what the replicas serve", str(failure))
            return None
        self.condition.clear("replicas")
        return found

    async def _hand_out(self, stored: Stored) -> None:
        """Put the pair in place. Whatever is wrong with it, the one before goes on to serve."""
        if self._pair is None or stored.data is None:
            return
        try:
            written = await asyncio.to_thread(self._pair.write, stored.data, self._clock.now())
        except NotWritten as error:
            self.condition.trouble("pair", str(error))
            return
        except OSError as error:
            text = f"the pair cannot be written: {error.strerror or error}; is the volume mounted?"
            self.condition.trouble("pair", text, f"{error.filename}: {text}")
            return
        self.condition.clear("pair")
        if written and self._pair.served:
            LOGGER.info("serving pair written", extra={"fields": {"serial": self._pair.served.serial}})

    # --- writing

    async def _trust(self, step: Trust, configuration: Configuration) -> bool:
        """Write the bundles; False when that is not allowed."""
        try:
            await self._store.trust(configuration, step.bundle)
        except ApiFailure as failure:
            if failure.kind not in ("forbidden", "refused"):
                raise
            self.condition.trouble("bundles", "the configuration's bundles cannot be written", str(failure))
            return False
        self.condition.clear("bundles")
        return True

    async def _write(self, step: Rewrite | Confirm | Doubt, stored: Stored, now: datetime) -> None:
        if isinstance(step, Confirm):
            made = stored.noting(marks.trusted(contents.read(stored.data or {}, now).trusted, now))
        elif isinstance(step, Doubt):
            made = stored.noting("")
        else:
            data = rotation.carry_out(step, stored.data, self._options.terms, now)
            made = stored.after(step, data, marks.moment(now))
        await self._store.write(made)

    def _took(self, step: Step) -> float:
        """Account for a step; when to look next."""
        self.condition.took(step)
        fields = {"step": type(step).__name__, "why": step.reason}
        if isinstance(step, Begin) and step.loud:
            LOGGER.error("certificates begun anew", extra={"fields": fields})
        else:
            LOGGER.info("certificates changed", extra={"fields": fields})
        return self._again()

    def _again(self) -> float:
        self._at_once += 1
        return 0.0 if self._at_once < _STEPS_AT_ONCE else self._options.interval

    def _complain(self, about: str, problem: str) -> None:
        if problem:
            self.condition.trouble(about, problem)
        else:
            self.condition.clear(about)

    def _pause(self, until: datetime | None, now: datetime) -> float:
        # Replicas that started together need not ask together.
        pause = self._options.interval * random.uniform(0.9, 1.1)  # noqa: S311  no secret
        if until is not None:
            pause = min(pause, max(0.0, (until - now) / timedelta(seconds=1)))
        return pause


def _short(error: Exception) -> str:
    """Without what the API server said, which names objects."""
    if isinstance(error, ApiFailure):
        return f"the API server does not do what is asked: {error.kind}"
    return "the API server does not answer in time"
