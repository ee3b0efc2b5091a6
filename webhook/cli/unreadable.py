"""Lines of records and logs that could not be read, told in few words."""

from __future__ import annotations

from typing import Final

from webhook.cli.errors import say
from webhook.sources.records import Passed

_TOLD_LINES: Final = 3


class Unreadable:
    """Lines that could not be read: counted, and the first few kept to be told."""

    def __init__(self) -> None:
        self.lines = 0
        self._first: list[str] = []

    def __call__(self, passed: Passed) -> None:
        """Count one."""
        self.lines += 1
        if len(self._first) < _TOLD_LINES:
            self._first.append(str(passed))

    def tell(self) -> None:
        """Say on stderr what was passed over."""
        for text in self._first:
            say("warning", text)
        if self.lines > len(self._first):
            say("warning", f"{self.lines - len(self._first):,} more could not be read")
