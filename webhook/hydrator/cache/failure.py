"""What the operating system refuses, in words for the person who has to mend it."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager

from webhook.hydrator.outcome import FULL, Exit, HydrationError


@contextmanager
def explained(path: str, doing: str) -> Iterator[None]:
    """Turn an OSError into a HydrationError that says what was being done and where: NO_ROOM or DISK."""
    try:
        yield
    except OSError as error:
        raise failure(path, doing, error) from error


def failure(path: str, doing: str, error: OSError) -> HydrationError:
    """The error to show for one of the operating system's, met below `path` while `doing` something."""
    what = f"cannot {doing} in {path!r}: {os.strerror(error.errno) if error.errno else error}"
    if error.errno in FULL:
        quota = "the quota of the cache's user or project" if error.errno == errno.EDQUOT else "the cache's filesystem"
        return HydrationError(
            Exit.NO_ROOM, what, f"{quota} is full: others filled it meanwhile; make room or try again"
        )
    return HydrationError(Exit.DISK, what, _hint(path, error))


def _hint(path: str, error: OSError) -> str:
    if error.errno == errno.EROFS:
        return "the filesystem is mounted read-only: mount the cache's volume writable, and look for disk errors"
    if error.errno in {errno.EACCES, errno.EPERM}:
        return f"{_owner(path)}, and this process is user {os.geteuid()}: run as the owner, or change the owner"
    if error.errno == errno.ENOENT and not os.path.isdir(os.path.dirname(path)):
        return f"{os.path.dirname(path)!r} is not there: mount the disk first, or make the directory if it is meant"
    if error.errno == errno.EIO:
        return "the disk fails: look at the node's kernel log, and take the node out of service"
    if error.errno in {errno.ELOOP, errno.ENOTDIR, errno.ENXIO, errno.EISDIR, errno.EEXIST}:
        return "something lies there that is no part of a cache (a link, a pipe, a file): remove it"
    if error.errno in {errno.EMFILE, errno.ENFILE}:
        return "too many files are open: raise the limit of open files"
    if error.errno == errno.ESTALE:
        return "the volume went away: a cache belongs on a local disk"
    return "look at the volume of the cache on this node"


def _owner(path: str) -> str:
    """Who owns the nearest thing above that exists."""
    while True:
        try:
            status = os.stat(path)
        except OSError:
            above = os.path.dirname(path)
            if above == path:
                return "its owner is unknown"
            path = above
        else:
            return (
                f"{path!r} belongs to user {status.st_uid}, group {status.st_gid}, mode {status.st_mode & 0o7777:04o}"
            )
