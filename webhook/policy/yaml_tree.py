"""YAML text to trees that remember where each value stands.

Trees are built from the parser's events, never by its composer: depth and size are checked while reading, so neither
nesting nor aliases (a "YAML bomb") cost more than the limits below, and no recursion is there for input to exhaust.
A file is first cut at its `---` lines (YAML ends every construct there): a broken document leaves the others readable.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import yaml

from webhook.policy.legibility import illegible, shown
from webhook.policy.problem import Problem, Source
from webhook.policy.scalar import AmbiguousScalar, plain

MAX_DOCUMENTS = 500  # in one file
MAX_DEPTH = 48
MAX_NODES = 20_000  # in one document, aliases expanded

_TAG = "tag:yaml.org,2002:"
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # the same events, slower, where libyaml is not built in
_DOCUMENT_START = re.compile(r"^---(?=[ \t\r\n]|\Z)", re.MULTILINE)


@dataclass(slots=True)
class Node:
    """One value (a scalar, a list of nodes or a dict of nodes) and its place; lines and columns count from 1."""

    value: Any
    line: int
    column: int
    raw: str = ""
    """A scalar as the file spells it, from its place on."""
    keys: dict[str, tuple[int, int]] = field(default_factory=dict)
    size: int = 1

    def data(self) -> Any:
        """Return plain data, safe to keep: shared anchors become separate copies."""
        if isinstance(self.value, dict):
            return {key: child.data() for key, child in self.value.items()}
        if isinstance(self.value, list):
            return [child.data() for child in self.value]
        return self.value

    def places(self, path: str = "") -> Iterator[tuple[str, tuple[int, int]]]:
        """Every field below by path (`spec.models[0].name`) with the line and column of its value."""
        if path:
            yield path, (self.line, self.column)
        if isinstance(self.value, dict):
            for key, child in self.value.items():
                yield from child.places(f"{path}.{key}" if path else key)
        elif isinstance(self.value, list):
            for index, child in enumerate(self.value):
                yield from child.places(f"{path}[{index}]")


@dataclass(frozen=True, slots=True)
class Document:
    """One non-empty YAML document of a file. Not `sound`: a part of it was refused, and a problem says which."""

    file: str
    root: Node
    sound: bool = True


def read(source: Source) -> tuple[list[Document], list[Problem]]:
    """Return the documents that could be read and what is wrong with the others. Never raises."""
    found = illegible(source)
    if found:
        return [], [found]
    documents: list[Document] = []
    problems: list[Problem] = []
    line = 0
    for count, piece in enumerate(_pieces(source.text)):
        if count > MAX_DOCUMENTS:
            message = f"more than {MAX_DOCUMENTS} documents in one file; the rest is not read"
            problems.append(Problem("P005", "error", source.file, line + 1, 1, "", message, "split the file"))
            break
        reader = _Reader(source.file, piece, line)
        documents.extend(reader.documents())
        problems.extend(reader.problems)
        line += piece.count("\n")
    return documents, problems


def _pieces(text: str) -> Iterator[str]:
    """Cut before each `---` line, lazily: there may be a hundred thousand."""
    start = 0
    for match in _DOCUMENT_START.finditer(text):
        if match.start() > start:
            yield text[start : match.start()]
            start = match.start()
    yield text[start:]


class _Reader:
    """Folds the events of one piece of a file into trees."""

    def __init__(self, file: str, text: str, line_offset: int) -> None:
        self.problems: list[Problem] = []
        self._file = file
        self._text = text
        self._offset = line_offset

    def documents(self) -> list[Document]:
        """Return the piece's documents, without empty ones; of a piece with a syntax error, none."""
        documents: list[Document] = []
        try:
            events = yaml.parse(self._text, Loader=_LOADER)
            for event in events:
                if isinstance(event, yaml.DocumentStartEvent):
                    before = len(self.problems)
                    if event.version or event.tags:
                        self._refuse(
                            "P004", event, "YAML directives are not supported", "remove the line that begins with %"
                        )
                    root = self._document(events)
                    if root is None:
                        return []
                    if root.value is not None:
                        documents.append(Document(self._file, root, len(self.problems) == before))
        except yaml.MarkedYAMLError as error:
            self.problems.append(self._syntax(error))
            return []
        return documents

    def _document(self, events: Iterator[Any]) -> Node | None:
        """Build one document; None, with a problem, when it goes past a limit."""
        root: list[Node] = []
        stack: list[tuple[Node, list[Node], str]] = []  # open collections, their children so far, their anchor
        anchors: dict[str, Node | None] = {}  # None: still open
        nodes = 0
        for event in events:
            if isinstance(event, yaml.DocumentEndEvent):
                break
            if isinstance(event, yaml.CollectionEndEvent):
                node, children, anchor = stack.pop()
                self._close(node, children)
                if anchor:
                    anchors[anchor] = node
            elif isinstance(event, yaml.CollectionStartEvent):
                empty: Any = {} if isinstance(event, yaml.MappingStartEvent) else []
                node = Node(empty, *self._place(event))
                if event.tag not in (None, "!", f"{_TAG}map" if isinstance(empty, dict) else f"{_TAG}seq"):
                    self._refuse("P004", event, f"the tag {_short_tag(event.tag)} is not supported here", "remove it")
                if len(stack) >= MAX_DEPTH:
                    self._refuse("P005", event, f"nested deeper than {MAX_DEPTH} levels", "flatten it")
                    return None
                (stack[-1][1] if stack else root).append(node)
                stack.append((node, [], event.anchor or ""))
                if event.anchor:
                    anchors[event.anchor] = None
                nodes += 1
                continue
            else:
                node = self._alias(event, anchors) if isinstance(event, yaml.AliasEvent) else self._scalar(event)
                (stack[-1][1] if stack else root).append(node)
                if isinstance(event, yaml.ScalarEvent) and event.anchor:
                    anchors[event.anchor] = node
                nodes += node.size
            if nodes > MAX_NODES:
                self._refuse(
                    "P005",
                    event,
                    f"more than {MAX_NODES} values in one document, with aliases expanded",
                    "split it, and write values out instead of aliasing aliases",
                )
                return None
        return root[0]

    def _close(self, node: Node, children: list[Node]) -> None:
        node.size = 1 + sum(child.size for child in children)
        if isinstance(node.value, list):
            node.value = children
            return
        for key, child in zip(children[::2], children[1::2], strict=True):
            at = (key.line, key.column)
            if not isinstance(key.value, str):
                self._complain("P004", at, "a key must be a string", "quote it")
            elif key.value == "<<" and key.raw == "<<":
                self._complain("P004", at, "merge keys (<<) are not supported", "write the fields out")
            elif key.value in node.value:
                first = node.keys[key.value][0]
                self._complain(
                    "P003", at, f'"{shown(key.value)}" is already given on line {first}', "remove one of the two"
                )
            else:
                node.value[key.value] = child
                node.keys[key.value] = at

    def _scalar(self, event: Any) -> Node:
        line, column = self._place(event)
        raw = self._text[event.start_mark.index : event.end_mark.index]
        value: Any = event.value
        try:
            if event.tag in (None, "!"):
                value = plain(value) if event.implicit[0] and event.tag is None else value
            elif event.tag != f"{_TAG}str":
                value = plain(value)
                if (
                    event.tag != _TAG + _CORE.get(type(value), "")
                    and event.tag != f"{_TAG}{_WIDER.get(type(value), '')}"
                ):
                    self._refuse("P004", event, f"the tag {_short_tag(event.tag)} is not supported here", "remove it")
        except AmbiguousScalar as error:
            message, _, hint = str(error).rpartition("; ")
            self._complain("P004", (line, column), message, hint)
        return Node(value, line, column, raw)

    def _alias(self, event: Any, anchors: dict[str, Node | None]) -> Node:
        node = anchors.get(event.anchor)
        if node is not None:
            return node
        reason = "refers to what contains it" if event.anchor in anchors else "has no anchor before it"
        self._refuse(
            "P004",
            event,
            f"the alias *{shown(event.anchor)} {reason}",
            "quote it if it is meant as text, else write the value out",
        )
        return Node(None, *self._place(event))

    def _place(self, event: Any) -> tuple[int, int]:
        return event.start_mark.line + 1 + self._offset, event.start_mark.column + 1

    def _refuse(self, code: str, event: Any, message: str, hint: str) -> None:
        self._complain(code, self._place(event), message, hint)

    def _complain(self, code: str, at: tuple[int, int], message: str, hint: str) -> None:
        self.problems.append(Problem(code, "error", self._file, *at, "", message, hint))

    def _syntax(self, error: yaml.MarkedYAMLError) -> Problem:
        mark = error.problem_mark or error.context_mark
        line, column = (mark.line, mark.column) if mark else (0, 0)
        lines = self._text.split("\n")
        here = lines[line][column : column + 1] if line < len(lines) else ""
        message, hint = f"not YAML: {error.problem}", ""
        if "cannot start any token" in message and here == "\t":
            message, hint = "a tab stands where YAML wants spaces", "indent with spaces"
        elif "cannot start any token" in message and here in "@`%*&!|>":
            message, hint = f"a value may not begin with {here}", "quote it"
        elif "mapping values are not allowed" in message:
            message, hint = (
                'a ":" stands where a value cannot hold one',
                'quote a value that contains ": ", and check the indentation',
            )
        elif error.context and error.context_mark is not None:
            message += f" ({error.context} that begins on line {error.context_mark.line + 1 + self._offset})"
        return Problem("P002", "error", self._file, line + 1 + self._offset, column + 1, "", message, hint)


_CORE: dict[type, str] = {bool: "bool", int: "int", float: "float", type(None): "null"}
_WIDER: dict[type, str] = {int: "float"}


def _short_tag(tag: str) -> str:
    return shown(tag.replace(_TAG, "!!"))
