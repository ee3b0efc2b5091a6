"""When this process stands for election, and what it does while it leads.

Labels need a leader who knows the cluster; certificates and the registration need any leader at all. So one who does
not know the cluster lets the others go first, and leads when nobody else does: the first certificate of a new cluster
must not wait for a list of its pods.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from webhook.controller.election import Election
from webhook.controller.intake import Intake
from webhook.controller.labeller import Labeller
from webhook.daemon.logs import LOGGER

STALE_SECONDS = 60.0
"""After so long without knowing the cluster, a leader labels no more and lets another one try."""

HANDICAP_SECONDS = 5.0
"""How long one who does not know the cluster lets the others go first."""

_LOOK_SECONDS = 0.2


class Standing:
    """`always` when there is more to lead for than labels."""

    def __init__(
        self,
        election: Election,
        intake: Intake,
        labeller: Labeller | None,
        *,
        always: bool,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._election = election
        self._intake = intake
        self._labeller = labeller
        self._always = always
        self._clock = clock

    def is_fit(self) -> bool:
        """Whether this process can do all that a leader does."""
        return self._labeller is None or self._intake.unknown_for() < STALE_SECONDS

    async def run(self) -> None:
        """Stand for election, and lead, again and again."""
        since = self._clock()
        while True:
            if self.is_fit() or (self._always and self._clock() >= since + HANDICAP_SECONDS):
                await self._election.run(self._lead)
                since = self._clock()
            await asyncio.sleep(_LOOK_SECONDS)

    async def _lead(self) -> None:
        """Label while the cluster is known. Returns when somebody else may fare better."""
        began = self._clock()
        while not self.is_fit():
            if self._clock() > began + STALE_SECONDS:
                return
            await asyncio.sleep(_LOOK_SECONDS)
        if self._labeller is None:
            await asyncio.Event().wait()
            return
        labelling = asyncio.create_task(self._labeller.run())
        try:
            while self.is_fit() and not labelling.done():
                await asyncio.wait({labelling}, timeout=1.0)
        finally:
            labelling.cancel()
            await asyncio.wait({labelling})
        if not labelling.cancelled():
            labelling.result()
        LOGGER.warning("labelling left to another one")
