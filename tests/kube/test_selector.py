from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webhook.kube.selector import InvalidSelector, LabelSelector

LABELS = {"tier": "serving", "team": "a", "empty": ""}


def expressions(operator: str, *values: str, key: str = "tier") -> dict[str, Any]:
    return {"matchExpressions": [{"key": key, "operator": operator, **({"values": list(values)} if values else {})}]}


@pytest.mark.parametrize(
    ("selector", "expected"),
    [
        ({}, True),
        ({"matchLabels": None, "matchExpressions": None}, True),
        ({"matchLabels": {"tier": "serving"}}, True),
        ({"matchLabels": {"tier": "serving", "team": "b"}}, False),
        ({"matchLabels": {"empty": ""}}, True),
        ({"matchLabels": {"none": ""}}, False),
        (expressions("In", "batch", "serving"), True),
        (expressions("In", "batch"), False),
        (expressions("In", "x", key="none"), False),
        (expressions("NotIn", "batch"), True),
        (expressions("NotIn", "serving"), False),
        (expressions("NotIn", "x", key="none"), True),
        (expressions("Exists", key="empty"), True),
        (expressions("Exists", key="none"), False),
        (expressions("DoesNotExist", key="none"), True),
        (expressions("DoesNotExist", key="empty"), False),
        ({"matchLabels": {"tier": "serving"}, **expressions("DoesNotExist", key="team")}, False),
    ],
    ids=str,
)
def test_matches(selector: Any, expected: bool) -> None:
    assert LabelSelector.parse(selector).matches(LABELS) is expected


@pytest.mark.parametrize(
    ("selector", "path", "words"),
    [
        (None, "", "this is null"),
        ([], "", "this is a list"),
        ({"matchLabel": {}}, "matchLabel", "unknown field"),
        ({"matchLabels": []}, "matchLabels", "this is a list"),
        ({"matchLabels": {"a": 1}}, "matchLabels[a]", "quote it"),
        ({"matchLabels": {"a": True}}, "matchLabels[a]", "quote it"),
        ({"matchLabels": {"": "a"}}, "matchLabels", "a label key is text"),
        ({"matchLabels": {1: "a"}}, "matchLabels", "a label key is text"),
        ({"matchExpressions": {}}, "matchExpressions", "a list is expected"),
        ({"matchExpressions": ["x"]}, "matchExpressions[0]", "an object"),
        (
            {"matchExpressions": [{"key": "a", "operator": "Exists", "value": 1}]},
            "matchExpressions[0].value",
            "unknown field",
        ),
        ({"matchExpressions": [{"operator": "Exists"}]}, "matchExpressions[0].key", "required"),
        ({"matchExpressions": [{"key": "a", "operator": "Gt"}]}, "matchExpressions[0].operator", "this is 'Gt'"),
        ({"matchExpressions": [{"key": "a", "operator": []}]}, "matchExpressions[0].operator", "this is []"),
        ({"matchExpressions": [{"key": "a", "operator": "In"}]}, "matchExpressions[0].values", "at least one"),
        ({"matchExpressions": [{"key": "a", "operator": "In", "values": "x"}]}, "matchExpressions[0].values", "a list"),
        ({"matchExpressions": [{"key": "a", "operator": "In", "values": [1]}]}, "matchExpressions[0].values", "text"),
        (
            {"matchExpressions": [{"key": "a", "operator": "Exists", "values": ["x"]}]},
            "matchExpressions[0].values",
            "no values",
        ),
    ],
    ids=str,
)
def test_what_the_api_would_refuse_says_where(selector: Any, path: str, words: str) -> None:
    with pytest.raises(InvalidSelector) as caught:
        LabelSelector.parse(selector)
    assert caught.value.path == path
    assert words in caught.value.reason
    assert str(caught.value) == (f"{path}: {caught.value.reason}" if path else caught.value.reason)


@given(
    st.sampled_from("ab"),
    st.lists(st.sampled_from("xyz"), min_size=1),
    st.dictionaries(st.sampled_from("ab"), st.sampled_from("xyz")),
)
def test_an_operator_and_its_opposite_divide_all_objects(key: str, values: list[str], labels: dict[str, str]) -> None:
    def matches(operator: str, *values: str) -> bool:
        return LabelSelector.parse(expressions(operator, *values, key=key)).matches(labels)

    assert matches("In", *values) != matches("NotIn", *values)
    assert matches("Exists") != matches("DoesNotExist")
