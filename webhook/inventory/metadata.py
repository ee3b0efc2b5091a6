"""What every object of the Kubernetes API has, read: the rest is in `objects` and `device_objects`."""

from __future__ import annotations

import msgspec


class Read(msgspec.Struct, gc=False, rename="camel"):
    """An object, or a part of one, as the API spells it."""


class Metadata(Read):
    """An object's metadata. Timestamps are RFC 3339 text; that of a deletion is there once one is asked for."""

    name: str = ""
    namespace: str = ""
    uid: str = ""
    resource_version: str = ""
    labels: dict[str, str] | None = None
    creation_timestamp: str | None = None
    deletion_timestamp: str | None = None
