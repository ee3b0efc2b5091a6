"""The snapshot file: an inventory as JSON, one schema number inside.

A reader refuses what it cannot trust whole: half an inventory would steer pods by half a truth. Fields it does not know
are passed over, so that a newer writer may add some without a new schema.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Annotated, Literal

import msgspec

from webhook.inventory.model import Artifact, Inventory, NodeRoom
from webhook.kube import names

SCHEMA = 1

_Count = Annotated[int, msgspec.Meta(ge=0, le=2**53)]
_Name = Annotated[str, msgspec.Meta(min_length=1, max_length=4096)]


class UnreadableSnapshot(ValueError):
    """The bytes are no snapshot we can trust. The text says why."""


class _Room(msgspec.Struct, gc=False):
    allocatable: _Count
    free: _Count = 0


class _Node(msgspec.Struct, gc=False):
    name: _Name
    accelerators: dict[str, _Room] = {}


class _Artifact(msgspec.Struct, gc=False, omit_defaults=True):
    kind: Literal["image", "model"]
    name: _Name
    tenant: Annotated[str, msgspec.Meta(max_length=253)] = ""
    bytes: _Count = 0
    label: Annotated[str, msgspec.Meta(max_length=316)] = ""
    nodes: list[_Count] = []


class _Snapshot(msgspec.Struct, gc=False, rename="camel"):
    schema: int
    id: Annotated[str, msgspec.Meta(min_length=1, max_length=253)]
    time: Annotated[datetime, msgspec.Meta(tz=True)]
    nodes: list[_Node] = []
    artifacts: list[_Artifact] = []
    namespaces: dict[str, dict[str, str]] = {}
    resource_claims: dict[str, list[str]] = {}


class _Header(msgspec.Struct):
    schema: int


_snapshot = msgspec.json.Decoder(_Snapshot)
_header = msgspec.json.Decoder(_Header)


def decode(data: bytes) -> Inventory:
    """The inventory in these bytes. UnreadableSnapshot, with the reason, for anything but a whole and consistent one.

    How old it is, or whether its time lies ahead, is for the reader to judge, who has a clock.
    """
    try:
        found = _snapshot.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        _refuse_newer(data)
        raise UnreadableSnapshot(f"not a snapshot: {str(error) or type(error).__name__}") from error
    if found.schema != SCHEMA:
        raise _other_schema(found.schema)
    count = len(found.nodes)
    nodes = tuple(_nodes(found.nodes))
    if len({node.name for node in nodes}) != count:
        raise UnreadableSnapshot(f"node {_twice(node.name for node in nodes)!r} is listed twice")
    indexes = tuple(range(count))  # one object an index, however many artifacts name it
    artifacts = tuple(_artifact(place, artifact, indexes) for place, artifact in enumerate(found.artifacts))
    keys = [(artifact.kind, artifact.name, artifact.tenant) for artifact in artifacts]
    if len(set(keys)) != len(keys):
        raise UnreadableSnapshot(f"artifact {_twice(f'{kind} {name}' for kind, name, _ in keys)!r} is listed twice")
    return Inventory(
        id=found.id,
        time=found.time.timestamp(),
        nodes=nodes,
        artifacts=artifacts,
        namespaces=found.namespaces,
        claims={name: tuple(classes) for name, classes in found.resource_claims.items()},
    )


def encode(inventory: Inventory) -> bytes:
    """The snapshot file of an inventory. `decode` gives the same one back, and the same one gives the same bytes."""
    return msgspec.json.encode(
        _Snapshot(
            schema=SCHEMA,
            id=inventory.id,
            time=datetime.fromtimestamp(inventory.time, UTC),
            nodes=[
                _Node(node.name, {name: _Room(*room) for name, room in node.accelerators.items()})
                for node in inventory.nodes
            ],
            artifacts=[
                _Artifact(
                    kind=artifact.kind,
                    name=artifact.name,
                    tenant=artifact.tenant,
                    bytes=artifact.bytes,
                    label=artifact.label.removeprefix(names.NODE_LABEL_PREFIX),
                    nodes=list(artifact.nodes),
                )
                for artifact in sorted(
                    inventory.artifacts, key=lambda artifact: (artifact.kind, artifact.name, artifact.tenant)
                )
            ],
            namespaces={name: dict(labels) for name, labels in inventory.namespaces.items()},
            resource_claims={name: list(classes) for name, classes in inventory.claims.items()},
        ),
        order="deterministic",
    )


def _refuse_newer(data: bytes) -> None:
    try:
        schema = _header.decode(data).schema
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return
    if schema != SCHEMA:
        raise _other_schema(schema) from None


def _other_schema(schema: int) -> UnreadableSnapshot:
    return UnreadableSnapshot(
        f"its schema is {schema}, this version reads {SCHEMA}: run the webhook and its controller from one image"
    )


def _nodes(nodes: Iterable[_Node]) -> Iterable[NodeRoom]:
    shared: dict[tuple[tuple[str, int, int], ...], Mapping[str, tuple[int, int]]] = {}
    for node in nodes:
        # Nodes of one kind say the same: thousands of them share a few dozen mappings.
        key = tuple((name, room.allocatable, room.free) for name, room in node.accelerators.items())
        if key not in shared:
            shared[key] = {name: (able, free) for name, able, free in key}
        yield NodeRoom(node.name, shared[key])


def _artifact(place: int, artifact: _Artifact, indexes: tuple[int, ...]) -> Artifact:
    where = f"artifacts[{place}] {artifact.name!r}"
    count = len(indexes)
    held = artifact.nodes
    if any(index >= count for index in held):
        raise UnreadableSnapshot(f"{where}: names node {max(held)}, there are {count} nodes")
    if len(set(held)) != len(held):
        raise UnreadableSnapshot(f"{where}: names a node twice")
    label = artifact.label and f"{names.NODE_LABEL_PREFIX}{artifact.label}"
    if artifact.kind == "image":
        label = label or names.image_label(artifact.name)
    if not _is_ours(label, artifact.kind):
        raise UnreadableSnapshot(
            f"{where}: its label is {artifact.label!r}, where {artifact.kind}- and 16 hexadecimal digits belong"
        )
    return Artifact(
        kind=artifact.kind,
        name=artifact.name,
        tenant=artifact.tenant,
        bytes=artifact.bytes,
        label=label,
        nodes=tuple(indexes[index] for index in sorted(held)),
    )


def _is_ours(label: str, kind: str) -> bool:
    digest = label.removeprefix(f"{names.NODE_LABEL_PREFIX}{kind}-")
    return digest != label and len(digest) == 16 and all(digit in "0123456789abcdef" for digit in digest)


def _twice(items: Iterable[str]) -> str:
    seen: set[str] = set()
    for item in items:
        if item in seen:
            return item
        seen.add(item)
    return ""
