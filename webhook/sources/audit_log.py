"""The API server's audit log: files of JSON lines, the rotated ones beside them, compressed ones, and stdin.

The API server rotates by lumberjack (`--audit-log-maxsize`): `audit.log` becomes `audit-2026-01-31T12-00-00.000.log`,
with `.gz` behind it where `--audit-log-compress` is set. What precedes the first brace of a line is passed over: log
collectors put a time there. A torn or foreign line is told and never an error, for somebody may be writing.
"""

from __future__ import annotations

import gzip
import re
import sys
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import datetime
from io import BufferedReader
from pathlib import Path
from typing import IO, Final, cast

from webhook.report.audit_log import UnreadableEvent, of_event
from webhook.report.judgement import Judgement
from webhook.sources.records import MAX_LINE_BYTES, Passed

STDIN: Final = Path("-")

_GZIP = b"\x1f\x8b"
_CHUNK = 2**20
_ROTATED = r"-\d{4}-\d\d-\d\dT\d\d-\d\d-\d\d\.\d{3}"
_BROKEN = (OSError, EOFError, zlib.error)


class UnreadableLog(Exception):
    """The file cannot be opened. The text says which, and why."""


def read(file: Path, since: datetime | None, passed: Callable[[Passed], None]) -> Iterator[Judgement]:
    """What the log says of pods that Warmpod was asked about, not older than `since`, the oldest file first.

    One event is held at a time. Raises UnreadableLog when `file` itself cannot be opened; what is no event goes to
    `passed`.
    """
    after = None if since is None else since.timestamp()
    for each in files(file):
        if after is not None and each != STDIN and each.stat().st_mtime < after:
            continue
        with ExitStack() as stack:
            try:
                stream = _opened(each, stack)
            except OSError as error:
                raise UnreadableLog(f"{each}: {error.strerror or error}") from error
            try:
                for number, line in _lines(each, stream, passed):
                    judgement = _judgement(each, number, line, passed)
                    if judgement is None or (after and judgement.time is not None and judgement.time < after):
                        continue
                    yield judgement
            except _BROKEN as error:
                passed(Passed(each, 0, f"it cannot be read any further: {error}"))


def files(file: Path) -> list[Path]:
    """The file and those that were rotated away from it, the oldest first. Raises UnreadableLog."""
    if file == STDIN:
        return [file]
    if not file.exists():
        raise UnreadableLog(f"{file}: there is no such file")
    if file.is_dir():
        raise UnreadableLog(f"{file}: this is a directory; name the file that the API server writes")
    rotated = re.compile(f"{re.escape(file.stem)}{_ROTATED}{re.escape(file.suffix)}(?:\\.gz)?")
    try:
        return [*sorted(each for each in file.parent.iterdir() if rotated.fullmatch(each.name)), file]
    except OSError:  # the file may be read, and its directory not
        return [file]


def _opened(file: Path, stack: ExitStack) -> IO[bytes]:
    plain = sys.stdin.buffer if file == STDIN else stack.enter_context(file.open("rb"))
    if not isinstance(plain, BufferedReader) or not plain.peek(2).startswith(_GZIP):
        return plain
    return cast("IO[bytes]", stack.enter_context(gzip.GzipFile(fileobj=plain, mode="rb")))


def _lines(file: Path, stream: IO[bytes], passed: Callable[[Passed], None]) -> Iterator[tuple[int, bytes]]:
    number = 0
    while line := stream.readline(MAX_LINE_BYTES):
        number += 1
        if len(line) == MAX_LINE_BYTES and not line.endswith(b"\n"):
            passed(Passed(file, number, f"the line has more than {MAX_LINE_BYTES >> 20} MiB"))
            while (rest := stream.readline(_CHUNK)) and not rest.endswith(b"\n"):
                pass
        elif not line.isspace():
            yield number, line


def _judgement(file: Path, number: int, line: bytes, passed: Callable[[Passed], None]) -> Judgement | None:
    begin = line.find(b"{")
    try:
        return of_event(line[max(begin, 0) :])
    except UnreadableEvent as error:
        torn = "" if line.endswith(b"\n") else "the line is torn: "
        passed(Passed(file, number, f"{torn}{error}"))
        return None
