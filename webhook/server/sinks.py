"""Where records go besides the metrics: the log, one line a decision; and how every line of the log looks."""

from __future__ import annotations

import json
import logging
import time
import traceback
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Literal

import msgspec

from webhook.server.metrics import Metrics
from webhook.server.record import Outcome, Record, Sink

LOGGER = logging.getLogger("warmpod")

_LONGEST = 512
_TOLD = frozenset({Outcome.PATCHED, Outcome.AUDIT, Outcome.DENIED})


def log_sink(record: Record) -> None:
    """One line for every decision that changed, would have changed, or denied a pod, or broke a law of ours.

    Dry runs leave no line. Nothing of the pod's content is in it: no values, no patch.
    """
    if record.outcome not in _TOLD and not (record.violations and record.outcome is not Outcome.DRY_RUN):
        return
    fields: dict[str, Any] = {
        "uid": _cut(record.uid),
        "namespace": _cut(record.namespace),
        "pod": _cut(record.name),
        "outcome": record.outcome,
        "policies": [
            {"name": verdict.name, "mode": verdict.mode, "result": verdict.result, "reason": _cut(verdict.reason)}
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


def where(error: BaseException) -> str:
    """The error's type and the places it passed, without its text, which may quote a pod."""
    frames = traceback.extract_tb(error.__traceback__)[-6:]
    return " < ".join([type(error).__name__, *(f"{f.filename}:{f.lineno} {f.name}" for f in reversed(frames))])


def configure_logging(form: Literal["json", "text"], level: str) -> None:
    """Send every line, uvicorn's and asyncio's too, to stderr in one form."""
    handler = logging.StreamHandler()
    handler.setFormatter(JsonFormatter() if form == "json" else TextFormatter())
    handler.addFilter(Throttle())
    root = logging.getLogger()
    for old in list(root.handlers):
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(logging.WARNING)
    LOGGER.setLevel(level.upper())
    logging.raiseExceptions = False  # a log that cannot be written is no reason to write more to it


class Throttle(logging.Filter):
    """At most one line in ten seconds of what a client can provoke at will, such as a request that is not HTTP."""

    def __init__(self, seconds: float = 10.0) -> None:
        super().__init__()
        self._seconds = seconds
        self._last: dict[str, float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Let our own lines pass, but for those marked `throttled`; of the rest the first of each kind."""
        if record.name == LOGGER.name and not getattr(record, "throttled", False):
            return True
        now = time.monotonic()
        key = f"{record.name} {record.msg}"[:200]
        if len(self._last) > 1000:
            self._last.clear()
        if now - self._last.get(key, float("-inf")) < self._seconds:
            return False
        self._last[key] = now
        return True


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time, level, logger, message, and the fields of the event."""

    def format(self, record: logging.LogRecord) -> str:
        """The line, without its end."""
        line: dict[str, Any] = {
            "time": _time(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info and record.exc_info[1]:
            line["error"] = where(record.exc_info[1])
        return _encode(line)


class TextFormatter(logging.Formatter):
    """One line for people: time, level, message, key=value. Values are JSON, so that none can forge a line."""

    def format(self, record: logging.LogRecord) -> str:
        """The line, without its end."""
        fields = dict(getattr(record, "fields", {}))
        if record.exc_info and record.exc_info[1]:
            fields["error"] = where(record.exc_info[1])
        told = "".join(f" {key}={_encode(value)}" for key, value in fields.items())
        return f"{_time(record)} {record.levelname:<7} {_printable(record.getMessage())}{told}"


def _time(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _encode(value: Any) -> str:
    try:
        return msgspec.json.encode(value).decode()
    except (TypeError, UnicodeEncodeError):  # a file's name need not be UTF-8
        return json.dumps(value, default=str)


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode() for c in text)


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."
