"""Publishing a version: whole or not at all, by one rename; then `current`."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from contextlib import suppress

from webhook.hydrator.cache import clock, current, layout, lock, manifest, removal, tree
from webhook.hydrator.outcome import Exit, HydrationError
from webhook.hydrator.plan import Plan


def publish(plan: Plan, crc64: Mapping[str, int], facts: Mapping[str, object], model: int, cache: int) -> None:
    """Publish what lies in `staging`; the model's lock is held. The files' bytes are durable before. OSError.

    HydrationError DISK, and the staging is gone, where it is not the tree that was planned.
    """
    version = plan.version
    with tree.directory(layout.STAGING, model) as stagings:
        with tree.directory(version, stagings) as staging:
            wrong = _seal(plan, staging)
            if not wrong:
                manifest.write(plan, crc64, facts, staging)
                clock.touch(layout.MANIFEST, staging, cache)
                with suppress(FileNotFoundError):
                    os.unlink(layout.BALLAST, dir_fd=staging)
                os.fsync(staging)
        if wrong:
            removal.throw(version, stagings, cache)
            raise HydrationError(
                Exit.DISK,
                f"what was brought of {plan.source} is not what was planned: {wrong}",
                "something else writes into the cache; what was brought is thrown away, the next run brings it anew",
            )
        with lock.leases(model), tree.made(layout.VERSIONS, model) as versions:
            if tree.exists(version, versions):  # damaged, or there would have been a hit; pods may still read it
                os.rename(version, layout.displaced(version), src_dir_fd=versions, dst_dir_fd=versions)
            os.rename(version, version, src_dir_fd=stagings, dst_dir_fd=versions)
            os.fsync(versions)
            os.fsync(stagings)
            current.point(version, model)
            _clean(version, versions)
    os.fsync(model)
    os.fsync(cache)


def _seal(plan: Plan, staging: int) -> str:
    """Give everything in `data` its final mode; say what is wrong, if it is not exactly the files of the plan.

    The modes need no fsync of each file: journalling filesystems write the log in order, so the directory's, after the
    rename, writes them, too.
    """
    wanted = {file.path: file.size for file in plan.files}
    with tree.directory(layout.DATA, staging) as data:
        for path, entry, parent in tree.files(data):
            size = wanted.pop(path, None)
            if size is None:
                return f"{path[:200]!r} is there, too"
            if not entry.is_file(follow_symlinks=False):
                return f"{path[:200]!r} is no file"
            with tree.file(entry.name, parent) as opened:
                status = os.fstat(opened)
                if status.st_size != size or status.st_nlink != 1:
                    return f"{path[:200]!r} has {status.st_size:,} of {size:,} bytes, and {status.st_nlink} names"
                if stat.S_IMODE(status.st_mode) != 0o444:
                    os.fchmod(opened, 0o444)
        if wanted:
            return f"{next(iter(wanted))[:200]!r} is missing"
        for opened in tree.directories(data):
            os.fchmod(opened, tree.OPEN_MODE)
            os.fsync(opened)
    return ""


def _clean(version: str, versions: int) -> None:
    """Remove what a published version has no more use for. Left behind, it does no harm."""
    with suppress(OSError), tree.directory(version, versions) as opened:
        for name in (layout.JOURNAL, layout.RESERVATION):
            with suppress(FileNotFoundError):
                os.unlink(name, dir_fd=opened)
