"""When a range is tried again, and when no more."""

from __future__ import annotations

import time

from webhook.hydrator.backoff import jittered
from webhook.hydrator.outcome import Exit, HydrationError, Transient

ATTEMPTS = 10
_PATIENCE = 120.0  # the longest Retry-After that is obeyed


class Retries:
    """How often one thing failed without getting anywhere in between."""

    def __init__(self, what: str, attempts: int) -> None:
        self._what = what
        self._attempts = attempts
        self._failed = 0

    def progressed(self) -> None:
        """It got somewhere: what failed before counts no more."""
        self._failed = 0

    def failed(self, error: Transient) -> None:
        """Wait until it is time to try again; HydrationError UNREACHABLE where it never will be."""
        self._failed += 1
        if self._failed >= self._attempts:
            raise HydrationError(
                Exit.UNREACHABLE,
                f"{self._what}: gave up after {self._failed} attempts: {error.message}",
                "what is on disk is kept: the next run fetches the rest",
            ) from error
        time.sleep(max(pause(self._failed), min(error.delay, _PATIENCE)))


def pause(failed: int) -> float:
    """Seconds to wait after so many failures, drawn anew each time."""
    return jittered(failed - 1)
