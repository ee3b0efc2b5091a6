from __future__ import annotations

from typing import Any

import pytest

from webhook.kube import Object
from webhook.mutate import merge


@pytest.mark.parametrize(
    ("existing", "wanted", "expected"),
    [
        pytest.param({"a": 1, "b": 2}, {"a": 1}, True, id="more fields"),
        pytest.param({"a": 1}, {"a": 1, "b": 2}, False, id="fewer fields"),
        pytest.param({"a": {"b": 1, "c": 2}}, {"a": {"b": 1}}, True, id="more fields inside"),
        pytest.param([1, 2], [1], False, id="a longer list"),
        pytest.param([{"a": 1, "b": 2}], [{"a": 1}], True, id="more fields in a list"),
        pytest.param({"a": 1}, {"a": True}, False, id="one is not true"),
        pytest.param({"a": True}, {"a": True}, True, id="true is true"),
        pytest.param({"sizeLimit": "1Gi"}, {"sizeLimit": "1024Mi"}, True, id="the same size"),
        pytest.param({"sizeLimit": "2Gi"}, {"sizeLimit": "1024Mi"}, False, id="another size"),
        pytest.param({"sizeLimit": "big"}, {"sizeLimit": "1Gi"}, False, id="no size"),
        pytest.param({"path": "1Gi"}, {"path": "1024Mi"}, False, id="no size is meant"),
        pytest.param("x", {"a": 1}, False, id="another type"),
        pytest.param({"a": 1}, [1], False, id="no list"),
    ],
)
def test_covers(existing: Any, wanted: Any, expected: bool) -> None:
    assert merge.covers(existing, wanted) is expected


@pytest.mark.parametrize(
    ("text", "size"),
    [("x", 8), ("x" * 300_000, 300_001), ("é" * 70_000, 140_001), ("\ud800" * 70_000, 210_001)],
)
def test_the_size_of_annotations_is_exact_where_it_matters(text: str, size: int) -> None:
    assert merge.annotation_bytes({"a": text}) == size


@pytest.mark.parametrize(
    "pod",
    [
        pytest.param({}, id="nothing"),
        pytest.param({"metadata": {}, "spec": []}, id="spec is a list"),
        pytest.param({"metadata": None, "spec": {}}, id="no metadata"),
        pytest.param({"metadata": {"annotations": []}, "spec": {}}, id="annotations are a list"),
        pytest.param({"metadata": {}, "spec": {"containers": [1]}}, id="a container is a number"),
        pytest.param({"metadata": {}, "spec": {"containers": [{}]}}, id="a container has no name"),
        pytest.param({"metadata": {}, "spec": {"volumes": {}}}, id="volumes are a map"),
        pytest.param(
            {"metadata": {}, "spec": {"containers": [{"name": "c"}], "initContainers": [{"name": "c"}]}}, id="twins"
        ),
        pytest.param({"metadata": {}, "spec": {"containers": [{"name": "c", "env": [{"name": []}]}]}}, id="env"),
        pytest.param({"metadata": {}, "spec": {"containers": [{"name": "c", "args": "x"}]}}, id="args are text"),
        pytest.param(
            {"metadata": {}, "spec": {"initContainers": [{"name": "c", "volumeMounts": [{"name": "v"}]}]}}, id="mount"
        ),
    ],
)
def test_unsound_pods(pod: Object) -> None:
    assert not merge.is_sound(pod)


def test_nulls_are_sound() -> None:
    container = {"name": "c", "args": None, "command": None, "env": None, "volumeMounts": None}
    assert merge.is_sound(
        {
            "metadata": {"annotations": None},
            "spec": {"containers": [container], "initContainers": None, "volumes": None},
        }
    )
