"""Findings of `warmpod lint` as people, scripts and GitHub read them."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import Any, Final

import click

from webhook.cli.errors import COLOURS, printable
from webhook.cli.render import json_text
from webhook.lint.ignores import Ignored
from webhook.policy.problem import Problem, Source

#: Where each code has its heading.
DOCS: Final = "https://github.com/warmpod/warmpod/blob/main/docs/lint.md"

_WIDTH: Final = 120  # columns of a source line that are shown
_TOKEN: Final = re.compile(r"\"(?:\\.|[^\"\\])*\"|'(?:''|[^'])*'|[^\s,\]}:](?:[^\s,\]}:]|:(?=\S))*")


@dataclass(frozen=True, slots=True)
class Findings:
    """What one run found. `sources` are the files by name, `fixable` what `--fix` would mend.

    `policies` and `documents` (of nodes and volumes) count what was read.
    """

    problems: tuple[Problem, ...]
    ignored: tuple[Ignored, ...]
    sources: dict[str, Source]
    fixable: frozenset[Problem]
    policies: int
    documents: int = 0

    def count(self, severity: str) -> int:
        """How many there are of a severity."""
        return sum(each.severity == severity for each in self.problems)


def anchor(code: str) -> str:
    """Return the address of what to do about a code."""
    return f"{DOCS}#{code.lower()}"


def table_text(findings: Findings) -> str:
    """Each finding as compilers print theirs, so that editors and terminals can jump to it, with its line."""
    return "".join(_block(each, findings) for each in findings.problems)


def _block(problem: Problem, findings: Findings) -> str:
    place = click.style(printable(f"{problem.file}:{problem.line}:{problem.column}:"), bold=True)
    word = click.style(f"{problem.severity} {problem.code}", fg=COLOURS[problem.severity])
    mark = f" {click.style('[*]', fg='cyan')}" if problem in findings.fixable else ""
    field = f"{problem.path}: " if problem.path else ""
    hint = f"    hint: {printable(problem.hint)}\n" if problem.hint else ""
    excerpt = _excerpt(problem, findings.sources.get(problem.file))
    return f"{place} {word}{mark} {printable(field + problem.message)}\n{excerpt}{hint}"


def _excerpt(problem: Problem, source: Source | None) -> str:
    """The line, and a mark below what is meant; nothing where the file could not be shown."""
    if source is None or source.refused:
        return ""
    lines = source.text.split("\n", problem.line)
    line = lines[problem.line - 1].rstrip("\r") if problem.line <= len(lines) else ""
    if not line.strip():
        return ""
    start = problem.column - 1
    token = _TOKEN.match(line, start)
    length = max(len(token.group()) if token else 1, 1)
    cut = max(0, start - _WIDTH // 2) if len(line) > _WIDTH else 0
    before, meant = _plain(line[cut:start]), _plain(line[start : start + length])[: max(_WIDTH - (start - cut), 1)]
    shown = (before + _plain(line[start:]))[:_WIDTH]
    head = "… " if cut else ""
    number = f"{problem.line}"
    mark = click.style("^" * max(min(len(meant), _WIDTH - len(before)), 1), fg=COLOURS[problem.severity])
    pad = " " * len(number)
    return f"    {number} | {head}{shown}\n    {pad} | {' ' * (len(head) + len(before))}{mark}\n"


def _plain(text: str) -> str:
    return printable(text.replace("\t", " "))


def json_report(findings: Findings) -> str:
    """Return the findings as JSON: `problems`, what comments silence (`ignored`), and how many there are."""
    return json_text(
        {
            "problems": [_as_json(each, findings.fixable) for each in findings.problems],
            "ignored": [
                {**_as_json(each.problem, findings.fixable), "reason": each.reason} for each in findings.ignored
            ],
            "policies": findings.policies,
            "documents": findings.documents,
            "errors": findings.count("error"),
            "warnings": findings.count("warning"),
            "infos": findings.count("info"),
        }
    )


def _as_json(problem: Problem, fixable: Collection[Problem]) -> dict[str, Any]:
    return {**asdict(problem), "docs": anchor(problem.code), "fixable": problem in fixable}


_COMMANDS: Final = {"error": "error", "warning": "warning", "info": "notice"}


def github_text(problems: Iterable[Problem]) -> str:
    """Return the findings as workflow commands of GitHub Actions, which it shows beside the lines of a change.

    Escapes are those of `@actions/core`, command.ts: `%`, line ends, and in properties `:` and `,` too.
    """
    return "".join(f"{line}\n" for line in _commands(problems))


def _commands(problems: Iterable[Problem]) -> Iterator[str]:
    for each in problems:
        title = f"warmpod {each.code}"
        values = {"file": each.file, "line": str(each.line), "col": str(each.column), "title": title}
        properties = ",".join(f"{name}={_escaped_property(value)}" for name, value in values.items())
        field = f"{each.path}: " if each.path else ""
        hint = f"\nhint: {each.hint}" if each.hint else ""
        yield f"::{_COMMANDS[each.severity]} {properties}::{_escaped(f'{field}{each.message}{hint}')}"


def _escaped(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _escaped_property(text: str) -> str:
    return _escaped(text).replace(":", "%3A").replace(",", "%2C")
