"""Deleting: what goes is first moved to the trash by one rename, so that nobody ever meets half of it."""

from __future__ import annotations

import os
import stat
from contextlib import suppress

from webhook.hydrator.cache import layout, tree


def throw(name: str, parent: int, cache: int) -> str:
    """Move `name` in `parent` to the cache's trash; answer its name there. OSError."""
    thrown = os.urandom(8).hex()
    with tree.made(layout.TRASH, cache) as trash:
        os.rename(name, thrown, src_dir_fd=parent, dst_dir_fd=trash)
    return thrown


def restore(thrown: str, name: str, parent: int, cache: int) -> None:
    """Move something back from the trash. OSError."""
    with tree.directory(layout.TRASH, cache) as trash:
        os.rename(thrown, name, src_dir_fd=trash, dst_dir_fd=parent)


def empty(cache: int) -> None:
    """Delete all that lies in the trash and can be deleted. To be called with the room's lock. OSError: no trash.

    A directory is emptied by moving the directories in it up into the trash, where they wait their turn: no depth is
    too deep, no path too long, and being killed at any point leaves trash.
    """
    with tree.made(layout.TRASH, cache) as trash:
        waiting = tree.names(trash)
        while waiting:
            name = waiting.pop()
            with suppress(OSError):  # another user's: it stays, and its room is seen to be taken
                if not stat.S_ISDIR(os.stat(name, dir_fd=trash, follow_symlinks=False).st_mode):
                    os.unlink(name, dir_fd=trash)
                    continue
                _empty(name, trash, waiting)
                os.rmdir(name, dir_fd=trash)


def _empty(name: str, trash: int, waiting: list[str]) -> None:
    """Delete the files of a directory in the trash; the directories it held get new names there, and wait."""
    with suppress(PermissionError):  # its owner may, whatever its mode says
        os.chmod(name, 0o700, dir_fd=trash)
    with tree.directory(name, trash) as opened:
        with os.scandir(opened) as entries:
            found = [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries]
        for below, is_directory in found:
            if not is_directory:
                os.unlink(below, dir_fd=opened)
                continue
            fresh = os.urandom(8).hex()
            with suppress(PermissionError):  # moving a directory changes its `..`
                os.chmod(below, 0o700, dir_fd=opened)
            os.rename(below, fresh, src_dir_fd=opened, dst_dir_fd=trash)
            waiting.append(fresh)
