"""Where every value of a YAML text begins and ends, to the character: so a text can be edited, not written anew."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import yaml

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(slots=True)
class Span:
    """One value: `text[start:end]`. Of a mapping, `keys` and `values` go together; of a list there are values alone.

    `shared` where an anchor or an alias ties it to another place.
    """

    start: int
    end: int
    line: int
    kind: str = "scalar"
    flow: bool = False
    shared: bool = False
    keys: list[Span] = field(default_factory=list)
    values: list[Span] = field(default_factory=list)

    def every(self) -> Iterator[Span]:
        """Yield it, and all below."""
        yield self
        for each in (*self.keys, *self.values):
            yield from each.every()


def spans(text: str) -> list[Span]:
    """Return the roots of a text's documents; none where it is not YAML."""
    try:
        return list(_documents(text))
    except (yaml.YAMLError, RecursionError):
        return []


def _documents(text: str) -> Iterator[Span]:
    stack: list[Span] = []
    root: Span | None = None
    for event in yaml.parse(text, Loader=_LOADER):
        if isinstance(event, yaml.DocumentStartEvent):
            root = None
        elif isinstance(event, yaml.DocumentEndEvent):
            if root is not None:
                yield root
        elif isinstance(event, yaml.CollectionEndEvent):
            closed = stack.pop()
            inner = [each.end for each in (*closed.keys, *closed.values)]
            closed.end = _end(event) if closed.flow or not inner else max(inner)
        elif isinstance(event, yaml.NodeEvent):
            made = _span(event)
            if stack:
                holder = stack[-1]
                is_key = holder.kind == "map" and len(holder.keys) == len(holder.values)
                (holder.keys if is_key else holder.values).append(made)
            else:
                root = made
            if isinstance(event, yaml.CollectionStartEvent):
                stack.append(made)


def _end(event: Any) -> int:
    index: int = event.end_mark.index
    return index


def _span(event: Any) -> Span:
    made = Span(event.start_mark.index, _end(event), event.start_mark.line + 1)
    made.shared = isinstance(event, yaml.AliasEvent) or bool(event.anchor)
    if isinstance(event, yaml.CollectionStartEvent):
        made.kind = "map" if isinstance(event, yaml.MappingStartEvent) else "list"
        made.flow = bool(event.flow_style)
    return made


def comments(text: str, root: Span | None, start: int, end: int) -> bool:
    """Whether a comment begins in a part of the text."""
    inside = [] if root is None else [each for each in root.every() if each.kind == "scalar"]
    at = text.find("#", start, end)
    while at >= 0:
        is_text = any(each.start <= at < each.end for each in inside)
        if not is_text and (at == 0 or text[at - 1] in " \t\n"):
            return True
        at = text.find("#", at + 1, end)
    return False
