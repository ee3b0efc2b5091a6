"""Labels on nodes, written to a real HTTP server that has server-side apply, from the plan of a real `Cluster`."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from tests.controller.kube_server import Fault, KubeServer, Node, Trouble
from tests.inventory.api import GIB, node
from tests.scripted_http import Answer
from webhook.controller import labeller as module
from webhook.controller.labeller import IN_FLIGHT, Labeller
from webhook.inventory.cluster import Cluster
from webhook.kube import names
from webhook.sources.kube_api import KubeApi

IMAGE = "example.org/llm:1"
KEY = names.image_label(IMAGE)
OTHER = "example.org/other:1"
OTHER_KEY = names.image_label(OTHER)


class World:
    """Nodes, what the controller knows of them, and the labeller. The watch is `echo`, run by hand or not."""

    def __init__(self, server: KubeServer, api: KubeApi, per_second: float = 200.0) -> None:
        self.server = server
        self.cluster = Cluster()
        for resource in ("pods", "namespaces"):
            self.cluster.replace(resource, [], 1.0)
        self.images: dict[str, list[str]] = {}
        self.may_write = True
        self.labeller = Labeller(api, self.cluster, lambda: self.may_write, per_second)
        self._task: asyncio.Task[None] | None = None
        self._watch: asyncio.Task[None] | None = None

    def add(self, name: str, *images: str, uid: str = "") -> None:
        self.server.nodes[name] = Node(uid or f"uid-{name}")
        self.images[name] = list(images)
        self.echo()

    def echo(self) -> None:
        """What the watch would bring."""
        for name, found in self.server.nodes.items():
            entries = [{"names": [one], "sizeBytes": 10 * GIB} for one in self.images[name]]
            self.cluster.put("nodes", node(name, images=entries, labels=found.labels, uid=found.uid), time.time())

    def start(self, *, watch: bool = True) -> None:
        async def follow() -> None:
            while True:
                await asyncio.sleep(0.02)
                self.echo()

        self._task = asyncio.create_task(self.labeller.run())
        if watch and self._watch is None:
            self._watch = asyncio.create_task(follow())

    async def stop(self) -> None:
        assert self._task is not None
        self._task.cancel()
        await asyncio.wait({self._task})

    async def end(self) -> None:
        await self.stop()
        if self._watch is not None:
            self._watch.cancel()

    def labels(self, name: str) -> dict[str, str]:
        return self.server.nodes[name].labels

    async def until(self, ready: Callable[[], bool], seconds: float = 60.0) -> None:
        end = time.monotonic() + seconds
        while not ready():
            assert time.monotonic() < end, self.labeller.problem or "it did not come to that"
            await asyncio.sleep(0.01)

    async def quiet(self, seconds: float = 0.8) -> int:
        """How many writes come in a while."""
        before = len(self.server.patches())
        await asyncio.sleep(seconds)
        return len(self.server.patches()) - before


def play(directory: Path, scenario: Callable[[World], Awaitable[None]], per_second: float = 200.0) -> None:
    async def act() -> None:
        server = KubeServer()
        async with asyncio.timeout(200), server.serve(directory) as api:
            world = World(server, api, per_second)
            await scenario(world)
            await world.end()

    asyncio.run(act())


def test_nodes_get_their_labels_and_lose_them(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        world.add("a", IMAGE, OTHER)
        world.add("b")
        world.start()
        await world.until(lambda: world.labels("a") == {KEY: "warm", OTHER_KEY: "warm"})
        world.images["a"] = [OTHER]
        await world.until(lambda: world.labels("a") == {OTHER_KEY: "warm"})
        assert world.labels("b") == {}
        assert world.server.patches()[0].body["metadata"]["uid"] == "uid-a"
        assert await world.quiet() == 0

    play(tmp_path, scenario)


def test_nothing_is_written_after_a_restart_when_nothing_changed(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        for name in "abc":
            world.add(name, IMAGE)
        world.start()
        await world.until(lambda: all(world.labels(name) for name in "abc"))
        await world.until(lambda: not world.cluster.behind())
        await world.stop()
        world.start()
        assert await world.quiet() == 0

    play(tmp_path, scenario)


def test_one_write_is_enough_however_late_the_watch_is(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        world.add("a", IMAGE)
        world.start(watch=False)
        await world.until(lambda: bool(world.labels("a")))
        assert await world.quiet(1.5) == 0
        assert world.cluster.behind() == ["a"]  # nobody told it yet
        world.echo()
        assert await world.quiet() == 0

    play(tmp_path, scenario)


def test_what_the_watch_never_brings_is_written_once_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_ECHO_SECONDS", 0.5)

    async def scenario(world: World) -> None:
        world.add("a", IMAGE)
        world.start(watch=False)
        await world.until(lambda: len(world.server.patches()) == 2)

    play(tmp_path, scenario)


def test_a_key_with_an_owner_is_left_to_them_and_the_rest_is_written(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        world.add("a", IMAGE, OTHER)
        world.server.label("a", KEY, "cold")
        world.echo()
        world.start()
        await world.until(lambda: world.labels("a") == {KEY: "cold", OTHER_KEY: "warm"})
        await world.until(lambda: world.labeller.conflicts == {"a": [KEY]})
        assert world.labeller.writes["conflict"] == 1
        assert await world.quiet() == 0
        # A new plan: it may be worth another look, but what they set stays.
        world.images["a"] = [IMAGE]
        await world.until(lambda: world.labels("a") == {KEY: "cold"})
        assert await world.quiet() == 0
        # They let it go.
        world.server.label("a", KEY, None)
        await world.until(lambda: world.labels("a") == {KEY: "warm"})
        await world.until(lambda: world.labeller.conflicts == {})

    play(tmp_path, scenario)


def test_a_label_that_somebody_else_gave_stays_and_is_told_of(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        world.add("a", IMAGE)
        world.server.label("a", OTHER_KEY, "warm")
        world.start()
        await world.until(lambda: world.labels("a") == {KEY: "warm", OTHER_KEY: "warm"})
        await world.until(lambda: world.labeller.conflicts == {"a": [OTHER_KEY]})
        assert await world.quiet() == 0

    play(tmp_path, scenario)


def test_who_takes_a_label_away_again_and_again_is_not_fought(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        world.add("a", IMAGE)
        world.start()
        await world.until(lambda: KEY in world.labels("a"))
        end = time.monotonic() + 3
        while time.monotonic() < end:
            world.server.label("a", KEY, None)
            await asyncio.sleep(0.05)
        # Once by the plan and once again at once; the next would come seconds later.
        assert len(world.server.patches()) <= 3

    play(tmp_path, scenario)


def test_a_node_that_went_and_came_back_is_another_one(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        world.add("a", IMAGE)
        world.server.nodes["a"].uid = "new"  # and the watch does not know yet
        world.start(watch=False)
        await world.until(lambda: world.labeller.writes["gone"] == 1)
        assert world.labels("a") == {}
        assert await world.quiet() == 0
        world.echo()
        await world.until(lambda: KEY in world.labels("a"))

    play(tmp_path, scenario)


def test_a_node_that_is_gone_holds_up_nobody(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        world.add("a", IMAGE)
        world.add("b", IMAGE)
        del world.server.nodes["a"]
        world.start()
        await world.until(lambda: KEY in world.labels("b"))
        await world.until(lambda: world.labeller.writes["gone"] == 1)
        assert world.labeller.problem is None
        assert await world.quiet() == 0

    play(tmp_path, scenario)


def test_throttled_once_all_writes_wait(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        for number in range(30):
            world.add(f"n{number}", IMAGE)
        world.server.faults.append(Answer(429, headers={"Retry-After": "2"}))
        world.start()
        await world.until(lambda: world.labeller.writes["throttled"] == 1)
        told = world.server.patches()[0].at
        await world.until(lambda: all(KEY in found.labels for found in world.server.nodes.values()))
        late = [one.at - told for one in world.server.patches()[1:]]
        # Those that were in flight already come within a moment; all others after what was asked for.
        assert sum(after < 1.5 for after in late) < IN_FLIGHT
        assert world.labeller.problem is None

    play(tmp_path, scenario)


@pytest.mark.parametrize(
    "fault",
    [
        Answer(500),
        Answer(200, b"<html>", content_type="text/html"),
        Answer(200, b"[]"),
        Trouble("cut"),
        Trouble("lost"),
    ],
    ids=["500", "HTML", "odd JSON", "cut", "lost"],
)
def test_what_fails_for_a_while_is_written_afterwards(tmp_path: Path, fault: Fault) -> None:
    async def scenario(world: World) -> None:
        for number in range(5):
            world.add(f"n{number}", IMAGE)
        world.server.faults.extend([fault] * 4)
        world.start()
        await world.until(lambda: all(KEY in found.labels for found in world.server.nodes.values()))
        await world.until(lambda: world.labeller.writes["throttled"] >= 1)

    play(tmp_path, scenario)


def test_a_refusal_is_told_with_what_to_look_at_and_tried_ever_less(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        for number in range(20):
            world.add(f"n{number}", IMAGE)
        world.server.fault = lambda _method, _path: Answer(403, b'{"kind":"Status","message":"not you"}')
        world.start()
        await world.until(lambda: world.labeller.writes["refused"] >= 3)
        problem = world.labeller.problem or ""
        assert "not you" in problem
        assert "manifests/base" in problem
        assert "ValidatingAdmissionPolicy" in problem
        assert await world.quiet(2) <= IN_FLIGHT + 4
        world.server.fault = lambda _method, _path: None
        await world.until(lambda: world.labeller.writes["applied"] > 0)

    play(tmp_path, scenario)


def test_one_node_that_is_refused_holds_up_no_other(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        for number in range(20):
            world.add(f"n{number}", IMAGE)
        refused = Answer(422, b'{"kind":"Status","message":"invalid"}')
        world.server.fault = lambda _method, path: refused if path.endswith("/n0") else None
        world.start()
        others = [found for name, found in world.server.nodes.items() if name != "n0"]
        await world.until(lambda: all(KEY in found.labels for found in others))
        assert await world.quiet() == 0
        assert "n0" in (world.labeller.problem or "")

    play(tmp_path, scenario)


def test_no_faster_than_told_and_a_few_at_a_time(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        for number in range(60):
            world.add(f"n{number:02}", IMAGE)
        world.server.slow = 0.3
        world.start()
        await world.until(lambda: len(world.server.patches()) >= 41)
        times = [one.at for one in world.server.patches()]
        for first, last in zip(times, times[20:], strict=False):
            assert last - first >= 20 / 25 - 0.4
        assert 1 < world.server.most_busy <= IN_FLIGHT

    play(tmp_path, scenario, per_second=25)


def test_biggest_first(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        for number in range(10):
            world.add(f"n{number}", *[f"example.org/i{one}:1" for one in range(number)])
        world.start()
        await world.until(lambda: not world.cluster.behind())
        order = [one.path.rpartition("/")[2] for one in world.server.patches()]
        assert order == [f"n{number}" for number in range(9, 0, -1)]

    play(tmp_path, scenario, per_second=4)  # far enough apart that none overtakes another on the way


def test_who_does_not_lead_writes_nothing(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        for number in range(50):
            world.add(f"n{number}", IMAGE)
        world.start()
        await world.until(lambda: len(world.server.patches()) >= 5)
        world.may_write = False
        await world.until(lambda: not world.labeller._flying)
        assert await world.quiet() == 0
        world.may_write = True
        await world.until(lambda: not world.cluster.behind())

    play(tmp_path, scenario, per_second=25)


def test_cancelled_it_ends_what_is_in_flight(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        for number in range(30):
            world.add(f"n{number}", IMAGE)
        world.server.fault = lambda _method, _path: Trouble("hang")
        world.start()
        await world.until(lambda: len(world.server.patches()) == IN_FLIGHT)
        began = time.monotonic()
        await world.stop()
        assert time.monotonic() < began + 5
        assert await world.quiet() == 0
        world.server.fault = lambda _method, _path: None
        world.start()
        await world.until(lambda: not world.cluster.behind())

    play(tmp_path, scenario)


def test_two_that_label_at_once_converge(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        async with KubeApi.connect(world.server.kubeconfig(tmp_path)) as api:
            second = Labeller(api, world.cluster, lambda: True, 200.0)
            for number in range(20):
                world.add(f"n{number}", IMAGE)
            world.start()
            running = asyncio.create_task(second.run())
            await world.until(lambda: not (world.cluster.behind() or world.labeller._flying or second._flying))
            assert len(world.server.patches()) <= 40
            assert await world.quiet() == 0
            running.cancel()
            await asyncio.wait({running})

    play(tmp_path, scenario)
