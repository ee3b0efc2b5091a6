"""The head of an HTTP/1.1 answer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

MAX_HEAD = 32 << 10
_MAX_DIGITS = 18


class Unparsable(ValueError):
    """It is no HTTP; the text says how it begins."""


class Answer(NamedTuple):
    """Status and headers. Names in lower case; of a repeated one the last value counts."""

    status: int
    headers: Mapping[str, str]

    @property
    def length(self) -> int | None:
        """Content-Length, where it is a number."""
        text = self.headers.get("content-length", "")
        return int(text) if text.isascii() and text.isdigit() and len(text) <= _MAX_DIGITS else None

    @property
    def delay(self) -> float:
        """Seconds of Retry-After; 0 where it says none, at most a minute."""
        text = self.headers.get("retry-after", "")
        return min(60.0, float(text)) if text.isascii() and text.isdigit() and len(text) <= _MAX_DIGITS else 0.0


def parse_head(head: bytes) -> Answer:
    """Parse what comes before the empty line. Unparsable."""
    first, *lines = head.decode("latin-1").split("\r\n")
    status = first[9:12]
    if not (first.startswith("HTTP/1.") and status.isascii() and status.isdigit()):
        raise Unparsable(repr(first[:16]))  # more of it might repeat the request, which holds secrets
    headers = {}
    for line in lines:
        name, _, value = line.partition(":")
        headers[name.lower()] = value.strip()
    return Answer(int(status), headers)
