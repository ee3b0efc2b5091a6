"""Counts that workers keep and the parent reads: memory that they share."""

from __future__ import annotations

import mmap

_FIELDS = 3


class Tally:
    """Per thread: bytes fetched, bytes among them that were fetched in vain, retries. Each writes its own row only."""

    def __init__(self, threads: int) -> None:
        self._numbers = memoryview(mmap.mmap(-1, threads * _FIELDS * 8)).cast("Q")

    def fetched(self, thread: int, count: int) -> None:
        """Bytes that came."""
        self._numbers[thread * _FIELDS] += count

    def wasted(self, thread: int, count: int) -> None:
        """Bytes that came and must come again."""
        self._numbers[thread * _FIELDS + 1] += count

    def retried(self, thread: int) -> None:
        """Something that had to be tried again."""
        self._numbers[thread * _FIELDS + 2] += 1

    def sums(self) -> tuple[int, int, int]:
        """Fetched, wasted, retries, of all threads."""
        numbers = self._numbers.tolist()
        return sum(numbers[0::_FIELDS]), sum(numbers[1::_FIELDS]), sum(numbers[2::_FIELDS])
