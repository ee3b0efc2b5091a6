"""`warmpod images`, from files and from a server that speaks the API."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result

from tests.controller.kube_server import HTML, Fault, KubeServer, Node, Trouble
from tests.scripted_http import Answer
from webhook.cli.main import main
from webhook.inventory.model import Artifact, Inventory, NodeRoom
from webhook.inventory.snapshot_writing import encode
from webhook.kube import names

ROOT = Path(__file__).parents[2]
IMAGE = "docker.io/vllm/vllm-openai:v0.11.0"
MODEL = "s3://models/llama/"
HOSTILE = "s3://b/\x1b[31m\u202e/"


def artifact(kind: Any, name: str, mask: int, size: int = 9, *, tenant: str = "", unlabelled: int = 0) -> Artifact:
    label = names.image_label(name) if kind == "image" else names.model_label(name, tenant)
    return Artifact(kind, name, tenant, size * 2**30, label, mask, unlabelled)


@pytest.fixture
def snapshot(tmp_path: Path) -> Path:
    path = tmp_path / "snapshot.json"
    found = Inventory(
        id="0123456789abcdef",
        time=1_700_000_000.0,
        nodes=[NodeRoom(f"gpu-{number}") for number in range(10)],
        artifacts=[
            artifact("image", IMAGE, 0b11),
            artifact("image", "example.org/everywhere:1", 0b1111111111, 1),
            artifact("model", MODEL, 0b1111100000, 140, tenant="team-a", unlabelled=0b1000000000),
            artifact("model", HOSTILE, 0b1, 1, tenant="team-b"),
            Artifact("model", "", "", 0, names.NODE_LABEL_PREFIX + "model-0123456789abcdef", 0b100),
        ],
        labels={},
    )
    path.write_bytes(encode(found))
    return path


def images(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["images", *arguments])


def test_a_table_for_people(snapshot: Path) -> None:
    result = images("--snapshot", str(snapshot))
    assert result.exit_code == 0, result.output
    lines = [line.split() for line in result.stdout.splitlines()]
    assert lines[0] == ["ARTIFACT", "KIND", "TENANT", "GIB", "NODES", "ON"]
    assert lines[1] == f"{MODEL} model team-a 140.0 5 of 10 gpu-5, gpu-6, gpu-7 and 2 more".split()
    assert lines[2] == f"{IMAGE} image - 9.0 2 of 10 gpu-0, gpu-1".split()
    assert ["example.org/everywhere:1", "image", "-", "1.0", "10", "of", "10", "all"] in lines
    assert [
        "(known",
        "by",
        "its",
        "label)",
        "model-0123456789abcdef",
        "model",
        "-",
        "?",
        "1",
        "of",
        "10",
        "gpu-2",
    ] in lines


def test_hostile_names_are_escaped(snapshot: Path) -> None:
    result = images("--snapshot", str(snapshot))
    assert "\x1b" not in result.stdout
    assert "\u202e" not in result.stdout
    assert "s3://b/\\x1b[31m\\u202e/" in result.stdout


@pytest.mark.parametrize("form", ["json", "yaml"])
def test_documents_for_programs(snapshot: Path, form: str) -> None:
    result = images("--snapshot", str(snapshot), "--output", form)
    assert result.exit_code == 0
    found = json.loads(result.stdout) if form == "json" else yaml.safe_load(result.stdout)
    assert found["nodes"] == 10
    assert found["time"] == "2023-11-14T22:13:20Z"
    assert found["artifacts"][0] == {
        "kind": "model",
        "name": MODEL,
        "tenant": "team-a",
        "bytes": 140 * 2**30,
        "label": names.model_label(MODEL, "team-a"),
        "nodes": ["gpu-5", "gpu-6", "gpu-7", "gpu-8", "gpu-9"],
        "labelled": 4,
    }


def named(result: Result) -> list[str]:
    assert result.exit_code == 0, result.output
    return [one["name"] for one in json.loads(result.stdout)["artifacts"]]


def test_one_node_and_models_only(snapshot: Path) -> None:
    asked = ["--snapshot", str(snapshot), "--output", "json"]
    assert named(images(*asked, "--node", "gpu-0")) == [IMAGE, "example.org/everywhere:1", HOSTILE]
    assert named(images(*asked, "--model")) == [MODEL, HOSTILE, ""]
    assert named(images(*asked, "--model", "--node", "gpu-9")) == [MODEL]


def test_nothing_to_show_is_3(snapshot: Path) -> None:
    result = images("--snapshot", str(snapshot), "--model", "--node", "gpu-4")
    assert result.exit_code == 3
    assert result.stdout == ""
    assert result.stderr == f"note: {snapshot}: no model known on node gpu-4\n"
    result = images("--snapshot", str(snapshot), "--model", "--node", "gpu-4", "--output", "json")
    assert result.exit_code == 3
    assert json.loads(result.stdout)["artifacts"] == []


@pytest.mark.parametrize(
    ("node", "hint"),
    [("gpu-O", "did you mean gpu-"), ("zebra", "there are gpu-0, gpu-1, gpu-2, gpu-3; nodes without accelerators")],
)
def test_an_unknown_node(snapshot: Path, node: str, hint: str) -> None:
    result = images("--snapshot", str(snapshot), "--node", node)
    assert result.exit_code == 2
    assert f"error: --node: there is no accelerator node {node!r}" in result.stderr
    assert hint in result.stderr


@pytest.mark.parametrize(
    ("content", "said"),
    [(None, "No such file or directory"), (b"", ""), (b"{", ""), (b'{"schema": 99}', "schema"), (b"\xff" * 100, "")],
    ids=["missing", "empty", "cut", "newer", "binary"],
)
def test_an_unreadable_snapshot(tmp_path: Path, content: bytes | None, said: str) -> None:
    path = tmp_path / "snapshot.json"
    if content is not None:
        path.write_bytes(content)
    result = images("--snapshot", str(path))
    assert result.exit_code == 2
    assert result.stderr.startswith(f"error: --snapshot: {path}: ")
    assert said in result.stderr


def from_cluster(
    directory: Path, *arguments: str, fault: Fault | None = None, on: str = ""
) -> subprocess.CompletedProcess[str]:
    async def act() -> subprocess.CompletedProcess[str]:
        server = KubeServer()
        server.nodes = {
            "gpu-a": Node("a", images=[IMAGE, "example.org/small:1"]),
            "gpu-b": Node("b", images=[IMAGE]),
        }
        server.fault = lambda _method, path: fault if path.endswith(on) else None
        async with asyncio.timeout(60), server.serve(directory):
            child = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "webhook.cli.main", "images", f"--kubeconfig={directory / 'kubeconfig'}",
                *arguments, cwd=ROOT, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
            )  # fmt: skip
            out, error = await child.communicate()
        return subprocess.CompletedProcess([], child.returncode or 0, out.decode(), error.decode())

    return asyncio.run(act())


def test_from_the_cluster(tmp_path: Path) -> None:
    done = from_cluster(tmp_path, "--output", "json")
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    found = json.loads(done.stdout)
    assert found["source"].startswith("http://127.0.0.1:")
    assert {one["name"]: one["nodes"] for one in found["artifacts"]} == {
        IMAGE: ["gpu-a", "gpu-b"],
        "example.org/small:1": ["gpu-a"],
    }


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (Answer(403, b'{"kind":"Status","message":"User u cannot list pods"}'), "the right to list nodes, pods"),
        (Answer(401, b'{"kind":"Status","message":"who"}'), "credentials"),
        (HTML, "proxy"),
        (Trouble("cut"), "is the API server up"),
    ],
    ids=["forbidden", "unauthorized", "HTML", "dropped"],
)
def test_a_cluster_that_does_not_tell(tmp_path: Path, fault: Fault, said: str) -> None:
    done = from_cluster(tmp_path, fault=fault, on="/pods")
    assert done.returncode == 2
    assert done.stderr.startswith("error: cannot list pods: ")
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_no_cluster(tmp_path: Path) -> None:
    result = images("--kubeconfig", str(tmp_path / "none"))
    assert result.exit_code == 2
    assert "there is no kubeconfig at" in result.stderr
    assert "--snapshot FILE" in result.stderr


NODES = {
    "apiVersion": "v1",
    "kind": "NodeList",
    "items": [
        {
            "metadata": {"name": f"gpu-{number}", "uid": str(number)},
            "status": {
                "allocatable": {"nvidia.com/gpu": "8"},
                "conditions": [{"type": "Ready", "status": "True"}],
                "images": [{"names": ["vllm/vllm-openai:v0.11.0"], "sizeBytes": 9 * 2**30}] if number else [],
            },
        }
        for number in range(3)
    ],
}


def test_a_dump_of_a_cluster_that_nobody_here_can_reach(tmp_path: Path) -> None:
    (tmp_path / "nodes.json").write_text(json.dumps(NODES))
    for path in (tmp_path, tmp_path / "nodes.json"):
        result = images("--dump", str(path), "--output", "json")
        assert result.exit_code == 0, result.output
        found = json.loads(result.stdout)
        assert [(one["name"], one["bytes"], one["nodes"]) for one in found["artifacts"]] == [
            (IMAGE, 9 * 2**30, ["gpu-1", "gpu-2"])
        ]


@pytest.mark.parametrize(
    ("content", "told"), [("kind: List", "not JSON"), (None, "No such file")], ids=["yaml", "missing"]
)
def test_what_is_no_dump(tmp_path: Path, content: str | None, told: str) -> None:
    path = tmp_path / "dump.json"
    if content is not None:
        path.write_text(content)
    result = images("--dump", str(path))
    assert result.exit_code == 2
    assert f"--dump: {path}" in result.stderr
    assert told in result.stderr


def test_one_inventory_at_a_time(snapshot: Path, tmp_path: Path) -> None:
    result = images("--dump", str(tmp_path), "--snapshot", str(snapshot))
    assert result.exit_code == 2
    assert "--snapshot and --dump" in result.stderr
