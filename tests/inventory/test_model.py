from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from webhook.inventory import nodeset
from webhook.inventory.candidates import Candidates, Demand
from webhook.inventory.model import EMPTY, Artifact, Inventory, NodeRoom
from webhook.kube import names

GPU, TPU = "nvidia.com/gpu", "google.com/tpu"
NODES = (
    NodeRoom("a", {GPU: (8, 2)}),
    NodeRoom("b", {GPU: (8, 0)}),
    NodeRoom("c", {GPU: (0, 0), TPU: (4, 4)}),
    NodeRoom("d", {TPU: (4, 0), "gpu.amd.com": (8, 8)}),
)
IMAGE = Artifact("image", "docker.io/library/x:1", "", 10, "image-label", 0b1011, unlabelled=0b0010)
MODEL = Artifact("model", "s3://b/p/", "team", 10, names.model_label("s3://b/p/", "team"), 0b10)
SHARED = Artifact("model", "s3://b/p/", "", 10, names.model_label("s3://b/p/", ""), 0b100)
RESTORED = Artifact("model", "", "", 0, names.model_label("s3://b/old/", "team"), 0b1000)
INVENTORY = Inventory(id="i", time=100.0, nodes=NODES, artifacts=(IMAGE, MODEL, SHARED, RESTORED))


_json = msgspec.json.encode


def demand(**amounts: int) -> Demand:
    return Demand(amounts, {}, [], [])


@pytest.mark.parametrize(
    ("amounts", "able", "roomy"),
    [
        pytest.param({GPU: 1}, 0b0011, 0b0001, id="one resource"),
        pytest.param({GPU: 3}, 0b0011, 0, id="more than is free"),
        pytest.param({GPU: 9}, 0, 0, id="more than there is"),
        pytest.param({TPU: 1}, 0b1100, 0b0100, id="another"),
        pytest.param({GPU: 1, TPU: 1}, 0, 0, id="both on no node"),
        pytest.param({"amd.com/gpu": 1}, 0, 0, id="one that no node has"),
        pytest.param({"gpu.nvidia.com": 1}, 0b1111, 0b1111, id="a device class that no node publishes"),
        pytest.param({"gpu.amd.com": 1}, 0b1000, 0b1000, id="a device class that a node publishes"),
        pytest.param({}, 0b1111, 0b1111, id="none"),
    ],
)
def test_candidates_by_amount(amounts: dict[str, int], able: int, roomy: int) -> None:
    assert INVENTORY.candidates(demand(**amounts)) == Candidates(able, roomy)


def test_artifacts_are_found_by_kind_name_and_tenant() -> None:
    assert INVENTORY.image("docker.io/library/x:1") is IMAGE
    assert INVENTORY.image("s3://b/p/") is None
    assert INVENTORY.model("s3://b/p/", "team") is MODEL
    assert INVENTORY.model("s3://b/p", "team") is MODEL
    assert INVENTORY.model("s3://b/p/", "") is SHARED
    assert INVENTORY.model("s3://b/p/", "other") is None


def test_a_model_without_a_name_is_found_by_its_label() -> None:
    assert INVENTORY.model("s3://b/old", "team") is RESTORED
    assert INVENTORY.model("s3://b/old/", "") is None
    assert INVENTORY.warm_nodes("") == 0
    assert INVENTORY.image("") is None


def test_an_artifact_tells_its_nodes_and_those_that_say_so() -> None:
    assert IMAGE.nodes == (0, 1, 3)
    assert IMAGE.labelled == 0b1001


def test_warm_nodes_counts_each_node_once_whoever_may_use_it_and_labelled_or_not() -> None:
    assert INVENTORY.warm_nodes("s3://b/p/") == 2
    assert INVENTORY.warm_nodes("s3://b/p") == 2
    assert INVENTORY.warm_nodes("docker.io/library/x:1") == 3
    assert INVENTORY.warm_nodes("nothing") == 0


def test_questions_that_strangers_ask_are_not_hoarded() -> None:
    inventory = Inventory(nodes=NODES, artifacts=(IMAGE,))
    for index in range(5000):
        assert inventory.warm_nodes(f"s3://b/{index}/") == 0
    for index in range(1500):
        assert inventory.candidates(demand(**{f"example.com/{index}": 1})) == Candidates(0, 0)
    assert len(inventory._warm) <= 4096
    assert len(inventory._candidates) <= 1024
    long = Demand({GPU: 1}, {}, [], [{"operator": "Exists", "key": "x" * 100_000}])
    assert inventory.candidates(long) == Candidates(0b0011, 0b0001)
    assert long not in inventory._candidates


def test_the_same_inventory_at_another_time_shares_what_was_worked_out() -> None:
    INVENTORY.candidates(demand(**{GPU: 1}))
    later = INVENTORY.again("j", 160.0)
    assert (later.id, later.time, INVENTORY.time) == ("j", 160.0, 100.0)
    assert later.artifacts is INVENTORY.artifacts
    assert later.columns is INVENTORY.columns


def test_age_is_counted_from_a_time_that_is_given() -> None:
    assert INVENTORY.age(130.0) == 30.0
    assert INVENTORY.age(90.0) == -10.0


def test_empty_knows_nothing() -> None:
    assert EMPTY.candidates(demand(**{GPU: 1})) == Candidates(0, 0)
    assert EMPTY.image("docker.io/library/x:1") is None
    assert EMPTY.warm_nodes("x") == 0


@given(st.sets(st.integers(0, 700)))
def test_a_set_of_nodes_is_what_it_was_made_of(indexes: set[int]) -> None:
    mask = nodeset.mask(indexes)
    assert mask == sum(1 << index for index in indexes)
    assert nodeset.indexes(mask) == tuple(sorted(indexes))
    spelt = nodeset.dump(mask)
    assert nodeset.load(spelt, 701) == mask
    assert nodeset.load(sorted(indexes, reverse=True), 701) == mask
    assert nodeset.load(f"{mask:x}", 701) == mask
    assert len(_json(spelt)) == min(len(_json(sorted(indexes))), len(_json(f"{mask:x}")) if mask else 2)


@pytest.mark.parametrize(
    ("mask", "spelt"),
    [(0, []), (1 << 14_000, [14_000]), (nodeset.all_of(16), "ffff"), (0b101, "5")],
    ids=["none", "one of many", "all", "short"],
)
def test_a_set_is_spelt_the_shorter_way(mask: int, spelt: nodeset.NodeSet) -> None:
    assert nodeset.dump(mask) == spelt


@pytest.mark.parametrize(
    ("spelt", "reason"),
    [
        ([3], "names node 3, there are 3 nodes"),
        ([-1, 0], "names node -1"),
        ([1, 0, 1], "names a node twice"),
        ("8", "names node 3, there are 3 nodes"),
        ("", "not hexadecimal"),
        ("0x1", "not hexadecimal"),
        ("1_1", "not hexadecimal"),
        ("-1", "not hexadecimal"),
        ("F", "not hexadecimal"),
        ("0" * 1000, "a mask of 1000 digits"),
        ("f" * 10_000_000, "a mask of 10000000 digits"),
    ],
    ids=str.split("beyond negative twice mask-beyond empty prefix underscore minus capital padded huge"),
)
def test_what_is_no_set_of_these_nodes_is_refused(spelt: nodeset.NodeSet, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        nodeset.load(spelt, 3)
    with pytest.raises(ValueError, match=reason):
        nodeset.check(spelt, 3)


def test_a_negative_index_is_no_node() -> None:
    with pytest.raises(ValueError, match="-1"):
        nodeset.mask([4, -1])


def test_a_column_makes_sets_when_they_are_asked_for() -> None:
    column = nodeset.Column({"a": [0, 2], "b": "2"})
    assert dict(column) == {"a": 0b101, "b": 0b10}
    assert (len(column), column.get("c", 0), "a" in column) == (2, 0, True)
