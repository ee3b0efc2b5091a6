"""The section of docs/benchmarks.md that this benchmark writes, when it is asked to."""

from __future__ import annotations

import os
import re
from datetime import UTC, datetime
from pathlib import Path

from tests.bench import report

TITLE = "## The hydrator beside its peers"
DOCUMENT = Path(__file__).parents[3] / "docs" / "benchmarks.md"


def filesystem(place: Path) -> str:
    """The type of the filesystem that holds a directory."""
    device = place.stat().st_dev
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        fields = line.split()
        major, _, minor = fields[2].partition(":")
        if os.makedev(int(major), int(minor)) == device:
            return fields[fields.index("-") + 1]
    return "an unknown filesystem"


def section(made: report.Report, today: str) -> str:
    """Markdown of the whole section."""
    notes = ", ".join(f"{key} {value}" for key, value in made.notes.items())
    head = (
        f"`tests/bench/hydrate`, {today}; {report.machine()}; {notes}; load average before the run {report.BUSY:.1f}. "
        "Server and clients share the cores. GB/s and files/s include `sync`; CPU is of the client's processes; "
        "*x time* and *x CPU* are medians over the repeats of the ratio to the best peer of the same repeat."
    )
    parts = [TITLE, head]
    for table in made.tables:
        heads = list(table.rows[0])
        lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
        lines += [f"| {' | '.join(_text(value) for value in row.values())} |" for row in table.rows]
        parts += [f"{table.title[0].upper()}{table.title[1:]}:", "\n".join(lines)]
    if made.verdicts:
        parts.append("\n".join(f"- {' '.join(str(verdict).split())}" for verdict in made.verdicts))
    return "\n\n".join(parts) + "\n"


def write(made: report.Report) -> None:
    """Replace the section, or add it at the end."""
    text = DOCUMENT.read_text()
    new = section(made, datetime.now(UTC).strftime("%Y-%m-%d"))
    pattern = re.compile(rf"^{re.escape(TITLE)}\n.*?(?=^## |\Z)", re.DOTALL | re.MULTILINE)
    if pattern.search(text):
        text = pattern.sub(lambda found: new + ("" if found.end() == len(text) else "\n"), text)
    else:
        text = f"{text.rstrip()}\n\n{new}"
    DOCUMENT.write_text(text)


def _text(value: object) -> str:
    if isinstance(value, float):
        return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
    return str(value)
