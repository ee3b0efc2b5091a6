from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webhook.inventory.model import EMPTY, Artifact, Inventory, NodeRoom

GPU, TPU = "nvidia.com/gpu", "google.com/tpu"
NODES = (
    NodeRoom("a", {GPU: (8, 2)}),
    NodeRoom("b", {GPU: (8, 0)}),
    NodeRoom("c", {GPU: (0, 0), TPU: (4, 4)}),
    NodeRoom("d", {TPU: (4, 0)}),
)
IMAGE = Artifact("image", "docker.io/library/x:1", "", 10, "label", (0, 1, 3))
MODEL = Artifact("model", "s3://b/p/", "team", 10, "label", (1,))
SHARED = Artifact("model", "s3://b/p/", "", 10, "label", (2,))
INVENTORY = Inventory(id="i", time=100.0, nodes=NODES, artifacts=(IMAGE, MODEL, SHARED))


@pytest.mark.parametrize(
    ("resources", "candidates", "warm", "roomy"),
    [
        pytest.param({GPU}, 2, 2, 1, id="one resource"),
        pytest.param({TPU}, 2, 1, 0, id="another"),
        pytest.param({GPU, TPU}, 0, 0, 0, id="both on no node"),
        pytest.param({"amd.com/gpu"}, 0, 0, 0, id="one that no node has"),
        pytest.param({"gpu.nvidia.com"}, 4, 3, 3, id="a device class rules out no node"),
        pytest.param(set(), 4, 3, 3, id="none"),
    ],
)
def test_counts(resources: set[str], candidates: int, warm: int, roomy: int) -> None:
    wanted = frozenset(resources)
    assert INVENTORY.candidates(wanted) == candidates
    assert INVENTORY.warm(IMAGE, wanted) == warm
    assert INVENTORY.roomy(IMAGE, wanted) == roomy


def test_artifacts_are_found_by_kind_name_and_tenant() -> None:
    assert INVENTORY.image("docker.io/library/x:1") is IMAGE
    assert INVENTORY.image("s3://b/p/") is None
    assert INVENTORY.model("s3://b/p/", "team") is MODEL
    assert INVENTORY.model("s3://b/p", "team") is MODEL
    assert INVENTORY.model("s3://b/p/", "") is SHARED
    assert INVENTORY.model("s3://b/p/", "other") is None


def test_warm_nodes_counts_each_node_once_whoever_may_use_it() -> None:
    assert INVENTORY.warm_nodes("s3://b/p/") == 2
    assert INVENTORY.warm_nodes("s3://b/p") == 2
    assert INVENTORY.warm_nodes("docker.io/library/x:1") == 3
    assert INVENTORY.warm_nodes("nothing") == 0


def test_questions_that_strangers_ask_are_not_hoarded() -> None:
    inventory = Inventory(nodes=NODES, artifacts=(IMAGE,))
    for index in range(5000):
        assert inventory.warm_nodes(f"s3://b/{index}/") == 0
    for index in range(1500):
        assert inventory.candidates(frozenset({f"example.com/{index}"})) == 0
    assert len(inventory._warm) <= 4096
    assert len(inventory._candidates) <= 1024


def test_age_is_counted_from_a_time_that_is_given() -> None:
    assert INVENTORY.age(130.0) == 30.0
    assert INVENTORY.age(90.0) == -10.0


def test_empty_knows_nothing() -> None:
    assert EMPTY.candidates(frozenset({GPU})) == 0
    assert EMPTY.image("docker.io/library/x:1") is None
    assert EMPTY.warm_nodes("x") == 0


@given(st.sets(st.integers(0, 300)), st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2)), max_size=301))
def test_counting_by_masks_is_counting(held: set[int], rooms: list[tuple[int, int]]) -> None:
    held = {index for index in held if index < len(rooms)}
    artifact = Artifact("image", "x", "", 1, "l", tuple(sorted(held)))
    inventory = Inventory(nodes=[NodeRoom(str(i), {GPU: room}) for i, room in enumerate(rooms)], artifacts=[artifact])
    wanted = frozenset({GPU})
    assert inventory.candidates(wanted) == sum(able > 0 for able, _ in rooms)
    assert inventory.warm(artifact, wanted) == sum(rooms[index][0] > 0 for index in held)
    assert inventory.roomy(artifact, wanted) == sum(rooms[i][0] > 0 and rooms[i][1] > 0 for i in held)
