"""The API server's `?timeout=`: how long it will wait, as a Go duration."""

from __future__ import annotations

import re
from functools import lru_cache
from urllib.parse import parse_qs

_UNITS = {"ns": 1e-9, "us": 1e-6, "\u00b5s": 1e-6, "\u03bcs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_PART = re.compile(r"([0-9]+\.?[0-9]*|\.[0-9]+)(ns|us|\u00b5s|\u03bcs|ms|s|m|h)", re.ASCII)
_LONGEST = 64  # characters; Go prints at most 23


def go_duration(text: str) -> float | None:
    """The seconds of `5s`, `1m30s`, `-1.5h`; None for what Go's time.ParseDuration refuses."""
    if len(text) > _LONGEST:
        return None
    sign = -1.0 if text.startswith("-") else 1.0
    rest = text[1:] if text[:1] in ("+", "-") else text
    if rest == "0":
        return 0.0
    total, place = 0.0, 0
    while place < len(rest):
        part = _PART.match(rest, place)
        if part is None:
            return None
        total += float(part[1]) * _UNITS[part[2]]
        place = part.end()
    return sign * total if rest else None


@lru_cache(maxsize=256)
def asked(query: bytes) -> float | None:
    """The seconds that `timeout` in this query string gives; None when it is absent or no duration."""
    if len(query) > 1024:
        return None
    try:
        values = parse_qs(query.decode("ascii"), keep_blank_values=True, max_num_fields=16).get("timeout")
    except ValueError:
        return None
    return go_duration(values[0]) if values else None
