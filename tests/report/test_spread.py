"""Quantiles and histograms of seconds."""

from __future__ import annotations

import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webhook.report.spread import Spread

SECONDS = st.lists(st.floats(0, 100_000), min_size=1, max_size=60)


def spread(*values: float) -> Spread:
    found = Spread()
    for value in values:
        found.add(value)
    return found


def test_nothing_has_no_bars() -> None:
    assert (spread().bars(), spread().median, spread().p90, spread().maximum) == ([], 0, 0, 0)


def test_one_value_is_its_own_median_and_maximum() -> None:
    one = spread(128.7)
    assert (one.median, one.p90, one.maximum, one.total) == (128, 128, 128, 128.7)
    assert [bar.values for bar in one.bars() if bar.values] == [1]


def test_equal_values_may_be_added_at_once() -> None:
    many, each = Spread(), spread(*[30.0] * 4, 5.0)
    many.add(30.0, 4)
    many.add(5.0)
    assert (many.bars(), many.median, many.total) == (each.bars(), each.median, each.total)


@pytest.mark.parametrize("value", [-3.0, float("nan"), float("inf"), float("-inf")], ids=str)
def test_what_is_no_time_counts_as_none(value: float) -> None:
    found = spread(value, 10.0)
    assert (found.count, found.total, found.maximum) == (2, 10.0, 10)


def test_one_stray_value_flattens_no_picture() -> None:
    found = spread(*[float(number % 100) for number in range(990)], 80_000.0)
    *_, last = found.bars()
    assert (last.high, last.values) == (None, 1)
    assert last.low <= 120


@given(SECONDS)
def test_bars_hold_every_value_once_and_touch(values: list[float]) -> None:
    bars = spread(*values).bars()
    assert sum(bar.values for bar in bars) == len(values)
    assert len(bars) <= 24
    assert bars[0].low == 0
    assert [bar.high for bar in bars[:-1]] == [bar.low for bar in bars[1:]]
    for bar in bars:
        high = bar.high if bar.high is not None else float("inf")
        assert bar.values == sum(bar.low <= int(value) < high for value in values)


@given(SECONDS)
def test_quantiles_are_those_of_the_sorted_values(values: list[float]) -> None:
    found, whole = spread(*values), sorted(map(int, values))
    assert found.median == statistics.median_low(whole)
    assert found.maximum == whole[-1]
    assert found.p90 == whole[-(-9 * len(whole) // 10) - 1]
