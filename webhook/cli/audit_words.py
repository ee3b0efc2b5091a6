"""How an audit says numbers, spans of time and parts of a change, on terminals and on pages."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Final

from webhook.admission.changes import PARTS
from webhook.report.tally import Workload

#: What each part of a change is called in front of people.
WORDS: Final[Mapping[str, str]] = {
    "placement": "prefers warm nodes",
    "hydration": "hydrates a model",
    "volumes": "mounts volumes",
    "env": "sets variables",
    "redirect": "redirects to the mounted model",
    "awsConfig": "gives an AWS CLI configuration",
}

_UNITS: Final = ((86400, "d", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s"))


def span(seconds: float) -> str:
    """A span of time in its two greatest units: `47 s`, `3 min 20 s`, `5 h`, `12 d 4 h`."""
    sign, whole = ("-", round(-seconds)) if seconds < 0 else ("", round(seconds))
    for size, unit, part, smaller in _UNITS:
        if whole >= size:
            rest = whole % size // part
            return f"{sign}{whole // size:,} {unit} {rest} {smaller}" if rest else f"{sign}{whole // size:,} {unit}"
    return f"{sign}{whole} s" if whole else "0 s"


def short(seconds: float) -> str:
    """The same for a narrow cell: `3m 20s`."""
    return span(seconds).replace(" min", "m").replace(" s", "s").replace(" h", "h").replace(" d", "d")


def instant(time: float | None) -> str:
    """A time in UTC to the minute; empty for None."""
    return "" if time is None else datetime.fromtimestamp(time, UTC).strftime("%Y-%m-%d %H:%M UTC")


def in_order(parts: Iterable[str]) -> list[str]:
    """Parts in the order people hear of them; ones that this version does not know come last, by name."""
    places = {part: place for place, part in enumerate(PARTS)}
    return sorted(parts, key=lambda part: (places.get(part, len(places)), part))


def counted(parts: Mapping[str, int]) -> str:
    """`placement 12, hydration 9`: how many pods each part was changed of."""
    return ", ".join(f"{part} {parts[part]:,}" for part in in_order(parts))


def what(workload: Workload) -> str:
    """What was or would be changed of a workload's pods; by its parts alone where no more is known."""
    return workload.text or "; ".join(WORDS.get(part, part) for part in in_order(workload.parts)) or "changed"
