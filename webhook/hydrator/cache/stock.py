"""What lies in a cache: versions that are published, and such as are being brought or were left behind."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import suppress
from typing import NamedTuple

from webhook.hydrator.cache import clock, current, layout, manifest, tree
from webhook.hydrator.staged import Staged

_MOST = 64 * 1024  # bytes of a reservation


class Held(NamedTuple):
    """A model that lies in a cache, complete."""

    source: str
    version: str
    bytes: int
    directory: str


class Reservation(NamedTuple):
    """Where to bring a version; `resumed`: some of it may be there already."""

    staged: Staged
    resumed: bool


class Version(NamedTuple):
    """What lies in `versions/<name>`. `source` is empty where its manifest cannot be read.

    `bytes` are those of its files, `used` is when it was used last, in ns of the cache's clock.
    """

    directory: str
    name: str
    version: str
    source: str
    bytes: int
    used: int
    is_current: bool

    @property
    def held(self) -> Held:
        """What it is to those who do not ask where it lies."""
        return Held(self.source, self.version, self.bytes, self.directory)


class Staging(NamedTuple):
    """What lies in `staging/<name>`: `bytes` of what, for whom, how many of which have their place on the disk.

    `boot` and `source` are empty and `bytes` 0 where its reservation cannot be read.
    """

    directory: str
    name: str
    source: str
    boot: str
    bytes: int
    demanded: int
    allocated: int


def models(cache: int) -> Iterator[tuple[str, int]]:
    """The models' directories in a cache: name, and a descriptor good until the next one is asked for.

    What bears such a name and is no directory, or cannot be opened, is passed over: it cannot be one of ours.
    """
    for name in tree.names(cache):
        if layout.is_directory(name):
            with suppress(OSError), tree.directory(name, cache) as opened:
                yield name, opened


def held(directory: str, model: int) -> Held | None:
    """The version of a model that `current` names, if it is complete."""
    version = current.read(model)
    if version is None:
        return None
    try:
        with tree.directory(f"{layout.VERSIONS}/{version}", model) as opened:
            found = manifest.read(opened)
            if found.version != version or not tree.exists(layout.DATA, opened):
                return None
    except (OSError, manifest.InvalidManifest):
        return None
    return Held(found.source, version, found.bytes, directory)


def versions(directory: str, model: int) -> Iterator[Version]:
    """What lies in the `versions` of a model. What cannot be read counts as never used."""
    named = current.read(model)
    for name in tree.names_in(layout.VERSIONS, model):
        version = layout.version_of(name)
        if version is None:
            continue
        source, size, used = "", 0, 0
        with suppress(OSError), tree.directory(f"{layout.VERSIONS}/{name}", model) as opened:
            try:
                found = manifest.read(opened)
                source, size = found.source, found.bytes
                used = clock.touched(layout.MANIFEST, opened)
            except (OSError, manifest.InvalidManifest):
                size = tree.allocated(opened)
        yield Version(directory, name, version, source, size, used, named == name)


def stagings(directory: str, model: int) -> Iterator[Staging]:
    """What lies in the `staging` of a model."""
    for name in tree.names_in(layout.STAGING, model):
        promise: dict[str, object] = {}
        allocated = 0
        with suppress(OSError), tree.directory(f"{layout.STAGING}/{name}", model) as opened:
            promise = reservation(opened)
            allocated = tree.allocated(opened)
        source, boot, size, demanded = (promise.get(key) for key in ("source", "boot", "bytes", "demanded"))
        yield Staging(
            directory,
            name,
            source if isinstance(source, str) else "",
            boot if isinstance(boot, str) else "",
            size if type(size) is int and size > 0 else 0,
            demanded if type(demanded) is int and demanded > 0 else 0,
            allocated,
        )


def reserve(staging: int, promise: dict[str, object]) -> None:
    """Say in a staging directory what it is for. OSError."""
    with tree.file(layout.RESERVATION, staging, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644) as opened:
        os.write(opened, json.dumps(promise).encode())


def reservation(staging: int) -> dict[str, object]:
    """What a staging directory is for; empty where nothing readable says so."""
    try:
        with tree.file(layout.RESERVATION, staging) as opened:
            value = json.loads(os.read(opened, _MOST))
    except (OSError, ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}
