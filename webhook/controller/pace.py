"""How fast to write: so many a second, evenly, and not at all for a while when the API server says so."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class Pace:
    """Turns come at `per_second`; after a silence a tenth of a second's worth may come at once, at least one."""

    def __init__(self, per_second: float, clock: Callable[[], float]) -> None:
        self._apart = 1.0 / per_second
        self._clock = clock
        self._next = float("-inf")
        self._paused_until = float("-inf")

    async def turn(self) -> None:
        """Wait for the next turn and take it."""
        while True:
            now = self._clock()
            self._next = max(self._next, now - 0.1)
            wait = max(self._next, self._paused_until) - now
            if wait <= 0:
                self._next += self._apart
                return
            await asyncio.sleep(wait)

    def pause(self, seconds: float) -> None:
        """No turn comes for so long; a longer pause that is on stays."""
        self._paused_until = max(self._paused_until, self._clock() + seconds)

    @property
    def paused(self) -> float:
        """Seconds until the pause ends; 0 when there is none."""
        return max(0.0, self._paused_until - self._clock())
