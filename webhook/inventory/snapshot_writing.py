"""The snapshot file, written: JSON Lines, in parts that a reader decodes one by one (docs/adr/0011)."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from operator import is_
from typing import Any, NamedTuple

import msgspec

from webhook.inventory import nodeset
from webhook.inventory.model import Artifact, Inventory, NodeRoom, Taint
from webhook.inventory.records import SCHEMA, Header, Held, Node, Part, Room, Tainted
from webhook.kube import names

_MOST_BYTES = 64 * 1024  # of one part, where it can be divided
_GROUP = 128  # neighbours that are encoded together, and kept together

_json = msgspec.json.Encoder(order="deterministic").encode


class Encoder:
    """Writes inventories that follow each other. What did not change is not encoded again.

    It remembers the parts of the last inventory with the objects they were made of, and takes an object for unchanged
    when it is the same one: a writer keeps the objects that say what they said, and never edits one.
    """

    def __init__(self) -> None:
        self._kept: dict[str, tuple[object, list[_Group]]] = {}

    def encode(self, inventory: Inventory) -> bytes:
        """The snapshot file of an inventory; `snapshot.decode` gives the same one back. Same facts, same bytes."""
        parts = self.parts(inventory)
        header = Header(SCHEMA, inventory.id, datetime.fromtimestamp(inventory.time, UTC), len(parts))
        return b"\n".join([_json(header), *parts, b""])

    def identity(self, inventory: Inventory) -> str:
        """16 hexadecimal digits that name an inventory's content, whatever its id and time."""
        digest = hashlib.sha256()
        for part in self.parts(inventory):
            digest.update(part)
            digest.update(b"\n")
        return digest.hexdigest()[:16]

    def parts(self, inventory: Inventory) -> list[bytes]:
        """The lines after the header."""
        last, self._kept = self._kept, {}
        for section in _sections(inventory):
            whole, groups = last.get(section.name, (None, []))
            if whole is not section.whole:
                groups = list(_groups(section, groups))
            self._kept[section.name] = (section.whole, groups)
        return [line for _, groups in self._kept.values() for group in groups for line in group.lines]


def encode(inventory: Inventory) -> bytes:
    """The snapshot file of one inventory: see `Encoder`."""
    return Encoder().encode(inventory)


class _Group(NamedTuple):
    """Some neighbours of a section, and the lines that they made."""

    items: Sequence[object]
    lines: list[bytes]


class _Section(NamedTuple):
    """A section: the object it is made of, its items in their order, and what makes a part of some of them."""

    name: str
    whole: object
    items: Callable[[], Sequence[Any]]
    part: Callable[[Sequence[Any]], Part]


def _sections(inventory: Inventory) -> Iterator[_Section]:
    """The content in its order."""
    nodes, artifacts, taints = inventory.nodes, inventory.artifacts, inventory.taints
    yield _Section("nodes", nodes, lambda: nodes, lambda some: Part(nodes=[_node(each) for each in some]))
    yield _Section(
        "artifacts",
        artifacts,
        lambda: sorted(artifacts, key=lambda each: (each.kind, each.name, each.tenant, each.label)),
        lambda some: Part(artifacts=[_held(each) for each in some]),
    )
    if inventory.labels is not None:
        yield _Section("labels", inventory.labels, lambda: [None], lambda _: Part(labels={}))  # they are known
        for key in sorted(inventory.labels):
            yield _column(key, inventory.labels[key])
    yield _Section(
        "taints",
        taints,
        lambda: sorted(taints, key=lambda each: (each.key, each.value, each.effect)),
        lambda some: Part(taints=[_tainted(each) for each in some]),
    )
    namespaces, claims = inventory.namespaces, inventory.claims
    yield _Section(
        "namespaces",
        namespaces,
        lambda: sorted(namespaces.items()),
        lambda some: Part(namespaces={name: dict(labels) for name, labels in some}),
    )
    yield _Section(
        "claims",
        claims,
        lambda: sorted(claims.items()),
        lambda some: Part(resource_claims={name: list(classes) for name, classes in some}),
    )
    systems, kubelets, server, volumes = inventory.systems, inventory.kubelets, inventory.server, inventory.volumes
    yield _Section(
        "systems",
        systems,
        lambda: sorted(systems.items()),
        lambda some: Part(systems={system: nodeset.dump(nodes) for system, nodes in some}),
    )
    yield _Section(
        "kubelets",
        kubelets,
        lambda: sorted(kubelets.items()),
        lambda some: Part(kubelets={version: nodeset.dump(nodes) for version, nodes in some}),
    )
    yield _Section("server", server, lambda: [server] if server else [], lambda some: Part(server=some[0]))
    yield _Section(
        "volumes",
        volumes,
        lambda: sorted(volumes.items()),
        lambda some: Part(volumes={claim: list(terms) for claim, terms in some}),
    )


def _column(key: str, column: Mapping[str, int]) -> _Section:
    return _Section(
        f"label {key}",
        column,
        lambda: sorted(column.items()),
        lambda some: Part(labels={key: {value: nodeset.dump(nodes) for value, nodes in some}}),
    )


def _groups(section: _Section, last: Sequence[_Group]) -> Iterator[_Group]:
    items = section.items()
    for place, start in enumerate(range(0, len(items), _GROUP)):
        group = items[start : start + _GROUP]
        if place < len(last) and len(last[place].items) == len(group) and all(map(is_, last[place].items, group)):
            yield last[place]
        else:
            yield _Group(group, list(_lines(group, section.part)))


def _lines(items: Sequence[Any], make: Callable[[Sequence[Any]], Part]) -> Iterator[bytes]:
    """The part that these items make, halved until it is short enough."""
    line = _json(make(items))
    if len(line) > _MOST_BYTES and len(items) > 1:
        middle = len(items) // 2
        yield from _lines(items[:middle], make)
        yield from _lines(items[middle:], make)
    else:
        yield line


def _node(node: NodeRoom) -> Node:
    return Node(node.name, {name: Room(*room) for name, room in node.accelerators.items()})


def _held(artifact: Artifact) -> Held:
    return Held(
        kind=artifact.kind,
        name=artifact.name,
        tenant=artifact.tenant,
        bytes=artifact.bytes,
        label="" if artifact.name else artifact.label.removeprefix(names.NODE_LABEL_PREFIX),
        nodes=nodeset.dump(artifact.mask),
        unlabelled=nodeset.dump(artifact.unlabelled),
    )


def _tainted(taint: Taint) -> Tainted:
    return Tainted(key=taint.key, value=taint.value, effect=taint.effect, nodes=nodeset.dump(taint.mask))
