"""flock(2): who may write. A lock ends with the last process that holds its descriptor, however that process ends."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from webhook.hydrator.cache import layout, tree

_POLL_SECONDS = 0.2


@contextmanager
def awaited(name: str, parent: int, waiting: Callable[[], None]) -> Iterator[None]:
    """Hold the lock file `name` in `parent`; `waiting` is called every 0.2 s while another holds it. OSError.

    Forked children hold it, too: it is closed here, not unlocked, and lasts until they have closed it.
    """
    while True:
        with tree.file(name, parent, os.O_RDWR | os.O_CREAT, 0o644) as opened:
            while not _taken(opened):
                waiting()
                time.sleep(_POLL_SECONDS)
            if _is_still(name, parent, opened):
                yield
                return


@contextmanager
def attempted(name: str, parent: int) -> Iterator[bool]:
    """Hold the lock file `name` in `parent` if nobody else does; say whether. OSError."""
    with tree.file(name, parent, os.O_RDWR | os.O_CREAT, 0o644) as opened:
        yield _taken(opened)


@contextmanager
def room(cache: int, *, wait: bool = True) -> Iterator[bool]:
    """Hold the room's lock of a cache; say whether it is held, which without waiting it may not be. OSError."""
    with tree.file(layout.ROOM_LOCK, cache, os.O_RDWR | os.O_CREAT, 0o644) as opened:
        yield _taken(opened, wait=wait)


@contextmanager
def leases(model: int, *, wait: bool = True) -> Iterator[int | None]:
    """Hold a model's leases, `current`, and list of versions still; a descriptor of `leases`, None when not. OSError.

    It is held for moments only, never while bytes are brought.
    """
    with tree.made(layout.LEASES, model) as opened:
        yield opened if _taken(opened, wait=wait) else None


def _taken(opened: int, *, wait: bool = False) -> bool:
    try:
        fcntl.flock(opened, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_still(name: str, parent: int, opened: int) -> bool:
    """Whether the file that was locked is the one that others will find: people delete lock files."""
    try:
        found = os.stat(name, dir_fd=parent, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return os.path.samestat(found, os.fstat(opened))
