"""The snapshot file, read: an inventory as JSON, one schema number inside (docs/adr/0011, `webhook.inventory.records`).

Two forms of one content. Controllers write JSON Lines: a header that says how many parts follow, then the parts, each a
JSON object with some of the content, so that no step of decoding takes long. People write one JSON object.

A reader refuses what it cannot trust whole: half an inventory would steer pods by half a truth. Fields it does not know
are passed over, so that a newer writer may add some without a new schema.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from typing import TypeVar

import msgspec

from webhook.inventory import nodeset
from webhook.inventory.model import Artifact, Inventory, NodeRoom, Taint
from webhook.inventory.nodeset import Column, NodeSet
from webhook.inventory.records import SCHEMA, First, Header, Held, Node, Part, Whole
from webhook.inventory.snapshot_writing import Encoder, encode
from webhook.kube import names

__all__ = ["Encoder", "UnreadableSnapshot", "decode", "encode", "header_of"]


class UnreadableSnapshot(ValueError):
    """The bytes are no snapshot we can trust. The text says why."""


_header = msgspec.json.Decoder(Header)
_part = msgspec.json.Decoder(Part)
_whole = msgspec.json.Decoder(Whole)
_first = msgspec.json.Decoder(First)
_broken = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


def decode(data: bytes, between: Callable[[], None] = lambda: None) -> Inventory:
    """The inventory in these bytes. UnreadableSnapshot, with the reason, for anything but a whole and consistent one.

    How old it is, or whether its time lies ahead, is for the reader to judge, who has a clock. `between` is called
    between two steps, none of which takes long: a reader in a thread may let others run there.
    """
    header = header_of(data)
    if header is None:
        whole = _read(_whole, data, "")
        return _inventory(whole.id, whole.time, [whole], between)
    lines = data.split(b"\n")[1:]
    if lines and not lines[-1]:
        lines.pop()
    if len(lines) != header.parts:
        raise UnreadableSnapshot(f"truncated: its first line says that {header.parts} parts follow, {len(lines)} do")
    parts = []
    for number, line in enumerate(lines, 1):
        parts.append(_read(_part, line, f" in part {number} of {header.parts}"))
        between()
    return _inventory(header.id, header.time, parts, between)


def header_of(data: bytes) -> Header | None:
    """The header of a snapshot in JSON Lines, None for one JSON object. UnreadableSnapshot for another schema."""
    line = data[: data.find(b"\n") + 1] or data
    try:
        first = _first.decode(line)
    except _broken:
        return None  # one object over several lines, or nothing of ours: the whole will tell
    if first.schema != SCHEMA:
        raise _other_schema(first.schema)
    return None if first.parts is None else _read(_header, line, " in its first line")


_Struct = TypeVar("_Struct")


def _read(decoder: msgspec.json.Decoder[_Struct], data: bytes, where: str) -> _Struct:
    try:
        found = decoder.decode(data)
    except _broken as error:
        if not where:
            _refuse_newer(data)
        raise UnreadableSnapshot(f"not a snapshot{where}: {str(error) or type(error).__name__}") from error
    schema = getattr(found, "schema", SCHEMA)
    if schema != SCHEMA:
        raise _other_schema(schema)
    return found


def _refuse_newer(data: bytes) -> None:
    try:
        schema = _first.decode(data).schema
    except _broken:
        return
    if schema != SCHEMA:
        raise _other_schema(schema) from None


def _other_schema(schema: int) -> UnreadableSnapshot:
    return UnreadableSnapshot(
        f"its schema is {schema}, this version reads {SCHEMA}: run the webhook and its controller from one image"
    )


def _inventory(identity: str, time: datetime, parts: list[Part], between: Callable[[], None]) -> Inventory:
    nodes: list[NodeRoom] = []
    shared: dict[tuple[tuple[str, int, int], ...], Mapping[str, tuple[int, int]]] = {}
    for part in parts:
        nodes += _nodes(part.nodes, shared)
        between()
    count = len(nodes)
    if len({node.name for node in nodes}) != count:
        raise UnreadableSnapshot(f"node {_twice(node.name for node in nodes)!r} is listed twice")
    artifacts: list[Artifact] = []
    namespaces: dict[str, dict[str, str]] = {}
    claims: dict[str, tuple[str, ...]] = {}
    taints: list[Taint] = []
    for part in parts:
        artifacts += [_artifact(len(artifacts) + place, held, count) for place, held in enumerate(part.artifacts)]
        for tainted in part.taints:
            mask = _load(tainted.nodes, count, f"taint {tainted.key!r}")
            taints.append(Taint(tainted.key, tainted.value, tainted.effect, mask))
        namespaces.update(part.namespaces)
        claims.update({name: tuple(classes) for name, classes in part.resource_claims.items()})
        between()
    if len({artifact.label for artifact in artifacts}) != len(artifacts):
        twice = _twice(artifact.label for artifact in artifacts)
        told = next(artifact.name or artifact.label for artifact in artifacts if artifact.label == twice)
        raise UnreadableSnapshot(f"artifact {told!r} is listed twice")
    inventory = Inventory(
        id=identity,
        time=time.timestamp(),
        nodes=nodes,
        artifacts=artifacts,
        namespaces=namespaces,
        claims=claims,
        labels=_labels(parts, count, between),
        taints=taints,
    )
    _ = inventory.columns  # made here, so that no review has to
    return inventory


def _nodes(
    nodes: Iterable[Node], shared: dict[tuple[tuple[str, int, int], ...], Mapping[str, tuple[int, int]]]
) -> Iterator[NodeRoom]:
    for node in nodes:
        # Nodes of one kind say the same: thousands of them share a few dozen mappings.
        key = tuple([(name, room.allocatable, room.free) for name, room in node.accelerators.items()])
        if key not in shared:
            shared[key] = {name: (able, free) for name, able, free in key}
        yield NodeRoom(node.name, shared[key])


def _labels(parts: list[Part], count: int, between: Callable[[], None]) -> Mapping[str, Column] | None:
    spelt: dict[str, dict[str, NodeSet]] = {}
    known = False
    for part in parts:
        if part.labels is None:
            continue
        known = True
        for key, values in part.labels.items():
            for value, nodes in values.items():
                try:
                    nodeset.check(nodes, count)
                except ValueError as error:
                    raise UnreadableSnapshot(f"label {key!r} of value {value!r}: {error}") from error
            column = spelt.setdefault(key, values)
            if column is not values:
                if not column.keys().isdisjoint(values):
                    raise UnreadableSnapshot(f"label {key!r}: two parts have the same value")
                column.update(values)
        between()
    return {key: Column(values) for key, values in spelt.items()} if known else None


def _artifact(place: int, held: Held, count: int) -> Artifact:
    where = f"artifacts[{place}] {held.name!r}"
    label = held.label and f"{names.NODE_LABEL_PREFIX}{held.label}"
    if held.name:
        of_name = names.image_label(held.name) if held.kind == "image" else names.model_label(held.name, held.tenant)
        if label and label != of_name:
            told = of_name.removeprefix(names.NODE_LABEL_PREFIX)
            raise UnreadableSnapshot(f"{where}: its label is {held.label!r}, by its name it is {told!r}")
        label = of_name
    elif held.kind == "image" or not _is_model_label(label):
        raise UnreadableSnapshot(
            f"{where}: it has no name, and its label is {held.label!r}, where model- and 16 hexadecimal digits belong"
        )
    mask, unlabelled = (_load(nodes, count, where) for nodes in (held.nodes, held.unlabelled))
    if unlabelled & ~mask:
        raise UnreadableSnapshot(f"{where}: a node lacks its label that is not warm for it")
    return Artifact(held.kind, held.name, held.tenant, held.bytes, label, mask, unlabelled)


def _load(nodes: NodeSet, count: int, where: str) -> int:
    try:
        return nodeset.load(nodes, count)
    except ValueError as error:
        raise UnreadableSnapshot(f"{where}: {error}") from error


def _is_model_label(label: str) -> bool:
    digest = label.removeprefix(f"{names.NODE_LABEL_PREFIX}model-")
    return digest != label and len(digest) == 16 and all(digit in "0123456789abcdef" for digit in digest)


def _twice(items: Iterable[str]) -> str:
    seen: set[str] = set()
    for item in items:
        if item in seen:
            return item
        seen.add(item)
    return ""
