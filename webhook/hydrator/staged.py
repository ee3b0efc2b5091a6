"""Where a version lies while it is being brought. The engine fills it, the cache publishes it."""

from __future__ import annotations

from typing import NamedTuple


class Staged(NamedTuple):
    """Paths within one `staging/<version>` directory, which exists."""

    data: str
    """The directory that becomes the published tree."""
    journal: str
    """What of it is on disk already."""
    ballast: str
    """Holds the room of small files that are not there yet."""
