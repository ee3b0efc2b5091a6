"""What the parent and its workers say to one another: tasks through a pipe, results through a socket of packets.

A task has 12 bytes, so that any thread of any process may read one. A result is one packet: a letter and its content.
"""

from __future__ import annotations

import json
import os
import socket
import traceback
from enum import IntEnum
from errno import EIO, EROFS
from struct import Struct
from typing import NamedTuple

from webhook.hydrator.outcome import FULL, Exit, HydrationError

_TASK = Struct("<III")
_STATED = Struct("<I?Q")
PACKET = 1 << 16
_WORDS = 4096  # characters of an error that are passed on

DONE = b"D"
STATED = b"S"
ERROR = b"E"


class Kind(IntEnum):
    """What a worker is asked for."""

    PART = 0  # the part of a large file with the number `start`
    SMALL = 1  # `span` small files, from `start` in the list of those that were missing at the fork
    ASK = 2  # what CRC64NVME the source states of the file with the index `start`


class Task(NamedTuple):
    """One thing to do."""

    kind: Kind
    start: int
    span: int = 1

    def encode(self) -> bytes:
        """As it goes through the pipe."""
        return _TASK.pack(*self)


def next_task(reading: int) -> Task | None:
    """The next one from the pipe, waiting for it; None when there will be none."""
    content = os.read(reading, _TASK.size)
    if len(content) < _TASK.size:
        return None
    kind, start, span = _TASK.unpack(content)
    return Task(Kind(kind), start, span)


def send_stated(results: socket.socket, file: int, crc64: int | None) -> None:
    """Tell what the source states of a file."""
    results.send(STATED + _STATED.pack(file, crc64 is not None, crc64 or 0))


def stated_in(content: bytes) -> tuple[int, int | None]:
    """A file's index and what the source states of it."""
    file, known, crc64 = _STATED.unpack(content)
    return file, crc64 if known else None


def send_error(results: socket.socket, error: BaseException) -> None:
    """Tell why this worker cannot go on."""
    said = in_words(error)
    text = json.dumps([said.exit_code, said.message[:_WORDS], said.hint[:_WORDS]])
    results.send(ERROR + text.encode())


def error_in(content: bytes) -> HydrationError:
    """The error that a worker told."""
    code, message, hint = json.loads(content)
    return HydrationError(Exit(code), message, hint)


def in_words(error: BaseException) -> HydrationError:
    """Any exception of the engine, for people. Sources speak for themselves, so an OSError is the cache's disk."""
    if isinstance(error, HydrationError):
        return error
    if isinstance(error, OSError):
        return _disk(error)
    if isinstance(error, MemoryError):
        return HydrationError(
            Exit.DEFECT,
            "no memory left for a buffer",
            "give the container more memory, or --processes and --connections",
        )
    frames = traceback.extract_tb(error.__traceback__)
    where = f" at {frames[-1].filename.rpartition('/')[2]}:{frames[-1].lineno}" if frames else ""
    return HydrationError(Exit.DEFECT, f"{type(error).__name__}{where}: {error}", "please report this as a defect")


def _disk(error: OSError) -> HydrationError:
    where = f" ({error.filename!r})" if error.filename else ""
    said = f"{error.strerror or error}{where}"
    if error.errno in FULL:
        return HydrationError(
            Exit.NO_ROOM,
            f"the cache's disk became full while the model was written: {said}",
            "something else took the room that was there at the start; the next run makes room anew",
        )
    hint = {
        EROFS: "the disk went read-only, as filesystems do after an error: see the node's kernel log",
        EIO: "the disk fails: see the node's kernel log, and replace the node",
    }.get(error.errno or 0, "check that the cache is writable for this user and that nobody else changes it")
    return HydrationError(Exit.DISK, f"cannot write to the cache: {said}", hint)
