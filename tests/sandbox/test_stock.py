"""When a snapshot says all that the API server says."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest

from webhook.inventory import snapshot_writing
from webhook.kube import Object, names
from webhook.sandbox import stock
from webhook.sandbox.api import Api
from webhook.sandbox.nodes import PretendNode, manifest

IMAGE = "docker.io/library/llm:1"
LABEL = names.image_label(IMAGE)


class World:
    """What an API server would list."""

    def __init__(self) -> None:
        node = manifest(PretendNode("gpu-1", images={IMAGE: 2**31}))
        node["status"]["conditions"] = [{"type": "Ready", "status": "True"}]
        node["metadata"]["uid"] = "1"
        self.lists: dict[str, list[Object]] = {
            "nodes": [node],
            "pods": [],
            "namespaces": [{"metadata": {"name": "default", "labels": {"a": "b"}}}],
            "persistentvolumes": [],
        }

    def call(self, method: str, path: str) -> Object:
        assert (method, path) == ("GET", "/version")
        return {"gitVersion": "v1.36.2"}

    def list(self, resource: str) -> list[Object]:
        return self.lists[resource]

    @property
    def api(self) -> Api:
        return cast("Api", self)

    @property
    def node(self) -> dict[str, Any]:
        return self.lists["nodes"][0]


@pytest.fixture
def world() -> World:
    """One node, which holds an image and bears its label."""
    made = World()
    made.node["metadata"]["labels"][LABEL] = names.NODE_LABEL_WARM
    return made


def write(world: World, path: Path) -> str:
    """What a controller would write that has seen all of the world; returns the id."""
    seen = stock.listed(world.api)
    path.write_bytes(snapshot_writing.encode(seen))
    return seen.id


def test_the_same_facts_are_caught_up(world: World, tmp_path: Path) -> None:
    written = write(world, tmp_path / "snapshot.json")
    assert written
    assert stock.caught_up(world.api, tmp_path / "snapshot.json") == written


def test_no_snapshot_is_behind(world: World, tmp_path: Path) -> None:
    with pytest.raises(stock.Behind, match="write a snapshot"):
        stock.caught_up(world.api, tmp_path / "snapshot.json")


def cordon(world: World) -> None:
    world.node["spec"] = {"taints": [{"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"}]}


def relabel(world: World) -> None:
    world.node["metadata"]["labels"]["team"] = "x"


def name_space(world: World) -> None:
    world.lists["namespaces"].append({"metadata": {"name": "new"}})


def fill(world: World) -> None:
    container = {"name": "a", "image": "a", "resources": {"requests": {"nvidia.com/gpu": "3"}}}
    world.lists["pods"].append(
        {"metadata": {"name": "p", "namespace": "default"}, "spec": {"nodeName": "gpu-1", "containers": [container]}}
    )


def pull(world: World) -> None:
    world.node["status"]["images"].append({"names": ["docker.io/library/other:1"], "sizeBytes": 2**31})


@pytest.mark.parametrize(
    ("change", "lacks"),
    [
        (cordon, "taints"),
        (relabel, "labels"),
        (name_space, "namespaces"),
        (fill, "nodes"),
        (pull, "nodes that hold docker.io/library/other:1"),
    ],
    ids=["cordon", "label", "namespace", "pod", "image"],
)
def test_what_changed_since_is_missing(world: World, tmp_path: Path, change: Any, lacks: str) -> None:
    write(world, tmp_path / "snapshot.json")
    change(world)
    with pytest.raises(stock.Behind, match=f"bring the snapshot up to date: other {lacks}$"):
        stock.caught_up(world.api, tmp_path / "snapshot.json")


def test_a_controller_may_remember_more(world: World, tmp_path: Path) -> None:
    """An image that fell off the node's list may still be there."""
    written = write(world, tmp_path / "snapshot.json")
    world.node["status"]["images"] = []
    del world.node["metadata"]["labels"][LABEL]
    assert stock.caught_up(world.api, tmp_path / "snapshot.json") == written


def test_a_label_that_is_not_written_yet_is_waited_for(tmp_path: Path) -> None:
    world = World()
    write(world, tmp_path / "snapshot.json")
    with pytest.raises(stock.Behind, match=f"write all labels, such as {LABEL}"):
        stock.caught_up(world.api, tmp_path / "snapshot.json")
