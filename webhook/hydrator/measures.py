"""Sizes, durations and rates as people and Kubernetes write them, and as people read them."""

from __future__ import annotations

import math
import re

_QUANTITY = re.compile(r"([0-9]{1,20})(?:\.([0-9]{1,20}))?(?:([kMGTPE]|[KMGTPE]i)?|[eE]([0-9]{1,2}))")
_DURATION = re.compile(r"(?:([0-9]{1,9})d)?(?:([0-9]{1,9})h)?(?:([0-9]{1,9})m)?(?:([0-9]{1,9})s)?")
_RATE = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,9})?) ?([kKMGT]?)(i?)(bps|bit/s|b/s|B/s|Bps)")
_POWERS = {"": 0, "k": 1, "K": 1, "M": 2, "G": 3, "T": 4, "P": 5, "E": 6}
_MOST = 2**63 - 1


class Unreadable(ValueError):
    """A text that is not what it should be; this one's text says in a few words, to stand behind it, what would be."""


def size(text: str) -> int:
    """Bytes of a Kubernetes quantity such as `500Gi`, `1.5T`, `1e12`; a fraction of a byte counts whole.

    Unreadable, where it is none.
    """
    match = _QUANTITY.fullmatch(text)
    if match is None:
        raise Unreadable("is no quantity such as 500Gi, 1.5T or 1000000")
    whole, fraction, suffix, exponent = match.groups()
    digits, scale = int(whole + (fraction or "")), 10 ** len(fraction or "")
    if exponent:
        factor: int = 10 ** int(exponent)
    else:
        suffix = suffix or ""
        factor = (1024 if suffix.endswith("i") else 1000) ** _POWERS[suffix.removesuffix("i")]
    found: int = -(-digits * factor // scale)
    return min(_MOST, found)


def duration(text: str) -> float:
    """Seconds of `24h`, `1h30m`, `90s`, `2d`, or a plain number of seconds; Unreadable, where it is none."""
    if text.isascii() and text.isdigit() and len(text) <= 9:
        return float(text)
    match = _DURATION.fullmatch(text)
    if not text or match is None:
        raise Unreadable("is no duration such as 24h, 1h30m or 90s")
    days, hours, minutes, seconds = (int(part or 0) for part in match.groups())
    return float(((days * 24 + hours) * 60 + minutes) * 60 + seconds)


def rate(text: str) -> float:
    """Bytes a second of `25Gbps` (bits, as networks are sold) or `500MB/s` (bytes); Unreadable, where it is none.

    More than none: nobody wants a transfer that never ends.
    """
    match = _RATE.fullmatch(text)
    if match is None:
        raise Unreadable("is no rate such as 25Gbps (bits) or 500MB/s (bytes)")
    number, prefix, binary, unit = match.groups()
    found = float(number) * math.pow(1024 if binary else 1000, _POWERS[prefix]) / (1 if unit.startswith("B") else 8)
    if found < 1:
        raise Unreadable("is less than a byte in a second")
    return found


def shown_bytes(count: float) -> str:
    """A size with three digits or so, in powers of 1000, as rates are: `15.0 GB`, `812 MB`, `0 B`."""
    if count < 999.5:
        return f"{count:.0f} B"
    power = 0
    while count >= 999.5 and power < 4:
        count /= 1000
        power += 1
    digits = 2 if count < 9.995 else 1 if count < 99.95 else 0
    return f"{count:.{digits}f} {('B', 'kB', 'MB', 'GB', 'TB')[power]}"


def shown_seconds(seconds: float) -> str:
    """A time to wait or one that has passed: `0.3 s`, `8 s`, `4 min 10 s`, `3 h 5 min`."""
    if not math.isfinite(seconds) or seconds < 0:
        return "unknown"
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    count = round(seconds)
    if count < 60:
        return f"{count} s"
    if count < 3600:
        return f"{count // 60} min {count % 60} s"
    return f"{count // 3600} h {count % 3600 // 60} min"
