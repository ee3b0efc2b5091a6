"""The documents beside policies that say what nodes and volumes are: node classes, node pools, volumes, workloads.

They are read with the reader of policies, strictly and with the place of every value. A workload is any document that
holds pods. Other documents in the same files are passed over, and so are Warmpod's own, which `warmpod lint` reads as
policies.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from webhook.kube import Object
from webhook.kube.workload import FoundPod, pods_of
from webhook.policy.document import API_VERSION
from webhook.policy.model import Origin
from webhook.policy.problem import Problem, Source
from webhook.policy.yaml_tree import Document, Node
from webhook.policy.yaml_tree import read as read_trees

NODE_CLASS, NODE_POOL = "EC2NodeClass", "NodePool"
AUTO_NODE_CLASS = "NodeClass"

_KINDS = {
    ("karpenter.k8s.aws", NODE_CLASS),
    ("karpenter.sh", NODE_POOL),
    ("eks.amazonaws.com", AUTO_NODE_CLASS),
    ("", "PersistentVolume"),
    ("", "PersistentVolumeClaim"),
    ("storage.k8s.io", "StorageClass"),
}
_OWN = API_VERSION.partition("/")[0]
_NAMES = frozenset(kind for _, kind in _KINDS)
_KIND = re.compile(r"""^[ ]*-?[ ]*["']?kind["']?:[ ]*["']?(\w+)""", re.MULTILINE)
_START = re.compile(r"^---(?=[ \t\r\n]|\Z)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class NodeDocument:
    """One document of a kind above. `data` is what it says, `root` the same with places."""

    file: str
    group: str
    kind: str
    name: str
    namespace: str
    root: Node
    data: Object

    @property
    def origin(self) -> Origin:
        """Where it and its fields stand."""
        return Origin(self.file, self.root.line, dict(self.root.places()))

    def node(self, *path: str | int) -> Node | None:
        """Return the value at a path with its place; None where there is none."""
        node: Node | None = self.root
        for step in path:
            below = node.value if node is not None else None
            if isinstance(below, dict) and isinstance(step, str):
                node = below.get(step)
            elif isinstance(below, list) and isinstance(step, int) and step < len(below):
                node = below[step]
            else:
                return None
        return node

    def at(self, *path: str | int) -> Any:
        """Return the value at a path as plain data; None where there is none."""
        node = self.node(*path)
        return None if node is None else node.data()


@dataclass(frozen=True, slots=True)
class NodeDocuments:
    """What files hold of these kinds, in their order, and what keeps the rest from being read."""

    documents: tuple[NodeDocument, ...] = ()
    problems: tuple[Problem, ...] = ()

    def of(self, *kinds: str) -> tuple[NodeDocument, ...]:
        """Those of some kinds."""
        return tuple(each for each in self.documents if each.kind in kinds)

    def pods(self) -> Iterator[tuple[NodeDocument, FoundPod]]:
        """The pods that documents hold, each with its document."""
        for document in self.documents:
            if document.kind not in _NAMES:
                yield from ((document, each) for each in pods_of(document.data))


def read(sources: Iterable[Source]) -> NodeDocuments:
    """Return the documents of files. Never raises; what is no YAML is a problem, with its place.

    A List is taken apart. Problems within documents of other kinds, and of what cannot be read and does not look like
    one of these kinds, are nobody's here.
    """
    found: list[NodeDocument] = []
    problems: list[Problem] = []
    for source in sources:
        trees, faults = read_trees(source)
        strange = []
        for tree in trees:
            inside = list(_documents(tree))
            found += inside
            if not inside:
                strange.append(tree)
        pieces = _Pieces(source.text)
        known = {pieces.number(tree.root.line) for tree in trees}
        passed = {pieces.number(tree.root.line) for tree in strange}
        last = max((tree.root.line for tree in trees), default=0)
        for each in faults:
            number = pieces.number(each.line)
            if each.code == "P002" and number in known:
                number -= 1  # what ends too early is told of on the line after it
            if each.code == "P005" and each.line > last:
                # A limit of the file, perhaps: what comes after it was not read, whosever document met the limit.
                if pieces.is_one_of_ours(number, on=True):
                    problems.append(each)
            elif number not in passed and (number in known or each.code in _OF_FILES or pieces.is_one_of_ours(number)):
                problems.append(each)
    return NodeDocuments(tuple(found), tuple(problems))


#: Problems of a whole file, which say nothing of documents.
_OF_FILES = frozenset({"P001", "P007"})


class _Pieces:
    """The documents of a text, whether they can be read or not: what lies between lines of `---`."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._starts = [0, *(match.start() for match in _START.finditer(text))]
        self._lines = [text.count("\n", 0, start) + 1 for start in self._starts] if len(self._starts) < _MOST else [1]

    def number(self, line: int) -> int:
        """Which document holds a line."""
        return bisect_right(self._lines, line) - 1

    def is_one_of_ours(self, number: int, *, on: bool = False) -> bool:
        """Whether a document that cannot be read says that it is of a kind above; with `on`, it or any after it."""
        end = self._starts[number + 1] if not on and number + 1 < len(self._starts) else len(self._text)
        return any(match[1] in _NAMES for match in _KIND.finditer(self._text, self._starts[number], end))


_MOST = 1000


def _documents(tree: Document) -> Iterator[NodeDocument]:
    roots = [tree.root]
    if _text(tree.root, "kind").endswith("List") and isinstance(tree.root.value, dict):
        items = tree.root.value.get("items")
        roots = items.value if items is not None and isinstance(items.value, list) else []
    for root in roots:
        group = _text(root, "apiVersion").rpartition("/")[0]
        kind = _text(root, "kind")
        if (group, kind) in _KINDS or (kind and group != _OWN and any(True for _ in pods_of(root.data()))):
            metadata = root.value.get("metadata") or Node({}, root.line, root.column)
            name, namespace = _text(metadata, "name"), _text(metadata, "namespace")
            yield NodeDocument(tree.file, group, kind, name, namespace, root, root.data())


def _text(node: Node, key: str) -> str:
    child = node.value.get(key) if isinstance(node.value, dict) else None
    return child.value if child is not None and isinstance(child.value, str) else ""
