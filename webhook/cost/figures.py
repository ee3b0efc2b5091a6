"""The published figures that all estimates stand on: `figures.json` beside this module.

Each has a lowest, a likely and a highest value, says how it is known, and where from. Rates are bytes per second.

    figure("pull.containerd").likely                             # 70_000_000.0
    Assumed(Case.SLOW)("pull.containerd")                         # 50_000_000.0
    Assumed(given={"pull.containerd": 53e6})("pull.containerd")  # 53_000_000.0: you know better
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from enum import StrEnum
from functools import cache
from importlib.resources import files
from typing import Literal, NamedTuple

Unit = Literal["bytes/s", "s", "bytes", "share", "times", "USD"]


class Grade(StrEnum):
    """How a figure is known, best first."""

    MEASURED = "measured"
    DOCUMENTED = "documented"
    BLOG = "blog"
    INFERRED = "inferred"


class Case(StrEnum):
    """Which end of every figure's range an estimate takes."""

    SLOW = "slow"
    LIKELY = "likely"
    FAST = "fast"


class Figure(NamedTuple):
    """One number, with the least and the greatest that it may be. Fast is a great rate, and little of all else."""

    name: str
    unit: Unit
    low: float
    likely: float
    high: float
    grade: Grade
    source: str
    note: str

    def at(self, case: Case) -> float:
        """Its value where everything is as slow, as usual, or as fast as it was ever seen."""
        if case is Case.LIKELY:
            return self.likely
        return self.high if (case is Case.FAST) == (self.unit == "bytes/s") else self.low


class Assumed(NamedTuple):
    """What an estimate takes for each figure: the one of its case, but for those that are `given`."""

    case: Case = Case.LIKELY
    given: Mapping[str, float] = {}

    def __call__(self, name: str) -> float:
        """The figure of that name; KeyError for one that is not in the data."""
        given = self.given.get(name)
        return figure(name).at(self.case) if given is None else given


LIKELY = Assumed()


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
