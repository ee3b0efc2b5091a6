"""The tree and its room, before the first byte: a download that does not fit fails here, in milliseconds."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from contextlib import suppress
from unicodedata import normalize

from webhook.hydrator.engine import syscalls
from webhook.hydrator.engine.parts import is_small
from webhook.hydrator.engine.tree import Tree
from webhook.hydrator.outcome import Exit, HydrationError
from webhook.hydrator.plan import File, Plan
from webhook.hydrator.staged import Staged

BLOCK = 4096
"""What files are rounded up to: the block of ext4 and XFS."""


def lay_out(plan: Plan, staged: Staged) -> None:
    """Make directories and large files with their blocks, and a ballast as large as the small files still missing.

    Where the filesystem has no fallocate(2) nothing is reserved, and no ballast tells so; see `is_reserved`.
    Idempotent, and safe to be cut off. OSError ENOSPC: remove `staged`, all of it. HydrationError UNSAFE where this
    filesystem takes two paths of the plan for one.
    """
    before = os.umask(0o022)
    try:
        fresh = _make(staged.data)
        tree = Tree(staged.data)
        try:
            _lay_out(plan, staged, tree, fresh=fresh)
        finally:
            tree.close()
    finally:
        os.umask(before)


def is_reserved(staged: Staged) -> bool:
    """Whether what was laid out has its room: then a write that was taken will find its block."""
    return os.path.exists(staged.ballast)


def rounded(size: int) -> int:
    """Bytes of whole blocks."""
    return -(-size // BLOCK) * BLOCK


def directories(files: Iterable[File]) -> list[str]:
    """The directories that files lie in, below the root, each after its parent."""
    found: set[str] = set()
    for file in files:
        parent = file.path.rpartition("/")[0]
        while parent and parent not in found:
            found.add(parent)
            parent = parent.rpartition("/")[0]
    return sorted(found)


def _lay_out(plan: Plan, staged: Staged, tree: Tree, *, fresh: bool) -> None:
    made = directories(plan.files)
    for path in made:
        tree.make_directory(path)
    _refuse_twins(plan, tree, made)
    missing = 0
    allocates = True
    for file in plan.files:
        found = None if fresh else tree.status(file.path)
        if is_small(file):
            if found is None or found.st_size != file.size:
                missing += rounded(file.size)
            continue
        if found is None or found.st_size != file.size or not stat.S_ISREG(found.st_mode):
            # Whatever a journal says of this file, it is not there: begin again.
            with suppress(FileNotFoundError):
                os.unlink(staged.journal)
            descriptor = tree.create(file.path, 0o644)
        elif found.st_blocks * 512 >= file.size:
            continue
        else:
            descriptor = tree.open(file.path)
        try:
            allocates = allocates and syscalls.fallocate(descriptor, file.size)
            if not allocates:
                os.ftruncate(descriptor, file.size)
        finally:
            os.close(descriptor)
    if not allocates or not _lay_ballast(staged.ballast, missing):
        with suppress(FileNotFoundError):
            os.unlink(staged.ballast)


def _lay_ballast(path: str, size: int) -> bool:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        os.ftruncate(descriptor, size)
        # XFS asks for room anew for what has it already, and on a full disk finds none.
        if size and os.fstat(descriptor).st_blocks * 512 >= size:
            return True
        return syscalls.fallocate(descriptor, max(size, 1))
    finally:
        os.close(descriptor)


def _make(path: str) -> bool:
    try:
        os.mkdir(path, 0o755)
    except FileExistsError:
        return False
    return True


def _refuse_twins(plan: Plan, tree: Tree, made: list[str]) -> None:
    """Where two paths differ by case or by composition alone, look whether this filesystem tells them apart."""
    twins: dict[str, list[str]] = {}
    for path in (*made, *(file.path for file in plan.files)):
        twins.setdefault(_folded(path), []).append(path)
    held = set(made)
    for paths in twins.values():
        if len(paths) == 1:
            continue
        seen: dict[tuple[int, int], str] = {}
        for path in paths:
            if path not in held:
                found = tree.status(path)
                if found is None:
                    os.close(tree.create(path, 0o644))
            found = tree.status(path)
            assert found is not None
            other = seen.setdefault((found.st_dev, found.st_ino), path)
            if other is not path:
                raise HydrationError(
                    Exit.UNSAFE,
                    f"{plan.source}: {other!r} and {path!r} are one name to the filesystem of the cache",
                    "leave one of them out with --exclude, or rename it at the source",
                )


def _folded(path: str) -> str:
    return path.lower() if path.isascii() else normalize("NFD", normalize("NFD", path).casefold())
