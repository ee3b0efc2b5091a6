"""Admissions, recorded beside the path of a review: what was asked, what it was decided from, what was answered.

The event loop puts a review into a queue with an end, and that is all it ever does. One thread redacts and writes. What
does not fit is dropped and counted; a disk that is full, read-only or gone is a metric and a line in the log, and never
a review that waits or fails.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections import deque
from datetime import UTC, datetime
from typing import NamedTuple

from webhook import __version__
from webhook.admission.decision import Decision, Facts
from webhook.daemon.logs import LOGGER
from webhook.kube.review import AdmissionRequest
from webhook.report.record import encode
from webhook.server.metrics import Metrics
from webhook.server.record_files import RecordFiles, Recording
from webhook.server.redaction import Redaction

MOST_WAITING = 2_000
MOST_WAITING_BYTES = 16 * 2**20
"""Of reviews in the queue, as they came: decoded they are several times that."""

_KEY_BYTES = 32
_RETRY_SECONDS = 1.0
_BATCH = 64


class _Waiting(NamedTuple):
    time: float  # unix seconds
    size: int
    request: AdmissionRequest
    facts: Facts
    decision: Decision


class Recorder:
    """Takes decided reviews and writes them, until `close`. Calling it neither waits nor raises."""

    def __init__(self, recording: Recording, metrics: Metrics) -> None:
        self._directory = recording.directory
        self._metrics = metrics
        self._files = RecordFiles(recording)
        # Of this process alone: equal values in its records are told apart by nobody who has not its memory.
        self._redaction = Redaction(os.urandom(_KEY_BYTES), keep_values=recording.env_values)
        self._queue: deque[_Waiting] = deque()
        self._put = self._put_bytes = 0  # by the event loop alone
        self._taken = self._taken_bytes = 0  # by the thread alone
        self._ready = threading.Event()
        self._closing = False
        self._retry_at = 0.0
        self._lost = 0
        metrics.recording = True
        self._thread = threading.Thread(target=self._run, name="recorder", daemon=True)
        self._thread.start()

    def __call__(self, request: AdmissionRequest, facts: Facts, decision: Decision, size: int) -> None:
        """Record a decided review of `size` bytes. A dry run leaves nothing behind, and is not recorded either."""
        if request.dry_run or request.object is None or self._closing:
            return
        if self._put - self._taken >= MOST_WAITING or self._put_bytes - self._taken_bytes + size > MOST_WAITING_BYTES:
            self._metrics.records["dropped"] += 1
            return
        self._put += 1
        self._put_bytes += size
        self._queue.append(_Waiting(time.time(), size, request, facts, decision))
        self._ready.set()

    def close(self, seconds: float = 5.0) -> None:
        """Write what waits, as far as these seconds go."""
        self._closing = True
        self._ready.set()
        self._thread.join(seconds)

    def _run(self) -> None:
        while True:
            self._ready.wait()
            self._ready.clear()
            while self._queue:
                self._write([self._queue.popleft() for _ in range(min(_BATCH, len(self._queue)))])
            if self._closing:
                self._files.close()
                return

    def _write(self, batch: list[_Waiting]) -> None:
        count = 0
        try:
            if time.monotonic() >= self._retry_at:
                lines = [line for each in batch if (line := self._line(each))]
                count = len(lines)
                for facts in {id(each.facts.inventory): each.facts for each in batch}.values():
                    if facts.placement_usable:
                        self._files.keep(facts.inventory)
                if lines:
                    self._files.write(b"".join(lines))
                    self._is_well(count)
            else:
                count = len(batch)
                self._lost += count
                self._metrics.records["failed"] += count
        except Exception as error:  # noqa: BLE001  whatever a disk or a pod is, the next ones are recorded
            self._is_ill(count, error)
        finally:
            self._taken += len(batch)
            self._taken_bytes += sum(each.size for each in batch)

    def _line(self, each: _Waiting) -> bytes:
        try:
            asked, decision = self._redaction(each.request.raw, each.decision, each.facts.policies)
            return encode(asked, each.facts, decision, time=datetime.fromtimestamp(each.time, UTC), version=__version__)
        except Exception:  # noqa: BLE001  a pod that cannot be redacted is not written
            self._metrics.records["failed"] += 1
            LOGGER.exception("review not recorded", extra={"fields": {"uid": each.request.uid}, "throttled": True})
            return b""

    def _is_well(self, count: int) -> None:
        if self._metrics.records_failing:
            self._metrics.records_failing = False
            LOGGER.info("records written again", extra={"fields": {"lost": self._lost}})
        self._lost = 0
        self._metrics.records["written"] += count

    def _is_ill(self, count: int, error: Exception) -> None:
        self._retry_at = time.monotonic() + _RETRY_SECONDS
        self._lost += count
        if not self._metrics.records_failing:
            self._metrics.records_failing = True
            reason = (error.strerror if isinstance(error, OSError) else None) or type(error).__name__
            LOGGER.log(
                logging.WARNING,
                "records not written",
                extra={"fields": {"directory": str(self._directory), "error": reason}},
            )
        self._metrics.records["failed"] += count
