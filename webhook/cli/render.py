"""What people and scripts read: YAML, JSON, tables and coloured diffs. Plain text when nobody's terminal is there.

Whatever a tenant wrote reaches a terminal escaped, so that a label cannot move the cursor or hide a line.
"""

from __future__ import annotations

import difflib
import json
import re
import sys
from collections.abc import Iterable, Sequence
from typing import Any, Final

import click
import yaml

from webhook.cli.errors import COLOURS, colour_wanted, printable
from webhook.policy.problem import Problem

#: Wide enough that a table in a log file never wraps.
PLAIN_WIDTH: Final = 1000
#: Unchanged lines of YAML shown around a change.
CONTEXT_LINES: Final = 3


class _Dumper(yaml.SafeDumper):
    """Block style, no anchors, and quotes around every string that some YAML reader takes for something else."""

    def ignore_aliases(self, data: Any) -> bool:
        """Write shared values out each time: `&id001` would be noise in a file people edit."""
        del data
        return True

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        """Indent lists below their key, as kubectl users expect."""
        del indentless
        super().increase_indent(flow, indentless=False)


def _string(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = "|" if "\n" in text and _fits_block(text) else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


def _fits_block(text: str) -> bool:
    lines = text.split("\n")
    return all(line.isprintable() and line.isascii() and line == line.rstrip() for line in lines)


_Dumper.add_representer(str, _string)
# `1e3`, `08` and `0o17` are numbers to YAML 1.2, `y` is a boolean to YAML 1.1: PyYAML would leave them bare.
_Dumper.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?$"),
    list("-+.0123456789"),
)
_Dumper.add_implicit_resolver("tag:yaml.org,2002:int", re.compile(r"0o[0-7]+$"), ["0"])
_Dumper.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile(r"[yYnN]$"), list("yYnN"))


def yaml_text(value: Any, *, sort: bool = False) -> str:
    """Block-style YAML, ASCII only, keys in their own order unless `sort`, ending in a line break."""
    text: str = yaml.dump(value, Dumper=_Dumper, sort_keys=sort, width=sys.maxsize, allow_unicode=False)
    return text


def json_text(value: Any) -> str:
    """Indented JSON in ASCII, ending in a line break."""
    return json.dumps(value, indent=2) + "\n"


def diff_text(before: Any, after: Any, names: tuple[str, str]) -> str:
    """A coloured unified diff of two values as YAML; empty when they are equal. `names` stand in its two headers."""
    old, new = yaml_text(before).splitlines(), yaml_text(after).splitlines()
    before_name, after_name = map(printable, names)
    lines = difflib.unified_diff(old, new, before_name, after_name, n=CONTEXT_LINES, lineterm="")
    return "".join(f"{_coloured(line)}\n" for line in lines)


def problem_text(problem: Problem) -> str:
    """One problem as compilers print theirs, so that editors and terminals can jump to it; the hint on its own line."""
    place = click.style(printable(f"{problem.file}:{problem.line}:{problem.column}:"), bold=True)
    word = click.style(f"{problem.severity} {problem.code}", fg=COLOURS[problem.severity])
    field = f"{problem.path}: " if problem.path else ""
    hint = f"    hint: {printable(problem.hint)}\n" if problem.hint else ""
    return f"{place} {word} {printable(field + problem.message)}\n{hint}"


def count(number: int, noun: str) -> str:
    """`1 error`, `2 errors`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _coloured(line: str) -> str:
    if line.startswith(("---", "+++")):
        return click.style(line, bold=True)
    colour = {"+": "green", "-": "red", "@": "cyan"}.get(line[:1])
    return click.style(line, fg=colour) if colour else line


def show(text: str) -> None:
    """Write data to stdout; colours are taken out where stdout is not a terminal."""
    click.echo(text, nl=False, color=colour_wanted())


def table(headers: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Write a table to stdout: ruled and fitted on a terminal, one unwrapped line a row elsewhere."""
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    wanted = colour_wanted()
    console = Console(no_color=wanted is False, force_terminal=wanted, highlight=False, markup=False, emoji=False)
    terminal = console.is_terminal
    if sys.stdout is None or not sys.stdout.isatty():  # None: it was closed before we began
        console.width = PLAIN_WIDTH
    grid = Table(box=box.SIMPLE_HEAD if terminal else None, pad_edge=False, header_style="bold")
    for header in headers:
        grid.add_column(header, overflow="fold")
    for row in rows:
        grid.add_row(*(Text(printable(cell), style=_STYLES.get(cell, "")) for cell in row))
    with console.capture() as captured:
        console.print(grid)
    show("".join(f"{line.rstrip()}\n" for line in captured.get().splitlines()))


_STYLES: Final = {
    "error": "red",
    "failed": "red",
    "warning": "yellow",
    "errored": "red",
    "matched": "green",
    "passed": "green",
    "updated": "cyan",
    "skipped": "dim",
}
