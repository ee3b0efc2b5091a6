"""What is missing before a model has room, and the words for it when nothing can be done."""

from __future__ import annotations

from typing import NamedTuple

from webhook.hydrator.cache import layout, lock, room, stock
from webhook.hydrator.cache.eviction import Pinned, Place, Survey
from webhook.hydrator.measures import shown_bytes
from webhook.hydrator.outcome import Exit, HydrationError
from webhook.hydrator.plan import Plan

_NAMED = 6  # holders in the message; the others are counted


class Shortage(NamedTuple):
    """Bytes of a disk and of a cache. `kept` must stay free, `promised` is free but taken, `taken` is ours already.

    `held` is what the cache holds besides, `cap` the most it may hold.
    """

    demand: room.Demand
    disk: room.Disk
    kept: int
    promised: int
    taken: int
    held: int
    cap: int | None

    @property
    def of_disk(self) -> int:
        """Bytes that the disk lacks; none when all blocks of the files are there from an earlier run."""
        if self.taken >= self.demand.allocated:
            return 0
        wanted = self.demand.allocated + self.demand.beside - self.taken
        return max(0, wanted - (self.disk.free - self.kept - self.promised))

    @property
    def of_cap(self) -> int:
        """Bytes by which the cache would hold more than it may."""
        return 0 if self.cap is None else max(0, self.held + self.demand.bytes - self.cap)

    @property
    def of_inodes(self) -> int:
        """Inodes that the filesystem lacks."""
        return 0 if self.taken or self.disk.inodes is None else max(0, self.demand.inodes - self.disk.inodes)

    @property
    def bytes(self) -> int:
        """Bytes to be freed in the cache before there is room."""
        return max(self.of_disk, self.of_cap)

    @property
    def is_any(self) -> bool:
        """Whether anything is missing."""
        return bool(self.bytes or self.of_inodes)


def of(place: Place, plan: Plan, keep_free: room.KeepFree, cap: int | None) -> Shortage:
    """What is missing now. To be called with the room's lock. OSError."""
    disk = room.disk(place.cache)
    promised = taken = held = 0
    for directory, model in stock.models(place.cache):
        held += sum(version.bytes for version in stock.versions(directory, model))
        for staging in stock.stagings(directory, model):
            if directory == place.own:
                taken = staging.allocated
                continue
            held += max(staging.bytes, staging.allocated)
            if staging.demanded > staging.allocated and _is_locked(model):
                promised += staging.demanded - staging.allocated
    return Shortage(room.demand(plan, disk.block), disk, keep_free.of(disk.size), promised, taken, held, cap)


def _is_locked(model: int) -> bool:
    try:
        with lock.attempted(layout.LOCK, model) as is_free:
            return not is_free
    except OSError:  # something else bears its name: nobody can hold it
        return False


def error(plan: Plan, short: Shortage, survey: Survey, refusal: OSError | None) -> HydrationError:
    """NO_ROOM, in words: what is missing, who holds the rest, what to do."""
    needs = f"{plan.source} needs {plan.bytes:,} bytes ({shown_bytes(plan.bytes)})"
    free = f"{shown_bytes(short.disk.free)} of the disk's {shown_bytes(short.disk.size)} are free"
    if short.of_disk and short.of_disk >= short.of_cap:
        missing = f"{short.of_disk:,} bytes ({shown_bytes(short.of_disk)}) are missing: {free}"
        if short.kept:
            missing += f", {shown_bytes(short.kept)} must stay free"
        if short.promised:
            missing += f", {shown_bytes(short.promised)} are promised to models that are being brought"
        hint = "use a larger disk, or keep less of it free (keepFree)"
    elif short.of_cap:
        missing = f"{short.of_cap:,} bytes ({shown_bytes(short.of_cap)}) are missing: the cache may hold "
        missing += f"{shown_bytes(short.cap or 0)} and holds {shown_bytes(short.held)}"
        hint = "let the cache hold more (maxSize)"
    elif short.of_inodes:
        missing = f"{short.of_inodes:,} inodes are missing: {short.disk.inodes:,} are left, whatever room there is"
        hint = "use a filesystem with more inodes"
    else:
        missing = f"the filesystem refuses it, though {free}: {refusal.strerror if refusal else 'no reason given'}"
        hint = "look for a quota of the cache's user or project, and for what else writes to this disk"
    if survey.staying:
        hint += ", end pods that use other models, or have leases of ended pods last less long (lease)"
    return HydrationError(Exit.NO_ROOM, f"{needs}, and {missing}. {_holders(short, survey)}", hint)


def _holders(short: Shortage, survey: Survey) -> str:
    staying = sorted(survey.staying, key=lambda pinned: -pinned.bytes)
    if staying:
        text = f"This cache holds {'; '.join(_holder(pinned) for pinned in staying[:_NAMED])}"
        rest = staying[_NAMED:]
        if rest:
            text += f"; and {len(rest):,} more of {shown_bytes(sum(pinned.bytes for pinned in rest))}"
    else:
        text = "This cache holds nothing that has to stay"
    going = sum(max(found.bytes, _allocated(found)) for found in survey.going)
    if going:
        text += f"; what could go is {shown_bytes(going)}, too little"
    elsewhere = max(0, short.disk.size - short.disk.free - short.held - short.taken)
    text += f"; {shown_bytes(elsewhere)} lie elsewhere on the disk"
    if survey.untold:
        text += "; its filesystem does not tell which files are open: only leases of pods and locks count"
    return text


def _holder(pinned: Pinned) -> str:
    name = repr(pinned.source[:200]) if pinned.source else "something that cannot be read"
    return f"{name} ({shown_bytes(pinned.bytes)}, {pinned.why})"


def _allocated(found: stock.Staging | stock.Version) -> int:
    return found.allocated if isinstance(found, stock.Staging) else 0
