"""`--since`: `24h`, `7d`, or a time."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Final

from webhook.cli.errors import CouldNotRun

_AGO: Final = re.compile(r"(\d{1,9})([smhdw])")
_UNITS: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def since_of(text: str | None, now: datetime) -> datetime | None:
    """The time that is meant; without a zone, in UTC. None for None. Raises CouldNotRun."""
    if text is None:
        return None
    match = _AGO.fullmatch(text.strip())
    try:
        if match:
            return now - timedelta(**{_UNITS[match[2]]: int(match[1])})
        found = datetime.fromisoformat(text.strip())
    except (ValueError, OverflowError) as error:
        raise CouldNotRun(
            f"--since: {text!r} is no time", hint="write for example 24h, 7d or 2026-01-31T12:00:00Z"
        ) from error
    return found if found.tzinfo else found.replace(tzinfo=UTC)
