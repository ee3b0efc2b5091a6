"""The published figures that all estimates stand on: `figures.json` beside this module.

Each has a lowest, a likely and a highest value, says how it is known, and where from. Rates are bytes per second.

    figure("pull.containerd").likely         # 70_000_000.0
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from enum import StrEnum
from functools import cache
from importlib.resources import files
from typing import Literal, NamedTuple

Unit = Literal["bytes/s", "s", "bytes", "share", "count"]


class Grade(StrEnum):
    """How a figure is known, best first."""

    MEASURED = "measured"
    DOCUMENTED = "documented"
    BLOG = "blog"
    INFERRED = "inferred"


class Case(StrEnum):
    """Which end of each figure's range an estimate takes: `HIGH` is the fast machine, `LOW` the slow one."""

    LOW = "low"
    LIKELY = "likely"
    HIGH = "high"


class Figure(NamedTuple):
    """One number. For rates `low` is the slow end, for seconds the fast one: it is the lesser number."""

    name: str
    unit: Unit
    low: float
    likely: float
    high: float
    grade: Grade
    source: str
    note: str

    def at(self, case: Case) -> float:
        """Its value where everything is as slow (LOW), usual, or fast (HIGH) as it was ever seen."""
        if case is Case.LIKELY:
            return self.likely
        least_is_slow = self.unit in {"bytes/s", "count"}
        return self.low if (case is Case.LOW) == least_is_slow else self.high


@cache
def figures() -> Mapping[str, Figure]:
    """Return all figures by name; read once. The data is part of the program, so a fault in it is a bug and raises."""
    data = json.loads(files("webhook.cost").joinpath("figures.json").read_text(encoding="utf-8"))
    return {
        row["name"]: Figure(
            row["name"],
            row["unit"],
            float(row["low"]),
            float(row["likely"]),
            float(row["high"]),
            Grade(row["grade"]),
            row["source"],
            row.get("note", ""),
        )
        for row in data["figures"]
    }


def figure(name: str) -> Figure:
    """Return the figure of that name; KeyError for one that is not in the data."""
    return figures()[name]
