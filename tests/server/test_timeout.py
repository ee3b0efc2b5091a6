from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webhook.server.timeout import asked, go_duration


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("5s", 5.0), ("10s", 10.0), ("1m30s", 90.0), ("1.5h", 5400.0), ("100ms", 0.1), ("1us", 1e-6), ("1µs", 1e-6),
        ("1ns", 1e-9), ("0", 0.0), ("-2s", -2.0), ("+2s", 2.0), (".5s", 0.5), ("2.s", 2.0), ("1h2m3s4ms", 3723.004),
        ("", None), ("5", None), ("s", None), ("5x", None), ("5 s", None), ("-", None), ("+", None), (".s", None),
        ("1e3s", None), ("5ss", None), ("٣s", None), ("9" * 100 + "s", None), ("inf", None), ("nan", None),
    ],
)  # fmt: skip
def test_go_durations(text: str, seconds: float | None) -> None:
    assert go_duration(text) == (None if seconds is None else pytest.approx(seconds))


@pytest.mark.parametrize(
    ("query", "seconds"),
    [
        (b"timeout=5s", 5.0), (b"a=b&timeout=2s", 2.0), (b"timeout=1s&timeout=9s", 1.0), (b"timeout=%35s", 5.0),
        (b"", None), (b"timeout=", None), (b"timeout", None), (b"timeout=soon", None), (b"x" * 5000, None),
        (b"&" * 900, None), (b"\xff=1", None), (b"timeout=5s;x", None),
    ],
)  # fmt: skip
def test_query(query: bytes, seconds: float | None) -> None:
    assert asked(query) == seconds


@given(st.binary(max_size=200))
def test_any_query_is_a_number_or_none(query: bytes) -> None:
    found = asked(b"timeout=" + query)
    assert found is None or isinstance(found, float)


@given(st.text(max_size=80))
def test_any_text_is_a_number_or_none(text: str) -> None:
    found = go_duration(text)
    assert found is None or isinstance(found, float)
