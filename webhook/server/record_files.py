"""The files of recorded admissions: one a process and period, and beside them the inventories they were decided from.

Nothing here is for the event loop: every call may wait for a disk, and raises OSError when the disk says no.
"""

from __future__ import annotations

import gzip
import os
import re
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from webhook.inventory.model import Inventory
from webhook.inventory.snapshot import encode
from webhook.kube import names
from webhook.sources.records import INVENTORY_PREFIX

INVENTORY_SECONDS = 60.0
INVENTORY_BYTES_PER_SECOND = 1024
"""After an inventory the next one is kept when so many seconds are over, or sooner if it was small.

In a large cluster every second brings another: 15,000 nodes are a megabyte, four nodes are half a kilobyte.
"""

_OURS = re.compile(r"[A-Za-z0-9.-]+-\d+-(\d{8}T\d{6}Z)(?:-\d+)?\.jsonl")
_INVENTORY = re.compile(rf"{INVENTORY_PREFIX}[A-Za-z0-9._-]+\.jsonl\.gz")
_PLAIN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_PARTIAL = re.compile(r"\.[A-Za-z0-9.-]+-\d+\.part")
_PARTIAL_SECONDS = 3600.0
_FEWEST_FILES = 4  # that `keep_bytes` is made of, so that the oldest can go and most of the records stay
_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW


@dataclass(frozen=True, slots=True)
class Recording:
    """Where admissions are recorded, and how many: a file ends at `max_bytes`, all files together at `keep_bytes`."""

    directory: Path
    max_bytes: int = 64 * 2**20
    keep_bytes: int = 2**30
    env_values: bool = False
    """Keep the values of all variables that do not look like a secret."""


@dataclass(frozen=True, slots=True)
class _Kept:
    path: Path
    size: int
    since: float  # unix seconds: of a file of records its start, of an inventory when it was kept


class RecordFiles:
    """The files of one process. Files of others of ours are counted and deleted too, other files never."""

    def __init__(self, recording: Recording) -> None:
        self._directory = recording.directory
        self._keep = recording.keep_bytes
        self._max = max(1, min(recording.max_bytes, recording.keep_bytes // _FEWEST_FILES))
        host = re.sub(r"[^A-Za-z0-9.-]", "-", socket.gethostname()) or "unknown"
        self._stem = f"{host.lstrip('.-') or 'unknown'}-{os.getpid()}"
        self._descriptor = -1
        self._path: Path | None = None
        self._size = 0
        self._last_inventory = ""
        self._next_inventory = 0.0  # seconds of the monotonic clock

    def write(self, lines: bytes) -> None:
        """Append whole lines. After an error they are not in the file, or the file is given up and the next is new."""
        if self._descriptor >= 0 and ((self._size and self._size + len(lines) > self._max) or self._is_gone()):
            self.close()
        if self._descriptor < 0:
            self._open()
            self._prune()
        try:
            view = memoryview(lines)
            while view:
                view = view[os.write(self._descriptor, view) :]
        except OSError:
            self._take_back()
            raise
        self._size += len(lines)

    def keep(self, inventory: Inventory) -> None:
        """Keep an inventory, unless it is there already or it is too soon after the one before."""
        now = time.monotonic()
        if inventory.id == self._last_inventory:
            return
        name = inventory.id if _PLAIN_ID.fullmatch(inventory.id) else names.digest16(inventory.id)
        path = self._directory / f"{INVENTORY_PREFIX}{name}.jsonl.gz"
        if not path.exists():
            if now < self._next_inventory:
                return
            data = gzip.compress(encode(inventory), mtime=0)
            self._write_aside(path, data)
            self._next_inventory = now + min(INVENTORY_SECONDS, len(data) / INVENTORY_BYTES_PER_SECOND)
            self._prune()
        else:
            os.utime(path)  # it is in use again: let it not go with the records of its first time
        self._last_inventory = inventory.id

    def _write_aside(self, path: Path, data: bytes) -> None:
        self._make_directory()
        partial = self._directory / f".{self._stem}.part"
        try:
            with os.fdopen(os.open(partial, _FLAGS | os.O_TRUNC, 0o600), "wb") as stream:
                stream.write(data)
            partial.replace(path)
        except OSError:
            partial.unlink(missing_ok=True)
            raise

    def close(self) -> None:
        """End the file; the next line begins another."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
        self._descriptor, self._path, self._size = -1, None, 0

    def _open(self) -> None:
        self._make_directory()
        started = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
        number = 0
        while True:
            path = self._directory / f"{self._stem}-{started}{f'-{number}' if number else ''}.jsonl"
            try:
                self._descriptor = os.open(path, _FLAGS | os.O_EXCL | os.O_APPEND, 0o600)
            except FileExistsError:
                number += 1
                continue
            self._path, self._size = path, 0
            return

    def _make_directory(self) -> None:
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)

    def _is_gone(self) -> bool:
        return os.fstat(self._descriptor).st_nlink == 0

    def _take_back(self) -> None:
        """Leave no half of a line, which would spoil the one after it."""
        try:
            os.ftruncate(self._descriptor, self._size)
        except OSError:
            self.close()

    def _prune(self) -> None:
        records, inventories = self._kept()
        total = sum(each.size for each in (*records, *inventories))
        while total > self._keep and len(records) > 1:
            oldest = records.pop(0)
            if oldest.path == self._path:
                continue
            oldest.path.unlink(missing_ok=True)
            total -= oldest.size
        since = records[0].since if records else time.time()
        # What is older than every record serves none, but for the newest of them: it may be the nearest to the first.
        while len(inventories) > 1 and (inventories[1].since < since or total > self._keep):
            oldest = inventories.pop(0)
            oldest.path.unlink(missing_ok=True)
            total -= oldest.size

    def _kept(self) -> tuple[list[_Kept], list[_Kept]]:
        records: list[_Kept] = []
        inventories: list[_Kept] = []
        for entry, status in self._entries():
            if match := _OURS.fullmatch(entry.name):
                started = datetime.strptime(match[1], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC).timestamp()
                records.append(_Kept(Path(entry.path), status.st_size, started))
            elif _INVENTORY.fullmatch(entry.name):
                inventories.append(_Kept(Path(entry.path), status.st_size, status.st_mtime))
            elif _PARTIAL.fullmatch(entry.name) and status.st_mtime < time.time() - _PARTIAL_SECONDS:
                Path(entry.path).unlink(missing_ok=True)  # of a process that died
        return sorted(records, key=_by_age), sorted(inventories, key=_by_age)

    def _entries(self) -> Iterator[tuple[os.DirEntry[str], os.stat_result]]:
        with os.scandir(self._directory) as scan:
            for entry in scan:
                try:
                    if entry.is_file(follow_symlinks=False):
                        yield entry, entry.stat(follow_symlinks=False)
                except FileNotFoundError:  # another process deletes, too
                    continue


def _by_age(kept: _Kept) -> tuple[float, str]:
    return kept.since, kept.path.name
