"""The laws of the node-selector algebra, and Kubernetes' semantics of single terms."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from webhook.kube import Object, affinity

NAMES = st.sampled_from(["n1", "n2"])
LABELS = st.dictionaries(st.sampled_from("xyz"), st.sampled_from(["1", "2", "-5", "warm", ""]), max_size=3)
REQUIREMENTS = st.fixed_dictionaries(
    {
        "key": st.sampled_from("xyz"),
        "operator": st.sampled_from(["In", "NotIn", "Exists", "DoesNotExist", "Gt", "Lt", "Near"]),
    },
    optional={"values": st.lists(st.sampled_from(["1", "2", "-5", "warm"]), max_size=2)},
)
FIELDS = st.fixed_dictionaries(
    {
        "key": st.just("metadata.name"),
        "operator": st.sampled_from(["In", "NotIn"]),
        "values": st.lists(NAMES, max_size=2),
    }
)
ODD: st.SearchStrategy[Any] = st.sampled_from([None, [], {}, "x", 7, [None], ["x"]])
TERMS = st.fixed_dictionaries(
    {},
    optional={
        "matchExpressions": st.lists(REQUIREMENTS, max_size=2) | ODD,
        "matchFields": st.lists(FIELDS, max_size=2) | ODD,
    },
)
REQUIRED = st.none() | ODD | st.fixed_dictionaries({"nodeSelectorTerms": st.lists(TERMS | ODD, max_size=3) | ODD})
WARM = {"key": "x", "operator": "In", "values": ["warm"]}


def requiring(required: Any) -> Object:
    node = {"requiredDuringSchedulingIgnoredDuringExecution": required}
    return {"metadata": {"name": "p"}, "spec": {"affinity": {"podAffinity": {}, "nodeAffinity": node}}}


@given(REQUIRED, REQUIREMENTS, LABELS, NAMES)
@example({"nodeSelectorTerms": [{}]}, WARM, {"x": "warm"}, "n1")
@example({"nodeSelectorTerms": []}, WARM, {"x": "warm"}, "n1")
@example(
    {"nodeSelectorTerms": [{"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["n1"]}]}]},
    WARM,
    {},
    "n1",
)
def test_to_require_is_to_narrow_by_exactly_that(
    required: Any, wanted: Object, labels: dict[str, str], name: str
) -> None:
    pod = requiring(required)
    before = copy.deepcopy(pod)
    result = affinity.require(pod, wanted)
    assert affinity.selects(affinity.required_terms(result), labels, name) == (
        affinity.selects(affinity.required_terms(pod), labels, name) and affinity.holds(wanted, labels)
    )
    assert affinity.require(result, wanted) is result
    assert pod == before


@given(REQUIRED, REQUIREMENTS, st.integers(1, 100))
def test_to_prefer_changes_nothing_of_what_is_required(required: Any, wanted: Object, weight: int) -> None:
    pod = requiring(required)
    before = copy.deepcopy(pod)
    result = affinity.prefer(pod, wanted, weight)
    assert affinity.required_terms(result) == affinity.required_terms(pod)
    assert affinity.prefer(result, wanted, weight % 100 + 1) is result
    assert pod == before


@pytest.mark.parametrize(
    "spec",
    [
        {},
        {"affinity": None},
        {"affinity": {}},
        {"affinity": {"nodeAffinity": None}},
        {"affinity": {"nodeAffinity": {}}},
    ],
    ids=str,
)
def test_a_pod_that_requires_nothing_gets_its_first_term(spec: Object) -> None:
    pod = {"spec": spec}
    assert affinity.required_terms(pod) == []
    assert affinity.selects([], {}, "any")
    assert affinity.required_terms(affinity.require(pod, WARM)) == [{"matchExpressions": [WARM]}]
    node = affinity.prefer(pod, WARM, 40)["spec"]["affinity"]["nodeAffinity"]
    assert node == {
        "preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 40, "preference": {"matchExpressions": [WARM]}}]
    }


@pytest.mark.parametrize(
    "pod",
    [{}, {"spec": None}, {"spec": []}, {"spec": {"affinity": "x"}}, {"spec": {"affinity": {"nodeAffinity": 7}}}],
    ids=str,
)
def test_a_malformed_pod_comes_back_as_it_is(pod: Object) -> None:
    assert affinity.require(pod, WARM) is pod
    assert affinity.prefer(pod, WARM, 1) is pod


def test_every_term_is_narrowed_and_an_empty_one_stays_empty() -> None:
    zone = {"key": "zone", "operator": "In", "values": ["a"]}
    fields = [{"key": "metadata.name", "operator": "In", "values": ["n1"]}]
    terms = [
        {"matchExpressions": [zone]},
        {},
        {"matchFields": fields},
        {"matchExpressions": [WARM]},
        {"matchExpressions": []},
    ]
    assert affinity.required_terms(affinity.require(requiring({"nodeSelectorTerms": terms}), WARM)) == [
        {"matchExpressions": [zone, WARM]},
        {},
        {"matchFields": fields, "matchExpressions": [WARM]},
        {"matchExpressions": [WARM]},
        {"matchExpressions": []},
    ]


def test_the_rest_of_the_affinity_survives() -> None:
    pod = requiring({"nodeSelectorTerms": [{"matchExpressions": [WARM]}], "unknown": 1})
    pod["spec"]["unknown"] = {"deep": [1]}
    result = affinity.prefer(affinity.require(pod, {"key": "y", "operator": "Exists"}), WARM, 9)
    assert result["spec"]["unknown"] is pod["spec"]["unknown"]
    assert result["spec"]["affinity"]["podAffinity"] == {}
    assert result["spec"]["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]["unknown"] == 1


@pytest.mark.parametrize(
    ("operator", "values", "label", "expected"),
    [
        ("In", ["a", "b"], "b", True),
        ("In", ["a"], "b", False),
        ("In", ["a"], None, False),
        ("In", [], "a", False),
        ("NotIn", ["a"], "b", True),
        ("NotIn", ["a"], "a", False),
        ("NotIn", ["a"], None, True),
        ("NotIn", [], "a", False),
        ("Exists", [], "", True),
        ("Exists", None, None, False),
        ("Exists", ["a"], "a", False),
        ("DoesNotExist", None, None, True),
        ("DoesNotExist", [], "a", False),
        ("DoesNotExist", ["a"], None, False),
        ("Gt", ["5"], "6", True),
        ("Gt", ["5"], "5", False),
        ("Gt", ["-6"], "-5", True),
        ("Gt", ["5"], None, False),
        ("Gt", ["5"], "6.5", False),
        ("Gt", ["5"], " 6", False),
        ("Gt", ["5"], "1_0", False),
        ("Gt", ["5"], "٦", False),
        ("Gt", ["5"], "+6", True),
        ("Gt", ["5"], "9223372036854775807", True),
        ("Gt", ["5"], "9223372036854775808", False),
        ("Gt", ["5"], "9" * 5000, False),
        ("Gt", ["x"], "6", False),
        ("Gt", ["1", "2"], "6", False),
        ("Lt", ["5"], "4", True),
        ("Lt", ["5"], "5", False),
        ("Around", ["5"], "5", False),
        ("In", "abc", "a", False),
    ],
)
def test_one_requirement(operator: str, values: Any, label: str | None, expected: bool) -> None:
    labels = {} if label is None else {"k": label}
    assert affinity.holds({"key": "k", "operator": operator, "values": values}, labels) is expected


@pytest.mark.parametrize(
    ("requirement", "expected"),
    [
        ({"key": "metadata.name", "operator": "In", "values": ["n1"]}, True),
        ({"key": "metadata.name", "operator": "In", "values": ["n2"]}, False),
        ({"key": "metadata.name", "operator": "In", "values": ["n1", "n2"]}, False),
        ({"key": "metadata.name", "operator": "NotIn", "values": ["n2"]}, True),
        ({"key": "metadata.name", "operator": "NotIn", "values": ["n1"]}, False),
        ({"key": "metadata.name", "operator": "Exists", "values": ["n1"]}, False),
        ({"key": "metadata.uid", "operator": "In", "values": ["n1"]}, False),
        ("metadata.name", False),
    ],
    ids=str,
)
def test_match_fields_know_the_name_of_the_node(requirement: Any, expected: bool) -> None:
    assert affinity.selects([{"matchFields": [requirement]}], {}, "n1") is expected


def test_terms_are_ored_and_requirements_anded() -> None:
    a, b = ({"key": key, "operator": "Exists"} for key in "ab")
    assert affinity.selects([{"matchExpressions": [a, b]}, {"matchExpressions": [b]}], {"b": ""})
    assert not affinity.selects([{"matchExpressions": [a, b]}], {"b": ""})
