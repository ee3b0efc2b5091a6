"""The time that certificates are dated by: the API server's, for it is the one that checks them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

NEAR_SECONDS = 5.0
"""Up to this difference our own clock counts: what an answer tells of the time is whole seconds, and late."""

FAR_SECONDS = 1800.0
"""Beyond this one of the clocks is wrong, and nobody knows which. Certificates are back-dated by an hour."""


class ServerClock:
    """`skew` says by how many seconds our clock is ahead of the API server's, by its last answer; None for unknown."""

    def __init__(self, skew: Callable[[], float | None], own: Callable[[], datetime] | None = None) -> None:
        self._skew = skew
        self._own = own or _utc

    def now(self) -> datetime:
        """The API server's time, as well as it is known."""
        skew = self._skew() or 0.0
        own = self._own()
        return own if abs(skew) <= NEAR_SECONDS else own - timedelta(seconds=skew)

    @property
    def problem(self) -> str:
        """Why nothing can be dated; "" when it can."""
        skew = self._skew() or 0.0
        if abs(skew) <= FAR_SECONDS:
            return ""
        word = "ahead of" if skew > 0 else "behind"
        return (
            f"this machine's clock is {abs(skew) / 60:.0f} minutes {word} the API server's: no certificate is issued "
            "before both are right"
        )


def _utc() -> datetime:
    return datetime.now(UTC)
