"""How much of a filesystem may be filled: what is free, less what must stay free and what others were promised."""

from __future__ import annotations

import os
import re
from typing import NamedTuple

from webhook.hydrator import measures
from webhook.hydrator.outcome import Exit, HydrationError
from webhook.hydrator.plan import Plan

_PERCENT = re.compile(r"([0-9]{1,3})(?:\.([0-9]{0,7}))?%")
_WHOLE = 10**9


class KeepFree(NamedTuple):
    """What must stay free of a filesystem: billionths of its size, and a number of bytes."""

    share: int
    bytes: int

    def of(self, size: int) -> int:
        """Bytes that must stay free of so many."""
        return -(-size * self.share // _WHOLE) + self.bytes


def parse_keep_free(text: str) -> KeepFree:
    """`20%` of the filesystem, or a Kubernetes quantity of bytes such as `50Gi`. HydrationError USAGE."""
    match = _PERCENT.fullmatch(text)
    try:
        if match is None:
            return KeepFree(0, measures.size(text))
    except measures.Unreadable:
        pass
    else:
        share = int(match[1]) * (_WHOLE // 100) + int((match[2] or "").ljust(7, "0"))
        if share < _WHOLE:
            return KeepFree(share, 0)
    raise HydrationError(
        Exit.USAGE,
        f"{text[:80]!r} says not how much of a disk is to stay free",
        "write a share below 100% such as 20%, or a quantity such as 50Gi",
    )


class Disk(NamedTuple):
    """A filesystem: its size and what of it this user may still fill, in bytes; `block` is what a file is rounded to.

    `inodes` is how many more files it takes; None where it does not count them.
    """

    size: int
    free: int
    block: int
    inodes: int | None


def disk(opened: int) -> Disk:
    """The filesystem of an open directory."""
    status = os.statvfs(opened)
    unit = status.f_frsize or status.f_bsize
    return Disk(status.f_blocks * unit, status.f_bavail * unit, unit, status.f_favail if status.f_files else None)


class Demand(NamedTuple):
    """What a plan takes on a disk: bytes of its files, of the blocks that hold them, and of what goes with them."""

    bytes: int
    allocated: int
    beside: int
    inodes: int


def demand(plan: Plan, block: int) -> Demand:
    """What a plan takes on a filesystem of such blocks."""
    places = {""}
    allocated = 0
    for file in plan.files:
        allocated += -(-file.size // block) * block
        above = file.path.rpartition("/")[0]
        while above not in places:
            places.add(above)
            above = above.rpartition("/")[0]
    # Beside the files: their directories, manifest, journal, and what maps blocks to files; far below what stays free.
    names = sum(len(file.path) for file in plan.files)
    beside = (len(places) + 16) * block + 4 * names + 256 * len(plan.files) + allocated // 1024
    return Demand(plan.bytes, allocated, beside, len(plan.files) + len(places) + 16)
