"""How the log looks and how it leaves: one line an event, on stderr, never in the way of a review.

A line is formatted where it arises and written by a thread a moment later, many at a time. So whoever reads our stderr
may stall without a review waiting for it; what does not fit meanwhile is dropped, counted, and told of.
"""

from __future__ import annotations

import json
import logging
import os
import threading
import time
import traceback
from collections import deque
from datetime import UTC, datetime
from typing import Any, Literal

import msgspec

LOGGER = logging.getLogger("warmpod")

_STDERR = 2
_WRITE_SECONDS = 0.05
_MOST_LINES = 10_000
_CLOSE_SECONDS = 1.0


def where(error: BaseException) -> str:
    """The error's type and the places it passed, without its text, which may quote a pod."""
    frames = traceback.extract_tb(error.__traceback__)[-6:]
    return " < ".join([type(error).__name__, *(f"{f.filename}:{f.lineno} {f.name}" for f in reversed(frames))])


def configure_logging(form: Literal["json", "text"], level: str) -> Lines:
    """Send every line, uvicorn's and asyncio's too, to stderr in one form."""
    handler = Lines(_STDERR)
    handler.setFormatter(JsonFormatter() if form == "json" else TextFormatter())
    handler.addFilter(Throttle())
    root = logging.getLogger()
    for old in list(root.handlers):
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(logging.WARNING)
    LOGGER.setLevel(level.upper())
    # Nothing here shows the caller, thread or process of a line, and finding them costs as much as the line.
    logging._srcfile = None  # noqa: SLF001  the way the logging documentation gives
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    logging.raiseExceptions = False  # a log that cannot be written is no reason to write more to it
    return handler


class Lines(logging.Handler):
    """Writes lines to a file descriptor from a thread of its own. `close`, called at exit, writes the rest."""

    def __init__(self, descriptor: int, most: int = _MOST_LINES) -> None:
        super().__init__()
        self._descriptor = descriptor
        self._waiting: deque[str] = deque()
        self._most = most
        self._untold = 0
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._write_for_ever, name="log", daemon=True)
        self._thread.start()

    def emit(self, record: logging.LogRecord) -> None:
        """Queue a line, or count it where too many wait."""
        try:
            if len(self._waiting) < self._most:
                self._waiting.append(self.format(record))
            else:
                self._untold += 1
        except Exception:  # noqa: BLE001  a line that cannot be formatted is lost, and nothing else is
            self._untold += 1

    def close(self) -> None:
        """Write what waits, and stop; a reader that stalls is not waited for."""
        self._ending.set()
        self._thread.join(_CLOSE_SECONDS)
        super().close()

    def _write_for_ever(self) -> None:
        while not self._ending.wait(_WRITE_SECONDS):
            self._write()
        self._write()

    def _write(self) -> None:
        lines = [self._waiting.popleft() for _ in range(len(self._waiting))]
        if self._untold:
            lost, self._untold = self._untold, 0
            lines.append(self.format(_lost(lost)))
        text = memoryview("".join(f"{line}\n" for line in lines).encode("utf-8", "backslashreplace"))
        try:
            while text:
                text = text[os.write(self._descriptor, text) :]
        except OSError:
            return  # nobody reads any more, and there is nowhere else to say so


def _lost(count: int) -> logging.LogRecord:
    record = logging.LogRecord(LOGGER.name, logging.WARNING, __file__, 0, "log lines dropped", None, None)
    record.fields = {"lines": count}
    return record


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
