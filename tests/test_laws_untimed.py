"""No law is held to a time: not by default, and not by settings of its own."""

from __future__ import annotations

import re
from pathlib import Path

from hypothesis import HealthCheck, settings

HERE = Path(__file__).parent
DEADLINE = re.compile(r"\bsettings\([^)]*\bdeadline=(?!None\b)")


def test_an_example_may_take_as_long_as_the_machine_is_busy() -> None:
    assert settings().deadline is None
    assert HealthCheck.too_slow in settings().suppress_health_check


def test_no_file_sets_a_deadline() -> None:
    assert DEADLINE.search("@settings(max_examples=9, deadline=200)")
    assert [path.name for path in sorted(HERE.rglob("*.py")) if DEADLINE.search(path.read_text(encoding="utf-8"))] == [
        Path(__file__).name
    ]
