"""What of a version is on disk already. Workers append to it, the next run reads it; kill -9 at any moment is fine.

A file: a header of 48 bytes, then records of 24. It is never fsynced, for it counts only within one boot of the
kernel: what write(2) has taken, a killed process cannot take back, and a reboot may lose both it and the data.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from hashlib import sha256
from struct import Struct
from typing import NamedTuple
from zlib import crc32

from webhook.hydrator.engine.parts import RULE, Parts
from webhook.hydrator.plan import Plan

_MAGIC = b"warmpod parts 1\n"
_HEADER = len(_MAGIC) + 32
_RECORD = Struct("<IIQI")
_CHECK = Struct("<I")
RECORD_BYTES = _RECORD.size + _CHECK.size

VERIFIED = 1
"""The part is a whole file, and its checksum is the one that the source states."""
VOID = 2
"""Forget the part: its file does not have the checksum that the source states."""


class Record(NamedTuple):
    """A part is on disk, `length` bytes with the CRC64NVME `crc64`, or is void."""

    part: int
    length: int
    crc64: int
    flags: int = 0


class Journal:
    """One journal file, open for appending. `seed` ties records to the version, the boot and the rule of parts."""

    def __init__(self, path: str, plan: Plan, boot_id: str) -> None:
        identity = sha256(f"{plan.version}\0{boot_id}\0{RULE}".encode()).digest()
        self._header = _MAGIC + identity
        self._seed = crc32(identity)
        self._parts = Parts(plan)
        self.fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)

    def read(self) -> dict[int, Record]:
        """What is there, by part. What does not count is cut off: the journal then ends with its last good record."""
        content = self._content()
        if content[:_HEADER] != self._header:
            os.ftruncate(self.fd, 0)
            os.write(self.fd, self._header)
            return {}
        done: dict[int, Record] = {}
        end = _HEADER
        for record in self.decode(memoryview(content)[_HEADER:]):
            end += RECORD_BYTES
            if record.flags & VOID:
                done.pop(record.part, None)
            else:
                done[record.part] = record
        if end != len(content):
            os.ftruncate(self.fd, end)
        return done

    def encode(self, records: Iterable[Record]) -> bytes:
        """Records as they stand in the file."""
        return b"".join(self._encode(record) for record in records)

    def decode(self, content: bytes | memoryview) -> Iterator[Record]:
        """Records up to the first that is torn, garbage or of something else."""
        for start in range(0, len(content) - RECORD_BYTES + 1, RECORD_BYTES):
            body = content[start : start + _RECORD.size]
            (check,) = _CHECK.unpack_from(content, start + _RECORD.size)
            record = Record(*_RECORD.unpack(body))
            if check != crc32(body, self._seed) or record.part >= len(self._parts):
                return
            if record.length != self._parts[record.part].length:
                return
            yield record

    def append(self, encoded: bytes) -> None:
        """Write records, at once and whole: in one write(2) with O_APPEND. OSError ENOSPC where there is no room."""
        if os.write(self.fd, encoded) != len(encoded):
            raise OSError(28, os.strerror(28))  # the next write would say so; the torn end is cut off by the next run

    def close(self) -> None:
        """Close the file."""
        os.close(self.fd)

    def _content(self) -> bytes:
        pieces = []
        offset = 0
        while piece := os.pread(self.fd, 1 << 20, offset):
            pieces.append(piece)
            offset += len(piece)
        return b"".join(pieces)

    def _encode(self, record: Record) -> bytes:
        body = _RECORD.pack(*record)
        return body + _CHECK.pack(crc32(body, self._seed))
