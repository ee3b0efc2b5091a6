"""How a plan is cut into parts: what one request asks for, what the journal counts, what a thread works on."""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from collections.abc import Container, Iterator
from itertools import accumulate
from typing import NamedTuple

from webhook.hydrator.plan import File, Plan

MIB = 1 << 20
PART = 16 * MIB
"""S3's performance guide: ranges of 8 to 16 MB."""
SHORT_PART = 8 * MIB
"""Of files below SHORT_FILE, so that they too are read by many connections at once."""
SHORT_FILE = 256 * MIB
SMALL = 8 * MIB
"""Files below this are one part, are made when their bytes come, and travel in batches."""
RULE = f"{PART} {SHORT_PART} {SHORT_FILE} {SMALL}"
"""What numbers of parts mean. A journal written by another rule counts other things."""


class Part(NamedTuple):
    """The bytes [offset, offset + length) of the file with this index in the plan."""

    file: int
    offset: int
    length: int


class Parts:
    """The parts of a plan, numbered from 0 in the order of its files. A file without bytes has one part without any."""

    def __init__(self, plan: Plan) -> None:
        self.files = plan.files
        self._first = list(accumulate((_count(file.size) for file in plan.files), initial=0))

    def __len__(self) -> int:
        return self._first[-1]

    def __getitem__(self, number: int) -> Part:
        if not 0 <= number < len(self):
            raise IndexError(number)
        file = bisect_right(self._first, number) - 1
        size = self.files[file].size
        each = _length(size)
        offset = (number - self._first[file]) * each
        return Part(file, offset, min(each, size - offset))

    def of(self, file: int) -> range:
        """The numbers of a file's parts."""
        return range(self._first[file], self._first[file + 1])


def is_small(file: File) -> bool:
    """Whether the file is made when its bytes come; the others have their room from the start."""
    return file.size < SMALL


def in_order(parts: Parts, done: Container[int], side_by_side: int) -> Iterator[int]:
    """The numbers of the parts that are not done, in the order to fetch them.

    Large files first, so that small ones fill the gaps at the end. Several files side by side: the kernel lets one
    thread at a time write to a file through the page cache (and, in some filesystems, past it).
    """
    sizes = [(-file.size, index) for index, file in enumerate(parts.files)]
    sizes.sort()
    waiting = deque(index for size, index in sizes if -size >= SMALL)
    rows: deque[Iterator[int]] = deque()
    while rows or waiting:
        while waiting and len(rows) < side_by_side:
            rows.append(number for number in parts.of(waiting.popleft()) if number not in done)
        row = rows.popleft()
        number = next(row, None)
        if number is not None:
            rows.append(row)
            yield number
    for index, file in enumerate(parts.files):  # in the order of the plan: neighbours lie in one directory
        if is_small(file):
            yield from (number for number in parts.of(index) if number not in done)


def _length(size: int) -> int:
    return SHORT_PART if size < SHORT_FILE else PART


def _count(size: int) -> int:
    return max(1, -(-size // _length(size)))
