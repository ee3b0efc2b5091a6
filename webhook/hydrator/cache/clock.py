"""The cache's own clock, by which least recently used is told. It never goes back, whatever is done to the node's.

A node's clock jumps when NTP first answers after a boot, and when somebody sets it. By the time of day alone, what is
used now would seem to be older than what was used before, and go first.
"""

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


def touched(name: str, parent: int) -> int:
    """When it was touched last, in ns of the cache's clock. OSError.

    What nobody touched since it was written has the time of day at which it was.
    """
    return os.stat(name, dir_fd=parent, follow_symlinks=False).st_mtime_ns
