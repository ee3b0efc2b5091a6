"""How every benchmark speaks: a table for people, JSON for scripts, a verdict for each target."""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from dataclasses import dataclass, field
from typing import Any

Row = dict[str, Any]

# Before the run adds its own: well under 0.2, or the figures tell of the neighbours too.
BUSY = os.getloadavg()[0]


@dataclass(frozen=True, slots=True)
class Table:
    """Rows with the same keys, printed under a title."""

    title: str
    rows: list[Row]


@dataclass(frozen=True, slots=True)
class Verdict:
    """One measured figure against its target; met when it is at most the target."""

    what: str
    measured: float
    target: float
    unit: str

    @property
    def met(self) -> bool:
        """Whether the figure is within the target."""
        return self.measured <= self.target

    def __str__(self) -> str:
        """`met   whole review at the median: 0.31 ms (target <= 0.4 ms)`."""
        word = "met   " if self.met else "MISSED"
        return f"{word} {self.what}: {_text(self.measured)} {self.unit} (target <= {_text(self.target)} {self.unit})"


@dataclass(frozen=True, slots=True)
class Report:
    """Everything one benchmark has to say."""

    name: str
    tables: list[Table]
    verdicts: list[Verdict]
    notes: dict[str, Any] = field(default_factory=dict)


def arguments(purpose: str | None) -> argparse.ArgumentParser:
    """A parser that knows `--output table|json`; the first line of `purpose` is its description."""
    parser = argparse.ArgumentParser(description=(purpose or "").strip().partition("\n")[0])
    parser.add_argument("--output", choices=("table", "json"), default="table", help="what to print on stdout")
    return parser


def machine() -> str:
    """The machine in the words a reader needs to judge the figures."""
    # What this process may use, not what the board holds: containers are often given less.
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    processor = platform.machine().replace("_", "-")
    return f"{cores} cores, {processor}, {platform.system()}, Python {platform.python_version()}"


def progress(text: str) -> None:
    """One line on stderr, so that a run of a minute is not silent and stdout stays data."""
    print(text, file=sys.stderr, flush=True)


def show(report: Report, output: str) -> None:
    """Print a report as JSON or as tables, notes and verdict lines."""
    if output == "json":
        print(json.dumps(_document(report), indent=2))
        return
    print(f"{report.name} on {machine()}; load average before the run {BUSY:.1f}")
    for table in report.tables:
        print(f"\n{table.title}")
        for line in _lines(table.rows):
            print(f"  {line}")
    if report.notes:
        print()
    for key, value in report.notes.items():
        print(f"{key}: {_text(value)}")
    if report.verdicts:
        print()
    for verdict in report.verdicts:
        print(verdict)


def _document(report: Report) -> Row:
    verdicts = [
        {"what": each.what, "measured": each.measured, "target": each.target, "unit": each.unit, "met": each.met}
        for each in report.verdicts
    ]
    return {
        "benchmark": report.name,
        "machine": machine(),
        "loadBefore": BUSY,
        "tables": {table.title: table.rows for table in report.tables},
        "notes": report.notes,
        "verdicts": verdicts,
    }


def _lines(rows: list[Row]) -> list[str]:
    if not rows:
        return ["(nothing)"]
    cells = [list(rows[0])] + [[_text(value) for value in row.values()] for row in rows]
    widths = [max(len(line[column]) for line in cells) for column in range(len(cells[0]))]
    numeric = [all(isinstance(row[key], int | float) for row in rows) for key in rows[0]]
    return [
        "  ".join(
            cell.rjust(width) if right else cell.ljust(width)
            for cell, width, right in zip(line, widths, numeric, strict=True)
        ).rstrip()
        for line in cells
    ]


def _text(value: object) -> str:
    """Three significant digits for small numbers, whole ones for large."""
    if isinstance(value, float):
        if value == 0 or abs(value) >= 100:
            return f"{value:.0f}"
        return f"{value:.3g}"
    return str(value)
