from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests import builders
from webhook.kube import Object, names
from webhook.mutate import node_affinity
from webhook.mutate.node_affinity import Wish


@pytest.mark.parametrize(
    ("savings", "expected"),
    [
        ([], []),
        ([7.0], [100]),
        ([128.0, 40.0], [100, 31]),
        ([1000.0, 0.001], [100, 1]),
        ([0.0, 0.0], [1, 1]),
        ([5.0, 5.0], [100, 100]),
    ],
)
def test_weights(savings: list[float], expected: list[int]) -> None:
    assert node_affinity.weights_of(savings) == expected


@given(st.lists(st.floats(0, 1e12), max_size=5))
def test_weights_are_legal_and_in_order(savings: list[float]) -> None:
    found = node_affinity.weights_of(savings)
    assert all(1 <= weight <= 100 for weight in found)
    assert [w for _, w in sorted(zip(savings, found, strict=True))] == sorted(found)


def test_a_preference_is_added_once() -> None:
    wish = Wish("warmpod.node-restriction.kubernetes.io/image-x", 3.0)
    once = node_affinity.prefer(builders.pod(), [wish])
    assert once["spec"]["affinity"]["nodeAffinity"] == {
        "preferredDuringSchedulingIgnoredDuringExecution": [
            {
                "weight": 100,
                "preference": {"matchExpressions": [{"key": wish.label, "operator": "In", "values": ["warm"]}]},
            }
        ]
    }
    assert node_affinity.prefer(once, [wish]) is once
    assert node_affinity.preferred_labels(once) == [wish.label]


@pytest.mark.parametrize(
    "affinity",
    [
        None,
        [],
        {},
        {"nodeAffinity": None},
        {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": {}}},
        {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [None, {}, {"preference": []}]}},
        {
            "nodeAffinity": {
                "preferredDuringSchedulingIgnoredDuringExecution": [
                    {"preference": {"matchExpressions": [{"key": 5}, {"key": "zone"}, "x"]}}
                ]
            }
        },
    ],
)
def test_terms_of_others_are_not_ours(affinity: object) -> None:
    assert node_affinity.preferred_labels(builders.edited(builders.pod(), affinity=affinity)) == []


def test_ours_are_counted_wherever_they_come_from() -> None:
    expression = {"key": f"{names.NODE_LABEL_PREFIX}model-x", "operator": "Exists"}
    terms = [{"weight": 1, "preference": {"matchExpressions": [expression]}}]
    affinity = {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": terms}}
    assert node_affinity.preferred_labels(builders.edited(builders.pod(), affinity=affinity)) == [expression["key"]]


NAME, ID = "topology.kubernetes.io/zone", "topology.k8s.aws/zone-id"


def _expression(key: str, *values: str, operator: str = "In") -> Object:
    return {"key": key, "operator": operator, "values": list(values)}


def _placed(preferred: list[Object] | None = None, required: list[Object] | None = None) -> Object:
    node: Object = {}
    if preferred is not None:
        terms = [{"weight": 1, "preference": one} for one in preferred]
        node["preferredDuringSchedulingIgnoredDuringExecution"] = terms
    if required is not None:
        node["requiredDuringSchedulingIgnoredDuringExecution"] = {"nodeSelectorTerms": required}
    return builders.edited(builders.pod(), affinity={"nodeAffinity": node})


@pytest.mark.parametrize(
    ("expressions", "more", "found"),
    [
        ([_expression(NAME, "a")], {}, [(NAME, "a")]),
        ([_expression(ID, "use1-az4")], {}, [(ID, "use1-az4")]),
        ([_expression(NAME, "a", "b")], {}, []),
        ([_expression(NAME, "a", operator="NotIn")], {}, []),
        ([_expression(NAME, "a"), _expression("gpu", "h100")], {}, []),
        ([_expression(NAME, "a")], {"matchFields": [_expression("metadata.name", "n")]}, []),
        ([_expression("zone", "a")], {}, []),
        ([{"key": NAME, "operator": "In", "values": [7]}], {}, []),
        ([{"key": ["x"], "operator": "In", "values": ["a"]}], {}, []),
        (["x"], {}, []),
    ],
    ids=["name", "id", "two", "not in", "and more", "and a node", "another label", "number", "odd key", "text"],
)
def test_a_preferred_zone_is_one_zone_and_nothing_else(expressions: Any, more: Object, found: Any) -> None:
    assert node_affinity.preferred_zones(_placed([{"matchExpressions": expressions, **more}])) == found


def test_a_required_zone_is_in_every_term() -> None:
    a, b = _expression(NAME, "a"), _expression(NAME, "b")
    both = _placed(required=[{"matchExpressions": [a, b]}, {"matchExpressions": [a]}])
    assert node_affinity.required_zones(both) == [(NAME, "a")]
    assert node_affinity.required_zones(_placed(required=[{"matchExpressions": [a]}, {}])) == []
    assert node_affinity.required_zones(builders.pod()) == []
    assert node_affinity.zones_gained(builders.pod(), both) == [(NAME, "a")]
    assert node_affinity.zones_gained(both, both) == []
