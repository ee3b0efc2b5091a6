"""EC2 instance types: what the data says, that it is sound, and which network class follows."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webhook.ec2.instances import CLASSES, Instance, instance, instances, network_class


@pytest.mark.parametrize(
    ("name", "s3", "expected"),
    [
        pytest.param("g5.xlarge", 2.5, 25, id="the baseline, not the burst"),
        pytest.param("g5.48xlarge", 100, 100, id="one card"),
        pytest.param("g6e.12xlarge", 100, 100, id="g6e.12xlarge"),
        pytest.param("g6e.48xlarge", 100, 100, id="EC2 gives the whole network for each card"),
        pytest.param("p4d.24xlarge", 100, 100, id="four cards"),
        pytest.param("p5.48xlarge", 100, 100, id="32 cards of EFA"),
        pytest.param("p5en.48xlarge", 200, 200, id="16 cards"),
        pytest.param("p6-b200.48xlarge", 200, 200, id="ENA is half of a card's EFA"),
        pytest.param("p6-b300.48xlarge", 350, 200, id="the first of 17 cards"),
        pytest.param("g7.2xlarge", 40, 25, id="EC2's figure is below Karpenter's"),
        pytest.param("g7e.48xlarge", 400, 400, id="400"),
    ],
)
def test_traffic_to_s3_leaves_by_one_card(name: str, s3: float, expected: int) -> None:
    found = instance(name)
    assert found is not None
    assert found.s3 == s3
    assert network_class(found.s3) == expected


def test_what_else_is_known_of_a_type() -> None:
    found = instance("p5.48xlarge")
    assert found is not None
    assert (found.disks, found.store, found.accelerators, found.vcpus) == (8, 30_400 * 10**9, 8, 192)
    assert (found.memory, found.accelerator_memory) == (2 * 2**40, 80 * 2**30)
    assert (found.network, found.cards, found.ebs) == (3200, 32, 80_000)


@pytest.mark.parametrize("name", ["", "m5.large", "p5", "P5.48xlarge"])
def test_others_are_not_known(name: str) -> None:
    assert instance(name) is None


@pytest.mark.parametrize("found", list(instances().values()), ids=list(instances()))
def test_every_row_is_sound(found: Instance) -> None:
    assert found.accelerator
    assert found.accelerators >= 1
    assert found.vcpus >= 2
    assert found.memory >= 4 * 2**30
    assert 0 < found.s3 <= found.card <= found.card_peak
    assert 0 < found.ebs <= found.ebs_peak
    assert found.store >= 10**9 * found.disks
    assert found.arch in {"amd64", "arm64"}


@given(st.floats(min_value=0, max_value=10_000))
def test_a_class_is_the_largest_not_above(gbps: float) -> None:
    found = network_class(gbps)
    assert found in CLASSES
    assert found <= gbps or found == CLASSES[0]
    assert not any(found < each <= gbps for each in CLASSES)


@pytest.mark.parametrize(("gbps", "expected"), [(0, 25), (-1, 25), (math.inf, 400), (49.999, 25), (50, 50)])
def test_classes_at_their_edges(gbps: float, expected: int) -> None:
    assert network_class(gbps) == expected
