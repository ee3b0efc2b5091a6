from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webhook.cost.fleet import break_even, dollars, fsr_volumes, mean, share_of_burst, share_of_lifetime


@pytest.mark.parametrize(("starts", "share"), [(0, 0.0), (1, 0.0), (2, 0.5), (5, 0.8), (100, 0.99)])
def test_the_first_start_on_a_node_is_cold(starts: float, share: float) -> None:
    assert share_of_lifetime(starts) == pytest.approx(share)


@pytest.mark.parametrize(
    ("pods", "places", "share"), [(10, 3, 0.3), (10, 0, 0.0), (10, 20, 1.0), (0, 5, 0.0), (10, -1, 0.0)]
)
def test_a_burst_finds_as_many_warm_places_as_there_are(pods: int, places: int, share: float) -> None:
    assert share_of_burst(pods, places) == pytest.approx(share)


@given(st.floats(0, 1e6), st.floats(0, 1e6), st.floats(0, 1))
def test_the_mean_lies_between(cold: float, warm: float, share: float) -> None:
    assert min(cold, warm) - 1e-6 <= mean(cold, warm, share) <= max(cold, warm) + 1e-6


@pytest.mark.parametrize(
    ("gib", "hours", "volumes"),
    # AWS's own example: 128 GiB fill 8 credits an hour, and 8 is the most.
    [(128, 0, 8), (128, 1, 16), (10, 0, 10), (2048, 0, 1), (2048, 1, 1.5), (0, 1, 0)],
)
def test_volumes_of_fast_snapshot_restore(gib: int, hours: float, volumes: float) -> None:
    assert fsr_volumes(gib << 30, hours) == pytest.approx(volumes)


def test_dollars() -> None:
    assert dollars(16_400_000_000, part=16 << 20) == pytest.approx(978 * 0.4e-6)
    assert dollars(16_400_000_000, part=16 << 20, nat=True) == pytest.approx(978 * 0.4e-6 + 0.738)
    assert dollars(10**9, part=16 << 20, between_zones=True) == pytest.approx(60 * 0.4e-6 + 0.02)
    assert dollars(0, part=16 << 20, nat=True) == 0.0


def test_what_saves_nothing_never_pays() -> None:
    assert break_even(100, 0) == float("inf")
    assert break_even(100, 50) == 2
