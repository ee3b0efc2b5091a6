"""One text shared with forked processes: written by the process that made it, read by them at any time.

A write may be cut in two by a reader; length and checksum tell, and he reads again. No lock: a writer that dies
leaves none behind.
"""

from __future__ import annotations

import time
from binascii import crc32
from mmap import mmap
from struct import Struct

_SIZE = 1 << 16  # STS tokens have a few KiB
_HEAD = Struct("<QII")  # generation, length, crc of the text
_COMPLAINT = Struct("<Q")
_COMPLAINT_AT = _HEAD.size
_TEXT_AT = 64
_PATIENCE = 5.0


class Slot:
    """Make it before the fork. Generations count from 1; 0 is an empty one."""

    def __init__(self) -> None:
        self._memory = mmap(-1, _SIZE)
        self._generation = 0

    def __repr__(self) -> str:
        return f"Slot(generation={self._generation})"

    def write(self, text: bytes) -> None:
        """Replace the text; ValueError when it is too long."""
        if len(text) > _SIZE - _TEXT_AT:
            raise ValueError(f"{len(text)} bytes do not fit into a slot")
        self._generation += 1
        self._memory[_TEXT_AT : _TEXT_AT + len(text)] = text
        self._memory[: _HEAD.size] = _HEAD.pack(self._generation, len(text), crc32(text))

    def stamp(self) -> bytes:
        """Equal as long as the text is: what a reader compares before he reads anew."""
        return self._memory[: _HEAD.size]

    def read(self) -> tuple[bytes, bytes]:
        """A whole text and its stamp; ValueError when there is none for seconds, which only a dead writer leaves."""
        deadline = time.monotonic() + _PATIENCE
        while True:
            stamp = self.stamp()
            _, length, crc = _HEAD.unpack(stamp)
            text = self._memory[_TEXT_AT : _TEXT_AT + min(length, _SIZE - _TEXT_AT)]
            if crc32(text) == crc:
                return text, stamp
            if time.monotonic() > deadline:
                raise ValueError("a slot was never written to its end")
            time.sleep(0.0001)

    def complain(self, stamp: bytes) -> None:
        """A reader's word that the text of that stamp serves no more."""
        self._memory[_COMPLAINT_AT : _COMPLAINT_AT + _COMPLAINT.size] = stamp[: _COMPLAINT.size]

    def complained(self) -> bool:
        """Whether somebody complained of the present text."""
        bytes_ = self._memory[_COMPLAINT_AT : _COMPLAINT_AT + _COMPLAINT.size]
        return self._generation > 0 and bytes_ == _COMPLAINT.pack(self._generation)

    def close(self) -> None:
        """Unmap it, in this process."""
        self._memory.close()
