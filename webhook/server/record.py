"""What is kept of one review: one record, given to every sink once the answer is on its way."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple, Protocol

from webhook.admission.decision import PolicyVerdict


class Outcome(StrEnum):
    """What became of a review."""

    PATCHED = "patched"
    UNCHANGED = "unchanged"
    AUDIT = "audit"
    DENIED = "denied"
    ERROR = "error"
    LATE = "late"
    MALFORMED = "malformed"
    DRY_RUN = "dry_run"


class Record(NamedTuple):
    """One decided review. Names are as the API server sent them; nothing of the pod's content is here.

    `operations` counts the patch's, `would_operations` those that Audit withheld. Times are in seconds.
    """

    uid: str
    namespace: str
    name: str
    outcome: Outcome
    policies: tuple[PolicyVerdict, ...]
    operations: int
    would_operations: int
    seconds_saved: float
    would_seconds_saved: float
    violations: tuple[str, ...]
    duration: float


class Sink(Protocol):
    """Takes a record. What it raises is counted and goes no further."""

    def __call__(self, record: Record, /) -> None:
        """Keep what it wants of the record; it runs on the event loop and must not block."""
