"""A YAML stream as plain values, read as `kubectl` reads it: no dates, no base-60 numbers, `on` is true.

Policy files have their own, stricter reader (`webhook.policy.yaml_tree`); manifests are other people's and must mean
here what they mean to the API server. Nothing in a stream can make the reader recurse, or build more than `MOST_NODES`
values: aliases are counted by what they expand to.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, Final

import yaml

#: Far above any rendered chart, far below what fills a laptop's memory.
MOST_NODES: Final = 2_000_000
DEEPEST: Final = 200

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_BOOLEANS: Final = {
    **dict.fromkeys(("true", "True", "TRUE", "yes", "Yes", "YES", "on", "On", "ON"), True),
    **dict.fromkeys(("false", "False", "FALSE", "no", "No", "NO", "off", "Off", "OFF"), False),
}
_NULLS: Final = frozenset({"", "~", "null", "Null", "NULL"})
_INTEGER: Final = re.compile(r"[-+]?(?:0b[01_]+|0o?[0-7_]+|0x[0-9a-fA-F_]+|0|[1-9][0-9_]*)")
_FLOAT: Final = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_NOT_JSON: Final = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")


class Refused(ValueError):
    """Something in the stream that is no manifest: why, and where (from 1; column 0: only the line is known)."""

    def __init__(self, reason: str, line: int, column: int) -> None:
        super().__init__(reason)
        self.line = line
        self.column = column


def _refused(reason: str, event: Any) -> Refused:
    return Refused(reason, event.start_mark.line + 1, event.start_mark.column + 1)


def values(text: str) -> Iterator[tuple[int, Any]]:
    """The documents of a stream with the lines they start on, empty ones left out. Raises Refused, and nothing else."""
    builder = _Builder()
    try:
        for event in yaml.parse(text, Loader=_LOADER):
            builder.take(event)
            if isinstance(event, yaml.DocumentEndEvent) and builder.root is not None:
                yield builder.line, builder.root
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line, column = (mark.line + 1, mark.column + 1) if mark else (1, 0)
        raise Refused(f"not YAML: {error.problem or error.context}", line, column) from error
    except yaml.YAMLError as error:
        line = text.encode()[: getattr(error, "position", 0) or 0].count(b"\n") + 1
        raise Refused(f"not YAML: {getattr(error, 'reason', '') or 'unreadable'}", line, 0) from error


class _Builder:
    """Builds plain values from YAML events, one document at a time, without recursion."""

    def __init__(self) -> None:
        self.root: Any = None
        self.line = 1
        self._stack: list[_Open] = []
        self._anchors: dict[str, tuple[Any, int]] = {}
        self._nodes = 0

    def take(self, event: Any) -> None:
        """Add one event; raises Refused."""
        if isinstance(event, yaml.DocumentStartEvent):
            self.root, self._anchors, self._stack = None, {}, []
            self.line = 0
        elif isinstance(event, yaml.ScalarEvent):
            self._count(1, event)
            self._add(_scalar(event), event, 1)
        elif isinstance(event, (yaml.MappingStartEvent, yaml.SequenceStartEvent)):
            self._count(1, event)
            if event.tag not in (None, "!", "tag:yaml.org,2002:map", "tag:yaml.org,2002:seq"):
                raise _refused(f"the tag {event.tag!r} has no meaning in a manifest", event)
            if len(self._stack) >= DEEPEST:
                raise _refused(f"nested deeper than {DEEPEST} levels", event)
            value: Any = {} if isinstance(event, yaml.MappingStartEvent) else []
            self._stack.append(_Open(value, event, self._nodes))
        elif isinstance(event, (yaml.MappingEndEvent, yaml.SequenceEndEvent)):
            closed = self._stack.pop()
            closed.merge()
            self._add(closed.value, closed.event, self._nodes - closed.nodes_before + 1)
        elif isinstance(event, yaml.AliasEvent):
            if event.anchor not in self._anchors:
                raise _refused(f"alias *{event.anchor} has no anchor before it", event)
            value, size = self._anchors[event.anchor]
            self._count(size, event)
            self._add(value, event, size)

    def _count(self, nodes: int, event: Any) -> None:
        self.line = self.line or event.start_mark.line + 1
        self._nodes += nodes
        if self._nodes > MOST_NODES:
            raise _refused(f"more than {MOST_NODES} values (aliases count as what they stand for)", event)

    def _add(self, value: Any, event: Any, size: int) -> None:
        if getattr(event, "anchor", None) and not isinstance(event, yaml.AliasEvent):
            self._anchors[event.anchor] = (value, size)
        if self._stack:
            self._stack[-1].add(value, event)
        else:
            self.root = value


class _Open:
    """A mapping or sequence whose end has not been seen."""

    __slots__ = ("event", "key", "merges", "merging", "nodes_before", "value")

    def __init__(self, value: Any, event: Any, nodes_before: int) -> None:
        self.value = value
        self.event = event
        self.nodes_before = nodes_before
        self.key: str | None = None
        self.merging = False
        self.merges: list[dict[str, Any]] = []

    def add(self, value: Any, event: Any) -> None:
        if isinstance(self.value, list):
            self.value.append(value)
        elif self.key is None:
            self.key = _key(value, event)
            self.merging = self.key == "<<" and isinstance(event, yaml.ScalarEvent) and bool(event.implicit[0])
            if self.key in self.value:
                raise _refused(f"the key {self.key!r} stands twice in one mapping", event)
        elif self.merging:
            sources = value if isinstance(value, list) else [value]
            if not all(isinstance(source, dict) for source in sources):
                raise _refused("<< merges a mapping or a list of mappings", event)
            self.merges += sources
            self.key = None
        else:
            self.value[self.key] = value
            self.key = None

    def merge(self) -> None:
        for source in self.merges:
            for key, value in source.items():
                self.value.setdefault(key, value)


def _key(value: Any, event: Any) -> str:
    """Keys are strings in JSON, so other scalars are spelt out, as kubectl does."""
    if isinstance(value, str):
        return value
    if isinstance(value, (dict, list)) or value is None:
        raise _refused("a key must be a string", event)
    return json.dumps(value)


def _scalar(event: Any) -> Any:
    text: str = event.value
    tag = event.tag
    if tag in (None, "!"):
        return _plain(text, event) if tag is None and event.implicit[0] else text
    kind = tag.removeprefix("tag:yaml.org,2002:")
    if kind == "str":
        return text
    if kind in ("int", "float", "bool", "null"):
        return _plain(text, event)
    raise _refused(f"the tag {tag!r} has no meaning in a manifest", event)


def _plain(text: str, event: Any) -> Any:
    if text in _BOOLEANS:
        return _BOOLEANS[text]
    if text in _NULLS:
        return None
    if text[0] not in "+-.0123456789" or len(text) > 300:
        return text
    if _INTEGER.fullmatch(text):
        return _integer(text.replace("_", ""))
    if _FLOAT.fullmatch(text):
        number = float(text)
        if number not in (float("inf"), float("-inf")):
            return number
        raise _refused(f"{text} is too large for a number", event)
    if _NOT_JSON.fullmatch(text):
        raise _refused(f"{text} cannot be written in JSON, so no manifest can hold it", event)
    return text


def _integer(text: str) -> int:
    digits = text.lstrip("+-")
    base = 10
    if len(digits) > 1 and digits[0] == "0":
        base = {"x": 16, "b": 2}.get(digits[1], 8)
        digits = digits[2:] if digits[1] in "xbo" else digits[1:]
    number = int(digits or "0", base)
    return -number if text.startswith("-") else number
