"""`warmpod bake`, as people and CI use it."""

from __future__ import annotations

import asyncio
import gzip
import json
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result

from tests.builders import facts, gpu_pod, policy, request
from tests.registry_server import RegistryServer, served
from tests.scripted_http import Answer, HttpRequest, HttpServer, reply
from webhook.admission import admit
from webhook.cli.main import main
from webhook.inventory.model import Artifact, Inventory, NodeRoom
from webhook.inventory.snapshot_writing import encode as encode_inventory
from webhook.kube import Object, names
from webhook.report.record import encode

VLLM, TRITON, OLD = "docker.io/vllm/vllm-openai:v0.11.0", "nvcr.io/nvidia/tritonserver:25.02", "example.org/old:1"
ONE, TWO = "sha256:" + "1" * 64, "sha256:" + "2" * 64
HOSTILE = "s3://b/\x1b[31m\u202e/"
GIB = 2**30


def node(name: str, *images: str, pool: str = "gpu") -> Object:
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": {"karpenter.sh/nodepool": pool}},
        "status": {
            "allocatable": {"nvidia.com/gpu": "8"},
            "conditions": [{"type": "Ready", "status": "True"}],
            "images": [{"names": [image], "sizeBytes": 7_000_000_000} for image in images],
        },
    }


def pod(name: str, on: str, image: str, digest: str = ONE, *, day: int = 1, phase: str = "Running") -> Object:
    made = gpu_pod(image=image)
    started = {"running": {"startedAt": f"2026-01-{day:02}T00:00:00Z"}}
    status = {"name": "vllm", "image": image, "imageID": f"{image.partition(':')[0]}@{digest}", "state": started}
    return {
        **made,
        "metadata": {"name": name, "namespace": "serving", "uid": name},
        "spec": {**made["spec"], "nodeName": on},
        "status": {"phase": phase, "containerStatuses": [status]},
    }


@pytest.fixture
def dump(tmp_path: Path) -> Path:
    """Four nodes that hold VLLM and OLD, two of them TRITON; VLLM runs on all, TRITON on one, OLD has ended."""
    items = [node(f"gpu-{number}", VLLM, OLD, *([TRITON] if number > 1 else [])) for number in range(4)]
    items[3]["metadata"]["labels"]["karpenter.sh/nodepool"] = "other"
    items += [pod(f"v{number}", f"gpu-{number}", VLLM, TWO if number else ONE, day=9 - number) for number in range(4)]
    items += [pod("t", "gpu-3", TRITON), pod("o", "gpu-0", OLD, phase="Succeeded"), pod("c", "cpu-1", OLD)]
    path = tmp_path / "dump.json"
    path.write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": items}))
    return path


def bake(*arguments: str | Path, **environment: str) -> Result:
    result = CliRunner().invoke(main, ["bake", *map(str, arguments)], env={"NO_COLOR": "1", **environment})
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def planned(*arguments: str | Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(bake("plan", *arguments, "--output", "json").stdout)
    return found


def shares(plan: dict[str, Any]) -> dict[str, tuple[int, float]]:
    return {one["name"]: (one["starts"], one["perNode"]) for one in (*plan["baked"], *plan["left"])}


def test_running_pods_are_counted_by_the_nodes_they_run_on(dump: Path) -> None:
    found = planned("--dump", dump)
    assert shares(found) == {VLLM: (4, 1.0), TRITON: (1, 0.25), OLD: (0, 0.0)}
    assert [one["name"] for one in found["baked"]] == [VLLM, TRITON]
    assert (found["counted"], found["nodes"]) == ("pods", 4)
    assert found["savedSecondsPerNode"] == 125.0
    assert found["left"][0]["reason"] == "nothing that was counted wants it"
    assert found["baked"][0]["digest"] == ONE, "the container that started last was made of it"
    assert found["imageBytesPerSecond"] == 70e6


def test_the_pool_leaves_out_other_nodes(dump: Path) -> None:
    found = planned("--dump", dump, "--pool", "karpenter.sh/nodepool=gpu")
    assert shares(found) == {VLLM: (3, 1.0), TRITON: (0, 0.0), OLD: (0, 0.0)}
    assert found["nodes"] == 3


def test_tables_say_the_same_to_people(dump: Path) -> None:
    done = bake("plan", "--dump", dump, "--budget", "30Gi")
    assert done.exit_code == 0
    lines = [line.split() for line in done.stdout.splitlines()]
    assert lines[1][:6] == ["bake", VLLM, "4", "100%", "100", "100.0"]
    assert lines[2][:2] == ["-", TRITON]
    assert done.stdout.count("the budget saves more with others") == 1
    assert OLD not in done.stdout
    assert "nothing that was counted wants 1 image that nodes hold" in done.stderr
    assert "counted 5 running pods on 4 accelerator nodes" in done.stderr
    assert "a new node saves 100 s on average, with 20.5 of 30.0 GiB baked" in done.stderr
    assert "the volume takes 26 GiB or more" in done.stderr
    assert "baked is not hot: a volume of a snapshot reads at full speed after 70 s at the earliest" in done.stderr


def test_an_inventory_alone_counts_the_nodes_that_hold_an_image(tmp_path: Path) -> None:
    path = tmp_path / "snapshot.json"
    path.write_bytes(encode_inventory(inventory(("gpu-0", "gpu-1"))))
    found = planned("--inventory", path)
    assert shares(found) == {VLLM: (1, 0.5)}
    assert found["counted"] == "nodes"


def inventory(nodes: tuple[str, ...], model: str = "") -> Inventory:
    held = [Artifact("image", VLLM, "", 7_000_000_000, names.image_label(VLLM), 1)]
    held += [Artifact("image", f"docker.io/vllm/vllm-openai@{ONE}", "", 7_000_000_000, names.image_label(ONE), 1)]
    if model:
        held.append(Artifact("model", model, "default", 4_000_000_000, names.model_label(model, "default"), 1))
    rooms = [NodeRoom(name, {"nvidia.com/gpu": (8, 8)}) for name in nodes]
    labels = {"pool": {"gpu": 1}}
    return Inventory(id="0123456789abcdef", time=1_700_000_000.0, nodes=rooms, artifacts=held, labels=labels)


@pytest.fixture
def records(tmp_path: Path) -> Path:
    """Three pods of VLLM on a cluster that had five nodes in all, two at a time."""
    directory = tmp_path / "records"
    directory.mkdir()
    cache = "{hostPath: {path: /var/lib/warmpod, type: DirectoryOrCreate}}"
    node_cache = (
        f"---\nkind: NodeCache\napiVersion: warmpod.dev/v1alpha1\nmetadata: {{name: ebs}}\nspec: {{volume: {cache}}}\n"
    )
    known = facts(policy().replace("cache: nvme", "cache: ebs"), node_cache)
    with (directory / "host-1-20260131T000000Z.jsonl").open("wb") as stream:
        for number in range(4):
            sent = gpu_pod()
            asking = request({**sent, "metadata": {**sent["metadata"], "name": f"llm-{number}"}}, dry_run=number == 3)
            decision = admit(asking, known)
            stream.write(encode(asking.raw, known, decision, time=datetime(2026, 1, 31, tzinfo=UTC), version="0.1.0"))
        stream.write(b"not a record\n")
    for number, nodes in enumerate([("gpu-0", "gpu-1"), ("gpu-2", "gpu-3"), ("gpu-3", "gpu-4")]):
        seen = inventory(nodes, "s3://acme-models/llama/").again(f"{number:016}", 1_700_000_000.0 + number)
        with gzip.open(directory / f"inventory-{number}.jsonl.gz", "wb") as stream:
            stream.write(encode_inventory(seen))
    return directory


def test_recorded_admissions_fall_on_the_nodes_there_were(records: Path) -> None:
    done = bake("plan", "--records", records, "--output", "json")
    found = json.loads(done.stdout)
    assert (found["counted"], found["nodes"]) == ("admissions", 5)
    assert shares(found)[VLLM] == (3, round(1 - 0.8**3, 6))
    assert "counted 3 recorded admissions over 5 nodes" in done.stderr
    assert "host-1-20260131T000000Z.jsonl:5: " in done.stderr, "what could not be read is told"
    assert shares(planned("--records", records, "--births", "1"))[VLLM] == (3, 1.0)


def test_records_without_inventories_need_to_be_told_of_nodes(records: Path) -> None:
    for path in records.glob("inventory-*"):
        path.unlink()
    done = bake("plan", "--records", records)
    assert done.exit_code == 2
    assert "--births N" in done.stderr
    assert shares(planned("--records", records, "--births", "2"))[VLLM] == (3, 0.875)


def test_since_leaves_out_older_records_and_nodes(records: Path) -> None:
    assert bake("plan", "--records", records, "--since", "2026-02-01").exit_code == 3
    assert planned("--records", records, "--since", "2023-11-14T22:13:21.5Z")["nodes"] == 2


def test_models_are_baked_where_asked_and_where_a_volume_holds_them(records: Path) -> None:
    source = "s3://acme-models/llama/"
    assert source not in shares(planned("--records", records))
    found = planned("--records", records, "--models", "--births", "1")
    [model] = [one for one in found["baked"] if one["kind"] == "model"]
    assert model["path"] == f"/var/lib/warmpod/namespaces/default/{names.directory(source)}"
    assert (model["name"], model["tenant"], model["bytes"], model["secondsPerPull"]) == (
        source,
        "default",
        4_000_000_000,
        10.0,
    )


def test_a_pool_of_records_is_of_pods_that_may_run_there(records: Path) -> None:
    found = planned("--records", records, "--pool", "pool=gpu")
    assert (shares(found)[VLLM], found["nodes"]) == ((3, 1.0), 1)


def test_records_without_a_pod_are_nothing_to_do(tmp_path: Path) -> None:
    done = bake("plan", "--records", tmp_path)
    assert done.exit_code == 3
    assert "nothing to bake" in done.stderr
    assert done.stdout == ""


def test_no_budget_is_nothing_to_do(dump: Path) -> None:
    for form in ("table", "bottlerocket", "user-data"):
        done = bake("plan", "--dump", dump, "--budget", "0", "--output", form)
        assert done.exit_code == 3
        assert "snapshot.sh" not in done.stdout
        assert "#!/bin/bash" not in done.stdout


def test_scripts_are_what_stdout_holds(dump: Path) -> None:
    bottlerocket = bake("plan", "--dump", dump, "--output", "bottlerocket", "--platform", "linux/arm64")
    assert bottlerocket.exit_code == 0
    last = bottlerocket.stdout.splitlines()[-1]
    assert last.endswith(f"-A arm64 -s 52 {VLLM},{TRITON}")
    builder = bake("plan", "--dump", dump, "--output", "user-data")
    assert builder.exit_code == 0
    assert builder.stdout.startswith("MIME-Version: 1.0\n")
    assert f"\npull {VLLM} '' {ONE}\n" in builder.stdout


def test_layers_of_a_file_are_shared(dump: Path, tmp_path: Path) -> None:
    base = {"digest": ONE, "size": 6 * GIB}
    layers = {
        "vllm/vllm-openai:v0.11.0": {"layers": [base, {"digest": TWO, "size": GIB}], "mediaType": "x"},
        TRITON: {"digest": TWO, "layers": [base]},
    }
    (tmp_path / "layers.json").write_text(json.dumps(layers))
    found = planned("--dump", dump, "--layers", tmp_path / "layers.json", "--budget", "23Gi")
    assert [one["name"] for one in found["baked"]] == [VLLM, TRITON]
    assert found["diskBytes"] == round(6 * GIB * 3.15) + round(GIB * 3.15)
    assert [one["digest"] for one in found["baked"]] == [ONE, TWO]


@pytest.fixture
def registry() -> Iterator[RegistryServer]:
    server = RegistryServer()
    with served(server):
        yield server


def of_registry(registry: RegistryServer, dump: Path) -> Path:
    text = dump.read_text()
    for name in (VLLM, TRITON, OLD):
        text = text.replace(name, f"{registry.host}/{name.partition('/')[2]}")
    dump.write_text(text)
    return dump


def test_from_plan_to_check_over_a_registry(registry: RegistryServer, dump: Path, tmp_path: Path) -> None:
    of_registry(registry, dump)
    vllm, triton = (f"{registry.host}/{name.partition('/')[2]}" for name in (VLLM, TRITON))
    digest = registry.push("vllm/vllm-openai", "v0.11.0", {"base": 5 * GIB, "own": GIB})
    done = bake("plan", "--dump", dump, "--registry", "--output", "json")
    found = json.loads(done.stdout)
    assert {one["name"]: (one["digest"], one["bytes"]) for one in found["baked"]} == {
        vllm: (digest, 6 * GIB),
        triton: (ONE, 7_000_000_000),
    }
    assert f"{triton}: {registry.host} has no such image" in done.stderr
    assert not any("/old/" in one.path for one in registry.seen), "nobody is asked for what nobody wants"
    plan = tmp_path / "plan.json"
    plan.write_text(done.stdout)

    registry.push("nvidia/tritonserver", "25.02", {"t": GIB})
    registry.manifests["nvidia/tritonserver", ONE] = registry.manifests["nvidia/tritonserver", "25.02"]
    assert states("--plan", plan, "--registry") == (1, {vllm: "current", triton: "stale"})
    assert states("--plan", plan, "--registry", "--fail-on", "none")[0] == 0
    registry.push("vllm/vllm-openai", "v0.11.0", {"base": 5 * GIB, "new": GIB})
    del registry.manifests["nvidia/tritonserver", "25.02"]
    assert states("--plan", plan, "--registry") == (1, {vllm: "stale", triton: "missing"})
    registry.faults["/v2/vllm/vllm-openai/manifests/v0.11.0"] = Answer(500)
    assert states("--plan", plan, "--registry") == (0, {vllm: "unknown", triton: "missing"})
    assert states("--plan", plan, "--registry", "--fail-on", "stale,missing")[0] == 1


def states(*arguments: str | Path) -> tuple[int, dict[str, str]]:
    done = bake("check", *arguments, "--output", "json")
    return done.exit_code, {one["name"]: one["state"] for one in json.loads(done.stdout)["items"]}


@pytest.fixture
def plan(tmp_path: Path) -> Path:
    path = tmp_path / "plan.json"
    baked = [{"kind": "image", "name": name, "digest": ONE} for name in (VLLM, TRITON, OLD)]
    path.write_text(json.dumps({"schema": 1, "baked": [*baked, {"kind": "model", "name": HOSTILE}]}))
    return path


def test_a_name_by_digest_is_asked_of_nobody(registry: RegistryServer, tmp_path: Path) -> None:
    name = f"{registry.host}/vllm@{ONE}"
    (tmp_path / "plan.json").write_text(json.dumps({"schema": 1, "baked": [{"kind": "image", "name": name}]}))
    assert states("--plan", tmp_path / "plan.json", "--registry") == (0, {name: "current"})
    assert not registry.seen


def test_pods_tell_what_is_stale_and_what_nobody_wants(plan: Path, dump: Path) -> None:
    assert states("--plan", plan, "--dump", dump) == (
        0,
        {VLLM: "current", TRITON: "current", OLD: "unused", HOSTILE: "unused"},
    )
    dump.write_text(dump.read_text().replace("2026-01-09", "2026-01-01"))
    done = bake("check", "--plan", plan, "--dump", dump)
    assert done.exit_code == 1
    first = done.stdout.splitlines()[1].split()
    assert first[:4] == ["stale", VLLM, ONE[:19], TWO[:19]]
    assert "\x1b" not in done.stdout
    assert "\u202e" not in done.stdout
    assert "1 current, 1 stale, 2 unused" in done.stderr


def test_a_file_of_digests_tells_where_registries_cannot_be_asked(plan: Path, tmp_path: Path) -> None:
    (tmp_path / "digests.json").write_text(json.dumps({"vllm/vllm-openai:v0.11.0": TWO, TRITON: ONE}))
    assert states("--plan", plan, "--digests", tmp_path / "digests.json") == (
        1,
        {VLLM: "stale", TRITON: "current", OLD: "unknown", HOSTILE: "unknown"},
    )


def test_nothing_baked_is_nothing_to_check(tmp_path: Path) -> None:
    (tmp_path / "plan.json").write_text('{"schema": 1, "baked": []}')
    (tmp_path / "digests.json").write_text("{}")
    done = bake("check", "--plan", tmp_path / "plan.json", "--digests", tmp_path / "digests.json")
    assert done.exit_code == 3
    assert "nothing was baked" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["plan", "--inventory", "FILE", "--dump", "FILE"], "one inventory at a time"),
        (["plan", "--dump", "FILE", "--since", "24h"], "it goes with --records"),
        (["plan", "--dump", "FILE"], "not JSON of Kubernetes objects"),
        (["plan", "--dump", "NONE"], "No such file"),
        (["plan", "--inventory", "FILE"], "it is the JSON file|--inventory takes"),
        (["plan", "--inventory", "NONE"], "No such file"),
        (["plan", "--records", "NONE"], "there is no such directory"),
        (["plan", "--dump", "DUMP", "--pool", "x"], "is not LABEL=VALUE"),
        (["plan", "--dump", "DUMP", "--pool", "x=y"], "no accelerator node has x=y"),
        (["plan", "--dump", "DUMP", "--layers", "FILE"], "docs/bake.md"),
        (["plan", "--dump", "DUMP", "--layers", "NONE"], "No such file"),
        (["plan", "--dump", "DUMP", "--registry", "--docker-config", "FILE"], "it is no JSON"),
        (["plan", "--dump", "DUMP", "--budget", "much"], "write for example 1Gi"),
        (["plan", "--dump", "DUMP", "--platform", "windows"], "such as linux/amd64"),
        (["plan", "--dump", "DUMP", "--unpacked", "nan"], "no number to reckon with"),
        (["check", "--plan", "FILE", "--dump", "DUMP"], "not a plan"),
        (["check", "--plan", "NONE", "--dump", "DUMP"], "No such file"),
        (["check", "--plan", "PLAN", "--digests", "FILE"], "docs/bake.md"),
        (["check", "--plan", "PLAN", "--dump", "DUMP", "--fail-on", "old"], "is no kind of finding"),
        (["check"], "--plan"),
        (["check", "--plan", "ENDLESS", "--dump", "DUMP"], "more than 16 MiB"),
        (["check", "--plan", "PLAN", "--digests", "ENDLESS"], "more than 64 MiB"),
        (["plan", "--dump", "DUMP", "--layers", "ENDLESS"], "more than 64 MiB"),
        (["plan", "--dump", "DUMP", "--registry", "--docker-config", "ENDLESS"], "more than 4 MiB"),
    ],
    ids=[
        "two-inventories", "since", "bad-dump", "no-dump", "bad-inventory", "no-inventory", "no-records", "pool",
        "empty-pool", "bad-layers", "no-layers", "bad-login", "budget", "platform", "unpacked", "bad-plan", "no-plan",
        "bad-digests", "fail-on", "plan-missing", "endless-plan", "endless-digests", "endless-layers", "endless-login",
    ],
)  # fmt: skip
def test_what_cannot_be_done_is_told(arguments: list[str], said: str, dump: Path, plan: Path, tmp_path: Path) -> None:
    (tmp_path / "garbage").write_text("<garbage>")
    files = {"FILE": tmp_path / "garbage", "NONE": tmp_path / "none", "DUMP": dump, "PLAN": plan}
    files["ENDLESS"] = Path("/dev/zero")
    done = bake(*(files.get(one, one) for one in arguments))
    assert done.exit_code == 2
    assert any(each in done.stderr for each in said.split("|")), done.stderr


def test_a_closed_stdout_is_no_defect(plan: Path, dump: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", None)  # as Python begins under `>&-`
    with pytest.raises(SystemExit) as ended:
        main(["bake", "check", "--plan", str(plan), "--dump", str(dump), "--fail-on", "none"])
    assert ended.value.code == 0


class Cluster(HttpServer):
    """Lists what a dump holds; pods are forbidden where it is `secretive`."""

    def __init__(self, dump: Path, *, secretive: bool = False) -> None:
        super().__init__()
        self.secretive = secretive
        self.items: list[Object] = json.loads(dump.read_text())["items"]

    async def handle(self, request: HttpRequest, writer: asyncio.StreamWriter) -> bool:
        kind = {"/api/v1/nodes": "Node", "/api/v1/pods": "Pod", "/api/v1/namespaces": "Namespace"}.get(request.path)
        found = [one for one in self.items if one["kind"] == kind]
        listed = {"kind": f"{kind}List", "metadata": {"resourceVersion": "1"}, "items": found}
        if kind is None or (kind == "Pod" and self.secretive):
            await reply(writer, Answer(403 if kind else 404))
        else:
            await reply(writer, Answer(200, json.dumps(listed).encode()))
        return True


def test_the_live_cluster_tells_the_same(dump: Path, plan: Path, tmp_path: Path) -> None:
    server = Cluster(dump)
    with served(server):
        kubeconfig = server.write_kubeconfig(tmp_path, {"token": "t"})
        live = planned("--kubeconfig", kubeconfig)
        checked = states("--plan", plan, "--kubeconfig", kubeconfig)
    assert live == planned("--dump", dump)
    assert checked == states("--plan", plan, "--dump", dump)


def test_a_cluster_that_does_not_tell(dump: Path, tmp_path: Path) -> None:
    server = Cluster(dump, secretive=True)
    with served(server):
        done = bake("plan", "--kubeconfig", server.write_kubeconfig(tmp_path, {"token": "t"}))
    assert done.exit_code == 2
    assert "the right to list nodes, pods and namespaces" in done.stderr


def test_no_cluster(tmp_path: Path) -> None:
    done = bake("plan", "--kubeconfig", tmp_path / "none")
    assert done.exit_code == 2
    assert "--records, --dump and --inventory need no cluster" in done.stderr


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"NOT an image": {"layers": [{"digest": "x", "size": 1}]}}', "is no image reference"),
        ('{"x": {"manifests": []}}', "give one platform's manifest"),
        ('{"x": {"layers": [{"digest": "sha256:0", "size": -1}]}}', ">= 0"),
        ("[" * 100_000, "docs/bake.md"),
    ],
    ids=["name", "index", "size", "deep"],
)
def test_files_of_layers_are_checked(text: str, said: str, dump: Path, tmp_path: Path) -> None:
    (tmp_path / "told.json").write_text(text)
    done = bake("plan", "--dump", dump, "--layers", tmp_path / "told.json")
    assert done.exit_code == 2
    assert said in done.stderr


@pytest.mark.parametrize(
    ("text", "said"),
    [('{"x": "latest"}', "'latest' is no digest"), ("[]", "docs/bake.md"), ('{"X": "sha256:%s"}' % ("0" * 64), "'X'")],
    ids=["digest", "list", "name"],
)
def test_files_of_digests_are_checked(text: str, said: str, plan: Path, tmp_path: Path) -> None:
    (tmp_path / "told.json").write_text(text)
    done = bake("check", "--plan", plan, "--digests", tmp_path / "told.json")
    assert done.exit_code == 2
    assert said in done.stderr


def test_rates_are_those_of_the_webhook() -> None:
    webhook, plan = (command_of(*path) for path in (["webhook"], ["bake", "plan"]))
    for flag in ("image_bytes_per_second", "model_bytes_per_second"):
        assert defaults(plan)[flag] == defaults(webhook)[flag]


def command_of(*path: str) -> click.Command:
    found: click.Command = main
    for name in path:
        assert isinstance(found, click.Group)
        below = found.get_command(click.Context(found), name)
        assert below is not None
        found = below
    return found


def defaults(command: click.Command) -> dict[str | None, Any]:
    return {one.name: one.default for one in command.params}
