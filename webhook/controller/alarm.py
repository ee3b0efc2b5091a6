"""What the leader tells of the certificates in Events: that all had to be made anew, and trouble that lasts."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from webhook.controller.condition import Condition
from webhook.controller.events import Events

LASTING_SECONDS = 60.0
_LOOK_SECONDS = 2.0


class Alarm:
    """Looks at a keeper's condition; writes only while `leading()`."""

    def __init__(
        self,
        condition: Condition,
        events: Events,
        leading: Callable[[], bool],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._condition = condition
        self._events = events
        self._leading = leading
        self._clock = clock
        self._told = 0
        self._since: float | None = None

    async def run(self) -> None:
        """Look for ever."""
        while True:
            await self.look()
            await asyncio.sleep(_LOOK_SECONDS)

    async def look(self) -> None:
        """Look once."""
        problem, emergencies = self._condition.problem, self._condition.rotations["emergency"]
        if problem is None:
            self._since = None
        elif self._since is None:
            self._since = self._clock()
        if not self._leading():
            return
        if emergencies > self._told:
            self._told = emergencies
            await self._events.tell(
                "CertificatesBegunAnew",
                "what was stored of the certificates was good for nothing, and all are new; until every API server and "
                "replica has them, pods may be created without us. The log line `certificates begun anew` says more",
            )
        if problem is not None and self._since is not None and self._clock() >= self._since + LASTING_SECONDS:
            await self._events.tell("CertificatesInTrouble", problem)
