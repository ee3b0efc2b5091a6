from __future__ import annotations

from typing import Any

import pytest

from tests import builders
from webhook.kube import Object
from webhook.mutate import merge

SECRET = {"name": "v", "emptyDir": {"medium": "Memory", "sizeLimit": "1024Mi"}}


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


def test_a_volume_of_that_name_stays() -> None:
    pod = builders.edited(builders.pod(), volumes=[SECRET])
    assert merge.add_volume(pod, {"name": "v", "emptyDir": {}}) is pod
    assert merge.volume_fits(pod, {"name": "v", "emptyDir": {"medium": "Memory", "sizeLimit": "1Gi"}})
    assert not merge.volume_fits(pod, {"name": "v", "hostPath": {"path": "/"}})
    assert merge.add_volume(pod, {"name": "w", "emptyDir": {}})["spec"]["volumes"] == [
        SECRET,
        {"name": "w", "emptyDir": {}},
    ]


def test_a_variable_of_that_name_stays() -> None:
    container: Object = {"name": "c", "env": [{"name": "A", "valueFrom": {}}]}
    assert merge.add_env(container, [{"name": "A", "value": "x"}]) is container
    assert merge.add_env(container, [{"name": "A", "value": "x"}, {"name": "B", "value": "y"}])["env"] == [
        {"name": "A", "valueFrom": {}},
        {"name": "B", "value": "y"},
    ]


@pytest.mark.parametrize("path", ["/data", "/data/"])
def test_a_mount_at_that_path_stays(path: str) -> None:
    container: Object = {"name": "c", "volumeMounts": [{"name": "v", "mountPath": path}]}
    assert merge.add_mount(container, {"name": "w", "mountPath": "/data"}) is container


def test_only_named_containers_are_edited_and_the_rest_is_shared() -> None:
    pod = builders.edited(
        builders.pod({"name": "a"}, {"name": "b"}), initContainers=[{"name": "b", "restartPolicy": "Always"}]
    )
    after = merge.edit_containers(pod, {"b"}, lambda container: {**container, "x": 1})
    assert [c.get("x") for c in after["spec"]["containers"]] == [None, 1]
    assert after["spec"]["initContainers"] == [{"name": "b", "restartPolicy": "Always", "x": 1}]
    assert after["spec"]["containers"][0] is pod["spec"]["containers"][0]
    assert merge.edit_containers(pod, {"b"}, lambda container: container) is pod
    assert merge.edit_containers(pod, {"c"}, lambda container: {**container}) is pod


def test_an_annotation_needs_room() -> None:
    pod = builders.pod(annotations={"a": "x" * (merge.MAX_ANNOTATION_BYTES - 4)})
    assert merge.annotate(pod, "b", "yy")["metadata"]["annotations"]["b"] == "yy"
    assert merge.annotate(pod, "b", "yyy") is pod
    wide = builders.pod(annotations={"a": "é" * (merge.MAX_ANNOTATION_BYTES // 2)})
    assert merge.annotate(wide, "b", "y") is wide
    assert merge.annotate(builders.pod(annotations={"b": "mine"}), "b", "y")["metadata"]["annotations"] == {"b": "mine"}


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
