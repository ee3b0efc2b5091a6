"""What nobody turned into words where it happened."""

from __future__ import annotations

import os

from webhook.hydrator.outcome import FULL, Exit, HydrationError

_OURS = os.path.dirname(os.path.abspath(__file__))


def failure_of(error: Exception) -> HydrationError:
    """The error to show for any other: of the operating system's those of a disk, the rest are defects of Warmpod."""
    if isinstance(error, HydrationError):
        return error
    if isinstance(error, OSError) and error.errno:
        where = f"{error.filename!r}: " if error.filename else ""
        return HydrationError(
            Exit.NO_ROOM if error.errno in FULL else Exit.DISK,
            f"{where}{os.strerror(error.errno)}",
            "look at the volume of the cache, and at the node's kernel log",
        )
    said = next(iter(str(error).splitlines()), "")
    return HydrationError(
        Exit.DEFECT,
        f"{type(error).__name__}: {said[:300]}{_place(error)}",
        "this is a defect in Warmpod; with WARMPOD_DEBUG=1 in the environment it shows where",
    )


def _place(error: Exception) -> str:
    """The innermost line of the hydrator that the error went through."""
    import traceback  # noqa: PLC0415  # it takes milliseconds to import, and is rarely wanted

    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        if frame.filename.startswith(_OURS):
            return f" ({os.path.relpath(frame.filename, _OURS)}:{frame.lineno})"
    return ""
