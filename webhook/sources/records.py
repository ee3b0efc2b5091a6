"""Recorded admissions in a directory, as `warmpod webhook --record` leaves them.

Files `*.jsonl` and `*.jsonl.gz` hold one record a line; those whose name begins with `inventory-` hold the inventories
that decisions were made from (`webhook.sources.record_inventories`). A process may be writing, and may have died
writing: a torn line, a foreign line or a file that cannot be read is passed over and told, never an error.
"""

from __future__ import annotations

import gzip
import os
import re
import stat
import zlib
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import IO, BinaryIO, NamedTuple, cast

from webhook.report.record import Recorded, UnreadableRecord, decode, time_of

INVENTORY_PREFIX = "inventory-"
MAX_LINE_BYTES = 32 * 1024 * 1024
"""Of one record: a review of at most 7 MiB, as JSON may be escaped anew, and its patches."""

_SUFFIXES = (".jsonl", ".jsonl.gz")
# <host>-<pid>-<time>[-<number>].jsonl: files are read in the order of their times, whoever wrote them.
_STARTED = re.compile(r"-(\d{8}T\d{6}Z)(?:-(\d+))?\.jsonl(?:\.gz)?$")
_CHUNK = 1024 * 1024
_BROKEN = (OSError, EOFError, zlib.error)


class UnreadableRecords(Exception):
    """The directory cannot be read. The text says which path, and why."""


class Line(NamedTuple):
    """A line of a file of records; `number` counts from 1."""

    file: Path
    number: int
    data: bytes


class Passed(NamedTuple):
    """What was passed over. `number` 0 means the file from where it became unreadable."""

    file: Path
    number: int
    reason: str

    def __str__(self) -> str:
        where = f"{self.file}:{self.number}" if self.number else str(self.file)
        return f"{where}: {self.reason}"


def _forget(passed: Passed) -> None:
    """For callers who do not ask what was passed over."""


def read(
    directory: Path, since: datetime | None = None, passed: Callable[[Passed], None] = _forget
) -> Iterator[Recorded]:
    """The records of a directory (or of one file), in the order of their files' times, not older than `since`.

    One is held at a time. Raises UnreadableRecords when there is no such directory; what is no record goes to `passed`.
    """
    for line in lines(directory, since, passed):
        try:
            yield decode(line.data, file=str(line.file), number=line.number)
        except UnreadableRecord as error:
            torn = "" if line.data.endswith(b"\n") else "the line is torn: "
            passed(Passed(line.file, line.number, f"{torn}{error}"))


def lines(directory: Path, since: datetime | None = None, passed: Callable[[Passed], None] = _forget) -> Iterator[Line]:
    """The lines that `read` decodes, for who shares them out. Empty ones and those before `since` are left out."""
    for file in files(directory):
        try:
            if since is not None and file.stat().st_mtime < since.timestamp():
                continue
            with _opened(file) as stream:
                yield from _lines(file, stream, since, passed)
        except _BROKEN as error:
            passed(Passed(file, 0, f"it cannot be read any further: {_why(error)}"))


def count(directory: Path) -> int:
    """How many lines there are, for a progress bar: counted, not decoded. Raises UnreadableRecords as `read`."""
    total = 0
    for file in files(directory):
        try:
            with _opened(file) as stream:
                last = b"\n"
                while chunk := stream.read(_CHUNK):
                    total += chunk.count(b"\n")
                    last = chunk[-1:]
                total += last != b"\n"
        except _BROKEN:  # reading says why
            continue
    return total


def files(directory: Path) -> list[Path]:
    """The files of records, oldest first. Raises UnreadableRecords."""
    try:
        if not directory.is_dir():
            if directory.exists():
                return [directory]
            raise UnreadableRecords(f"{directory}: there is no such directory")
        with os.scandir(directory) as scan:
            found = [Path(entry.path) for entry in scan if is_record_file(entry.name)]
    except OSError as error:
        raise UnreadableRecords(f"{directory}: {_why(error)}") from error
    return sorted(found, key=_order)


def is_record_file(name: str) -> bool:
    """Whether a file of this name holds records."""
    return name.endswith(_SUFFIXES) and not name.startswith((".", INVENTORY_PREFIX))


def _order(file: Path) -> tuple[str, int, str]:
    match = _STARTED.search(file.name)
    return (match[1], int(match[2] or 0), file.name) if match else ("", 0, file.name)


def _opened(file: Path) -> BinaryIO:
    # O_NONBLOCK so that a fifo of this name cannot hold us.
    descriptor = os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(None, "it is not a regular file")
    stream = os.fdopen(descriptor, "rb")
    return cast("BinaryIO", _Unpacked(stream)) if file.name.endswith(".gz") else stream


class _Unpacked(gzip.GzipFile):
    """A compressed file that closes the file below it, too."""

    def __init__(self, packed: IO[bytes]) -> None:
        super().__init__(fileobj=packed, mode="rb")
        self._packed = packed

    def close(self) -> None:
        try:
            super().close()
        finally:
            self._packed.close()


def _lines(file: Path, stream: IO[bytes], since: datetime | None, passed: Callable[[Passed], None]) -> Iterator[Line]:
    number = 0
    while data := stream.readline(MAX_LINE_BYTES):
        number += 1
        if len(data) == MAX_LINE_BYTES and not data.endswith(b"\n"):
            passed(Passed(file, number, f"the line has more than {MAX_LINE_BYTES >> 20} MiB"))
            while (rest := stream.readline(_CHUNK)) and not rest.endswith(b"\n"):
                pass
            continue
        if data.isspace():
            continue
        if since is not None and (time := time_of(data)) is not None and time < since:
            continue
        yield Line(file, number, data)


def _why(error: BaseException) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error) or type(error).__name__
