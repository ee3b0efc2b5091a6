"""The whole process, `warmpod controller`, against a server that speaks the API; and its cleanup."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import socket
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from tests.controller.kube_server import HTML, LEASE, NAMESPACE, Fault, KubeServer, Node, Trouble, until
from tests.scripted_http import Answer
from webhook.inventory.snapshot import decode
from webhook.kube import names

ROOT = Path(__file__).parents[2]
IMAGE = "example.org/llm:1"
KEY = names.image_label(IMAGE)


class Controller:
    """A running `warmpod controller`."""

    def __init__(self, child: asyncio.subprocess.Process, snapshot: Path) -> None:
        self.child = child
        self.snapshot = snapshot
        self.lines: list[dict[str, Any]] = []
        self._reading = asyncio.create_task(self._read())

    async def _read(self) -> None:
        assert self.child.stderr is not None
        async for line in self.child.stderr:
            self.lines.append(json.loads(line) if line.startswith(b"{") else {"message": line.decode().rstrip()})

    def said(self, message: str) -> list[dict[str, Any]]:
        return [line for line in self.lines if line["message"] == message]

    async def get(self, path: str) -> tuple[int, str]:
        port = int(self.said("started")[0]["metricsAddress"].rpartition(":")[2])
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(f"GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".encode())
        answer = (await reader.read()).decode()
        writer.close()
        await writer.wait_closed()
        return int(answer.split(" ")[1]), answer.partition("\r\n\r\n")[2]

    async def tells(self, *words: str) -> str:
        """Wait until its readiness says all of this; what it says then."""
        end = time.monotonic() + 60
        while True:
            text = (await self.get("/readyz?verbose"))[1]
            if all(word in text for word in words):
                return text
            assert time.monotonic() < end, text
            await asyncio.sleep(0.1)

    async def metric(self, line: str) -> float:
        found = re.search(rf"^{re.escape(line)} (\S+)$", (await self.get("/metrics"))[1], re.MULTILINE)
        return float(found[1]) if found else float("nan")

    async def counts(self, line: str, value: float) -> None:
        """Wait until a metric has this value: it may change a moment after what it counts."""
        end = time.monotonic() + 60
        while (found := await self.metric(line)) != value:
            assert time.monotonic() < end, found
            await asyncio.sleep(0.1)

    async def end(self, how: signal.Signals = signal.SIGTERM) -> int:
        if self.child.returncode is None:
            self.child.send_signal(how)
        code = await asyncio.wait_for(self.child.wait(), 60)
        await self._reading
        return code


class Stage:
    """A server, and controllers that talk to it."""

    def __init__(self, server: KubeServer, directory: Path) -> None:
        self.server = server
        self.directory = directory
        self.controllers: list[Controller] = []

    async def command(self, *flags: str) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            sys.executable, "-m", "webhook.cli.main", "controller", f"--kubeconfig={self.directory / 'kubeconfig'}",
            *flags, cwd=ROOT, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip

    async def start(self, *flags: str, name: str = "snapshot.json") -> Controller:
        snapshot = self.directory / name
        child = await self.command(
            f"--snapshot={snapshot}", "--metrics-host=127.0.0.1", "--metrics-port=0", "--identity=" + name, *flags
        )
        controller = Controller(child, snapshot)
        self.controllers.append(controller)
        await until(lambda: bool(controller.said("started")) or child.returncode is not None, 90)
        assert child.returncode is None, controller.lines
        return controller

    def labelled(self) -> set[str]:
        return {name for name, node in self.server.nodes.items() if KEY in node.labels}


def play(directory: Path, scenario: Callable[[Stage], Awaitable[None]], nodes: int = 4, warm: int = 2) -> None:
    async def act() -> None:
        server = KubeServer()
        for number in range(nodes):
            server.nodes[f"gpu-{number}"] = Node(f"uid-{number}", images=[IMAGE] if number < warm else [])
        stage = Stage(server, directory)
        async with asyncio.timeout(250), server.serve(directory):
            try:
                await scenario(stage)
            finally:
                for controller in stage.controllers:
                    await controller.end(signal.SIGKILL)

    asyncio.run(act())


def test_from_start_to_sigterm(tmp_path: Path) -> None:
    async def scenario(stage: Stage) -> None:
        controller = await stage.start()
        await until(lambda: stage.labelled() == {"gpu-0", "gpu-1"})
        assert (await controller.get("/livez"))[0] == 200
        await until(controller.snapshot.exists)
        status, text = await controller.get("/readyz?verbose")
        assert status == 200, text
        assert "[+] leader: this one\n" in text
        assert "[+] watch nodes: 1 lists" in text
        assert "not served, and not needed" in text
        artifact = decode(controller.snapshot.read_bytes()).image(IMAGE)
        assert artifact is not None
        assert artifact.mask.bit_count() == 2
        stage.server.nodes["gpu-3"].images.append(IMAGE)
        stage.server.touch("gpu-3")
        await until(lambda: "gpu-3" in stage.labelled())
        assert await controller.metric("warmpod_controller_leader") == 1
        assert await controller.metric("warmpod_controller_nodes") == 4
        assert await controller.metric('warmpod_controller_label_writes_total{result="applied"}') == 3
        assert stage.server.holder == "snapshot.json"
        assert await controller.end() == 0
        assert stage.server.holder == ""
        assert [line["message"] for line in controller.lines][-3:] == ["stopping", "lease released", "stopped"]

    play(tmp_path, scenario)


def test_killed_it_starts_again_and_writes_no_label_twice(tmp_path: Path) -> None:
    async def scenario(stage: Stage) -> None:
        controller = await stage.start()
        await until(lambda: len(stage.labelled()) == 2)
        await controller.end(signal.SIGKILL)
        writes = len(stage.server.patches())
        again = await stage.start()  # by its identity it has the lease still
        await until(lambda: bool(again.said("leading")))
        assert again.said("started")[0]["restored"] is not None
        await asyncio.sleep(1)
        assert len(stage.server.patches()) == writes

    play(tmp_path, scenario)


def test_of_two_one_labels_and_both_write_their_snapshot(tmp_path: Path) -> None:
    async def scenario(stage: Stage) -> None:
        one = await stage.start(name="one.json")
        await until(lambda: stage.server.holder == "one.json")
        two = await stage.start(name="two.json")
        await until(lambda: one.snapshot.exists() and two.snapshot.exists())
        await until(lambda: bool(two.said("first snapshot written")))
        assert await two.metric("warmpod_controller_leader") == 0
        await two.tells("[+] leader: another one\n")
        stage.server.nodes["gpu-3"].images.append(IMAGE)
        stage.server.touch("gpu-3")
        await until(lambda: "gpu-3" in stage.labelled())
        await until(lambda: decode(one.snapshot.read_bytes()).id == decode(two.snapshot.read_bytes()).id)
        assert two.said("leading") == []
        await one.end()
        await until(lambda: bool(two.said("leading")))

    play(tmp_path, scenario)


def test_without_labels_there_is_no_lease(tmp_path: Path) -> None:
    async def scenario(stage: Stage) -> None:
        controller = await stage.start("--no-labels")
        await until(controller.snapshot.exists)
        assert "--no-labels" in (await controller.get("/readyz?verbose"))[1]
        await asyncio.sleep(0.5)
        assert stage.server.patches() == []
        assert stage.server.lease is None
        assert await controller.end() == 0

    play(tmp_path, scenario)


@pytest.mark.parametrize(
    ("fault", "word"),
    [
        (Answer(403, b'{"kind":"Status","message":"you may not"}'), "apply the RBAC of manifests/base"),
        (Answer(401, b'{"kind":"Status","message":"who are you"}'), "credentials"),
        (HTML, "does a proxy"),
        (Trouble("cut"), "is the API server up"),
    ],
    ids=["forbidden", "unauthorized", "HTML", "dropped"],
)
def test_an_api_that_does_not_answer_is_waited_for(tmp_path: Path, fault: Answer | Trouble, word: str) -> None:
    async def scenario(stage: Stage) -> None:
        stage.server.fault = lambda _method, _path: fault
        controller = await stage.start()
        await controller.tells(word)
        assert (await controller.get("/livez"))[0] == 200
        status, text = await controller.get("/readyz?verbose")
        assert status == 503
        assert "[-] synced: not listed yet: nodes, pods, namespaces" in text
        assert not controller.snapshot.exists()
        stage.server.fault = lambda _method, _path: None
        await until(controller.snapshot.exists)
        assert await controller.end() == 0

    play(tmp_path, scenario)


def test_sigterm_does_not_wait_for_an_api_that_hangs(tmp_path: Path) -> None:
    async def scenario(stage: Stage) -> None:
        controller = await stage.start()
        await until(lambda: len(stage.labelled()) == 2)
        stage.server.fault = lambda _method, _path: Trouble("hang")
        began = time.monotonic()
        assert await controller.end() == 0
        assert time.monotonic() - began < 30

    play(tmp_path, scenario)


def test_a_port_in_use_is_said_in_one_sentence(tmp_path: Path) -> None:
    async def scenario(stage: Stage) -> None:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            port = taken.getsockname()[1]
            child = await stage.command(
                f"--snapshot={tmp_path / 's'}", "--metrics-host=127.0.0.1", f"--metrics-port={port}"
            )
            _, error = await child.communicate()
        assert child.returncode == 2
        assert error.decode().startswith(f"error: --metrics-port: cannot listen on 127.0.0.1:{port}: ")
        assert error.count(b"\n") == 1

    play(tmp_path, scenario)


async def clean(stage: Stage) -> tuple[int, str, str]:
    child = await stage.command("--cleanup", f"--lease-namespace={NAMESPACE}", f"--lease-name={LEASE}")
    out, error = await child.communicate()
    assert child.returncode is not None
    return child.returncode, out.decode(), error.decode()


def test_cleanup_takes_every_label_of_ours_and_nothing_else(tmp_path: Path) -> None:
    async def scenario(stage: Stage) -> None:
        stage.server.label("gpu-0", KEY, "warm", names.FIELD_MANAGER)
        stage.server.label("gpu-1", names.NODE_LABEL_BOOT, "0" * 16, "somebody")
        stage.server.label("gpu-1", "zone", "a", "kubelet")
        assert await clean(stage) == (0, "took the labels off 2 of 4 nodes\n", "")
        assert [node.labels for node in stage.server.nodes.values()] == [{}, {"zone": "a"}, {}, {}]
        assert stage.server.holder == ""
        writes = len(stage.server.patches())
        assert await clean(stage) == (0, "took the labels off 0 of 4 nodes\n", "")
        assert len(stage.server.patches()) == writes

    play(tmp_path, scenario)


def test_cleanup_that_is_refused_goes_on_and_tells(tmp_path: Path) -> None:
    async def scenario(stage: Stage) -> None:
        for name in stage.server.nodes:
            stage.server.label(name, KEY, "warm", names.FIELD_MANAGER)
        refused = Answer(403, b'{"kind":"Status","message":"not this one"}')
        stage.server.fault = lambda method, path: refused if method == "PATCH" and path.endswith("gpu-1") else None
        code, out, error = await clean(stage)
        assert code == 2
        assert out == "took the labels off 3 of 4 nodes\n"
        assert "1 node could not be cleaned" in error
        assert "gpu-1" in error
        assert "not this one" in error
        stage.server.fault = lambda _method, _path: None
        assert (await clean(stage))[:2] == (0, "took the labels off 1 of 4 nodes\n")

    play(tmp_path, scenario)


def test_cleanup_outlasts_a_busy_api(tmp_path: Path) -> None:
    async def scenario(stage: Stage) -> None:
        for name in stage.server.nodes:
            stage.server.label(name, KEY, "warm", names.FIELD_MANAGER)
        busy: list[Fault] = [Answer(429, headers={"Retry-After": "1"}), Answer(500), Trouble("cut")]
        stage.server.fault = lambda method, _path: busy.pop() if busy and method == "PATCH" else None
        assert (await clean(stage))[:2] == (0, "took the labels off 4 of 4 nodes\n")
        assert busy == []

    play(tmp_path, scenario)
