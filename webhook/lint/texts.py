"""Where in the files a finding is: the name of a field, or a character inside of a CEL expression.

A policy's `origin` knows the places of values. What is finer is read from the text again, of files with findings alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from webhook.lint.check import Finding
from webhook.policy.explanation import within
from webhook.policy.model import Origin
from webhook.policy.problem import Source
from webhook.policy.yaml_tree import Document, Node, read


@dataclass(frozen=True, slots=True)
class Texts:
    """The files that policies were read from, by name. Documents are read when they are asked for, once."""

    sources: dict[str, Source]
    _documents: dict[str, list[Document]] = field(default_factory=dict, repr=False)

    @staticmethod
    def of(sources: Iterable[Source]) -> Texts:
        """The texts of these files."""
        return Texts({source.file: source for source in sources})

    def documents(self, file: str) -> list[Document]:
        """Return the documents of a file that can be read."""
        if file not in self._documents:
            source = self.sources.get(file)
            self._documents[file] = [] if source is None else read(source)[0]
        return self._documents[file]

    def place(self, origin: Origin, finding: Finding) -> tuple[int, int]:
        """Return line and column of a finding."""
        at = origin.at(finding.path)
        if finding.within is None and not finding.on_key:
            return at
        found = self._node(origin, finding.path)
        if found is None:
            return at
        node, key = found
        if finding.on_key:
            return key or at
        return within(node, *finding.within) if finding.within is not None and isinstance(node.value, str) else at

    def _node(self, origin: Origin, path: str) -> tuple[Node, tuple[int, int] | None] | None:
        for document in self.documents(origin.file):
            if document.root.line == origin.line:
                return node_at(document.root, path)
        return None


def node_at(root: Node, path: str) -> tuple[Node, tuple[int, int] | None] | None:
    """Return the node at a path as problems spell it, and the place of its key; None where there is none.

    A key may hold dots and brackets itself: of several ways to read a path, the first that leads somewhere is taken.
    """
    return next(_ways(root, None, path), None)


def _ways(node: Node, key: tuple[int, int] | None, rest: str) -> Iterator[tuple[Node, tuple[int, int] | None]]:
    if not rest:
        yield node, key
    elif isinstance(node.value, list):
        found = re.match(r"\[(\d{1,9})\]", rest)
        if found and int(found.group(1)) < len(node.value):
            yield from _ways(node.value[int(found.group(1))], None, rest[found.end() :])
    elif isinstance(node.value, dict):
        rest = rest.removeprefix(".")
        for name, child in node.value.items():
            if rest == name or rest.startswith((f"{name}.", f"{name}[")):
                yield from _ways(child, node.keys[name], rest[len(name) :])
