"""System calls that Python 3.11 does not offer, by way of the C library. Nothing is loaded before one is called."""

from __future__ import annotations

import os
import signal
from errno import ENOSYS, EOPNOTSUPP
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import ctypes

_PR_SET_PDEATHSIG = 1  # linux/prctl.h
_SYNC_FILE_RANGE_WAIT_BEFORE = 1  # linux/fs.h
_SYNC_FILE_RANGE_WRITE = 2


def fallocate(descriptor: int, size: int) -> bool:
    """Give the file blocks for `size` bytes and that size; False where the filesystem cannot. OSError ENOSPC.

    Never posix_fallocate(3): where the filesystem cannot, glibc writes into every block instead.
    """
    try:
        _call("fallocate", descriptor, 0, 0, size)
    except OSError as error:
        if error.errno in {EOPNOTSUPP, ENOSYS}:
            return False
        raise
    return True


def start_writing(descriptor: int, offset: int, length: int) -> None:
    """Have the kernel begin to write out this range of the page cache, and do not wait for it. A hint: never fails."""
    try:
        _call("sync_file_range", descriptor, offset, length, _SYNC_FILE_RANGE_WRITE)
    except OSError:
        return


def check_written(descriptor: int) -> None:
    """Wait for what is being written of the file; OSError, where writing any of it failed and nobody was told yet."""
    _call("sync_file_range", descriptor, 0, 0, _SYNC_FILE_RANGE_WAIT_BEFORE)


def syncfs(descriptor: int) -> None:
    """Write out everything of the filesystem that the descriptor lies on.

    OSError, where a write failed and no other process that did the same was told first.
    """
    _call("syncfs", descriptor)


def die_with_parent() -> None:
    """Have the kernel send this process SIGKILL when the thread that forked it ends. Races: check getppid() after."""
    _call("prctl", _PR_SET_PDEATHSIG, signal.SIGKILL)


def load() -> None:
    """Load the C library's interface now, so that forked processes share it."""
    _library()


def _call(name: str, *arguments: int) -> None:
    import ctypes  # noqa: PLC0415 a hit needs none of it

    library = _library()
    # Every argument as a 64-bit register: offsets need it, and smaller integers fit.
    if getattr(library, name)(*(ctypes.c_int64(argument) for argument in arguments)) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


@cache
def _library() -> ctypes.CDLL:
    import ctypes  # noqa: PLC0415 a hit needs none of it

    return ctypes.CDLL(None, use_errno=True)
