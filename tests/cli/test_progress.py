"""What a command shows of how far it is: nothing when quick, lines in a log, a bar on a terminal."""

from __future__ import annotations

import os
import pty
import subprocess
import sys

import pytest

from webhook.cli.progress import Bar, tracked


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        self.now += 1.0
        return self.now


def test_quick_work_is_silent(capsys: pytest.CaptureFixture[str]) -> None:
    assert list(tracked(["a", "b"], "reviews")) == ["a", "b"]
    assert capsys.readouterr() == ("", "")


def test_a_log_gets_a_line_every_ten_seconds(capsys: pytest.CaptureFixture[str]) -> None:
    with Bar("reviews", 10_000, clock=Clock()) as bar:
        for _ in range(25):
            bar.advance(100)
    assert capsys.readouterr().err.splitlines() == [
        "note: 1,000 of 10,000 reviews",
        "note: 2,000 of 10,000 reviews",
    ]


PROGRAM = """
from webhook.cli.progress import Bar
moments = iter(range(1000))
with Bar("reviews", 40, clock=lambda: float(next(moments))) as bar:
    for _ in range(40):
        bar.advance()
print("done")
"""


def test_a_terminal_gets_a_bar_that_goes_away() -> None:
    ours, theirs = pty.openpty()
    try:
        run = subprocess.run(
            [sys.executable, "-c", PROGRAM],
            stderr=theirs,
            stdout=subprocess.PIPE,
            env={**os.environ, "TERM": "xterm", "COLUMNS": "100"},
            text=True,
            check=True,
        )
        os.close(theirs)
        shown = os.read(ours, 65536).decode()
    finally:
        os.close(ours)
    assert run.stdout == "done\n"
    assert "reviews" in shown
    assert "40/40" in shown
    assert shown.rstrip().endswith("\x1b[2K")  # the line is wiped
