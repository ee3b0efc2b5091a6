"""Edits of a YAML text at one field: to remove it, to rename it, to give it another value. The rest stays as it is.

An edit that would take a comment with it, or that is not certain to be right, is none: people do that themselves.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Literal

from webhook.lint.spans import Span, comments
from webhook.policy.yaml_tree import Node

Step = str | int


@dataclass(frozen=True, slots=True)
class Edit:
    """Put `text` in place of what stands from `start` to `end`. The other fields say what that does to the document.

    `path` None: nothing, it is a comment or a mark.
    """

    start: int
    end: int
    text: str
    action: Literal["remove", "rename", "set"] = "remove"
    path: tuple[Step, ...] | None = None
    value: Any = None

    def overlaps(self, other: Edit) -> bool:
        """Whether the two touch."""
        return self.start <= other.end and other.start <= self.end


def steps_of(root: Node, path: str) -> tuple[Step, ...] | None:
    """Return the keys and indices that a path of a problem spells; None where it leads nowhere."""
    if not path:
        return ()
    if isinstance(root.value, list):
        found = re.match(r"\[(\d{1,9})\]", path)
        if found is None or int(found.group(1)) >= len(root.value):
            return None
        rest = steps_of(root.value[int(found.group(1))], path[found.end() :])
        return None if rest is None else (int(found.group(1)), *rest)
    if isinstance(root.value, dict):
        path = path.removeprefix(".")
        for name, child in root.value.items():
            if path == name or path.startswith((f"{name}.", f"{name}[")):
                rest = steps_of(child, path[len(name) :])
                if rest is not None:
                    return (name, *rest)
    return None


@dataclass(frozen=True, slots=True)
class Place:
    """A field in a text: the document, the way to the field, and the spans along it, from the root on."""

    text: str
    root: Node
    span: Span
    path: tuple[Step, ...]

    def chain(self) -> list[tuple[Span, int]] | None:
        """What holds the field, from the outside in, each with the number of the entry within; None where shared."""
        found: list[tuple[Span, int]] = []
        node, span = self.root, self.span
        for step in self.path:
            if span.shared:
                return None
            if span.kind == "map" and isinstance(step, str):
                index = list(node.value).index(step)
            elif span.kind == "list" and isinstance(step, int):
                index = step
            else:
                return None
            found.append((span, index))
            node, span = node.value[step], span.values[index]
        return found

    def value_span(self) -> Span | None:
        """The span of the field's value."""
        chain = self.chain()
        if chain is None:
            return None
        return chain[-1][0].values[chain[-1][1]] if chain else self.span

    def removal(self) -> Edit | None:
        """Take the field away; with the last entry of a list goes the list."""
        chain = self.chain()
        if not chain:
            return None
        path = self.path
        while chain[-1][0].kind == "list" and len(chain[-1][0].values) == 1 and len(chain) > 1:
            chain.pop()
            path = path[:-1]
        holder, index = chain[-1]
        if any(each.shared for each in holder.values[index].every()) or len(holder.values) < 2:
            return None
        found = self._flow(holder, index) if holder.flow else self._block(holder, index)
        if found is None or comments(self.text, self.span, *found):
            return None
        return Edit(*found, "", "remove", path)

    @staticmethod
    def _flow(holder: Span, index: int) -> tuple[int, int]:
        starts = [each.start for each in (holder.keys or holder.values)]
        if index + 1 < len(starts):
            return starts[index], starts[index + 1]
        return holder.values[index - 1].end, holder.values[index].end

    def _block(self, holder: Span, index: int) -> tuple[int, int] | None:
        text = self.text
        start = (holder.keys or holder.values)[index].start
        begin = text.rfind("\n", 0, start) + 1
        before = text[begin:start]
        if holder.kind == "map" and before.strip(" "):
            # The first field behind a dash: the next one takes its place.
            known = re.fullmatch(r" *- +", before) is not None and index == 0
            return (start, holder.keys[1].start) if known else None
        if holder.kind == "list" and not re.fullmatch(r" *- +", before):
            return None
        end = max(holder.values[index].end, start)
        if end == 0 or text[end - 1] != "\n":
            line_end = text.find("\n", end)
            line_end = len(text) if line_end < 0 else line_end + 1
            if text[end:line_end].strip():
                # Only a comment can stand there: it would be lost.
                return None
            end = line_end
        return begin, end

    def renaming(self, name: str) -> Edit | None:
        """Give the field another name."""
        chain = self.chain()
        if not chain or chain[-1][0].kind != "map":
            return None
        holder, index = chain[-1]
        key, old = holder.keys[index], self.path[-1]
        raw = self.text[key.start : key.end]
        node = self.root
        for step in self.path[:-1]:
            node = node.value[step]
        if name in node.value or key.shared or raw.strip("'\"") != old:
            return None
        return Edit(key.start, key.end, raw.replace(str(old), name), "rename", self.path, name)

    def setting(self, text: str, value: Any) -> Edit | None:
        """Write another scalar in place of the one that is there."""
        span = self.value_span()
        if span is None or span.shared or span.kind != "scalar" or "\n" in self.text[span.start : span.end]:
            return None
        return Edit(span.start, span.end, text, "set", self.path, value)


def changed(data: Any, edit: Edit) -> Any:
    """Return the document's data as the edit should leave it."""
    if edit.path is None:
        return data
    return _changed(data, edit.path, edit)


def _changed(data: Any, path: tuple[Step, ...], edit: Edit) -> Any:
    step, rest = path[0], path[1:]
    if isinstance(data, list):
        if not rest and edit.action == "remove":
            return [each for index, each in enumerate(data) if index != step]
        return [
            (_changed(each, rest, edit) if rest else edit.value) if index == step else each
            for index, each in enumerate(data)
        ]
    if rest:
        return {key: _changed(each, rest, edit) if key == step else each for key, each in data.items()}
    if edit.action == "remove":
        return {key: each for key, each in data.items() if key != step}
    if edit.action == "rename":
        return {edit.value if key == step else key: each for key, each in data.items()}
    return {key: edit.value if key == step else each for key, each in data.items()}
