"""How long to wait before trying again: full jitter, which AWS' architecture blog found best."""

from __future__ import annotations

import os

_FIRST = 0.1  # seconds
_LONGEST = 20.0
_MOST_DOUBLINGS = 20  # far beyond _LONGEST; more would only make large numbers


def jittered(doublings: int) -> float:
    """Seconds, drawn anew each time: from none to a tenth of a second doubled so many times, at most twenty.

    (The module random takes milliseconds to import, which a hit does not spend.)
    """
    longest = min(_LONGEST, _FIRST * 2.0 ** min(doublings, _MOST_DOUBLINGS))
    return longest * int.from_bytes(os.urandom(4), "big") / 2.0**32
