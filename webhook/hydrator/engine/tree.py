"""The tree that is being filled, reached by descriptors of its directories: no symbolic link in it is ever followed.

Other pods of the tenant may write to the cache, so what lies there is not trusted to be what we made.
"""

from __future__ import annotations

import os
from collections import OrderedDict
from contextlib import suppress

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_OPEN = os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC
_CREATE = _OPEN | os.O_CREAT | os.O_EXCL
_KEPT = 16  # descriptors of directories; each thread has a tree of its own


class Tree:
    """One directory and what lies below it, by relative paths with `/` between names. Raises OSError."""

    def __init__(self, path: str) -> None:
        self._root = os.open(path, _DIRECTORY)
        self._kept: OrderedDict[str, int] = OrderedDict()

    def directory(self, path: str) -> int:
        """A descriptor of the directory, good until the next call; "" is the root."""
        if not path:
            return self._root
        kept = self._kept.get(path)
        if kept is not None:
            self._kept.move_to_end(path)
            return kept
        descriptor = self._walk(path)
        self._kept[path] = descriptor
        if len(self._kept) > _KEPT:
            os.close(self._kept.popitem(last=False)[1])
        return descriptor

    def make_directory(self, path: str) -> bool:
        """Make the directory, whose parent exists, readable by everyone; False where it was there."""
        parent, _, name = path.rpartition("/")
        at = self.directory(parent)
        try:
            os.mkdir(name, 0o755, dir_fd=at)
        except FileExistsError:
            return False
        return True

    def open(self, path: str, flags: int = 0) -> int:
        """A descriptor of a file that is there, for reading and writing."""
        parent, _, name = path.rpartition("/")
        return os.open(name, _OPEN | flags, dir_fd=self.directory(parent))

    def create(self, path: str, mode: int) -> int:
        """A descriptor of a new, empty file; what was there under this name is gone."""
        parent, _, name = path.rpartition("/")
        at = self.directory(parent)
        try:
            return os.open(name, _CREATE, mode, dir_fd=at)
        except FileExistsError:
            os.unlink(name, dir_fd=at)
            return os.open(name, _CREATE, mode, dir_fd=at)

    def status(self, path: str) -> os.stat_result | None:
        """What lstat(2) says; None where there is nothing."""
        parent, _, name = path.rpartition("/")
        try:
            return os.stat(name, dir_fd=self.directory(parent), follow_symlinks=False)
        except (FileNotFoundError, NotADirectoryError):
            return None

    def close(self) -> None:
        """Close every descriptor."""
        for descriptor in (self._root, *self._kept.values()):
            with suppress(OSError):
                os.close(descriptor)
        self._kept.clear()

    def _walk(self, path: str) -> int:
        at = self._root
        for name in path.split("/"):
            try:
                below = os.open(name, _DIRECTORY, dir_fd=at)
            finally:
                if at != self._root:
                    os.close(at)
            at = below
        return at
