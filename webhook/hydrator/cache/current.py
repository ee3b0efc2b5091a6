"""`current`: the link by which the kubelet finds what a pod mounts. It is moved by one rename, whatever is there."""

from __future__ import annotations

import errno
import os
import stat
from contextlib import suppress

from webhook.hydrator.cache import layout

_EXCHANGE = 2  # RENAME_EXCHANGE, linux/fs.h


def read(model: int) -> str | None:
    """The version that a model's `current` names; None where it names none of a cache's."""
    try:
        return layout.linked_version(os.readlink(layout.CURRENT, dir_fd=model))
    except OSError:
        return None


def point(version: str, model: int) -> None:
    """Have `current` name a version, durably. OSError. To be called while the model's leases are held still.

    Where a pod was started without the model the kubelet has made an empty directory of that name; it is exchanged.
    """
    if read(model) == version:
        return
    fresh = layout.ASIDE + os.urandom(4).hex()
    os.symlink(layout.link_to(version), fresh, dir_fd=model)
    try:
        if _is_directory(model):
            _exchange(fresh, model)
        else:
            os.rename(fresh, layout.CURRENT, src_dir_fd=model, dst_dir_fd=model)
    except BaseException:
        with suppress(OSError):
            os.unlink(fresh, dir_fd=model)
        raise
    os.fsync(model)


def remove(version: str, model: int) -> None:
    """Remove `current` if it names this version. OSError."""
    if read(model) == version:
        os.unlink(layout.CURRENT, dir_fd=model)


def _is_directory(model: int) -> bool:
    try:
        return stat.S_ISDIR(os.stat(layout.CURRENT, dir_fd=model, follow_symlinks=False).st_mode)
    except FileNotFoundError:
        return False


def _exchange(fresh: str, model: int) -> None:
    """Put the link in the place of a directory. What a directory holds, if anything, is left beside it."""
    if not _exchanged(fresh, model):
        aside = layout.ASIDE + os.urandom(4).hex()
        os.rename(layout.CURRENT, aside, src_dir_fd=model, dst_dir_fd=model)
        os.rename(fresh, layout.CURRENT, src_dir_fd=model, dst_dir_fd=model)
        fresh = aside
    with suppress(OSError):
        os.rmdir(fresh, dir_fd=model)


def _exchanged(fresh: str, model: int) -> bool:
    """renameat2(2) with RENAME_EXCHANGE; False where the C library or the filesystem has no such thing."""
    import ctypes  # noqa: PLC0415  # 5 ms, and hardly ever needed

    library = ctypes.CDLL(None, use_errno=True)
    if not hasattr(library, "renameat2"):
        return False
    if library.renameat2(model, fresh.encode(), model, layout.CURRENT.encode(), _EXCHANGE) == 0:
        return True
    number = ctypes.get_errno()
    if number in {errno.EINVAL, errno.ENOSYS}:
        return False
    raise OSError(number, os.strerror(number), layout.CURRENT)
