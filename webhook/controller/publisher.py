"""The snapshot file: written aside and renamed, so that whoever reads it finds the whole of one inventory.

* On change at most once a second; without one every 30 s, so that its time stays young.
* The time inside is the last moment at which the controller knew the cluster: when a watch is broken it stands still,
  and once it is older than the webhook's `--snapshot-max-age` the webhook stops placing by it.
* What fails (disk full, read-only, directory gone) is tried again, later and later, for as long as the process runs.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from webhook.controller.inventories import Inventories
from webhook.daemon.logs import LOGGER
from webhook.inventory.model import Inventory
from webhook.inventory.snapshot import UnreadableSnapshot, decode
from webhook.inventory.snapshot_writing import Encoder
from webhook.sources.snapshot_file import MAX_BYTES


class CannotWrite(Exception):
    """The snapshot cannot be written; the text says why."""


@dataclass(frozen=True, slots=True)
class Rhythm:
    """Seconds."""

    look: float = 0.1
    apart: float = 1.0
    """Between two snapshots."""
    touch: float = 30.0
    """After which one is written without a change."""
    retry: float = 1.0
    """After the first failure; twice as long after each further one."""
    retry_most: float = 30.0
    jump: float = 5.0
    """By how much the wall clock may leave the steady one before a snapshot with the new time is due."""


class Written(NamedTuple):
    """A snapshot that is in place: its inventory's time (unix), size in bytes, and the version of its facts."""

    inventory: Inventory
    size: int
    version: int
    at: float
    """By the steady clock."""


class Publisher:
    """Keeps one snapshot file up to date.

    `known_at` tells the unix time at which all watches were last in sync, None before they were.
    """

    def __init__(
        self,
        path: Path,
        inventories: Inventories,
        known_at: Callable[[], float | None],
        rhythm: Rhythm | None = None,
    ) -> None:
        self._path = path
        self._inventories = inventories
        self._known_at = known_at
        self._rhythm = rhythm or Rhythm()
        self._encoder = Encoder()
        self._in_a_row = 0
        self._not_before = float("-inf")
        self._began: float | None = None
        self.written: Written | None = None
        self.first = asyncio.Event()
        """Set when the first of this process is in place."""
        self.problem: str | None = None
        self.successes = 0
        self.failures = 0
        self.seconds = 0.0

    def restore(self) -> Inventory | None:
        """The last snapshot that lies there, whoever wrote it, or None; and clear away what a killed writer left."""
        _clear(self._path)
        try:
            with self._path.open("rb") as file:
                return decode(file.read(MAX_BYTES))  # cut off, a larger one cannot be read
        except FileNotFoundError:
            return None
        except (OSError, UnreadableSnapshot) as error:
            LOGGER.warning(
                "last snapshot not restored", extra={"fields": {"path": str(self._path), "error": str(error)}}
            )
            return None

    async def run(self) -> None:
        """Write whenever it is time, for ever."""
        while True:
            if self._is_due():
                await self._publish()
            await asyncio.sleep(self._rhythm.look)

    @property
    def age(self) -> float | None:
        """Seconds since the time inside the snapshot in place; None before the first of this process."""
        return None if self.written is None else time.time() - self.written.inventory.time

    @property
    def stuck(self) -> float:
        """Seconds since a write began that has not ended; 0 when none has."""
        return 0.0 if self._began is None else time.monotonic() - self._began

    def _is_due(self) -> bool:
        steady, known_at = time.monotonic(), self._known_at()
        if known_at is None or not self._inventories.synced or steady < self._not_before:
            return False
        if self.written is None:
            return True
        if self.written.version != self._inventories.version:
            return True
        due = self._inventories.due()
        if due is not None and due <= known_at:
            return True
        return self._is_touch_due(known_at, self.written)

    def _is_touch_due(self, known_at: float, written: Written) -> bool:
        moved = known_at - written.inventory.time
        elapsed = time.monotonic() - written.at
        if moved == 0:
            return False  # nothing was learned since: a new file would only look young
        return elapsed >= self._rhythm.touch or abs(moved - elapsed) > self._rhythm.jump

    async def _publish(self) -> None:
        known_at = self._known_at()
        if known_at is None:
            return
        self._began = began = time.monotonic()
        self._not_before = began + self._rhythm.apart
        try:
            inventory = self._inventories.inventory(known_at)
            version = self._inventories.version
            if self._says_nothing_new(inventory):
                return
            size = await asyncio.to_thread(self._write, inventory)
        except CannotWrite as error:
            self.failures += 1
            self._in_a_row += 1
            wait = min(self._rhythm.retry * 2.0 ** min(self._in_a_row - 1, 16), self._rhythm.retry_most)
            self._not_before = time.monotonic() + wait
            if str(error) != self.problem:
                LOGGER.error("snapshot not written", extra={"fields": {"error": str(error)}})
            self.problem = str(error)
        else:
            if self.problem:
                LOGGER.info("snapshot written again", extra={"fields": {"path": str(self._path)}})
            elif self.written is None:
                LOGGER.info(
                    "first snapshot written",
                    extra={"fields": {"path": str(self._path), "id": inventory.id, "nodes": len(inventory.nodes)}},
                )
            self.problem, self._in_a_row = None, 0
            self.successes += 1
            self.written = Written(inventory, size, version, began)
            self.first.set()
        finally:
            self._began = None
            self.seconds += time.monotonic() - began

    def _says_nothing_new(self, inventory: Inventory) -> bool:
        """Whether what changed of the facts is not in the snapshot, and the one in place is young enough."""
        written = self.written
        if written is None or self.problem or inventory.id != written.inventory.id:
            return False
        if self._is_touch_due(inventory.time, written):
            return False
        self.written = written._replace(version=self._inventories.version)
        return True

    def _write(self, inventory: Inventory) -> int:
        """In a thread: encode, and put in place; the size in bytes. CannotWrite."""
        data = self._encoder.encode(inventory)
        if len(data) > MAX_BYTES:
            text = f"the snapshot has {len(data)} bytes, and the webhook reads at most {MAX_BYTES}"
            raise CannotWrite(f"{self._path}: {text}")
        replace(self._path, data)
        return len(data)


def replace(path: Path, data: bytes) -> None:
    """Put a whole file in place of another. Nothing is left behind when it fails. CannotWrite."""
    aside = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
        try:
            with os.fdopen(descriptor, "wb", buffering=0) as file:
                os.fchmod(descriptor, 0o644)  # whatever the umask: the webhook may run as another user
                left = memoryview(data)
                while left:
                    left = left[file.write(left) :]
            aside.replace(path)
        except BaseException:
            aside.unlink(missing_ok=True)
            raise
    except OSError as error:
        hint = "; is the volume mounted?" if isinstance(error, FileNotFoundError) else ""
        raise CannotWrite(f"{path}: {error.strerror or error}{hint}") from error


def _clear(path: Path) -> None:
    """Remove files that a writer killed in the middle left beside `path`."""
    for stale in path.parent.glob(f".{path.name}.*.tmp"):
        try:
            stale.unlink()
        except OSError as error:
            LOGGER.warning("stale file not removed", extra={"fields": {"path": str(stale), "error": str(error)}})
