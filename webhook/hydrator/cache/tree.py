"""Directories by descriptor: nothing here follows a symbolic link, waits for a pipe, or leaves the tree it is given."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK  # a pipe opened for reading would wait for its writer
_WRITING = os.O_WRONLY | os.O_RDWR
OPEN_MODE = 0o755  # any user may read a cache; only its owner writes


@contextmanager
def directory(path: str, parent: int) -> Iterator[int]:
    """A descriptor of the directory at `path` below `parent`. OSError, also where any of its names is a link."""
    opened = os.dup(parent)
    try:
        for name in path.split("/") if path else ():
            below = os.open(name, _DIRECTORY, dir_fd=opened)
            os.close(opened)
            opened = below
        yield opened
    finally:
        os.close(opened)


@contextmanager
def made(name: str, parent: int) -> Iterator[int]:
    """A descriptor of the directory `name` in `parent`, made if it is not there. OSError."""
    with suppress(FileExistsError):
        os.mkdir(name, OPEN_MODE, dir_fd=parent)
    with directory(name, parent) as opened:
        status = os.fstat(opened)
        if stat.S_IMODE(status.st_mode) != OPEN_MODE and status.st_uid == os.geteuid():
            os.fchmod(opened, OPEN_MODE)  # whatever the umask, or where killed before this
        yield opened


@contextmanager
def file(name: str, parent: int, flags: int = os.O_RDONLY, mode: int = 0o644) -> Iterator[int]:
    """A descriptor of the regular file `name` in `parent`, made with `mode` whatever the umask. OSError.

    ENXIO where it is something else, or is to be written and has a second name, which may be a model's file.
    """
    opened = os.open(name, flags & ~os.O_TRUNC | _FILE, mode, dir_fd=parent)
    try:
        status = os.fstat(opened)
        if not stat.S_ISREG(status.st_mode) or (flags & _WRITING and status.st_nlink > 1):
            raise OSError(errno.ENXIO, "not a regular file of one name", name)
        if flags & os.O_TRUNC:
            os.ftruncate(opened, 0)
        if flags & os.O_CREAT and stat.S_IMODE(status.st_mode) != mode and status.st_uid == os.geteuid():
            os.fchmod(opened, mode)
        yield opened
    finally:
        os.close(opened)


def names(parent: int) -> list[str]:
    """What lies in a directory, sorted."""
    return sorted(os.listdir(parent))


def names_in(name: str, parent: int) -> list[str]:
    """What lies in the directory `name` in `parent`; nothing where there is none, or none that can be read."""
    try:
        with directory(name, parent) as opened:
            return names(opened)
    except OSError:
        return []


def exists(name: str, parent: int) -> bool:
    """Whether there is anything of that name, a dangling link included."""
    try:
        os.stat(name, dir_fd=parent, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True


def files(root: int) -> Iterator[tuple[str, os.DirEntry[str], int]]:
    """Everything below a directory that is no directory: its path, its entry, and a descriptor of its directory.

    Descriptor and entry are good until the next one is asked for. OSError where a directory cannot be read.
    """
    waiting = [""]
    while waiting:
        above = waiting.pop()
        with directory(above, root) as opened, os.scandir(opened) as entries:
            for entry in entries:
                path = f"{above}/{entry.name}" if above else entry.name
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(path)
                else:
                    yield path, entry, opened


def directories(root: int) -> Iterator[int]:
    """A descriptor of every directory below `root` and of itself, good until the next one is asked for."""
    waiting = [""]
    while waiting:
        above = waiting.pop()
        with directory(above, root) as opened:
            with os.scandir(opened) as entries:
                found = [entry.name for entry in entries if entry.is_dir(follow_symlinks=False)]
            waiting += [f"{above}/{name}" if above else name for name in found]
            yield opened


def allocated(root: int) -> int:
    """Bytes of disk that the files below a directory occupy."""
    return sum(entry.stat(follow_symlinks=False).st_blocks * 512 for _, entry, _ in files(root))
