"""Bytes of the Kubernetes API made into the objects of `webhook.inventory.objects`: lists, pages and watch events.

One object that cannot be read is left out and named; the rest goes on. It counts as absent, in a list as in an event,
so that what was seen does not depend on how it was seen.
"""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from webhook.inventory.metadata import Metadata
from webhook.inventory.objects import TYPES, Node, Resource, Watched
from webhook.sources.kube_api.failure import UNDECODABLE, shown

_INITIAL_EVENTS_END = "k8s.io/initial-events-end"


class _HeadMetadata(Metadata):
    annotations: dict[str, str] | None = None


class _Head(msgspec.Struct, gc=False):
    """What every object has."""

    metadata: _HeadMetadata


class _ListMetadata(msgspec.Struct, gc=False, rename="camel"):
    resource_version: str = ""
    continue_: str = msgspec.field(name="continue", default="")


class _List(msgspec.Struct, gc=False):
    metadata: _ListMetadata
    items: list[msgspec.Raw] | None


class _Event(msgspec.Struct, gc=False):
    type: str
    object: msgspec.Raw


class Event(NamedTuple):
    """An event of a watch. `kind` is the API's word for it.

    Of ADDED, MODIFIED and DELETED, `object` is what it is about; where `unreadable` says why it could not be read,
    it has metadata only. Of an ERROR, `status` is the Status object. `listed` marks the bookmark that ends the initial
    events.
    """

    kind: str
    version: str = ""
    object: Watched | None = None
    unreadable: str = ""
    status: bytes = b""
    listed: bool = False


class Page(NamedTuple):
    """A page of a list. `unreadable` maps the names of the objects that were left out to the reasons."""

    objects: list[Watched]
    version: str
    token: str
    unreadable: dict[str, str]


class Garbage(ValueError):
    """These bytes are not what the Kubernetes API says."""


class Reader:
    """Decodes one resource."""

    def __init__(self, resource: Resource) -> None:
        self._type = TYPES[resource]
        self._object = msgspec.json.Decoder(self._type)
        self._head = msgspec.json.Decoder(_Head)
        self._list = msgspec.json.Decoder(_List)
        self._event = msgspec.json.Decoder(_Event)

    def page(self, body: bytes) -> Page:
        """A whole answer to a list request. Raises `Garbage`."""
        try:
            found = self._list.decode(body)
        except UNDECODABLE as error:
            raise Garbage(f"not a list ({error}): {_beginning(body)}") from error
        objects: list[Watched] = []
        unreadable: dict[str, str] = {}
        for raw in found.items or ():
            read, reason = self._read(raw)
            if reason:
                unreadable[key(read) if read else "?"] = reason
            elif read:
                objects.append(compact(read))
        return Page(objects, found.metadata.resource_version, found.metadata.continue_, unreadable)

    def event(self, line: bytes) -> Event:
        """One line of a watch. Raises `Garbage`, also for an object of which not even name and version can be read."""
        try:
            event = self._event.decode(line)
            if event.type == "ERROR":
                return Event(event.type, status=bytes(event.object))
            if event.type == "BOOKMARK":
                metadata = self._head.decode(event.object).metadata
                listed = (metadata.annotations or {}).get(_INITIAL_EVENTS_END) == "true"
                return Event(event.type, metadata.resource_version, listed=listed)
        except UNDECODABLE as error:
            raise Garbage(f"not an event ({error}): {_beginning(line)}") from error
        if event.type not in {"ADDED", "MODIFIED", "DELETED"}:
            return Event(event.type[:40])
        read, reason = self._read(event.object)
        if read is None:
            raise Garbage(f"not an object ({reason}): {_beginning(line)}")
        return Event(event.type, read.metadata.resource_version, read, reason)

    def _read(self, raw: msgspec.Raw) -> tuple[Watched | None, str]:
        """The object, and "" or the reason why it has metadata only, or not even that."""
        try:
            read = self._object.decode(raw)
        except UNDECODABLE as error:
            reason = str(error) or type(error).__name__
            try:
                head = self._head.decode(raw).metadata
            except UNDECODABLE:
                return None, reason
            plain = Metadata(head.name, head.namespace, head.uid, head.resource_version)
            return (self._type(metadata=plain) if head.name else None), reason
        return (read, "") if read.metadata.name else (None, "it has no name")


def key(read: Watched) -> str:
    """What tells an object from the others of its resource: `name`, or `namespace/name`."""
    metadata = read.metadata
    return f"{metadata.namespace}/{metadata.name}" if metadata.namespace else metadata.name


def compact(read: Watched) -> Watched:
    """The same object, not holding on to the bytes that it was read from: a page of nodes has 10 MB of them."""
    if isinstance(read, Node) and read.status:
        read.status.images = read.status.images.copy()
    return read


def _beginning(data: bytes) -> str:
    return shown(data[:1000].decode("utf-8", "replace"))
