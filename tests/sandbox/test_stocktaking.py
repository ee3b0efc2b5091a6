"""Pretend nodes, and the inventory that is taken of them."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from webhook.inventory import snapshot
from webhook.inventory.model import NodeRoom
from webhook.kube import Object, names
from webhook.sandbox.nodes import MAX_IMAGES, PretendModel, PretendNode, fleet, manifest
from webhook.sandbox.stocktaking import Stocktaking, take_stock

IMAGE = "vllm/vllm-openai:v0.11.0"
CANONICAL = f"docker.io/{IMAGE}"
GPU = "nvidia.com/gpu"
NOW = 1_800_000_000.0


def ready(node: PretendNode, **spec: Any) -> Object:
    """The node as kwok has it after a moment."""
    document = manifest(node)
    document["status"]["conditions"] = [{"type": "Ready", "status": "True"}]
    return {**document, "spec": spec}


def running(node: str, gpus: int, phase: str = "Running") -> Object:
    containers = [{"name": "app", "resources": {"limits": {GPU: str(gpus)}, "requests": {GPU: str(gpus)}}}]
    return {"metadata": {"name": "p"}, "spec": {"nodeName": node, "containers": containers}, "status": {"phase": phase}}


def test_a_fleet_is_partly_warm_and_spread_over_two_zones() -> None:
    nodes = fleet(4, warm=2, images={IMAGE: 9})
    assert [node.name for node in nodes] == ["gpu-1", "gpu-2", "gpu-3", "gpu-4"]
    assert [bool(node.images) for node in nodes] == [True, True, False, False]
    assert {node.zone for node in nodes[:2]} == {"us-west-2a", "us-west-2b"}


def test_the_node_has_what_kubelet_and_controller_would_give_it() -> None:
    document = manifest(PretendNode("gpu-1", images={IMAGE: 9}, labels={"team": "a"}))
    assert document["status"]["images"] == [{"names": [CANONICAL], "sizeBytes": 9}]
    assert document["status"]["allocatable"][GPU] == "8"
    labels = document["metadata"]["labels"]
    assert labels[names.image_label(CANONICAL)] == names.NODE_LABEL_WARM
    assert labels["topology.kubernetes.io/region"] == "us-west-2"
    assert labels["team"] == "a"


def test_images_are_listed_biggest_first_and_at_most_as_many_as_kubelet_lists() -> None:
    document = manifest(PretendNode("gpu-1", images={f"app{n}:1": n for n in range(MAX_IMAGES + 5)}))
    sizes = [entry["sizeBytes"] for entry in document["status"]["images"]]
    assert sizes == sorted(sizes, reverse=True)
    assert len(sizes) == MAX_IMAGES
    assert sizes[0] == MAX_IMAGES + 4


def test_a_bad_image_reference_is_refused() -> None:
    with pytest.raises(ValueError, match="'VLLM:latest:x' is no image reference"):
        manifest(PretendNode("gpu-1", images={"VLLM:latest:x": 1}))


def test_the_inventory_of_a_fleet() -> None:
    nodes = [ready(node) for node in fleet(3, warm=2, images={IMAGE: 9_000})]
    pods = [running("gpu-1", 3), running("gpu-1", 1), running("gpu-2", 8, "Succeeded"), running("gone", 1)]
    namespaces: list[Object] = [
        {"metadata": {"name": "default", "labels": {"tier": "serving"}}},
        {"metadata": {"name": "bare"}},
    ]
    found = take_stock(nodes, pods, namespaces, now=NOW)
    assert found.nodes == (
        NodeRoom("gpu-1", {GPU: (8, 4)}),
        NodeRoom("gpu-2", {GPU: (8, 8)}),
        NodeRoom("gpu-3", {GPU: (8, 8)}),
    )
    held = found.image(CANONICAL)
    assert held is not None
    assert (held.nodes, held.bytes, held.label) == ((0, 1), 9_000, names.image_label(CANONICAL))
    assert found.namespaces == {"default": {"tier": "serving"}, "bare": {}}
    assert found.time == NOW


def test_models_count_where_the_label_says_so() -> None:
    model = PretendModel("s3://acme-models/x/", "team-a", 5)
    nodes = [ready(PretendNode("gpu-1", models=(model,))), ready(PretendNode("gpu-2"))]
    found = take_stock(nodes, [], [], models=[model], now=NOW)
    held = found.model("s3://acme-models/x/", "team-a")
    assert held is not None
    assert (held.nodes, held.bytes) == ((0,), 5)
    assert found.model("s3://acme-models/x/", "") is None


@pytest.mark.parametrize(
    "change",
    [
        lambda node: node["spec"].update(unschedulable=True),
        lambda node: node["status"]["conditions"][0].update(status="False"),
        lambda node: node["status"].pop("conditions"),
        lambda node: node["metadata"].update(deletionTimestamp="2026-01-01T00:00:00Z"),
        lambda node: node["metadata"]["labels"].pop(names.image_label(CANONICAL)),
        lambda node: node["status"].pop("images"),
    ],
    ids=["cordoned", "not ready", "never ready", "leaving", "not labelled", "without the image"],
)
def test_nodes_that_are_warm_for_nothing(change: Callable[[Object], object]) -> None:
    node = ready(PretendNode("gpu-1", images={IMAGE: 9}))
    change(node)
    found = take_stock([node], [], [], now=NOW)
    assert len(found.nodes) == 1, "it can still run pods, or will again"
    assert found.image(CANONICAL) is None


def test_nodes_without_an_accelerator_are_left_out() -> None:
    found = take_stock([ready(PretendNode("cpu-1", accelerators={}, images={IMAGE: 9}))], [], [], now=NOW)
    assert found.nodes == ()
    assert found.artifacts == ()


def test_the_id_tells_what_is_inside_and_not_when() -> None:
    nodes = [ready(node) for node in fleet(2, warm=1, images={IMAGE: 9})]
    first, later = take_stock(nodes, [], [], now=NOW), take_stock(nodes, [], [], now=NOW + 60)
    other = take_stock(nodes, [running("gpu-1", 1)], [], now=NOW)
    assert first.id == later.id != other.id


class World:
    """What the API server would answer; it fails while `down`."""

    def __init__(self) -> None:
        self.answers: dict[str, list[Object]] = {"nodes": [], "pods": [], "namespaces": []}
        self.down = False

    def read(self, resource: str) -> list[Object]:
        if self.down:
            raise ConnectionError("refused")
        return self.answers[resource]


def test_the_file_follows_the_world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("webhook.sandbox.stocktaking.INTERVAL_SECONDS", 0.01)
    world, file = World(), tmp_path / "snapshot.json"
    stock = Stocktaking(world.read, file)
    stock.start()
    try:
        assert snapshot.decode(file.read_bytes()).id == stock.latest
        world.down = True
        time.sleep(0.05)
        world.down = False
        world.answers["namespaces"] = [{"metadata": {"name": "new", "labels": {"a": "b"}}}]
        deadline = time.monotonic() + 10
        while "new" not in snapshot.decode(file.read_bytes()).namespaces:
            assert time.monotonic() < deadline
            time.sleep(0.01)
    finally:
        stock.stop()
    assert [path.name for path in tmp_path.iterdir()] == ["snapshot.json"]
    assert file.stat().st_mode & 0o077 == 0


def test_an_unchanged_world_is_not_written_again_until_the_file_gets_old(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "snapshot.json"
    stock = Stocktaking(World().read, file)
    stock.refresh()
    written = file.stat().st_ino
    stock.refresh()
    assert file.stat().st_ino == written
    monkeypatch.setattr("webhook.sandbox.stocktaking.REWRITE_SECONDS", 0.0)
    stock.refresh()
    assert file.stat().st_ino != written


def test_a_world_that_does_not_answer_fails_the_start(tmp_path: Path) -> None:
    world = World()
    world.down = True
    with pytest.raises(OSError, match="refused"):
        Stocktaking(world.read, tmp_path / "snapshot.json").start()
