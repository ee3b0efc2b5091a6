"""Whether any process of the node has a file open or mapped, in whatever container: fcntl(2), F_SETLEASE.

A write lease is granted only while nobody else has the inode open, or mapped, descriptor closed. It takes the file's
owner or CAP_LEASE, and a local filesystem. A process that only has a directory mounted is not seen: leases of pods are
for that.
"""

from __future__ import annotations

import errno
import fcntl
import signal
from enum import Enum

from webhook.hydrator.cache import tree

_UNTOLD = frozenset({errno.EINVAL, errno.EACCES, errno.EPERM, errno.ENOLCK, errno.EOPNOTSUPP})


class Openness(Enum):
    """What is known of the files of a tree."""

    FREE = "free"
    OPEN = "open"
    UNTOLD = "untold"  # the filesystem grants no leases


def of_tree(root: int) -> Openness:
    """What is known of all files below a directory, up to the first that is open. OSError: it cannot be read."""
    known = Openness.FREE
    for _, entry, parent in tree.files(root):
        if not entry.is_file(follow_symlinks=False):
            continue
        found = _of_file(entry.name, parent)
        if found is Openness.OPEN:
            return found
        if found is Openness.UNTOLD:
            known = found
    return known


def _of_file(name: str, parent: int) -> Openness:
    try:
        with tree.file(name, parent) as opened:
            # Whoever opens the file meanwhile waits for us and has us told by a signal: SIGIO would end this process.
            fcntl.fcntl(opened, fcntl.F_SETSIG, signal.SIGURG)
            fcntl.fcntl(opened, fcntl.F_SETLEASE, fcntl.F_WRLCK)
            fcntl.fcntl(opened, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    except BlockingIOError:
        return Openness.OPEN
    except OSError as error:
        if error.errno in _UNTOLD:
            return Openness.UNTOLD
        raise
    return Openness.FREE
