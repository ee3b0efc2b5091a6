"""The snapshot file, read: an inventory as JSON, one schema number inside (docs/adr/0011, `webhook.inventory.records`).

Two forms of one content. Controllers write JSON Lines: a header that says how many parts follow, then the parts, each a
JSON object with some of the content, so that no step of decoding takes long. People write one JSON object.

A reader refuses what it cannot trust whole: half an inventory would steer pods by half a truth. Fields it does not know
are passed over, so that a newer writer may add some without a new schema.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from operator import is_
from typing import TypeVar

import msgspec

from webhook.inventory.model import Artifact, Inventory, NodeRoom, Taint
from webhook.inventory.nodeset import Column, NodeSet
from webhook.inventory.records import SCHEMA, First, Header, Part, UnreadableSnapshot, Whole
from webhook.inventory.snapshot_pieces import Piece, piece
from webhook.inventory.snapshot_writing import Encoder, encode
from webhook.kube import Object

__all__ = ["Decoder", "Encoder", "UnreadableSnapshot", "decode", "encode"]

_header = msgspec.json.Decoder(Header)
_part = msgspec.json.Decoder(Part)
_whole = msgspec.json.Decoder(Whole)
_first = msgspec.json.Decoder(First)
_broken = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


class Decoder:
    """Reads snapshots that follow each other. A part that says what it said before is not decoded again.

    On a large cluster devices come free and are taken every second, while images, models and labels stay.
    """

    def __init__(self) -> None:
        self._known: dict[bytes, Piece] = {}
        self._pieces: list[Piece] = []
        self._last: Inventory | None = None

    def decode(self, data: bytes, between: Callable[[], None] = lambda: None) -> Inventory:
        """The inventory in these bytes. UnreadableSnapshot, with the reason, for anything but a whole and sound one.

        How old it is, or whether its time lies ahead, is for the reader to judge, who has a clock. `between` is called
        between two steps, none of which takes long: a reader in a thread may let others run there.
        """
        header = _header_of(data)
        if header is None:
            whole = _read(_whole, data, "")
            return _inventory(whole.id, whole.time, [piece(whole, len(whole.nodes), "")], between)
        lines = data.split(b"\n")[1:]
        if lines and not lines[-1]:
            lines.pop()
        if len(lines) != header.parts:
            raise UnreadableSnapshot(
                f"truncated: its first line says that {header.parts} parts follow, {len(lines)} do"
            )
        pieces = self._pieces_of(lines, between)
        last = self._last
        if last is None or len(pieces) != len(self._pieces) or not all(map(is_, pieces, self._pieces)):
            last = _inventory(header.id, header.time, pieces, between)
        else:
            last = last.again(header.id, header.time.timestamp())
        self._known, self._pieces, self._last = dict(zip(lines, pieces, strict=True)), pieces, last
        return last

    def _pieces_of(self, lines: Sequence[bytes], between: Callable[[], None]) -> list[Piece]:
        found: list[Piece | Part] = []
        count = 0
        for number, line in enumerate(lines, 1):
            known = self._known.get(line)
            if known is None:
                found.append(_read(_part, line, f" in part {number} of {len(lines)}"))
                between()
            else:
                found.append(known)
            count += len(found[-1].nodes)
        pieces: list[Piece] = []
        for number, (line, each) in enumerate(zip(lines, found, strict=True), 1):
            if isinstance(each, Piece) and each.count == count:
                pieces.append(each)
                continue
            part = each if isinstance(each, Part) else _part.decode(line)
            pieces.append(piece(part, count, f"part {number} of {len(lines)}: "))
            between()
        return pieces


def decode(data: bytes, between: Callable[[], None] = lambda: None) -> Inventory:
    """The inventory in the bytes of one snapshot: see `Decoder`."""
    return Decoder().decode(data, between)


def _header_of(data: bytes) -> Header | None:
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


def _inventory(identity: str, time: datetime, pieces: Sequence[Piece], between: Callable[[], None]) -> Inventory:
    nodes: list[NodeRoom] = []
    artifacts: list[Artifact] = []
    namespaces: dict[str, dict[str, str]] = {}
    claims: dict[str, tuple[str, ...]] = {}
    taints: list[Taint] = []
    volumes: dict[str, tuple[Object, ...]] = {}
    for each in pieces:
        nodes += each.nodes
        artifacts += each.artifacts
        taints += each.taints
        namespaces.update(each.namespaces)
        claims.update(each.claims)
        volumes.update(each.volumes)
    between()
    if len({node.name for node in nodes}) != len(nodes):
        raise UnreadableSnapshot(f"node {_twice(node.name for node in nodes)!r} is listed twice")
    if len({artifact.label for artifact in artifacts}) != len(artifacts):
        twice = _twice(artifact.label for artifact in artifacts)
        told = next(artifact.name or artifact.label for artifact in artifacts if artifact.label == twice)
        raise UnreadableSnapshot(f"artifact {told!r} is listed twice")
    between()
    inventory = Inventory(
        id=identity,
        time=time.timestamp(),
        nodes=nodes,
        artifacts=artifacts,
        namespaces=namespaces,
        claims=claims,
        labels=_labels(pieces),
        taints=taints,
        systems=_together([each.systems for each in pieces]),
        kubelets=_together([each.kubelets for each in pieces]),
        server=next((each.server for each in pieces if each.server), ""),
        volumes=volumes,
    )
    between()
    _ = inventory.columns  # made here, so that no review has to
    return inventory


def _together(parts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    found: dict[str, int] = {}
    for part in parts:
        for key, mask in part.items():
            found[key] = found.get(key, 0) | mask
    return found


def _labels(pieces: Iterable[Piece]) -> Mapping[str, Column] | None:
    said = [each.labels for each in pieces if each.labels is not None]
    if not said:
        return None
    columns: dict[str, list[dict[str, NodeSet]]] = {}
    for labels in said:
        for key, values in labels.items():
            columns.setdefault(key, []).append(values)
    return {key: _column(key, some) for key, some in columns.items()}


def _column(key: str, some: Sequence[dict[str, NodeSet]]) -> Column:
    if len(some) == 1:
        return Column(some[0])
    together: dict[str, NodeSet] = {}
    for values in some:
        together.update(values)
    if len(together) != sum(map(len, some)):
        raise UnreadableSnapshot(f"label {key!r}: two parts have the same value")
    return Column(together)


def _twice(items: Iterable[str]) -> str:
    seen: set[str] = set()
    for item in items:
        if item in seen:
            return item
        seen.add(item)
    return ""
