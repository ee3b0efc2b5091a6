"""What stands in a snapshot file, as records: one schema for its reader and its writer (docs/adr/0011)."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec

SCHEMA = 2

_Count = Annotated[int, msgspec.Meta(ge=0, le=2**53)]
_Name = Annotated[str, msgspec.Meta(min_length=1, max_length=4096)]
_Nodes = list[_Count] | str


class UnreadableSnapshot(ValueError):
    """The bytes are no snapshot we can trust. The text says why."""


class Room(msgspec.Struct, gc=False):
    """How much of an accelerator a node can give, and has free."""

    allocatable: _Count
    free: _Count = 0


class Node(msgspec.Struct, gc=False):
    """A node; its place in the list of all parts is its index."""

    name: _Name
    accelerators: dict[str, Room] = {}


class Held(msgspec.Struct, gc=False, omit_defaults=True):
    """An artifact. `label` without our prefix, and only where there is no `name` that it follows from."""

    kind: Literal["image", "model"]
    name: Annotated[str, msgspec.Meta(max_length=4096)] = ""
    tenant: Annotated[str, msgspec.Meta(max_length=253)] = ""
    bytes: _Count = 0
    label: Annotated[str, msgspec.Meta(max_length=316)] = ""
    nodes: _Nodes = []
    unlabelled: _Nodes = []


class Tainted(msgspec.Struct, gc=False, omit_defaults=True):
    """A taint and the nodes that have it."""

    key: _Name
    effect: _Name
    value: str = ""
    nodes: _Nodes = []


class Part(msgspec.Struct, gc=False, rename="camel", omit_defaults=True):
    """Some of the content. Lists go on from part to part, maps are merged."""

    nodes: list[Node] = []
    artifacts: list[Held] = []
    labels: dict[str, dict[str, _Nodes]] | None = None
    taints: list[Tainted] = []
    namespaces: dict[str, dict[str, str]] = {}
    resource_claims: dict[str, list[str]] = {}
    systems: dict[str, _Nodes] = {}
    kubelets: dict[str, _Nodes] = {}
    server: Annotated[str, msgspec.Meta(max_length=253)] = ""
    volumes: dict[str, list[dict[str, Any]]] = {}


class Header(msgspec.Struct, gc=False):
    """The first line: `parts` lines follow it."""

    schema: int
    id: Annotated[str, msgspec.Meta(min_length=1, max_length=253)]
    time: Annotated[datetime, msgspec.Meta(tz=True)]
    parts: _Count


class Whole(Part, gc=False, rename="camel", kw_only=True):
    """One JSON object with all of the content, as people write it."""

    schema: int
    id: Annotated[str, msgspec.Meta(min_length=1, max_length=253)]
    time: Annotated[datetime, msgspec.Meta(tz=True)]


class First(msgspec.Struct):
    """As much of the first line, or of a document, as tells which form it has."""

    schema: int
    parts: Any = None
