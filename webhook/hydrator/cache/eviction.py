"""What may be deleted to make room, in which order; never what is open, mapped, leased or being written."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from webhook.hydrator.cache import current, layout, lease, lock, openness, removal, stock, tree
from webhook.hydrator.cache.openness import Openness
from webhook.hydrator.measures import shown_seconds

WRITING = "it is being brought"


class Place(NamedTuple):
    """Where and when room is made. `own` is the model whose lock is held already, `version` the one it makes room for.

    `cache` is a descriptor.
    """

    cache: int
    own: str
    version: str
    boot: str
    lease_seconds: float


class Pinned(NamedTuple):
    """A version or staging that stays, and why."""

    source: str
    bytes: int
    why: str


class Survey(NamedTuple):
    """What there is to delete, in the order in which it goes; what stays; whether open files could be told."""

    going: list[stock.Staging | stock.Version]
    staying: list[Pinned]
    is_told: bool


def survey(place: Place) -> Survey:
    """Look at everything in the cache but the staging that room is made for. OSError."""
    stagings: list[stock.Staging] = []
    versions: list[stock.Version] = []
    staying: list[Pinned] = []
    is_told = True
    for directory in stock.directories(place.cache):
        with tree.directory(directory, place.cache) as model, _held_still(place, directory, model) as is_ours:
            for staging in stock.stagings(directory, model):
                if directory == place.own and staging.name == place.version:
                    continue
                if is_ours:
                    stagings.append(staging)
                else:
                    staying.append(Pinned(staging.source, max(staging.bytes, staging.allocated), WRITING))
            for version in stock.versions(directory, model):
                why, told = _why_not(place, version, model) if is_ours else (WRITING, True)
                is_told = is_told and told
                if why:
                    staying.append(Pinned(version.source, version.bytes, why))
                else:
                    versions.append(version)
    stagings.sort(key=lambda staging: staging.boot == place.boot)
    # The very version that room is made for, when it lies there, is damaged: else there would have been a hit.
    versions.sort(
        key=lambda version: (version.version != place.version, version.is_current, version.used, version.directory)
    )
    return Survey([*stagings, *versions], staying, is_told)


def evict(place: Place, found: stock.Staging | stock.Version) -> bool:
    """Move it to the trash, if it still may go; say whether. OSError."""
    with tree.directory(found.directory, place.cache) as model, _held_still(place, found.directory, model) as is_ours:
        if not is_ours:
            return False
        if isinstance(found, stock.Version):
            return _evict_version(place, found, model)
        with tree.directory(layout.STAGING, model) as stagings:
            removal.throw(found.name, stagings, place.cache)
        return True


def _evict_version(place: Place, found: stock.Version, model: int) -> bool:
    with lock.leases(model, wait=False) as leases:
        if leases is None or _why_not(place, found, model)[0]:
            return False
        with tree.directory(layout.VERSIONS, model) as versions:
            thrown = removal.throw(found.name, versions, place.cache)
            # Who opened a file after we looked is seen now, and nobody finds the others any more.
            with tree.directory(f"{layout.TRASH}/{thrown}", place.cache) as opened:
                is_open = openness.of_tree(opened) is Openness.OPEN
            if is_open:
                removal.restore(thrown, found.name, versions, place.cache)
                return False
        if found.name == found.version:
            current.remove(found.version, model)
    return True


@contextmanager
def _held_still(place: Place, directory: str, model: int) -> Iterator[bool]:
    """Hold the lock of a model, as nobody may write there meanwhile; say whether it is held."""
    if directory == place.own:
        yield True
        return
    with lock.attempted(layout.LOCK, model) as is_ours:
        yield is_ours


def _why_not(place: Place, version: stock.Version, model: int) -> tuple[str, bool]:
    """Why a version has to stay, empty when it may go; and whether open files could be told."""
    with tree.made(layout.LEASES, model) as opened:
        leases = [found for found in lease.read(opened).values() if found and found.version == version.version]
    left, pod = max(((found.left(place.boot, place.lease_seconds), found.pod) for found in leases), default=(0.0, ""))
    if left > 0:
        more = f" and {len(leases) - 1:,} more" if len(leases) > 1 else ""
        return f"leased by pod {pod[:80]!r}{more} for {shown_seconds(left)} yet", True
    try:
        with tree.directory(f"{layout.VERSIONS}/{version.name}", model) as opened:
            known = openness.of_tree(opened)
    except OSError as error:
        return f"it cannot be read: {error.strerror}", True
    return "open in a process of this node" if known is Openness.OPEN else "", known is not Openness.UNTOLD
