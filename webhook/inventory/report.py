"""The hydrator's report: the last words of `warmpod-hydrate`, by which the controller learns what models a node holds.

It is the container's termination message, so whoever writes the pod's spec can forge it: nothing in it is believed
beyond what the pod's own namespace may say (see `webhook.inventory.node_models`), and reading it is bounded.

    {"schema": 1, "result": "hit", "caches": ["nvme"], "omitted": 0,
     "models": [{"source": "s3://b/p/", "tenant": "ns", "cache": "nvme", "version": "etag-set", "bytes": 15000000000,
                 "checked": true}],
     "evicted": [{"source": "s3://b/q/", "tenant": "ns", "cache": "nvme"}]}

`caches` are the NodeCaches that the pod sees, `models` all that are complete in them. `omitted` is how many more there
are that did not fit; where it is 0 the list is whole for these caches (ADR 13), and where it is absent nothing is known
of what the list leaves out. A model that has a `directory` is some of its source's files (ADR 12).
`checked` marks a model whose version this run compared with its source.
Other fields are for people.
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import Annotated, Literal, NamedTuple

import msgspec

from webhook.kube import names

SCHEMA = 1

LONGEST = 4096
"""Bytes of a termination message that a kubelet keeps (pkg/kubelet/container, MaxContainerTerminationMessageLength)."""

_Source = Annotated[str, msgspec.Meta(max_length=1024)]
_Tenant = Annotated[str, msgspec.Meta(max_length=253)]
_Cache = Annotated[str, msgspec.Meta(max_length=253)]
_Directory = Annotated[str, msgspec.Meta(pattern=r"^([0-9a-f]{16})?\Z")]
# The alphabet of the sources that a policy can allow (webhook.policy.allow): no other can be asked for.
_SOURCE = re.compile(r"(?:s3://|file:///)[A-Za-z0-9_.=+@,~:!-][A-Za-z0-9_.=+@,~:!/-]*")


class HeldModel(msgspec.Struct, frozen=True, gc=False):
    """A model in the node's cache. `tenant` is the namespace whose pods may use it, empty: everyone's.

    `bytes` on disk, 0 when not said. `version` tells two contents of one source apart. Where `cache` is not said it is
    the only one of the report's, where `directory` is not, that of the whole source.
    """

    source: _Source
    tenant: _Tenant = ""
    cache: _Cache = ""
    directory: _Directory = ""
    version: Annotated[str, msgspec.Meta(max_length=64)] = ""
    bytes: Annotated[int, msgspec.Meta(ge=0, le=2**53)] = 0
    checked: bool = False


class EvictedModel(msgspec.Struct, frozen=True, gc=False):
    """A model that this run removed from the node's cache."""

    source: _Source
    tenant: _Tenant = ""
    cache: _Cache = ""
    directory: _Directory = ""


class Report(msgspec.Struct, frozen=True, gc=False):
    """What one run of the hydrator said."""

    schema: int
    result: Literal["hit", "downloaded", "error"]
    models: tuple[HeldModel, ...] = ()
    evicted: tuple[EvictedModel, ...] = ()
    omitted: Annotated[int, msgspec.Meta(ge=0)] | None = None
    caches: tuple[_Cache, ...] | None = None

    def cache_of(self, model: HeldModel | EvictedModel) -> str:
        """The cache that a model is said to lie, or to have lain, in; empty when that is not said."""
        return self.caches[0] if not model.cache and self.caches and len(self.caches) == 1 else model.cache

    @property
    def spoken_of(self) -> frozenset[str]:
        """The caches that the report tells of: those it lists, else those that its models name, named or not."""
        if self.caches is not None:
            return frozenset(self.caches)
        models: tuple[HeldModel | EvictedModel, ...] = (*self.models, *self.evicted)
        return frozenset([model.cache for model in models])


class Refusal(NamedTuple):
    """Why a report is not believed: one word of a few, for a metric."""

    reason: Literal["unreadable", "schema", "source", "undated", "tenant"]


_report = msgspec.json.Decoder(Report)


class _Header(msgspec.Struct):
    schema: int


_header = msgspec.json.Decoder(_Header)


def read(message: str) -> Report | Refusal:
    """The report that a termination message is, or why it is none. Any text may come here."""
    data = message.encode("utf-8", "replace")
    if len(data) > LONGEST:
        return Refusal("unreadable")
    try:
        found = _report.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return _unreadable(data)
    if found.schema != SCHEMA:
        return Refusal("schema")
    sources = [model.source for model in found.models] + [model.source for model in found.evicted]
    if not all(_SOURCE.fullmatch(source) for source in sources):
        return Refusal("source")
    return found


def name(model: HeldModel | EvictedModel) -> str:
    """What the inventory calls a model: its source in its one spelling, a slash at its end, or the part of it."""
    source = model.source.rstrip("/") + "/"
    whole = model.directory in {"", names.directory(source)}
    return source if whole else names.selection(source, model.directory)


def seconds(text: str | None) -> float | None:
    """Unix seconds of a time as the API spells it (RFC 3339); None for anything else."""
    if not text or len(text) > 40:
        return None
    try:
        found = datetime.fromisoformat(text)
        return found.timestamp() if found.tzinfo is not None else None
    except (ValueError, OverflowError):
        return None


def _unreadable(data: bytes) -> Refusal:
    try:
        return Refusal("unreadable" if _header.decode(data).schema == SCHEMA else "schema")
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return Refusal("unreadable")
