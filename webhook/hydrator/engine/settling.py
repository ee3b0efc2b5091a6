"""What makes a tree outlive a power cut: its bytes, its names and its modes, on the disk and not only in memory."""

from __future__ import annotations

import os
from contextlib import suppress

from webhook.hydrator.engine import syscalls
from webhook.hydrator.engine.layout import directories
from webhook.hydrator.engine.messages import in_words
from webhook.hydrator.engine.parts import is_small
from webhook.hydrator.engine.tree import Tree
from webhook.hydrator.plan import Plan
from webhook.hydrator.staged import Staged

_MANY = 256  # files; for more, one syncfs(2) costs less, though it waits for other people's writes too


def settle(plan: Plan, staged: Staged) -> None:
    """Files become 0444, and files and directories durable.

    HydrationError DISK or NO_ROOM, where a write failed: the journal is gone then, for it told of bytes that are lost.
    """
    try:
        tree = Tree(staged.data)
        try:
            _settle(plan, tree)
        finally:
            tree.close()
    except OSError as error:
        with suppress(OSError):
            os.unlink(staged.journal)
        raise in_words(error) from error


def _settle(plan: Plan, tree: Tree) -> None:
    many = len(plan.files) > _MANY
    if many:
        syscalls.syncfs(tree.directory(""))
    for file in plan.files:
        parent, _, name = file.path.rpartition("/")
        descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=tree.directory(parent))
        try:
            if not is_small(file):
                os.fchmod(descriptor, 0o444)  # the small ones were made so
                os.fsync(descriptor)
            elif many:
                syscalls.check_written(descriptor)
            else:
                os.fsync(descriptor)
        finally:
            os.close(descriptor)
    for path in ("", *directories(plan.files)):
        os.fsync(tree.directory(path))
