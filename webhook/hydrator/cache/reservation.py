"""Room for a model before its first byte: counted, made by eviction where there is none, and taken."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Callable
from typing import NamedTuple

from webhook.hydrator.cache import eviction, layout, lock, removal, room, shortage, stock, tree
from webhook.hydrator.outcome import FULL, HydrationError
from webhook.hydrator.plan import Plan
from webhook.hydrator.staged import Staged

_FREEING_SECONDS = 2.0


class Wish(NamedTuple):
    """What is to be brought, what must stay free of the disk, and the most bytes that the cache may hold.

    `evicted` is told of each model that had to go, when it has gone. Versions that `current` did not name go without a
    word: their models did not.
    """

    plan: Plan
    keep_free: room.KeepFree
    max_size: int | None
    lay_out: Callable[[Plan, Staged], None]
    evicted: Callable[[stock.Held], None]


def reserve(place: eviction.Place, wish: Wish, staged: Staged, model: int) -> stock.Reservation:
    """Reserve room for a plan whose model's lock is held. OSError; HydrationError NO_ROOM; whatever `lay_out` raises.

    Where it fails, nothing is left of a staging that was not there before.
    """
    with lock.room(place.cache), tree.made(layout.STAGING, model) as stagings:
        resumed = _adopt(place, stagings)
        removal.empty(place.cache)
        found: eviction.Survey | None = None
        refusal: OSError | None = None
        while True:
            short = shortage.of(place, wish.plan, wish.keep_free, wish.max_size)
            if not short.is_any and refusal is None:
                refusal = _take(place, wish, short.demand, staged, stagings, resumed=resumed)
                if refusal is None:
                    return stock.Reservation(staged, resumed)
                continue  # others fill the disk, or there is a quota: eviction may still help
            if found is None:
                found = eviction.survey(place)
                if short.bytes > sum(_weight(going) for going in found.going):
                    raise shortage.error(wish.plan, short, found, refusal)
            if not found.going:
                raise shortage.error(wish.plan, short, found, refusal)
            going = found.going.pop(0)
            why = eviction.evict(place, going)
            if why:
                found.staying.append(eviction.Pinned(going.source, _weight(going), why))
                continue
            refusal = None
            removal.empty(place.cache)
            _await(place, short.disk.free + _weight(going) // 2)
            if isinstance(going, stock.Version) and going.is_current:
                wish.evicted(going.held)


def _adopt(place: eviction.Place, stagings: int) -> bool:
    """Keep the staging of this version if an earlier run of this boot left it; throw away all others of the model."""
    is_kept = False
    for name in tree.names(stagings):
        if name == place.version and _is_sound(place, stagings):
            is_kept = True
        else:
            removal.throw(name, stagings, place.cache)
    return is_kept


def _is_sound(place: eviction.Place, stagings: int) -> bool:
    """Whether a staging is of this boot and made of plain files of ours that have no other name: we write into them.

    Who was killed while publishing left some of them read-only, which binds a container without capabilities even as
    root. They get back what they had.
    """
    try:
        with tree.directory(place.version, stagings) as staging:
            if not place.boot or stock.reservation(staging).get("boot") != place.boot:
                return False
            for _, entry, parent in tree.files(staging):
                status = entry.stat(follow_symlinks=False)
                if not entry.is_file(follow_symlinks=False) or status.st_nlink != 1 or status.st_uid != os.geteuid():
                    return False
                if not status.st_mode & stat.S_IWUSR:
                    with tree.file(entry.name, parent) as opened:
                        os.fchmod(opened, 0o644)
    except OSError:
        return False
    return True


def _take(
    place: eviction.Place, wish: Wish, demand: room.Demand, staged: Staged, stagings: int, *, resumed: bool
) -> OSError | None:
    """Make the staging and lay the files out in it. Answers the error of a disk that is full after all."""
    promise: dict[str, object] = {
        "source": wish.plan.source,
        "boot": place.boot,
        "bytes": demand.bytes,
        "demanded": demand.allocated,
    }
    try:
        with tree.made(place.version, stagings) as staging:
            stock.reserve(staging, promise)
            wish.lay_out(wish.plan, staged)
    except (OSError, HydrationError) as error:
        if not resumed and tree.exists(place.version, stagings):
            removal.throw(place.version, stagings, place.cache)
            removal.empty(place.cache)
        if isinstance(error, OSError) and error.errno in FULL:
            return error
        raise
    return None


def _await(place: eviction.Place, free: int) -> None:
    """Wait a moment for room that was freed: XFS gives it back a little after unlink(2) has returned."""
    until = time.monotonic() + _FREEING_SECONDS
    while room.disk(place.cache).free < free and time.monotonic() < until:
        time.sleep(0.02)


def _weight(found: stock.Staging | stock.Version) -> int:
    return max(found.bytes, found.allocated) if isinstance(found, stock.Staging) else found.bytes
