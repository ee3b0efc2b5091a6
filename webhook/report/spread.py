"""How values are spread: quantiles and bars of a histogram, of as many values as there are, in bounded memory."""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

_WIDTHS = (1, 2, 5, 10, 15, 20, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 43200, 86400)
_MOST_BARS = 24
_MOST_SECONDS = 10**7
_MAIN_PART = 0.98  # what lies above goes into one bar without an end, so that one stray value flattens no picture


class Bar(NamedTuple):
    """How many `values` are at least `low` and below `high`; `high` None: or more."""

    low: int
    high: int | None
    values: int


class Spread:
    """Seconds, kept as whole ones."""

    __slots__ = ("_counts", "count", "total")

    def __init__(self) -> None:
        self._counts: Counter[int] = Counter()
        self.count = 0
        self.total = 0.0

    def add(self, seconds: float, times: int = 1) -> None:
        """Add a value, so many times. Negative ones, and what is not finite, count as 0."""
        seconds = min(seconds, _MOST_SECONDS) if 0 < seconds < float("inf") else 0.0
        self._counts[int(seconds)] += times
        self.count += times
        self.total += seconds * times

    def quantile(self, part: float) -> int:
        """The least value that is not below `part` of all: 0.5 is the median. 0 where there is none."""
        rank, seen = part * self.count, 0
        for seconds in sorted(self._counts):
            seen += self._counts[seconds]
            if seen >= rank:
                return seconds
        return 0

    @property
    def median(self) -> int:
        """Half of the values are not above it."""
        return self.quantile(0.5)

    @property
    def p90(self) -> int:
        """Nine tenths of the values are not above it."""
        return self.quantile(0.9)

    @property
    def maximum(self) -> int:
        """The greatest value."""
        return max(self._counts, default=0)

    def bars(self) -> list[Bar]:
        """At most 24 bars of equal width from 0 on, that hold every value; none where there is none."""
        if not self.count:
            return []
        main = self.quantile(_MAIN_PART)
        width = next((each for each in _WIDTHS if main < each * (_MOST_BARS - 1)), main // (_MOST_BARS - 1) + 1)
        number = main // width + 1
        counts = [0] * number
        above = 0
        for seconds, count in self._counts.items():
            if seconds < number * width:
                counts[seconds // width] += count
            else:
                above += count
        bars = [Bar(place * width, (place + 1) * width, count) for place, count in enumerate(counts)]
        return [*bars, Bar(number * width, None, above)] if above else bars
