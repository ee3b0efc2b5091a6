"""Where tables and keys stand in a text of TOML. `tomllib` says what is there, not where.

For text that `tomllib` has read: a scan of lines that passes over what lies within strings and brackets.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterator, Mapping

Lines = Mapping[tuple[str, ...], int]
"""The line, from 1, of each table and key by its path."""

_DEEPEST = 32  # no setting lies deeper
_PART = re.compile(r"""\s*(?:([A-Za-z0-9_-]+)|"((?:[^"\\]|\\.)*)"|'([^']*)')\s*""")
_OPAQUE = re.compile(
    r'"""(?:[^\\]|\\.)*?"{3,5}|' + r"'''.*?'{3,5}" + r"|\"(?:[^\"\\\n]|\\.)*\"|'[^'\n]*'|#[^\n]*|[\[\]{}]", re.DOTALL
)


def lines_of(text: str) -> Lines:
    """Return the line of each table and each key. Never raises; what cannot be made out is left out."""
    found: dict[tuple[str, ...], int] = {}
    table: tuple[str, ...] = ()
    for number, line in _statements(text):
        stripped = line.strip()
        if stripped.startswith("["):
            table = _path(stripped.lstrip("["))[0]
            _note(found, table, number)
        else:
            path, rest = _path(stripped)
            if path and rest.startswith("="):
                _note(found, (*table, *path), number)
    return found


def _note(found: dict[tuple[str, ...], int], path: tuple[str, ...], line: int) -> None:
    for length in range(1, min(len(path), _DEEPEST) + 1):
        found.setdefault(path[:length], line)


def _statements(text: str) -> Iterator[tuple[int, str]]:
    """Lines on which a table or a key begins: not those within brackets or strings."""
    ends = [match.start() for match in re.finditer("\n", text)]
    depth, start = 0, 0
    inside: set[int] = set()
    for match in _OPAQUE.finditer(text):
        piece = match.group()
        if piece in "[{":
            if depth == 0:
                start = match.start()
            depth += 1
        elif piece in "]}":
            depth = max(depth - 1, 0)
            if depth == 0:
                inside.update(_lines_after(ends, start, match.end()))
        elif piece[0] in "\"'":
            inside.update(_lines_after(ends, match.start(), match.end()))
    for number, line in enumerate(text.split("\n"), 1):
        if number not in inside:
            yield number, line


def _lines_after(ends: list[int], start: int, end: int) -> range:
    """The lines that a span goes on to, without the one on which it begins. `ends` are the places of line ends."""
    return range(bisect_left(ends, start) + 2, bisect_left(ends, end) + 2)


def _path(text: str) -> tuple[tuple[str, ...], str]:
    """The dotted path at the beginning of a text, and what follows it."""
    parts: list[str] = []
    position = 0
    while True:
        match = _PART.match(text, position)
        if match is None:
            return tuple(parts), text[position:]
        parts.append(next(group for group in match.groups() if group is not None))
        position = match.end()
        if text[position : position + 1] != ".":
            return tuple(parts), text[position:]
        position += 1
