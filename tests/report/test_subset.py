"""What one JSON value lacks of another, paths into values, and merge patches."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given

from tests import strategies
from webhook.report.subset import ABSENT, at, lacking, merged, same

POD: dict[str, Any] = {
    "metadata": {"annotations": {"a.example/b": "c"}},
    "spec": {
        "containers": [
            {
                "name": "vllm",
                "args": ["--x", "--y"],
                "volumeMounts": [{"name": "d", "mountPath": "/a"}, {"name": "d", "mountPath": "/b"}],
            },
            {"name": "0", "image": "x"},
        ],
        "volumes": [{"name": "d", "hostPath": {"path": "/d"}}],
        "hostNetwork": True,
    },
}


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("spec.containers[vllm].args[1]", "--y"),
        ("spec.containers[1].image", "x"),
        ("spec.containers[0].image", "x"),  # a name goes before an index
        ("spec.containers[vllm].volumeMounts[/b].name", "d"),
        ("metadata.annotations[a.example/b]", "c"),
        ("spec.containers[other]", ABSENT),
        ("spec.containers[9]", ABSENT),
        ("spec.containers[vllm].args[x]", ABSENT),
        ("spec.hostNetwork.deeper", ABSENT),
        ("", POD),
    ],
)
def test_a_path_leads_to_what_people_mean(path: str, found: Any) -> None:
    assert at(POD, path) is found or at(POD, path) == found


@pytest.mark.parametrize(
    ("path", "wanted", "told"),
    [
        ("spec", {"hostNetwork": True}, []),
        ("spec", {"hostNetwork": 1}, ["spec.hostNetwork: should be 1, is true"]),
        ("spec", {"hostNetwork": None}, ["spec.hostNetwork: should be absent, is true"]),
        ("spec", {"hostIPC": None}, []),
        ("spec", {"hostIPC": False}, ["spec.hostIPC: should be false, is absent"]),
        ("spec.volumes", [{"name": "d"}], []),
        # An empty map wants a map: that volume is none of this type.
        (
            "spec.volumes",
            [{"name": "d", "emptyDir": {}}],
            ["spec.volumes[d].emptyDir: should be {}, is absent"],
        ),
        ("spec.volumes", [], ['spec.volumes: should be empty, is [{"hostPath": {"path": "/d"}, "name": "d"}]']),
        ("spec.tolerations", [], []),
        ("spec.containers[vllm].args", ["--x"], ['spec.containers[vllm].args: should be ["--x"], is ["--x", "--y"]']),
        ("spec.containers[vllm].volumeMounts", [{"mountPath": "/b", "name": "d"}, {"mountPath": "/a"}], []),
        (
            "spec.containers[vllm].volumeMounts",
            [{"mountPath": "/b", "name": "e"}],
            ['spec.containers[vllm].volumeMounts[/b].name: should be "e", is "d"'],
        ),
        (
            "spec.containers[vllm].volumeMounts",
            [{"mountPath": "/c"}],
            ['spec.containers[vllm].volumeMounts: has no mountPath "/c"; there: /a, /b'],
        ),
        ("spec.volumes", [{"odd": 1}], ['spec.volumes: has nothing like {"odd": 1}']),
        ("spec.nothing", {}, ["spec.nothing: should be {}, is absent"]),
        ("metadata.annotations", {"a.example/b": "d"}, ['metadata.annotations[a.example/b]: should be "d", is "c"']),
    ],
)
def test_what_is_lacking_is_said_with_its_path(path: str, wanted: Any, told: list[str]) -> None:
    assert list(lacking(wanted, at(POD, path), path)) == told


@given(strategies.json_values())
def test_a_value_has_all_that_it_has(value: Any) -> None:
    assert list(lacking(value, value, "x")) == []
    assert same(value, value)


@given(strategies.json_values(), strategies.json_values())
def test_a_merge_patch_brings_what_it_says(value: Any, change: Any) -> None:
    once = merged(value, change)
    assert same(merged(once, change), once)
    if isinstance(change, dict):
        assert not any(once.get(key) is not None for key, inner in change.items() if inner is None)


@pytest.mark.parametrize(
    ("value", "change", "after"),
    [  # RFC 7386, appendix A
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b"}, {"a": None}, {}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
        (["a", "b"], ["c", "d"], ["c", "d"]),
        ({"a": "b"}, ["c"], ["c"]),
        ({"a": "foo"}, None, None),
        ({"a": "foo"}, "bar", "bar"),
        ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
        ([1, 2], {"a": "b", "c": None}, {"a": "b"}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
    ],
)
def test_merge_patches_are_those_of_the_rfc(value: Any, change: Any, after: Any) -> None:
    assert merged(value, change) == after
