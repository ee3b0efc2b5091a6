from __future__ import annotations

import copy

import pytest
from hypothesis import given

from tests import builders, strategies
from webhook.kube import Object
from webhook.mutate.draft import Draft
from webhook.mutate.merge import MAX_ANNOTATION_BYTES

VOLUME = {"name": "v", "emptyDir": {"medium": "Memory", "sizeLimit": "1024Mi"}}


@given(strategies.sound_pods())
def test_a_draft_without_edits_is_the_pod_itself(pod: Object) -> None:
    before = copy.deepcopy(pod)
    draft = Draft(pod)
    for room in draft.rooms.values():
        room.add_env([{"name": entry["name"], "value": "other"} for entry in room.env])
        for mount in list(room.mounts.values()):
            room.add_mount({"name": "other", "mountPath": mount["mountPath"]})
    for volume in list(draft.volumes.values()):
        draft.add_volume({"name": volume["name"], "hostPath": {"path": "/"}})
    assert draft.built is pod
    assert pod == before


@given(strategies.sound_pods())
def test_edits_leave_the_pod_that_went_in_as_it_was(pod: Object) -> None:
    before = copy.deepcopy(pod)
    draft = Draft(pod)
    for room in draft.rooms.values():
        room.add_env([{"name": "NEW", "value": "x"}])
        room.add_mount({"name": "new", "mountPath": "/new"})
        room.put("args", ["x"])
    draft.add_volume({"name": "new", "emptyDir": {}})
    draft.annotate("new", "x")
    draft.insert({"name": "first"}, 0)
    built = draft.built
    assert pod == before
    assert [container["args"] for container in built["spec"]["containers"]] == [["x"]] * len(
        before["spec"]["containers"]
    )
    assert [container["name"] for container in built["spec"]["initContainers"]] == [
        "first",
        *(container["name"] for container in before["spec"].get("initContainers") or []),
    ]
    assert built["metadata"]["annotations"]["new"] == "x"
    assert built["spec"]["volumes"][-1]["name"] == "new"
    assert built["metadata"]["managedFields"] is pod["metadata"]["managedFields"]


def test_a_volume_of_that_name_stays() -> None:
    draft = Draft(builders.edited(builders.pod(), volumes=[VOLUME]))
    assert draft.fits({"name": "v", "emptyDir": {"medium": "Memory", "sizeLimit": "1Gi"}})
    assert not draft.fits({"name": "v", "hostPath": {"path": "/"}})
    draft.add_volume({"name": "v", "emptyDir": {}})
    draft.add_volume({"name": "w", "emptyDir": {}})
    draft.add_volume({"name": "w", "hostPath": {"path": "/"}})
    assert draft.built["spec"]["volumes"] == [VOLUME, {"name": "w", "emptyDir": {}}]


def test_a_variable_of_that_name_stays() -> None:
    (room,) = Draft(builders.pod({"name": "c", "env": [{"name": "A", "valueFrom": {}}]})).rooms.values()
    assert room.add_env([{"name": "A", "value": "x"}, {"name": "B", "value": "y"}]) == 1
    assert room.add_env([{"name": "B", "value": "z"}]) == 0
    assert room.built["env"] == [{"name": "A", "valueFrom": {}}, {"name": "B", "value": "y"}]


def test_variables_that_were_put_are_known_to_those_that_are_added() -> None:
    (room,) = Draft(builders.pod({"name": "c", "env": [{"name": "A", "value": "a"}]})).rooms.values()
    room.add_env([{"name": "B", "value": "b"}])
    room.put("env", [{**entry, "value": "/models"} for entry in room.env])
    room.add_env([{"name": "B", "value": "x"}, {"name": "C", "value": "c"}])
    assert [(entry["name"], entry["value"]) for entry in room.built["env"]] == [
        ("A", "/models"),
        ("B", "/models"),
        ("C", "c"),
    ]


@pytest.mark.parametrize("path", ["/data", "/data/"])
def test_a_mount_at_that_path_stays(path: str) -> None:
    container: Object = {"name": "c", "volumeMounts": [{"name": "v", "mountPath": path}]}
    draft = Draft(builders.pod(container))
    draft.rooms["c"].add_mount({"name": "w", "mountPath": "/data"})
    assert draft.built["spec"]["containers"] == [container]


def test_containers_are_chosen_by_name_among_app_and_init_containers() -> None:
    pod = builders.edited(builders.pod({"name": "a"}, {"name": "b"}), initContainers=[{"name": "c"}])
    assert [room.name for room in Draft(pod).chosen({"b", "c", "d"})] == ["b", "c"]


def test_an_annotation_needs_room() -> None:
    draft = Draft(builders.pod(annotations={"a": "x" * (MAX_ANNOTATION_BYTES - 4)}))
    assert not draft.annotate("b", "yyy")
    assert draft.annotation("b") is None
    assert draft.annotate("b", "yy")
    assert draft.annotation("b") == "yy"
    assert draft.built["metadata"]["annotations"]["b"] == "yy"
