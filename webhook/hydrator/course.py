"""How it goes with one model."""

from __future__ import annotations

import time

from webhook.hydrator.cache import Held
from webhook.hydrator.measures import shown_bytes, shown_seconds
from webhook.hydrator.outcome import HydrationError
from webhook.hydrator.request import Wanted


class Course:
    """How it went with one model, as far as it came: written while it goes, so that it can be told at any moment."""

    def __init__(self, wanted: Wanted) -> None:
        self.wanted = wanted
        self.result = ""
        """`hit`, `downloaded`, `error`; empty while it goes on."""
        self.failure: HydrationError | None = None
        self.version = ""
        self.is_checked = False
        """Whether the version was compared with the source."""
        self.bytes = 0
        self.files = 0
        self.began = time.monotonic()
        self.seconds = 0.0
        self.lock_wait = 0.0
        self.transfer_seconds = 0.0
        self.fetched = 0
        self.resumed = 0
        self.retries = 0
        self.verified = 0
        self.evicted: list[Held] = []

    def end(self, result: str, failure: HydrationError | None = None) -> None:
        """It is over."""
        self.result = result
        self.failure = failure
        self.seconds = time.monotonic() - self.began

    @property
    def rate(self) -> float:
        """Bytes a second that came from the source."""
        return self.fetched / self.transfer_seconds if self.transfer_seconds > 0 else 0.0

    @property
    def summary(self) -> str:
        """One line for people."""
        size = f"{shown_bytes(self.bytes)} in {self.files:,} {'file' if self.files == 1 else 'files'}"
        if self.result == "hit":
            how = "compared with its source" if self.is_checked else "trusted as it is (--trust-cache)"
            waited = f", after {shown_seconds(self.lock_wait)} of waiting" if self.lock_wait > 0 else ""
            return f"{self.wanted.source} is in the cache: {size}, {how}{waited}"
        told = f"{self.wanted.source} downloaded: {size} in {shown_seconds(self.seconds)}"
        if self.rate:
            told += f", {shown_bytes(self.rate)}/s"
        if self.resumed:
            told += f", {shown_bytes(self.resumed)} were there already"
        if self.retries:
            told += f", {self.retries:,} {'retry' if self.retries == 1 else 'retries'}"
        return f"{told}, {self._compared}"

    @property
    def _compared(self) -> str:
        if self.verified >= self.bytes:
            return "every byte compared with the source's checksums"
        if not self.verified:
            return "the source states no checksums to compare with"
        return f"{shown_bytes(self.verified)} compared with the source's checksums"
