"""How long to wait before the next attempt."""

from __future__ import annotations

import random
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Pace:
    """The times of a follower, in seconds."""

    base: float = 0.25
    """The shortest wait after a failure."""

    cap: float = 30.0
    """The longest wait, when no server asks for a longer one."""

    retry_after_cap: float = 120.0
    """The longest wait that a server can ask for."""

    calm: float = 60.0
    """After this long without a new list, the next one is not held back for the last one's sake."""

    watch: tuple[int, int] = (290, 590)
    """How long the server lets a watch run, drawn anew for each so that replicas do not start again together."""

    silence: float = 30.0
    """How long after its end a watch may stay open in silence: the connection is half-open then."""

    bookmarked_silence: float = 180.0
    """The same within a watch in which bookmarks come: the API server sends one a minute."""

    initial: tuple[float, float] = (15.0, 120.0)
    """A streaming list that brings nothing new for the first, or is not complete after the second: not served."""

    unserved: float = 180.0
    """How often an optional resource that is not served is asked for again."""


class Backoff:
    """Waits that grow at random, so that many who failed together do not try again together.

    "Decorrelated jitter": each wait is drawn between the base and three times the last one
    (https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/).
    """

    def __init__(self, pace: Pace) -> None:
        self._pace = pace
        self._last = 0.0

    def reset(self) -> None:
        """Begin with the shortest waits again: something worked."""
        self._last = 0.0

    def next(self, retry_after: float | None = None) -> float:
        """Seconds to wait now: no less than `retry_after`, where a server asked for that, within its cap."""
        pace = self._pace
        self._last = min(pace.cap, random.uniform(pace.base, 3 * max(self._last, pace.base)))  # noqa: S311 - no secret
        if retry_after is None:
            return self._last
        # Everybody was told the same number: on top of it comes the drawn wait, which differs.
        return min(retry_after, pace.retry_after_cap) + min(self._last, max(1.0, retry_after))
