"""What people read: sizes and times, lines that no tenant can forge, progress on terminals and in logs."""

from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webhook.hydrator import measures
from webhook.hydrator.measures import Unreadable
from webhook.hydrator.outcome import Exit, HydrationError
from webhook.hydrator.words import Voice, printable
from webhook.kube import quantity


@given(st.from_regex(r"[0-9]{1,15}(\.[0-9]{1,6})?(k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei|e[0-9]{1,2})?", fullmatch=True))
def test_sizes_are_quantities_as_kubernetes_reads_them(text: str) -> None:
    exact = quantity.parse(text)
    assert measures.size(text) == -(-exact.numerator // exact.denominator)


@pytest.mark.parametrize("text", ["", "-1", "5GB", "1 Gi", "Gi", "0x10", "٣", "1e400", "1m", "nan", "9" * 21])
def test_what_is_no_size(text: str) -> None:
    with pytest.raises(Unreadable):
        measures.size(text)


@pytest.mark.parametrize(
    ("text", "seconds"), [("24h", 86400), ("1h30m", 5400), ("90s", 90), ("90", 90), ("2d", 172800), ("0", 0)]
)
def test_durations(text: str, seconds: float) -> None:
    assert measures.duration(text) == seconds


@pytest.mark.parametrize("text", ["", "h", "1m1h", "-1s", "1.5h", "1w", "9" * 10, "٣"])
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(Unreadable):
        measures.duration(text)


@pytest.mark.parametrize(
    ("text", "rate"),
    [("25Gbps", 3.125e9), ("500MB/s", 5e8), ("1.5 GiB/s", 1.5 * 2**30), ("100Gb/s", 12.5e9), ("8bit/s", 1)],
)
def test_rates(text: str, rate: float) -> None:
    assert measures.rate(text) == rate


@pytest.mark.parametrize("text", ["", "25", "25G", "0Gbps", "7bps", "nanbps", "-1Gbps", "1e3Gbps"])
def test_what_is_no_rate(text: str) -> None:
    with pytest.raises(Unreadable):
        measures.rate(text)


@pytest.mark.parametrize(
    ("count", "shown"),
    [
        (0, "0 B"), (999, "999 B"), (1000, "1.00 kB"), (15_000_000_000, "15.0 GB"), (999_600_000, "1.00 GB"),
        (812_345_678, "812 MB"), (9_999_999, "10.0 MB"), (2**63, "9223372 TB"),
    ],
)  # fmt: skip  # pairs
def test_sizes_have_three_digits(count: int, shown: str) -> None:
    assert measures.shown_bytes(count) == shown


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0.04, "0.0 s"), (8.4, "8.4 s"), (59.4, "59 s"), (59.6, "1 min 0 s"), (250, "4 min 10 s"),
        (11_100, "3 h 5 min"), (float("inf"), "unknown"), (float("nan"), "unknown"), (-1, "unknown"),
    ],
)  # fmt: skip  # pairs
def test_times_have_two_units(seconds: float, shown: str) -> None:
    assert measures.shown_seconds(seconds) == shown


@given(st.text())
def test_any_text_is_one_line_that_prints(text: str) -> None:
    shown = printable(text * 50)
    assert shown.isprintable()
    assert len(shown) <= 4100 * 10
    if text.isprintable() and len(text) < 80:
        assert shown == text * 50


def said(environ: dict[str, str], text: str = "what") -> bytes:
    reading, writing = os.pipe()
    try:
        voice = Voice(writing, environ)
        voice.fail(HydrationError(Exit.DENIED, text, "do this"))
    finally:
        os.close(writing)
    with os.fdopen(reading, "rb") as stream:
        return stream.read()


def test_errors_have_no_colour_in_a_pipe_unless_forced() -> None:
    assert said({}) == b"error: what\nhint: do this\n"
    assert said({"FORCE_COLOR": "1"}) == b"\x1b[1;31merror:\x1b[0m what\n\x1b[1;36mhint:\x1b[0m do this\n"
    assert said({"FORCE_COLOR": "1", "NO_COLOR": "1"}) == b"error: what\nhint: do this\n"


def test_a_tenant_cannot_forge_a_line_or_colour_it() -> None:
    assert said({}, "a\nerror: b\x1b[31m\u202e\udcff").splitlines()[0] == rb"error: a\nerror: b\x1b[31m\u202e\udcff"


def test_a_listener_who_is_gone_or_deaf_is_no_error() -> None:
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    voice = Voice(writing, {})
    voice.write("x" * 10_000_000)  # more than a pipe holds
    os.close(reading)
    voice.line("gone")
    os.close(writing)
    voice.line("closed")
