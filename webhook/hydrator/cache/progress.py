"""What the writer of a model tells those who wait for it: a small record, written over itself."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import NamedTuple

from webhook.hydrator.cache import layout, lease, tree

_SIZE = 512  # bytes of the record, in one page of the file: readers see it whole, or see that they do not


class OwnersProgress(NamedTuple):
    """How far the writer is: bytes, bytes, bytes per second; `owner` is its pod's name, `age` the seconds since."""

    done: int
    total: int
    rate: float
    owner: str
    age: float


@contextmanager
def kept(owner: str, model: int) -> Iterator[int | None]:
    """A descriptor of a model's progress file for its writer, saying nothing yet. None where there can be none.

    Progress is a courtesy: a full disk or a stray file in its place ends no download.
    """
    opened: int | None = None
    try:
        with suppress(OSError), tree.file(layout.PROGRESS, model, os.O_RDWR | os.O_CREAT, 0o644) as there:
            opened = os.dup(there)
        if opened is not None:
            write(opened, owner, 0, 0, 0.0)
        yield opened
    finally:
        if opened is not None:
            os.close(opened)


def write(opened: int, owner: str, done: int, total: int, rate: float) -> None:
    """Tell how far it is."""
    record = [done, total, round(float(rate), 1), owner[:253], round(lease.now(), 1)]
    with suppress(OSError):
        os.pwrite(opened, json.dumps(record).encode("ascii").ljust(_SIZE)[:_SIZE], 0)


def read(model: int) -> OwnersProgress | None:
    """What the writer said last; None where it said nothing."""
    try:
        with tree.file(layout.PROGRESS, model) as opened:
            value = json.loads(os.read(opened, _SIZE))
    except (OSError, ValueError, RecursionError):
        return None
    match value:
        case [int(done), int(total), float(rate), str(owner), float(told)] if total > 0:
            return OwnersProgress(done, total, rate, owner, max(0.0, lease.now() - told))
    return None
