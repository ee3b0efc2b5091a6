"""Lines out of the chunks of a stream, whatever their lengths."""

from __future__ import annotations

MAX_BYTES = 64 * 1024 * 1024
"""A longer line is no event: etcd takes objects of 1.5 MiB by default, some clusters let it take eight."""


class OverlongLine(ValueError):
    """More than `MAX_BYTES` without an end of line."""


class Lines:
    """`feed` it the chunks as they come. Time and memory are linear in the bytes, however small the chunks are."""

    def __init__(self, limit: int = MAX_BYTES) -> None:
        self._limit = limit
        self._parts: list[bytes] = []
        self._held = 0

    @property
    def rest(self) -> int:
        """Bytes of the line that has not ended yet."""
        return self._held

    def feed(self, chunk: bytes) -> list[bytes]:
        """The lines that end in this chunk, without their ends and without empty ones. Raises `OverlongLine`."""
        head, end, tail = chunk.partition(b"\n")
        if not end:
            self._hold(head)
            return []
        *whole, rest = tail.split(b"\n")
        whole.insert(0, b"".join([*self._parts, head]))
        self._parts.clear()
        self._held = 0
        self._hold(rest)
        return [line for line in whole if line and not line.isspace()]

    def _hold(self, part: bytes) -> None:
        if part:
            self._parts.append(part)
            self._held += len(part)
        if self._held > self._limit:
            raise OverlongLine(f"a line of more than {self._limit} bytes")
