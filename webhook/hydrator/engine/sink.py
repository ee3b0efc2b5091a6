"""Where bytes go: a file written at absolute offsets, past the page cache where the kernel lets us."""

from __future__ import annotations

import os
from errno import EINVAL
from fcntl import F_GETFL, F_SETFL, fcntl

from webhook.hydrator.engine import syscalls
from webhook.hydrator.engine.buffers import ALIGNMENT
from webhook.hydrator.engine.tree import Tree


class Sink:
    """One open file. Raises OSError."""

    def __init__(self, descriptor: int, *, direct: bool) -> None:
        self._descriptor = descriptor
        self._direct = direct

    @classmethod
    def of_new(cls, tree: Tree, path: str) -> Sink:
        """A file that comes whole: through the page cache, for its end is seldom a whole block. 0444, less umask."""
        return cls(tree.create(path, 0o444), direct=False)

    @classmethod
    def of_laid_out(cls, tree: Tree, path: str, *, direct: bool) -> Sink:
        """A file that has its size. Where the filesystem refuses O_DIRECT, through the page cache."""
        if direct:
            try:
                return cls(tree.open(path, os.O_DIRECT), direct=True)
            except OSError as error:
                if error.errno != EINVAL:
                    raise
        return cls(tree.open(path), direct=False)

    def write(self, view: memoryview, offset: int) -> None:
        """Write all of the view, which begins at a page of memory and of the file."""
        done = 0
        if self._direct:
            whole = len(view) & -ALIGNMENT
            try:
                while done < whole:
                    done += os.pwrite(self._descriptor, view[done:whole], offset + done)
            except OSError as error:
                if error.errno != EINVAL:  # it wants a larger alignment than ours
                    raise
            if done < len(view):  # the tail of the file, nearly always
                self._through_the_page_cache()
        while done < len(view):
            done += os.pwrite(self._descriptor, view[done:], offset + done)

    def begin_writing_out(self, offset: int, length: int) -> None:
        """What lies in the page cache may go to the disk, before too much of it waits there."""
        if not self._direct:
            syscalls.start_writing(self._descriptor, offset, length)

    def write_out(self) -> None:
        """Wait until it is on the disk, or until that fails.

        Without room reserved, a filesystem may take bytes that it finds no block for later, and lose them in silence:
        ext4 without extents does, network filesystems do.
        """
        os.fdatasync(self._descriptor)

    def close(self) -> None:
        """Close the file."""
        os.close(self._descriptor)

    def _through_the_page_cache(self) -> None:
        fcntl(self._descriptor, F_SETFL, fcntl(self._descriptor, F_GETFL) & ~os.O_DIRECT)
        self._direct = False
