"""The inventory snapshot that the controller writes and renames into place, followed as it changes."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Mapping
from pathlib import Path

from webhook.inventory.model import EMPTY, Inventory
from webhook.inventory.snapshot import Decoder, UnreadableSnapshot

MAX_BYTES = 64 * 1024 * 1024
"""Larger files are refused unread: 15,000 nodes with 30 labels and 8 large images each are 5 MiB."""

_Stamp = tuple[int, int, int, int]


def _let_others_run() -> None:
    # Reviews run in another thread, and this one may have been at work for a millisecond: offer them the interpreter.
    time.sleep(0)


class SnapshotFile:
    """A snapshot file and what it said last. Never raises: what is wrong is in `problem`.

    `inventory` is what decisions may use: `EMPTY` while the file is missing, unreadable, or older than `max_age`
    seconds by its own time. `namespaces` outlive that: labels change seldom, and the last ones known are better than
    none. `changes` counts the snapshots taken, by id.
    """

    def __init__(self, path: Path | None, max_age: float = 120.0) -> None:
        self._path = path
        self._max_age = max_age
        self._stamp: _Stamp | None = None
        self._decoder = Decoder()
        self._read: Inventory | None = None
        self._unreadable: str | None = None
        self.namespaces: Mapping[str, Mapping[str, str]] = {}
        self.problem: str | None = "it was not read yet" if path else "none is configured (--snapshot)"
        self.inventory = EMPTY
        self.age: float | None = None
        self.changes = 0

    @property
    def usable(self) -> bool:
        """Whether placement may rely on `inventory`."""
        return self.problem is None

    @property
    def usable_until(self) -> float:
        """The unix time from which `inventory` is too old, whoever looks; 0 when it is not usable now."""
        return self.inventory.time + self._max_age if self.usable else 0.0

    @property
    def configured(self) -> bool:
        """Whether there is a path at all."""
        return self._path is not None

    def refresh(self, now: float) -> bool:
        """Look at the file; `now` is in unix seconds. True when a new snapshot was read."""
        if self._path is None:
            return False
        changed = self._follow(self._path)
        self.age = None if self._read is None else self._read.age(now)
        reason = self._unreadable or self._wrong_age()
        self.problem = f"{self._path}: {reason}" if reason else None
        self.inventory = EMPTY if reason or self._read is None else self._read
        return changed

    def _follow(self, path: Path) -> bool:
        try:
            # Opened before it is looked at: a rename in between cannot pair one file's stamp with another's content.
            # O_NONBLOCK so that a fifo in its place cannot hold us.
            descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            with os.fdopen(descriptor, "rb") as file:
                found = os.fstat(descriptor)
                stamp = (found.st_dev, found.st_ino, found.st_mtime_ns, found.st_size)
                if stamp == self._stamp:
                    return False
                self._stamp = stamp
                if not stat.S_ISREG(found.st_mode):
                    return self._refuse("it is not a regular file")
                if found.st_size > MAX_BYTES:
                    return self._refuse(f"it has {found.st_size} bytes; at most {MAX_BYTES} are read")
                data = file.read(MAX_BYTES + 1)
        except OSError as error:
            self._stamp = None
            return self._refuse(error.strerror or str(error))
        try:
            inventory = self._decoder.decode(data, _let_others_run)
        except UnreadableSnapshot as error:
            return self._refuse(str(error))
        changed = self._read is None or inventory.id != self._read.id
        self._read, self._unreadable = inventory, None
        self.namespaces = inventory.namespaces
        self.changes += changed
        return changed

    def _refuse(self, reason: str) -> bool:
        self._unreadable = reason
        return False

    def _wrong_age(self) -> str | None:
        if self.age is None:
            return None
        if self.age > self._max_age:
            return f"it is older than {self._max_age:g} s and not used; does the controller run?"
        if self.age < -self._max_age:
            return f"its time lies more than {self._max_age:g} s ahead of this machine's clock"
        return None
