"""How a hydration ends: the exit codes, and the exception that carries words to the person who reads them at 3 a.m."""

from __future__ import annotations

from enum import IntEnum
from errno import EDQUOT, ENOSPC

FULL = frozenset({ENOSPC, EDQUOT})
"""What a disk answers that is full, or as full as this user may make it."""


class Exit(IntEnum):
    """Exit codes of `warmpod hydrate`. 0 to 2 mean what they mean for every command of `warmpod`."""

    OK = 0
    DAMAGED = 1  # --verify found a file that is not what its manifest says
    USAGE = 2
    CHANGED = 3  # the source changed while it was read; the next run reads the new version
    DENIED = 4  # no credentials, or credentials without the right
    NOT_FOUND = 5  # no such bucket, object or path, or nothing left after --include and --exclude
    UNREACHABLE = 6  # name lookup, TLS, proxy, time-outs, and refusals that outlasted every retry
    CORRUPT = 7  # the bytes do not have the length or the checksum that the source states
    UNSAFE = 8  # names in the source that cannot be files of one tree
    DISK = 9  # the cache cannot be read or written, other than by being full
    NO_ROOM = 28  # ENOSPC
    DEFECT = 70  # EX_SOFTWARE: nobody foresaw it
    TERMINATED = 143  # SIGTERM; what is on disk is kept for the next run


class HydrationError(Exception):
    """A model cannot be brought: `message` says what and where, `hint` what to do about it. Neither names a secret."""

    def __init__(self, exit_code: Exit, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.exit_code = exit_code
        self.message = message
        self.hint = hint


class Transient(Exception):
    """Reading broke off in a way that may go better next time. Whoever reads tries again from the byte it stopped at.

    `message` says what happened; `delay` are the seconds that the source asked to wait, if it did.
    """

    def __init__(self, message: str, delay: float = 0.0) -> None:
        super().__init__(message)
        self.message = message
        self.delay = delay


class Stopped(BaseException):
    """SIGTERM or SIGINT. Raised wherever the main thread is: every step is safe to be cut off, as by kill -9."""

    def __init__(self, signal: int) -> None:
        super().__init__(f"signal {signal}")
        self.signal = signal
