"""Where records go besides the metrics: the log, one line a decision."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from webhook.daemon.logs import LOGGER
from webhook.report.reason import unquoted
from webhook.server.metrics import Metrics
from webhook.server.record import Outcome, Record, Sink

_LONGEST = 512
_TOLD = frozenset({Outcome.PATCHED, Outcome.AUDIT, Outcome.DENIED})


def log_sink(record: Record) -> None:
    """One line for every decision that changed, would have changed, or denied a pod, or broke a law of ours.

    Dry runs leave no line. Nothing of the pod's content is in it: no values, no patch. A reason that quotes what a pod
    said of its model, which may stand in any variable of its environment, is logged without that; its author is told.
    """
    if record.outcome not in _TOLD and not (record.violations and record.outcome is not Outcome.DRY_RUN):
        return
    fields: dict[str, Any] = {
        "uid": _cut(record.uid),
        "namespace": _cut(record.namespace),
        "pod": _cut(record.name),
        "outcome": record.outcome,
        "policies": [
            {
                "name": verdict.name,
                "mode": verdict.mode,
                "result": verdict.result,
                "reason": _cut(unquoted(verdict.reason)),
            }
            for verdict in record.policies
            if verdict.result != "skipped"
        ],
        "operations": record.operations,
        "wouldOperations": record.would_operations,
        "secondsSaved": round(record.seconds_saved, 1),
        "wouldSecondsSaved": round(record.would_seconds_saved, 1),
        "durationMilliseconds": round(record.duration * 1000, 3),
    }
    if record.violations:
        fields["violations"] = [_cut(one) for one in record.violations]
    LOGGER.log(logging.WARNING if record.violations else logging.INFO, "decision", extra={"fields": fields})


class Sinks:
    """All sinks as one that never raises."""

    def __init__(self, sinks: Sequence[Sink], metrics: Metrics) -> None:
        self._sinks = tuple(sinks)
        self._metrics = metrics

    def __call__(self, record: Record) -> None:
        """Give the record to each; a failing one is counted and the others still get it."""
        for sink in self._sinks:
            try:
                sink(record)
            except Exception:  # noqa: BLE001  whatever a sink does, the review is answered
                self._metrics.sink_failures += 1


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."
