"""When a mount is taken instead of the node's cache."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webhook.cost.delivery import Comparison, compare
from webhook.cost.hydration import Disks, array
from webhook.cost.seconds import WORDS, line_rate
from webhook.cost.volume import Reader, Volume, VolumeKind
from webhook.cost.zone import zone_gain

SIZE = 16_400_000_000
RATES = st.one_of(st.just(0.0), st.floats(min_value=1e6, max_value=1e11))


def asked(**given: Any) -> Comparison:
    usual: dict[str, Any] = {
        "size": SIZE,
        "reader": Reader.SAFETENSORS,
        "network": line_rate(5),
        "volume": Volume(VolumeKind.MOUNTPOINT),
        "from_s3": True,
        "warm": False,
        "shared": True,
    }
    return compare(**{**usual, **given})


@st.composite
def questions(draw: st.DrawFn) -> dict[str, Any]:
    return {
        "size": draw(st.integers(min_value=0, max_value=10**13)),
        "reader": draw(st.sampled_from(Reader)),
        "network": draw(RATES),
        "volume": Volume(draw(st.sampled_from(VolumeKind)), draw(RATES)),
        "from_s3": draw(st.booleans()),
        "warm": draw(st.booleans()),
        "shared": draw(st.booleans()),
        "disk_read": draw(RATES),
        "disk_write": draw(RATES),
        "starts": draw(st.floats(min_value=0, max_value=1000)),
        "processes": draw(st.integers(min_value=0, max_value=16)),
        "cpus": draw(st.one_of(st.just(0.0), st.floats(min_value=0.01, max_value=192))),
    }


@pytest.mark.parametrize(
    ("question", "choice"),
    [
        ({}, "hydrate"),
        ({"reader": Reader.UNKNOWN}, "hydrate"),
        ({"reader": Reader.STREAMER}, "mount"),
        ({"reader": Reader.STREAMER, "warm": True}, "hydrate"),
        ({"reader": Reader.STREAMER, "starts": 3}, "hydrate"),
        ({"reader": Reader.STREAMER, "starts": 3, "shared": False}, "mount"),
        ({"reader": Reader.STREAMER, "size": 10**9}, "hydrate"),
        ({"reader": Reader.STREAMER, "size": 0}, "hydrate"),
        ({"reader": Reader.TRITON}, "mount"),
        ({"reader": Reader.PREFETCH}, "mount"),
        ({"volume": Volume(VolumeKind.LUSTRE), "from_s3": False}, "mount"),
        ({"volume": Volume(VolumeKind.LUSTRE), "from_s3": False, "warm": True}, "hydrate"),
        ({"reader": Reader.STREAMER, "volume": Volume(VolumeKind.LUSTRE, 50e6), "from_s3": True}, "hydrate"),
        ({"reader": Reader.STREAMER, "volume": Volume(VolumeKind.LUSTRE, 50e6), "from_s3": False}, "hydrate"),
        ({"reader": Reader.STREAMER, "volume": Volume(VolumeKind.LUSTRE, 10e9), "network": line_rate(100)}, "mount"),
    ],
    ids=lambda value: value if isinstance(value, str) else "-".join(map(str, value)) or "usual",
)
def test_the_choice(question: dict[str, Any], choice: str) -> None:
    found = asked(**question)
    assert found.choice == choice, found.why


def test_the_figures_of_one_comparison() -> None:
    found = asked()
    assert found.hydrate.fetch == pytest.approx(SIZE / 625e6)  # the network
    assert found.hydrate.load == pytest.approx(SIZE / 320e6)  # the stock loader
    assert found.mount.fetch == 0
    assert found.mount.load == pytest.approx(SIZE / 62e6)  # page by page
    assert (found.hydrate.fetch_bound.name, found.hydrate.load_bound.name) == ("network", "reader")
    assert found.mount.load_bound.name == "pages"
    assert found.why == (
        "hydrating takes about 77 s (26 s to fetch, limited by the network, and 51 s to load, limited by the reader); "
        "the mount takes about 265 s, limited by reads page by page; on other machines the other way may be faster"
    )


def test_eight_processes_of_a_stock_loader_read_eight_parts() -> None:
    one, eight = asked(disk_read=1e11), asked(disk_read=1e11, processes=8)
    assert eight.hydrate.load == pytest.approx(one.hydrate.load / 8)
    assert eight.hydrate.fetch == one.hydrate.fetch


def test_more_processors_hydrate_faster_until_something_else_limits() -> None:
    fetched = [asked(network=line_rate(100), disk_write=5e9, cpus=cpus).hydrate for cpus in (2, 8, 64)]
    assert [each.fetch_bound.name for each in fetched] == ["client", "client", "disk"]
    assert fetched[0].fetch > fetched[1].fetch > fetched[2].fetch


def test_a_pod_of_many_accelerators_has_cpus_for_each() -> None:
    unknown, eight = (asked(network=line_rate(100), disk_write=6e9, processes=8, cpus=cpus) for cpus in (0, 16))
    assert unknown == eight
    assert unknown.hydrate.fetch == pytest.approx(SIZE / 6e9)


def test_an_array_is_as_fast_as_its_disks_together() -> None:
    assert array(8) == Disks(12e9, 6e9)
    assert array(0) == array(-1) == Disks(0, 0)


def test_the_source_of_a_file_is_the_volume_itself() -> None:
    slow = Volume(VolumeKind.LUSTRE, 100e6)
    assert asked(volume=slow, from_s3=False).hydrate.fetch == pytest.approx(SIZE / 100e6)
    assert asked(volume=slow, from_s3=True).hydrate.fetch == pytest.approx(SIZE / 625e6)


@pytest.mark.parametrize("size", [0, -1])
def test_a_model_of_unknown_size_is_hydrated(size: int) -> None:
    found = asked(size=size, reader=Reader.STREAMER)
    assert (found.choice, found.certain, found.hydrate.seconds, found.mount.seconds) == ("hydrate", False, 0.0, 0.0)
    assert "size is not known" in found.why


@given(questions())
def test_every_question_has_an_answer_in_order(question: dict[str, Any]) -> None:
    found = compare(**question)
    for estimate in (found.hydrate, found.mount):
        assert math.isfinite(estimate.seconds)
        assert 0 <= estimate.best <= estimate.seconds * 1.000001
        assert estimate.seconds <= estimate.worst * 1.000001
        assert estimate.load_bound.name in WORDS
    if found.choice == "mount":
        assert found.mount.seconds < found.hydrate.seconds
    assert compare(**question) == found


@given(questions())
def test_a_warm_node_is_never_a_reason_to_mount(question: dict[str, Any]) -> None:
    cold, warm = compare(**{**question, "warm": False}), compare(**{**question, "warm": True})
    assert warm.hydrate.seconds <= cold.hydrate.seconds
    assert not (cold.choice == "hydrate" and warm.choice == "mount")


@given(questions(), st.floats(min_value=1.01, max_value=100))
def test_a_faster_volume_is_never_a_reason_against_it(question: dict[str, Any], times: float) -> None:
    question["from_s3"] = True  # else hydrating gets faster too
    question["volume"] = Volume(question["volume"].kind, 1e8)
    slow = compare(**question)
    fast = compare(**{**question, "volume": Volume(question["volume"].kind, 1e8 * times)})
    assert fast.mount.seconds <= slow.mount.seconds
    assert not (slow.choice == "mount" and fast.choice == "hydrate")


@given(questions())
def test_a_cache_that_dies_with_the_pod_serves_one_start(question: dict[str, Any]) -> None:
    question["shared"] = False
    assert compare(**question) == compare(**{**question, "starts": 1.0})


@given(st.integers(min_value=-5, max_value=10**15))
def test_the_own_zone_is_worth_more_to_one_that_waits_for_every_page(size: int) -> None:
    assert 0 <= zone_gain(size) <= zone_gain(size, mapped=True)
    assert (zone_gain(size) > 0) == (size > 0)


def test_what_a_zone_is_worth() -> None:
    assert zone_gain(SIZE) == pytest.approx(0.5, abs=0.05)
    assert zone_gain(SIZE, mapped=True) == pytest.approx(100, abs=1)
