"""The documents beside policies that say what nodes and volumes are: node classes, node pools, volumes, workloads.

They are read with the reader of policies, strictly and with the place of every value. Documents of other kinds in the
same files are passed over, and so are Warmpod's own, which `warmpod lint` reads as policies.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from webhook.kube import Object
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
    ("", "Pod"),
    ("apps", "Deployment"),
    ("apps", "StatefulSet"),
    ("apps", "DaemonSet"),
    ("batch", "Job"),
}


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


def read(sources: Iterable[Source]) -> NodeDocuments:
    """Return the documents of files. Never raises; what is no YAML is a problem, with its place.

    A List is taken apart. Problems within documents of other kinds are nobody's here.
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
        ends = [(tree.root.line, _end(tree, trees)) for tree in strange]
        problems += [each for each in faults if not any(start <= each.line < end for start, end in ends)]
    return NodeDocuments(tuple(found), tuple(problems))


def _end(tree: Document, trees: list[Document]) -> float:
    """The line on which the next document begins."""
    later = [each.root.line for each in trees if each.root.line > tree.root.line]
    return min(later, default=float("inf"))


def _documents(tree: Document) -> Iterator[NodeDocument]:
    roots = [tree.root]
    if _text(tree.root, "kind").endswith("List") and isinstance(tree.root.value, dict):
        items = tree.root.value.get("items")
        roots = items.value if items is not None and isinstance(items.value, list) else []
    for root in roots:
        group = _text(root, "apiVersion").rpartition("/")[0]
        kind = _text(root, "kind")
        if (group, kind) in _KINDS:
            metadata = root.value.get("metadata") or Node({}, root.line, root.column)
            name, namespace = _text(metadata, "name"), _text(metadata, "namespace")
            yield NodeDocument(tree.file, group, kind, name, namespace, root, root.data())


def _text(node: Node, key: str) -> str:
    child = node.value.get(key) if isinstance(node.value, dict) else None
    return child.value if child is not None and isinstance(child.value, str) else ""
