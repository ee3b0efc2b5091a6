from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webhook.cost.seconds import Bound, line_rate, narrowest, seconds

BYTES = st.integers(min_value=-5, max_value=2**63)
RATES = st.floats(min_value=-1, max_value=1e15, allow_nan=False)


@pytest.mark.parametrize(
    ("missing", "rate", "expected"),
    [(9_000_000_000, 70e6, 9_000_000_000 / 70e6), (0, 70e6, 0.0), (-5, 70e6, 0.0), (5, 0.0, 0.0), (5, -1.0, 0.0)],
)
def test_bytes_at_a_rate(missing: int, rate: float, expected: float) -> None:
    assert seconds(missing, rate) == expected


@given(BYTES, BYTES, RATES)
def test_more_bytes_never_take_less(one: int, other: int, rate: float) -> None:
    few, many = sorted((one, other))
    assert 0 <= seconds(few, rate) <= seconds(many, rate)


def test_line_rate_is_bytes() -> None:
    assert line_rate(5) == 625_000_000


@pytest.mark.parametrize(
    ("rates", "expected"),
    [
        ({"network": 2.0, "disk": 1.0}, Bound("disk", 1.0)),
        ({"network": 2.0, "disk": 2.0}, Bound("network", 2.0)),
        ({"network": 2.0, "disk": 0.0}, Bound("network", 2.0)),
        ({"network": -1.0}, Bound("", 0.0)),
        ({}, Bound("", 0.0)),
    ],
    ids=["lowest", "first of equals", "unknown does not limit", "nothing known", "nothing given"],
)
def test_the_lowest_known_rate_limits(rates: dict[str, float], expected: Bound) -> None:
    assert narrowest(**rates) == expected
