"""What is left to do, in order, one task at a time; and the room of small files, set free just before."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Collection, Iterator
from contextlib import suppress

from webhook.hydrator.engine.layout import rounded
from webhook.hydrator.engine.messages import Kind, Task
from webhook.hydrator.engine.parts import MIB, Parts, in_order, is_small

_BATCH = 32  # small files that travel together, at most
_BATCH_BYTES = 16 * MIB
_ROUNDS = 8  # batches for each thread, so that all end at about the same time
_STEP = 8 * MIB  # the ballast is given back in steps of this


class Tasks:
    """The tasks of one transfer. `small` are the numbers of the parts that are small files still missing."""

    def __init__(self, parts: Parts, done: Collection[int], threads: int, ballast: str) -> None:
        self._parts = parts
        order = list(in_order(parts, done, max(1, min(threads, 16))))
        large = sum(not is_small(parts.files[parts[number].file]) for number in order)
        self._large, self.small = order[:large], order[large:]
        self._batch = max(1, min(_BATCH, len(self.small) // (max(1, threads) * _ROUNDS)))
        self._ballast = _Ballast(ballast)
        self._again: deque[Task] = deque()
        self._rest = self._all()
        self._asked = {
            index for index in range(len(parts.files)) if len(parts.of(index)) == 1
        }  # of those the answer that brings them says it
        self._empty = not order and len(self._asked) == len(parts.files)

    def __bool__(self) -> bool:
        return not self._empty

    def next(self) -> Task | None:
        """The next one; None when there is none now."""
        return self._again.popleft() if self._again else next(self._rest, None)

    def again(self, file: int) -> None:
        """All parts of a file, once more and first of all."""
        self._again.extend(Task(Kind.PART, number) for number in self._parts.of(file))

    def close(self) -> None:
        """Close the ballast."""
        self._ballast.close()

    def _all(self) -> Iterator[Task]:
        for number in self._large:
            file = self._parts[number].file
            yield Task(Kind.PART, number)
            if file not in self._asked:
                self._asked.add(file)
                yield Task(Kind.ASK, file)
        start = 0
        while start < len(self.small):
            count = size = room = 0
            while start + count < len(self.small) and count < self._batch and size < _BATCH_BYTES:
                length = self._parts[self.small[start + count]].length
                size += length
                room += rounded(length)
                count += 1
            self._ballast.give_back(room)
            yield Task(Kind.SMALL, start, count)
            start += count
        for file in range(len(self._parts.files)):  # whole by the journal, and not judged yet
            if file not in self._asked:
                yield Task(Kind.ASK, file)


class _Ballast:
    """The file that keeps the room of small files. It shrinks ahead of them, for they need the same blocks."""

    def __init__(self, path: str) -> None:
        self._descriptor = -1
        self._left = 0
        self._due = 0
        with suppress(FileNotFoundError):
            self._descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
            self._left = os.fstat(self._descriptor).st_size

    def give_back(self, room: int) -> None:
        self._due += room
        if self._descriptor >= 0 and self._left and self._due > 0:
            step = max(self._due, _STEP)
            self._due -= step
            self._left = max(0, self._left - step)
            os.ftruncate(self._descriptor, self._left)

    def close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
