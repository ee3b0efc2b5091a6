"""How cases went, for people and for scripts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import click

from webhook.cli import render
from webhook.cli.errors import printable, say
from webhook.cli.trial import Outcome, tally
from webhook.report.coverage import Coverage, Element

_MOST_MISSING: Final = 200
_MOST_NAMES: Final = 12


def as_json(outcomes: Sequence[Outcome], coverage: Coverage | None) -> dict[str, Any]:
    """What `--output json` prints."""
    listed = [
        {
            "name": outcome.name,
            "directory": outcome.directory,
            "file": outcome.file,
            "line": outcome.line,
            "result": outcome.result,
            "failures": list(outcome.failures),
            "notes": list(outcome.notes),
            "seconds": round(outcome.seconds, 4),
        }
        for outcome in outcomes
    ]
    found: dict[str, Any] = {"cases": listed, **tally(outcomes)}
    if coverage is not None:
        found["coverage"] = {
            "percent": coverage.percent,
            "exercised": len(coverage.declared) - len(coverage.missing),
            "declared": len(coverage.declared),
            "policies": [
                {"file": file, "policy": policy, "exercised": seen, "declared": count}
                for file, policy, seen, count in coverage.policies
            ],
            "elements": [
                {**element._asdict(), "cases": coverage.cases[element]}
                for element in sorted({*coverage.declared, *coverage.cases})
            ],
            "unmissed": None if coverage.unmissed is None else [each._asdict() for each in coverage.unmissed],
        }
    return found


def table(outcomes: Sequence[Outcome]) -> None:
    """Every case on a line; below, what those that failed failed on, said once where several share it."""
    render.table(("CASE", "RESULT"), [(outcome.name, outcome.result) for outcome in outcomes])
    failed: dict[str, list[str]] = {}
    for outcome in outcomes:
        for failure in outcome.failures:
            failed.setdefault(failure, []).append(outcome.name)
    for failure, named in failed.items():
        render.show(f"\n{click.style(_names(named), bold=True)}:\n{_coloured(failure)}\n")
    noted: dict[str, list[str]] = {}
    for outcome in outcomes:
        for note in outcome.notes:
            noted.setdefault(note, []).append(outcome.name)
    for note, named in noted.items():
        say("note", f"{_names(named)}: {note}")


def _names(named: Sequence[str]) -> str:
    """The cases that share something; of many, how many more there are."""
    shown = ", ".join(named[:_MOST_NAMES])
    more = f" and {len(named) - _MOST_NAMES} more" if len(named) > _MOST_NAMES else ""
    return printable(shown + more)


def _coloured(failure: str) -> str:
    return "\n".join(
        click.style(line, fg=_COLOURS[line[4]]) if line[:4] == "    " and line[4:5] in _COLOURS else line
        for line in failure.split("\n")
    )


_COLOURS = {"+": "green", "-": "red", "@": "cyan"}


def coverage_table(coverage: Coverage) -> None:
    """What no case exercises, by file and line, and how much is exercised of each policy."""
    missing = coverage.missing
    _elements("NOT EXERCISED BY ANY CASE", missing)
    _elements("COULD GO AND NO CASE WOULD FAIL", coverage.unmissed or ())
    render.show("\n")
    render.table(
        ("POLICY", "EXERCISED", "OF", ""),
        [
            *((policy, str(seen), str(count), _share(seen, count)) for _, policy, seen, count in coverage.policies),
            ("all", str(len(coverage.declared) - len(missing)), str(len(coverage.declared)), f"{coverage.percent:g} %"),
        ],
    )


def _elements(title: str, elements: Sequence[Element]) -> None:
    if elements:
        render.show("\n")
        render.table(
            (title, "POLICY", "PLACE"),
            [(each.what, each.policy, f"{each.file}:{each.line}") for each in elements[:_MOST_MISSING]],
        )
    if len(elements) > _MOST_MISSING:
        say("note", f"{len(elements) - _MOST_MISSING} more; --output json has all")


def _share(seen: int, count: int) -> str:
    return f"{int(1000 * seen / count) / 10 if count else 100:g} %"
