from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webhook.cost.seconds import line_rate
from webhook.cost.storage import connections, express_gain, lustre_rate
from webhook.cost.volume import Reader, Volume, VolumeKind, volume_bound


@pytest.mark.parametrize(
    # AWS's own example: 4.8 TiB at 50 MB/s/TiB have a baseline of 240 MB/s.
    ("size", "unit", "rate"),
    [(4.8, 50, 240e6), (1.2, 1000, 1.2e9), (0, 50, 0), (-1, 50, 0), (2.4, -5, 0)],
)
def test_lustre_is_bought_by_size(size: float, unit: float, rate: float) -> None:
    assert lustre_rate(size, unit) == pytest.approx(rate)


@pytest.mark.parametrize(("gbps", "expected"), [(0, 1), (5, 8), (100, 148)])
def test_connections(gbps: float, expected: int) -> None:
    assert connections(line_rate(gbps)) == expected


def test_express_is_for_small_objects() -> None:
    large = express_gain(16_400_000_000, files=8, rate=line_rate(100))
    small = express_gain(10_000_000_000, files=100_000, rate=line_rate(100))
    assert large < 0.2
    assert small > 300


@given(st.integers(0, 10**13), st.integers(0, 10**6), st.floats(1e6, 1e11), st.integers(0, 1000))
def test_express_is_never_slower_in_its_zone(size: int, files: int, rate: float, at_once: int) -> None:
    assert express_gain(size, files=files, rate=rate, at_once=at_once) >= 0


def test_hits_of_a_local_cache_do_not_wait_for_the_network() -> None:
    hit, miss = (
        volume_bound(Volume(kind), Reader.STREAMER, network=1e6)
        for kind in (VolumeKind.MOUNTPOINT_CACHE, VolumeKind.MOUNTPOINT)
    )
    assert (hit.name, miss.name) == ("volume", "network")
