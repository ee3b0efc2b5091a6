"""Phases, their order, what limits them, and what may never be."""

from __future__ import annotations

import dataclasses
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webhook.cost.figures import Assumed, Case, figures
from webhook.cost.seconds import WORDS, line_rate
from webhook.cost.situation import Engine, Fetch, Node, Pull, Techniques, Workload
from webhook.cost.start import start, swings
from webhook.cost.volume import Reader, Volume, VolumeKind

G6 = Node(line_rate(5), line_rate(10), line_rate(5), 0.0, 1, 8, 32 << 30)
VLLM = Workload(9_354_000_000, 16_400_000_000)
ORDER = ["provision", "boot", "pull", "fetch", "load", "init"]

SIZES = st.integers(min_value=0, max_value=10**13)
RATES = st.one_of(st.just(0.0), st.floats(min_value=1e6, max_value=1e11))
WORKLOADS = st.builds(
    Workload, SIZES, SIZES, st.sampled_from(Reader), st.integers(0, 16), st.one_of(st.just(0), SIZES), SIZES
)
NODES = st.builds(Node, RATES, RATES, RATES, RATES, st.integers(0, 8), st.integers(0, 192), st.integers(0, 2**41))
VOLUMES = st.builds(Volume, st.sampled_from(VolumeKind), RATES)
TECHNIQUES = st.builds(
    Techniques,
    st.sampled_from(Pull),
    st.sampled_from(Fetch),
    st.sampled_from(Engine),
    st.booleans(),
    st.booleans(),
    st.booleans(),
    VOLUMES,
)


def names(workload: Workload, techniques: Techniques) -> list[str]:
    return [phase.name for phase in start(workload, G6, techniques).phases]


@pytest.mark.parametrize(
    ("techniques", "expected"),
    [
        (Techniques(), ORDER),
        (Techniques(new_node=False), ORDER[2:]),
        (Techniques(fetch=Fetch.HYDRATE), ["provision", "boot", "fetch", "pull", "load", "init"]),
        (Techniques(fetch=Fetch.STREAM, new_node=False), ["pull", "load", "init"]),
        (Techniques(fetch=Fetch.MOUNT, new_node=False, volume=Volume(VolumeKind.LUSTRE)), ["pull", "load", "init"]),
        (Techniques(fetch=Fetch.NONE, engine=Engine.NONE, new_node=False), ["pull"]),
        (Techniques(fetch=Fetch.HYDRATE, overlap=True, new_node=False), ["fetch", "pull", "load", "init"]),
    ],
    ids=["stock", "ready node", "init container first", "stream", "mount", "no model", "overlap"],
)
def test_the_phases(techniques: Techniques, expected: list[str]) -> None:
    assert names(VLLM, techniques) == expected


def test_an_image_and_a_model_at_once_begin_at_once() -> None:
    phases = {each.name: each for each in start(VLLM, G6, Techniques(overlap=True, nvme=True)).phases}
    assert phases["fetch"].begins == phases["pull"].begins == phases["boot"].ends
    assert phases["load"].begins == max(phases["fetch"].ends, phases["pull"].ends)


@pytest.mark.parametrize(
    ("model", "expected"),
    # 213 MB/s alone, a 2.17th of that while the image of 133.6 s is pulled.
    [(1_000_000_000, 1e9 / 213e6 * 2.17), (30_000_000_000, 133.63 + 30e9 / 213e6 - 133.63 / 2.17)],
    ids=["done before the image", "goes on alone"],
)
def test_a_download_beside_a_pull_gets_its_share(model: int, expected: float) -> None:
    found = start(dataclasses.replace(VLLM, model=model), G6, Techniques(overlap=True, nvme=True))
    assert next(each.seconds for each in found.phases if each.name == "fetch") == pytest.approx(expected, rel=0.001)


@pytest.mark.parametrize(
    ("node", "pull", "bound"),
    [
        (G6, Pull.CONTAINERD, "root"),
        (dataclasses.replace(G6, root=1e9), Pull.CONTAINERD, "unpack"),
        (dataclasses.replace(G6, root=1e9, ebs=50e6), Pull.CONTAINERD, "ebs"),
        (dataclasses.replace(G6, root=1e9, network=10e6), Pull.CONTAINERD, "network"),
        (G6, Pull.SOCI_AL2023, "root"),
        (G6, Pull.SNAPSHOT_300, "initialization"),
        (G6, Pull.SNAPSHOT, "first reads"),
        (G6, Pull.SNAPSHOT_FSR, "start"),
    ],
)
def test_what_limits_a_pull(node: Node, pull: Pull, bound: str) -> None:
    found = start(VLLM, node, Techniques(pull, Fetch.NONE))
    assert next(each.bound for each in found.phases if each.name == "pull") == bound


@pytest.mark.parametrize("small", [{"vcpus": 2}, {"memory": 4 << 30}], ids=["CPUs", "memory"])
def test_soci_of_al2023_does_nothing_on_a_small_node(small: dict[str, int]) -> None:
    node = dataclasses.replace(G6, root=1e9, memory=0, **small) if "vcpus" in small else Node(root=1e9, **small)
    took = [start(VLLM, node, Techniques(pull, Fetch.NONE)).seconds for pull in (Pull.SOCI_AL2023, Pull.CONTAINERD)]
    assert took[0] == took[1]


@pytest.mark.parametrize("pull", [Pull.SOCI_AL2023, Pull.SOCI_BOTTLEROCKET])
def test_soci_needs_a_fast_disk(pull: Pull) -> None:
    """It takes a root volume of 600 MiB/s and more, or the instance store; on less it is no faster than containerd."""

    def took(how: Pull, root: int, *, ebs: float = 0.0, nvme: bool = False) -> float:
        node = dataclasses.replace(G6, ebs=ebs, root=root * 2**20)
        alone = Techniques(how, Fetch.NONE, Engine.NONE, new_node=False, nvme=nvme)
        return start(VLLM, node, alone).seconds

    assert took(pull, 125) == took(Pull.CONTAINERD, 125)
    assert took(pull, 599) == took(Pull.CONTAINERD, 599)
    assert took(pull, 600) < took(pull, 599) / 2
    assert took(pull, 1000, ebs=G6.ebs) == took(Pull.CONTAINERD, 1000)  # 5 Gb/s to EBS are 596 MiB/s
    assert took(pull, 125, ebs=G6.ebs, nvme=True) < took(pull, 125, ebs=G6.ebs) / 2


def test_a_volume_fills_while_its_node_boots_and_while_the_model_comes() -> None:
    alone = start(VLLM, G6, Techniques(Pull.SNAPSHOT_100, Fetch.NONE, new_node=False)).phases[0].seconds
    booting = start(VLLM, G6, Techniques(Pull.SNAPSHOT_100, Fetch.NONE)).phases[2].seconds
    hydrating = start(VLLM, G6, Techniques(Pull.SNAPSHOT_100, Fetch.HYDRATE))
    fetch, pull = hydrating.phases[2:4]
    assert (fetch.name, pull.name) == ("fetch", "pull")
    assert booting == pytest.approx(alone - 45)
    assert pull.seconds == pytest.approx(booting - fetch.seconds)


def test_more_in_the_snapshot_takes_longer_to_fill_until_first_reads_are_faster() -> None:
    took = [
        start(dataclasses.replace(VLLM, snapshot=size), G6, Techniques(Pull.SNAPSHOT_300, Fetch.NONE)).phases[2]
        for size in (0, 40_000_000_000, 400_000_000_000)
    ]
    assert [each.bound for each in took] == ["initialization", "initialization", "first reads"]
    assert took[0].seconds < took[1].seconds < took[2].seconds


def test_without_an_instance_store_models_lie_on_the_root_volume() -> None:
    bare = dataclasses.replace(G6, disks=0)
    for fetch in (Fetch.HYDRATE, Fetch.DOWNLOAD):
        found = {each.name: each for each in start(VLLM, bare, Techniques(Pull.PRESENT, fetch)).phases}
        assert found["fetch"].seconds == pytest.approx(VLLM.model / 131072000)
        assert (found["fetch"].bound, found["load"].bound) == ("root", "root")


def test_a_compile_cache_or_a_faster_disk_is_worth_what_the_reader_lets_it() -> None:
    """A stock loader does not read faster from eight disks than from one."""
    many = dataclasses.replace(G6, disks=8)
    cached = Techniques(Pull.PRESENT, Fetch.CACHED, new_node=False)
    assert start(VLLM, G6, cached).seconds == start(VLLM, many, cached).seconds
    streamed = dataclasses.replace(VLLM, reader=Reader.STREAMER)
    assert start(streamed, many, cached).seconds < start(streamed, G6, cached).seconds


@given(WORKLOADS, NODES, TECHNIQUES)
def test_every_start_is_in_order_and_within_its_range(workload: Workload, node: Node, techniques: Techniques) -> None:
    found = start(workload, node, techniques)
    assert all(each.seconds > 0 and math.isfinite(each.ends) for each in found.phases)
    assert all(each.name in ORDER and (not each.bound or each.bound in WORDS) for each in found.phases)
    assert [each.begins for each in found.phases] == sorted(each.begins for each in found.phases)
    assert found.best <= found.seconds * 1.000001
    assert found.seconds <= found.worst * 1.000001
    if found.phases:
        assert found.phases[0].begins == 0


@given(WORKLOADS, NODES, TECHNIQUES)
def test_a_warm_node_is_never_slower_than_a_new_one(workload: Workload, node: Node, techniques: Techniques) -> None:
    downloads = dataclasses.replace(techniques, fetch=Fetch.HYDRATE, new_node=True, overlap=False)
    warm = dataclasses.replace(downloads, fetch=Fetch.CACHED, pull=Pull.PRESENT, new_node=False)
    # An image or a model of a few bytes comes faster than a look at them takes.
    given_free = Assumed(given={"image.present": 0.0, "cache.hit": 0.0})
    assert start(workload, node, warm, given_free).seconds <= start(workload, node, downloads, given_free).seconds


@given(WORKLOADS, NODES, TECHNIQUES, SIZES)
def test_more_bytes_never_take_less(workload: Workload, node: Node, techniques: Techniques, more: int) -> None:
    model = dataclasses.replace(workload, model=workload.model + more)
    assert start(model, node, techniques).seconds >= start(workload, node, techniques).seconds * 0.999999


def test_swings_are_of_the_figures_that_count() -> None:
    found = swings(VLLM, G6, Techniques(nvme=True))
    assert found[0].name == "engine.compile"
    assert {"pull.containerd", "reader.safetensors", "download.engine", "node.boot"} < {each.name for each in found}
    assert {"hydrate.cpu", "volume.lustre.mapped"}.isdisjoint(each.name for each in found)
    assert [each.worst - each.best for each in found] == sorted(
        (each.worst - each.best for each in found), reverse=True
    )
    assert all(each.name in figures() for each in found)


def test_assumptions_hold_at_both_ends() -> None:
    pinned = Assumed(given={"node.boot": 10.0, "node.provision": 0.0})
    techniques = Techniques(Pull.PRESENT, Fetch.NONE, Engine.NONE)
    found = start(VLLM, G6, techniques, pinned)
    assert (found.best, found.seconds, found.worst) == (10.5, 12.0, 15.0)
    assert start(VLLM, G6, techniques, Assumed(Case.SLOW)).seconds == found.worst + 65  # 65 s and 10 s, not 10 s
