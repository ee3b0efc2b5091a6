"""`warmpod demo`: the story it tells, alone and on a real control plane."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from webhook.cli import demo_scene as scene
from webhook.sandbox.nodes import PretendModel

ROOT = Path(__file__).parents[2]


def demo(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "webhook.cli.main", "demo", *arguments],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        env={**os.environ, **environment},
    )


def told(done: subprocess.CompletedProcess[str], *, api_server: bool) -> dict[str, Any]:
    assert done.returncode == 0, done.stderr
    story: dict[str, Any] = json.loads(done.stdout)
    assert list(story) == ["apiServer", "seconds", "warmNodes", "inventory", "audit", "enforce"]
    assert list(story["audit"]) == ["podUnchanged", "wouldPatch"]
    assert list(story["enforce"]) == ["node", "patch", "secondsSaved", "webhookMilliseconds"]
    assert story["apiServer"] is api_server
    assert story["inventory"] == ("controller" if api_server else "file")
    assert story["audit"]["podUnchanged"] is True
    assert len(story["audit"]["wouldPatch"]) == len(story["enforce"]["patch"]) >= 6
    assert story["enforce"]["secondsSaved"] == pytest.approx(
        scene.IMAGE_BYTES / 70e6 + scene.MODEL_BYTES / 400e6, abs=0.1
    )
    assert 0 < story["enforce"]["webhookMilliseconds"] < 1000
    assert story["seconds"] < 60
    return story


def test_without_a_cluster_the_real_webhook_tells_the_same_story() -> None:
    story = told(demo("--no-cluster", "--output", "json"), api_server=False)
    assert story["enforce"]["node"] is None


def test_without_its_programs_it_says_so_and_how_to_get_them(tmp_path: Path) -> None:
    # `kube-apiserver` on PATH of the machine that runs this test would be found, and rightly.
    nowhere = {"KUBEBUILDER_ASSETS": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path), "XDG_DATA_HOME": str(tmp_path)}
    done = demo(**nowhere, PATH=str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert "no control plane on this machine" in done.stderr
    assert "No API server and no scheduler took part" in done.stdout
    assert "warmpod sandbox build" in done.stdout
    assert "+    - name: warmpod-hydrate\n" in done.stdout
    assert "The pod is unchanged." in done.stdout


def test_assets_are_taken_at_their_word(tmp_path: Path) -> None:
    done = demo("--assets", str(tmp_path))
    assert done.returncode == 2
    assert str(tmp_path) in done.stderr
    assert done.stdout == ""


@pytest.mark.cluster
def test_on_a_real_control_plane_the_scheduler_takes_a_warm_node() -> None:
    story = told(demo("--output", "json"), api_server=True)
    assert story["enforce"]["node"] in story["warmNodes"]


def test_the_warm_nodes_hold_image_and_model() -> None:
    nodes = scene.nodes()
    model = PretendModel(scene.MODEL, scene.NAMESPACE, scene.MODEL_BYTES)
    warm = [node.name for node in nodes if scene.IMAGE in node.images and node.models == (model,)]
    assert warm == list(scene.WARM_NODES)
    assert len(nodes) == 4
    assert not any(node.images or node.models for node in nodes if node.name not in warm)


@pytest.mark.parametrize(
    "change",
    [
        {"pod_unchanged": False},
        {"patch": []},
        {"patch": [{"op": "remove", "path": "/spec"}]},
        {"node": "gpu-1"},
        {"node": None},
    ],
    ids=["changed-in-audit", "nothing-done", "something-else-done", "cold-node", "no-node"],
)
def test_a_demo_that_went_wrong_is_not_convincing(change: dict[str, Any]) -> None:
    operation = {"op": "add", "path": "/spec/affinity", "value": {}}
    account = {"op": "add", "path": "/metadata/annotations/warmpod.dev~1decision", "value": "inventory=2"}
    right: dict[str, Any] = {
        "api_server": True,
        "pod_unchanged": True,
        "would_patch": [operation],
        "node": scene.WARM_NODES[0],
        "patch": [operation, account],
        "seconds_saved": 1.0,
        "webhook_milliseconds": 1.0,
        "before": {},
        "after": {},
    }
    assert scene.Outcome(**right).convincing
    assert not scene.Outcome(**{**right, **change}).convincing
