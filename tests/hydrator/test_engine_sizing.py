"""How a plan is cut and how many work at it: the laws, and the table of the research."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.hydrator.engine_place import MIB
from webhook.hydrator.engine import cgroup
from webhook.hydrator.engine.parts import PART, SHORT_FILE, SHORT_PART, SMALL, Parts, in_order
from webhook.hydrator.engine.sizing import Sizing, fits_page_cache, size
from webhook.hydrator.plan import File, Plan

GIB = 1 << 30
lengths = (
    st.sampled_from([0, 1, SMALL - 1, SMALL, SMALL + 1, SHORT_FILE - 1, SHORT_FILE, SHORT_FILE + 1, 5 * GIB])
    | st.integers(0, 2 * SMALL)
    | st.integers(0, 3 * GIB)
)


def plan_of(sizes: list[int]) -> Plan:
    return Plan("s3://b/m/", tuple(File(f"{index:04}", length, "e", "n") for index, length in enumerate(sizes)))


@given(st.lists(lengths, min_size=1, max_size=12))
def test_parts_cover_every_byte_once(sizes: list[int]) -> None:
    parts = Parts(plan_of(sizes))
    numbers = [number for index in range(len(sizes)) for number in parts.of(index)]
    assert numbers == list(range(len(parts)))
    for index, length in enumerate(sizes):
        end = 0
        for number in parts.of(index):
            part = parts[number]
            assert (part.file, part.offset) == (index, end)
            assert part.length <= (SHORT_PART if length < SHORT_FILE else PART)
            assert part.length or not length
            end += part.length
        assert end == length
        assert len(parts.of(index)) == 1 or length > SMALL


@given(st.lists(lengths, min_size=1, max_size=12), st.integers(1, 16), st.data())
def test_every_missing_part_has_its_turn_once_and_large_files_come_first(
    sizes: list[int], side_by_side: int, data: st.DataObject
) -> None:
    parts = Parts(plan_of(sizes))
    done = data.draw(st.sets(st.integers(0, len(parts) - 1), max_size=10))
    order = list(in_order(parts, done, side_by_side))
    assert sorted(order) == sorted(set(range(len(parts))) - done)
    small = [sizes[parts[number].file] < SMALL for number in order]
    assert small == sorted(small)
    for index in range(len(sizes)):
        own = [number for number in order if parts[number].file == index]
        assert own == sorted(own)


@pytest.mark.parametrize(
    ("gigabits", "cpus", "expected"),
    [
        (25, 8, Sizing(5, 8)),
        (50, 16, Sizing(10, 8)),
        (100, 32, Sizing(20, 8)),
        (200, 64, Sizing(39, 8)),
        (400, 96, Sizing(77, 8)),
        (100, 4, Sizing(6, 10)),  # the CPUs are the bound
        (100, 0.5, Sizing(1, 10)),
        (None, 2, Sizing(3, 8)),
        (None, 1, Sizing(1, 10)),
    ],
)
def test_the_table_of_network_cards(gigabits: int | None, cpus: float, expected: Sizing) -> None:
    bandwidth = gigabits and gigabits * 125e6
    assert size(bandwidth=bandwidth, cpus=cpus, memory=None, files=100, bytes=200 * GIB) == expected


@given(
    bandwidth=st.none() | st.floats(1, 1e12),
    cpus=st.floats(0.01, 256),
    memory=st.none() | st.integers(0, 1 << 40),
    files=st.integers(1, 500_000),
    length=st.integers(0, 1 << 44),
)
def test_it_is_never_nothing_and_never_more_than_there_is_memory_for(
    bandwidth: float | None, cpus: float, memory: int | None, files: int, length: int
) -> None:
    found = size(bandwidth=bandwidth, cpus=cpus, memory=memory, files=files, bytes=length)
    assert 1 <= found.processes <= max(1, 1.5 * cpus)
    assert 1 <= found.connections <= 10
    if memory is not None and found != Sizing(1, 1):
        assert found.processes * (32 * MIB + found.connections * MIB) <= memory / 2


def test_a_small_model_is_not_worth_many_processes() -> None:
    assert size(bandwidth=1e10, cpus=64, memory=None, files=1, bytes=5) == Sizing(1, 1)
    assert size(bandwidth=1e10, cpus=64, memory=None, files=10_000, bytes=10_000_000).processes > 8


def machine(root: Path, files: dict[str, str]) -> str:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return f"{root}/"


V2 = "0::/kubepods/pod1/c1\n"
V1 = "5:cpu,cpuacct:/kubepods/pod1\n4:memory:/kubepods/pod1\n1:name=systemd:/\n"
FREE = {"proc/meminfo": "MemTotal: 99 kB\nMemAvailable:   8388608 kB\n"}


@pytest.mark.parametrize(
    ("files", "cpus"),
    [
        ({}, None),
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "50000 100000\n"}, 0.5),
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "max 100000\n"}, None),
        (
            {
                "proc/self/cgroup": V2,
                "sys/fs/cgroup/kubepods/pod1/c1/cpu.max": "max 100000\n",
                "sys/fs/cgroup/kubepods/pod1/cpu.max": "25000 100000\n",
            },
            0.25,
        ),
        ({"proc/self/cgroup": "0::/../../host/path\n", "sys/fs/cgroup/cpu.max": "10000 100000"}, 0.1),
        (
            {
                "proc/self/cgroup": V1,
                "sys/fs/cgroup/cpu/kubepods/pod1/cpu.cfs_quota_us": "30000\n",
                "sys/fs/cgroup/cpu/kubepods/pod1/cpu.cfs_period_us": "100000\n",
            },
            0.3,
        ),
        (
            {
                "proc/self/cgroup": V1,
                "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1\n",
                "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
            },
            None,
        ),
        ({"proc/self/cgroup": "garbage\n\0:::\n", "sys/fs/cgroup/cpu.max": "\xff"}, None),
    ],
    ids=["none", "v2", "v2-max", "v2-above", "v2-host-path", "v1", "v1-unlimited", "garbage"],
)
def test_cpus_of_a_container(tmp_path: Path, files: dict[str, str], cpus: float | None) -> None:
    assert cgroup.cpus(machine(tmp_path, files)) == (cpus or len(os.sched_getaffinity(0)))


@pytest.mark.parametrize(
    ("files", "memory"),
    [
        ({}, None),
        (FREE, 8 * GIB),
        (
            {
                **FREE,
                "proc/self/cgroup": "0::/\n",
                "sys/fs/cgroup/memory.max": f"{GIB}\n",
                "sys/fs/cgroup/memory.current": f"{600 * MIB}\n",
                "sys/fs/cgroup/memory.stat": f"anon 5\ninactive_file {500 * MIB}\n",
            },
            GIB - 100 * MIB,
        ),
        (
            {
                **FREE,
                "proc/self/cgroup": "0::/\n",
                "sys/fs/cgroup/memory.max": "max",
                "sys/fs/cgroup/memory.current": "1",
            },
            8 * GIB,
        ),
        (
            {
                "proc/self/cgroup": V1,
                "sys/fs/cgroup/memory/kubepods/pod1/memory.limit_in_bytes": f"{GIB}",
                "sys/fs/cgroup/memory/kubepods/pod1/memory.usage_in_bytes": f"{2 * GIB}",
                "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712",
                "sys/fs/cgroup/memory/memory.usage_in_bytes": "1",
            },
            0,
        ),
    ],
    ids=["none", "machine", "v2", "v2-max", "v1-over"],
)
def test_memory_of_a_container(tmp_path: Path, files: dict[str, str], memory: int | None) -> None:
    assert cgroup.memory(machine(tmp_path, files)) == memory


def test_this_machine_answers() -> None:
    assert 0 < cgroup.cpus() <= len(os.sched_getaffinity(0))
    assert (cgroup.memory() or 0) > MIB


@pytest.mark.parametrize(
    ("bytes_", "memory", "fits"),
    [(GIB, 2 * GIB, True), (GIB + 1, 2 * GIB, False), (GIB, None, True), (0, 0, True), (1, 0, False)],
)
def test_what_stays_in_memory_leaves_half_of_it_free(bytes_: int, memory: int | None, fits: bool) -> None:
    assert fits_page_cache(bytes_, memory) is fits
