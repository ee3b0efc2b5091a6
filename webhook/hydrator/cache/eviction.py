"""What may be deleted to make room, in which order; never what is open, mapped, leased or being written."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from webhook.hydrator.cache import current, layout, lease, lock, openness, removal, stock, tree
from webhook.hydrator.cache.openness import Openness
from webhook.hydrator.measures import shown_seconds

_WRITING = "it is being brought"
_OPEN = "open in a process of this node"


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
    """What there is to delete, in the order in which it goes; what stays; of which versions open files are not told."""

    going: list[stock.Staging | stock.Version]
    staying: list[Pinned]
    untold: list[str]


def survey(place: Place) -> Survey:
    """Look at everything in the cache but the staging that room is made for."""
    found = Survey([], [], [])
    for directory, model in stock.models(place.cache):
        try:
            with _held_still(place, directory, model) as is_ours:
                with lock.leases(model, wait=False) as leases:
                    if leases is not None:  # a node may run for years: they are as many as pods that came by
                        lease.clear(place.boot, place.lease_seconds, leases)
                _survey(place, directory, model, found, is_ours=is_ours)
        except OSError as error:
            found.staying.append(Pinned("", 0, f"directory {directory!r}: {error.strerror}"))
    found.going.sort(key=lambda going: _rank(place, going))
    return found


def _survey(place: Place, directory: str, model: int, found: Survey, *, is_ours: bool) -> None:
    for staging in stock.stagings(directory, model):
        if directory == place.own and staging.name == place.version:
            continue
        if is_ours:
            found.going.append(staging)
        else:
            found.staying.append(Pinned(staging.source, max(staging.bytes, staging.allocated), _WRITING))
    for version in stock.versions(directory, model):
        why = _why_not(place, version, model, found.untold) if is_ours else _WRITING
        if why:
            found.staying.append(Pinned(version.source, version.bytes, why))
        else:
            found.going.append(version)


def _rank(place: Place, going: stock.Staging | stock.Version) -> tuple[int, int, str]:
    """Where it stands in the order of deletion."""
    if isinstance(going, stock.Staging):
        return (0 if going.boot != place.boot else 1), 0, going.directory
    # The very version that room is made for, when it lies there, is damaged: else there would have been a hit.
    is_damaged = going.version == place.version
    return (2 if is_damaged else 4 if going.is_current else 3), going.used, going.directory


def evict(place: Place, going: stock.Staging | stock.Version) -> str:
    """Move it to the trash, if it still may go. Answers why not, or nothing."""
    try:
        with (
            tree.directory(going.directory, place.cache) as model,
            _held_still(place, going.directory, model) as is_ours,
        ):
            if not is_ours:
                return _WRITING
            if isinstance(going, stock.Version):
                return _evict_version(place, going, model)
            with tree.directory(layout.STAGING, model) as stagings:
                removal.throw(going.name, stagings, place.cache)
    except OSError as error:
        return f"it cannot be deleted: {error.strerror}"
    return ""


def _evict_version(place: Place, going: stock.Version, model: int) -> str:
    with lock.leases(model, wait=False) as leases:
        why = "it is being given to a pod" if leases is None else _why_not(place, going, model, [])
        if why:
            return why
        with tree.directory(layout.VERSIONS, model) as versions:
            thrown = removal.throw(going.name, versions, place.cache)
            # Who opened a file after we looked is seen now, and nobody finds the others any more.
            with tree.directory(f"{layout.TRASH}/{thrown}", place.cache) as opened:
                is_open = openness.of_tree(opened) is Openness.OPEN
            if is_open:
                removal.restore(thrown, going.name, versions, place.cache)
                return _OPEN
        if going.name == going.version:
            current.remove(going.version, model)
    return ""


@contextmanager
def _held_still(place: Place, directory: str, model: int) -> Iterator[bool]:
    """Hold the lock of a model, as nobody may write there meanwhile; say whether it is held."""
    if directory == place.own:
        yield True
        return
    with lock.attempted(layout.LOCK, model) as is_ours:
        yield is_ours


def _why_not(place: Place, version: stock.Version, model: int, untold: list[str]) -> str:
    """Why a version has to stay, empty when it may go. `untold` gets its name where open files cannot be told."""
    try:
        with tree.made(layout.LEASES, model) as opened:
            leases = [found for found in lease.read(opened).values() if found and found.version == version.version]
        counting = [(left, found.pod) for found in leases if (left := found.left(place.boot, place.lease_seconds)) > 0]
        if counting:
            left, pod = max(counting)
            more = f" and {len(counting) - 1:,} more" if len(counting) > 1 else ""
            return f"leased by pod {pod[:80]!r}{more} for {shown_seconds(left)} yet"
        with tree.directory(f"{layout.VERSIONS}/{version.name}", model) as opened:
            known = openness.of_tree(opened)
    except OSError as error:
        return f"it cannot be read: {error.strerror}"
    if known is Openness.UNTOLD:
        untold.append(version.name)
    return _OPEN if known is Openness.OPEN else ""
