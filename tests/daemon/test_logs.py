from __future__ import annotations

import json
import logging
import os
import sys
import time
from collections.abc import Iterator

import pytest

from webhook.daemon.logs import JsonFormatter, Lines, TextFormatter, Throttle, where

HOSTILE = 'x"\n{"level":"error"}\r\u2028\x1b[31m\udcff'


def record(message: str = "decision", level: int = logging.INFO, **extra: object) -> logging.LogRecord:
    made = logging.LogRecord("warmpod", level, __file__, 1, message, None, None)
    made.__dict__.update(extra)
    return made


def test_json_is_one_object_a_line() -> None:
    line = JsonFormatter().format(record(fields={"pod": HOSTILE, "operations": 2}))
    assert "\n" not in line
    found = json.loads(line)
    assert (found["message"], found["level"], found["logger"]) == ("decision", "info", "warmpod")
    assert (found["pod"], found["operations"]) == (HOSTILE, 2)
    assert found["time"].endswith("Z")


def test_text_cannot_be_forged() -> None:
    line = TextFormatter().format(record(f"said {HOSTILE}", fields={"pod": HOSTILE}))
    assert len(line.splitlines()) == 1
    assert "\x1b" not in line
    assert " INFO    said x" in line


def test_errors_tell_where_and_not_what() -> None:
    try:
        int("SECRET-VALUE")
    except ValueError as error:
        told = where(error)
        line = JsonFormatter().format(record(exc_info=sys.exc_info()))
    assert told.startswith("ValueError < ")
    assert "test_errors_tell_where_and_not_what" in told
    assert json.loads(line)["error"] == told
    assert "SECRET" not in line


def test_what_a_client_can_provoke_is_throttled() -> None:
    throttle = Throttle(1.0)
    ours, theirs, marked = record(), record("Invalid HTTP request received."), record("review failed", throttled=True)
    theirs.name = "uvicorn.error"
    assert [throttle.filter(ours) for _ in range(3)] == [True] * 3
    assert [throttle.filter(theirs) for _ in range(3)] == [True, False, False]
    assert [throttle.filter(marked) for _ in range(3)] == [True, False, False]
    time.sleep(1.1)
    assert throttle.filter(theirs)


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    reading, writing = os.pipe()
    yield reading, writing
    os.close(reading)
    os.close(writing)


def test_close_writes_what_waits(pipe: tuple[int, int]) -> None:
    lines = Lines(pipe[1])
    lines.setFormatter(JsonFormatter())
    for number in range(50):
        lines.emit(record(fields={"number": number}))
    lines.close()
    found = [json.loads(line)["number"] for line in os.read(pipe[0], 1 << 16).splitlines()]
    assert found == list(range(50))


def test_a_stalled_reader_holds_nobody(pipe: tuple[int, int]) -> None:
    lines = Lines(pipe[1], most=100)
    lines.setFormatter(JsonFormatter())
    began = time.monotonic()
    for _ in range(2_000):
        lines.emit(record(fields={"padding": "x" * 1000}))
        if time.monotonic() - began < 0.3:
            time.sleep(0.001)
    assert time.monotonic() - began < 60
    read = b""
    deadline = time.monotonic() + 60
    while b"log lines dropped" not in read and time.monotonic() < deadline:
        read += os.read(pipe[0], 1 << 20)
    told = [json.loads(line) for line in read.splitlines()[:-1] if b"dropped" in line]
    assert b"log lines dropped" in read
    assert all(one["lines"] > 0 for one in told)
    lines.close()


def test_a_closed_stderr_is_survived() -> None:
    reading, writing = os.pipe()
    lines = Lines(writing)
    lines.setFormatter(TextFormatter())
    os.close(reading)
    lines.emit(record())
    time.sleep(0.2)
    lines.emit(record())
    lines.close()
    os.close(writing)


def test_what_cannot_be_formatted_is_counted(pipe: tuple[int, int]) -> None:
    lines = Lines(pipe[1])
    lines.setFormatter(JsonFormatter())
    odd = record("%d lines")
    odd.args = ("many",)
    lines.emit(odd)
    lines.close()
    assert json.loads(os.read(pipe[0], 4096))["lines"] == 1
