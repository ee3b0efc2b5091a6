"""A real source that goes wrong on purpose: it wraps another one; its faults are counted across forked processes."""

from __future__ import annotations

import mmap
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from webhook.hydrator.outcome import Transient
from webhook.hydrator.plan import File, Plan
from webhook.hydrator.source import Body, Reader, Source

Fault = Callable[[File, int], None]
"""Called with the file and the offset within it that is about to be read; raises what shall go wrong."""


class Counter:
    """A number that all processes forked from here share. Not atomic: faults of one file have one thread at a time."""

    def __init__(self) -> None:
        self._numbers = memoryview(mmap.mmap(-1, 8)).cast("Q")

    def next(self) -> int:
        self._numbers[0] += 1
        return self._numbers[0]

    def value(self) -> int:
        return self._numbers[0]


def first(times: int, error: Exception, path: str) -> Fault:
    """The fault happens to the file so many times, and then no more."""
    counter = Counter()

    def fault(file: File, _offset: int) -> None:
        if file.path == path and counter.next() <= times:
            raise error

    return fault


class Opened(NamedTuple):
    """A range that was asked for."""

    path: str
    offset: int
    length: int


class Faulty:
    """Wraps a source. `on_open` and `on_read` may raise; `flip` changes bytes; `stated` are checksums by path.

    Every range asked for is written to `record`. `readinto` gives at most `most` bytes at once.
    """

    def __init__(
        self,
        source: Source,
        record: Path,
        *,
        on_open: Fault = lambda _file, _offset: None,
        on_read: Fault = lambda _file, _offset: None,
        on_ask: Fault = lambda _file, _offset: None,
        flip: Callable[[File, int], bool] = lambda _file, _offset: False,
        stated: Mapping[str, int] | None = None,
        most: int = 1 << 30,
        ends: Callable[[File, int], bool] = lambda _file, _offset: False,
    ) -> None:
        self.source = source
        self.record = record
        self.on_open, self.on_read, self.on_ask = on_open, on_read, on_ask
        self.flip, self.most, self.ends = flip, most, ends
        self.stated_by_path = dict(stated or {})
        self.tended = 0

    def opened(self) -> list[Opened]:
        """What was asked for so far."""
        lines = self.record.read_text().splitlines() if self.record.exists() else []
        told = [line.split(" ", 2) for line in lines]
        return [Opened(path, int(offset), int(length)) for offset, length, path in told]

    def plan(self) -> Plan:
        return self.source.plan()

    def prove(self, plan: Plan) -> None:
        self.source.prove(plan)

    def stated_crc64(self, file: File) -> int | None:
        self.on_ask(file, 0)
        return self.stated_by_path.get(file.path)

    def tend(self) -> None:
        self.tended += 1

    def reader(self) -> Reader:
        return _Reader(self, self.source.reader())

    def close(self) -> None:
        self.source.close()


class _Reader:
    def __init__(self, faulty: Faulty, reader: Reader) -> None:
        self._faulty = faulty
        self._reader = reader

    def open(self, file: File, offset: int, length: int) -> Body:
        descriptor = os.open(self._faulty.record, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            os.write(descriptor, f"{offset} {length} {file.path}\n".encode())
        finally:
            os.close(descriptor)
        self._faulty.on_open(file, offset)
        return _Body(self._faulty, self._reader.open(file, offset, length), file, offset, whole=length == file.size)

    def close(self) -> None:
        self._reader.close()


class _Body:
    def __init__(self, faulty: Faulty, body: Body, file: File, offset: int, *, whole: bool) -> None:
        self._faulty = faulty
        self._body = body
        self._file = file
        self._offset = offset
        self.crc64 = faulty.stated_by_path.get(file.path) if whole else None

    def readinto(self, view: memoryview) -> int:
        self._faulty.on_read(self._file, self._offset)
        if self._faulty.ends(self._file, self._offset):
            return 0
        count = self._body.readinto(view[: self._faulty.most])
        if count and self._faulty.flip(self._file, self._offset):
            view[count // 2] ^= 1
        self._offset += count
        return count

    def close(self) -> None:
        self._body.close()


BROKEN = Transient("503 Slow Down")
