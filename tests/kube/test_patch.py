"""The diff and the apply of RFC 6902, held against jsonpatch."""

from __future__ import annotations

import copy
import json
from typing import Any

import jsonpatch
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from webhook.kube import Object
from webhook.kube.patch import UnapplicablePatch, apply, diff, equal

KEYS = st.sampled_from(["a", "b", "name", "mountPath", "", "/", "~", "~1", "m~n/o", "0", "-", "é", "env"])
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-1, 2),
    st.sampled_from([0.0, 1.0, 0.5, 2**63]),
    st.sampled_from(["", "a", "1", "true"]),
)
JSON = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=12,
)
DOCUMENTS = st.dictionaries(KEYS, JSON, max_size=4)
# Lists whose entries have names, sometimes the same name twice: what containers, volumes, variables and mounts are.
ENTRIES = st.fixed_dictionaries({"name": st.sampled_from("abcd")}, optional={"value": SCALARS, "mountPath": KEYS})
NAMED = st.fixed_dictionaries(
    {}, optional={"env": st.lists(ENTRIES, max_size=5), "mounts": st.lists(ENTRIES, max_size=5)}
)


def exact(value: Any) -> str:
    """JSON text in which keys are sorted: equal texts mean equal JSON, types of numbers included."""
    return json.dumps(value, sort_keys=True)


def operations(before: Object, after: Object) -> list[tuple[str, str]]:
    return [(operation["op"], operation["path"]) for operation in diff(before, after)]


@pytest.mark.parametrize("documents", [DOCUMENTS, NAMED], ids=["any JSON", "named entries"])
def test_applying_the_diff_gives_the_wanted_document(documents: st.SearchStrategy[Object]) -> None:
    @given(documents, documents)
    @example({"a": [1]}, {"a": [True]})
    @example({"a": 1}, {"a": 1.0})
    @example({"a": {"b": 0}}, {"a": {"b": False}})
    @example({"a": None}, {})
    def law(before: Object, after: Object) -> None:
        frozen, wanted = copy.deepcopy(before), copy.deepcopy(after)
        found = diff(before, after)
        assert exact(apply(before, found)) == exact(after)
        assert exact(jsonpatch.apply_patch(before, found)) == exact(after)
        assert json.dumps(found) == json.dumps(diff(frozen, wanted))
        assert json.dumps([before, after]) == json.dumps([frozen, wanted])
        assert bool(found) != equal(before, after)

    law()


@given(DOCUMENTS, DOCUMENTS)
def test_equality_is_that_of_json_text(one: Object, other: Object) -> None:
    assert equal(one, other) == (exact(one) == exact(other))
    assert equal(one, copy.deepcopy(one))


PATHS = st.lists(st.sampled_from(["a", "b", "0", "1", "2", "-", "01", "~0", "~1", "~2", ""]), max_size=3).map(
    lambda steps: "".join(f"/{step}" for step in steps)
)
OPERATIONS = st.lists(
    st.one_of(
        st.fixed_dictionaries({"op": st.sampled_from(["add", "replace"]), "path": PATHS, "value": JSON}),
        st.fixed_dictionaries({"op": st.just("remove"), "path": PATHS}),
    ),
    max_size=4,
)


@given(DOCUMENTS, OPERATIONS)
@example({"a": [1]}, [{"op": "add", "path": "/a/-", "value": {}}, {"op": "add", "path": "/a/1/b", "value": 0}])
@example({"a": {"b": {}}}, [{"op": "add", "path": "/a/b/a", "value": 0}, {"op": "replace", "path": "/a", "value": {}}])
def test_apply_does_what_jsonpatch_does(document: Object, changes: list[Object]) -> None:
    before = json.dumps([document, changes])
    try:
        wanted = jsonpatch.apply_patch(document, changes)
    except (jsonpatch.JsonPatchException, jsonpatch.JsonPointerException, TypeError):
        with pytest.raises(UnapplicablePatch):
            apply(document, changes)
    else:
        try:
            assert exact(apply(document, changes)) == exact(wanted)
        except UnapplicablePatch:
            # We keep to objects, and to RFC 6901 where jsonpatch is lax: a whole document that is no object.
            assert any(change["path"] == "" for change in changes)
    assert json.dumps([document, changes]) == before


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        pytest.param({}, {}, [], id="nothing to do"),
        pytest.param({"a": 1}, {"a": 1, "m~n/o": 2}, [("add", "/m~0n~1o")], id="escaped key"),
        pytest.param({"~1": 1}, {}, [("remove", "/~01")], id="a key that looks escaped"),
        pytest.param({"l": [1, 2, 3]}, {"l": [1, 9, 3]}, [("replace", "/l/1")], id="one entry of a list"),
        pytest.param({"l": [1, 2]}, {"l": [0, 1, 2]}, [("add", "/l/0")], id="prepend"),
        pytest.param({"l": [1, 2]}, {"l": [1, 2, 3, 4]}, [("add", "/l/2"), ("add", "/l/3")], id="append"),
        pytest.param({"l": [1, 2, 3]}, {"l": [1]}, [("remove", "/l/2"), ("remove", "/l/1")], id="cut"),
        pytest.param({"l": [1, 2]}, {"l": [0, 1, 5, 2, 6]}, [("add", f"/l/{i}") for i in (0, 2, 4)], id="strewn"),
        pytest.param({"l": None}, {"l": []}, [("replace", "/l")], id="null is not empty"),
        pytest.param({"l": {}}, {"l": []}, [("replace", "/l")], id="an object is not a list"),
        pytest.param({"": {"": 1}}, {"": {"": 2}}, [("replace", "//")], id="empty keys"),
    ],
)
def test_few_operations(before: Object, after: Object, expected: list[tuple[str, str]]) -> None:
    assert operations(before, after) == expected


def entries(*names: str) -> list[Object]:
    return [{"name": name, "value": name.upper()} for name in names]


def test_a_container_in_front_leaves_its_neighbours_alone() -> None:
    changed = {"name": "b", "value": "other"}
    before = {"list": entries("a", "b", "c")}
    after = {"list": [*entries("new", "a"), changed, *entries("c", "last")]}
    assert operations(before, after) == [("add", "/list/0"), ("replace", "/list/2/value"), ("add", "/list/4")]


def test_mounts_of_one_volume_are_told_apart_by_their_path() -> None:
    before = {"m": [{"name": "v", "mountPath": "/a"}, {"name": "v", "mountPath": "/b"}]}
    after = {
        "m": [
            {"name": "v", "mountPath": "/new"},
            {"name": "v", "mountPath": "/a", "readOnly": True},
            {"name": "v", "mountPath": "/b", "readOnly": True},
        ]
    }
    assert operations(before, after) == [("add", "/m/0"), ("add", "/m/1/readOnly"), ("add", "/m/2/readOnly")]


def test_shared_parts_are_not_looked_at() -> None:
    class Untouchable(dict[str, Any]):
        def items(self) -> Any:
            raise AssertionError("looked into a part that both share")

    shared = Untouchable(a=1)
    assert operations({"x": shared, "y": 1}, {"x": shared, "y": 2}) == [("replace", "/y")]


def test_apply_shares_what_it_does_not_change() -> None:
    document: Object = {"a": {"b": [1]}, "c": {"d": 1}}
    result = apply(document, [{"op": "add", "path": "/a/b/-", "value": 2}])
    assert result == {"a": {"b": [1, 2]}, "c": {"d": 1}}
    assert result["c"] is document["c"]
    assert document["a"] == {"b": [1]}


def test_apply_does_not_edit_the_values_of_the_patch() -> None:
    value: Object = {"l": []}
    changes: list[Object] = [{"op": "add", "path": "/x", "value": value}, {"op": "add", "path": "/x/l/0", "value": 1}]
    assert apply({}, changes) == {"x": {"l": [1]}}
    assert value == {"l": []}


@pytest.mark.parametrize(
    ("operation", "reason"),
    [
        ({"op": "test", "path": "/a", "value": 1}, "'test' is not add, replace or remove"),
        ({"op": "add", "path": "/a"}, "an operation is an object with op, path and value"),
        ({"op": "add", "path": 7, "value": 1}, "an operation is an object with op, path and value"),
        ("add", "an operation is an object with op, path and value"),
        ({"op": "add", "path": "a", "value": 1}, "'a' is not a JSON pointer"),
        ({"op": "add", "path": "a/b", "value": 1}, "'a' is not a JSON pointer"),
        ({"op": "remove", "path": ""}, "remove of the whole leaves no object"),
        ({"op": "replace", "path": "/none", "value": 1}, "/none: there is nothing to replace"),
        ({"op": "remove", "path": "/none"}, "/none: there is nothing to remove"),
        ({"op": "add", "path": "/none/x", "value": 1}, "/none: there is no 'none'"),
        ({"op": "add", "path": "/l/3", "value": 1}, "/l/3: index 3 is beyond the end"),
        ({"op": "add", "path": "/l/00", "value": 1}, "/l/00: '00' is not an array index"),
        ({"op": "add", "path": "/l/٣", "value": 1}, "/l/٣: '٣' is not an array index"),
        ({"op": "replace", "path": "/l/-", "value": 1}, "/l/-: '-' is not an array index"),
        ({"op": "add", "path": "/a/x", "value": 1}, "/a/x: 'x' is asked of a value that has no parts"),
        ({"op": "add", "path": "/a/x/y", "value": 1}, "/a/x: 'x' is asked of a value that has no parts"),
        ({"op": "add", "path": "/~2", "value": 1}, "'~2': '~' is followed by neither 0 nor 1"),
    ],
    ids=lambda value: value["path"] if isinstance(value, dict) and "path" in value else "",
)
def test_what_cannot_be_applied_says_why(operation: Any, reason: str) -> None:
    with pytest.raises(UnapplicablePatch) as caught:
        apply({"a": 1, "l": [1, 2]}, [{"op": "add", "path": "/b", "value": 1}, operation])
    assert caught.value.index == 1
    assert caught.value.reason.startswith(reason)


def test_a_refused_operation_forgets_the_container_at_hand() -> None:
    changes: list[Object] = [
        {"op": "add", "path": "/a/x", "value": 1},
        {"op": "replace", "path": "", "value": {"a": {}}},
        {"op": "add", "path": "/a/y", "value": 2},
        {"op": "replace", "path": "/a", "value": {}},
        {"op": "add", "path": "/a/z", "value": 3},
    ]
    assert apply({"a": {}}, changes) == {"a": {"z": 3}}


def test_documents_as_deep_as_a_review_may_be() -> None:
    one: Object = {}
    other: Object = {"x": 1}
    for _ in range(100):
        one, other = {"k": [one]}, {"k": [other]}
    assert exact(apply(one, diff(one, other))) == exact(other)
