"""The cache's own clock, by which least recently used is told. It never goes back, whatever is done to the node's."""

from __future__ import annotations

import os
import time

from webhook.hydrator.cache import layout, tree


def touch(name: str, parent: int, cache: int) -> None:
    """Have the mtime of `name` in `parent` be later than any that was set before. OSError.

    The latest lies in the mtime of the room's lock. It is the time of day, except after that was set back: then it is
    a nanosecond more at each use.
    """
    with tree.file(layout.ROOM_LOCK, cache, os.O_RDWR | os.O_CREAT, 0o644) as latest:
        moment = max(time.time_ns(), os.fstat(latest).st_mtime_ns + 1)
        os.utime(latest, ns=(moment, moment))
    os.utime(name, ns=(moment, moment), dir_fd=parent, follow_symlinks=False)
