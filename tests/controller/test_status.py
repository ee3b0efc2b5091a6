"""What the controller tells of itself, and what it may claim to know."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import cast

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.controller.kube_server import HTML, LEASE, NAMESPACE, Fault, KubeServer, Node, Trouble, until
from tests.inventory.api import node
from tests.scripted_http import Answer
from webhook.controller import intake as intake_module
from webhook.controller import standing as standing_module
from webhook.controller.election import Election
from webhook.controller.intake import OPTIONAL, REQUIRED, Intake
from webhook.controller.labeller import Labeller
from webhook.controller.lease import Caller, LeaseApi
from webhook.controller.metrics import Metrics
from webhook.controller.options import Access
from webhook.controller.publisher import Publisher
from webhook.controller.standing import Standing
from webhook.controller.status import Status
from webhook.daemon.health import Check, is_ready
from webhook.inventory.cluster import Cluster
from webhook.inventory.objects import Resource, Watched
from webhook.kube import names
from webhook.sources.kube_api import Changed, KubeApi, Listed

KEY = names.image_label("example.org/llm:1")


def play(
    directory: Path, scenario: Callable[[Status, KubeServer], Awaitable[None]], cluster: Cluster | None = None
) -> None:
    async def act() -> None:
        server = KubeServer()
        async with asyncio.timeout(30), server.serve(directory) as api:
            facts = cluster or Cluster()
            intake = Intake(api, facts)
            status = Status(facts, intake, Publisher(directory / "snapshot.json", facts, intake.known_at))
            status.election = election = Election(lease(api), "me")
            status.labeller = Labeller(api, facts, lambda: election.leading, 100.0)
            await scenario(status, server)

    asyncio.run(act())


def lease(api: KubeApi) -> LeaseApi:
    return LeaseApi(cast("Caller", api.transport), NAMESPACE, LEASE)


def told(status: Status, name: str) -> Check:
    (found,) = [check for check in status.checks() if check.name == name]
    return found


def sync(status: Status, *nodes: Watched) -> None:
    for resource in REQUIRED:
        status.intake(Listed(resource, list(nodes) if resource == "nodes" else []))
        status.intake.stats[resource].last_sync = time.time()


async def written(status: Status) -> None:
    publishing = asyncio.create_task(status.publisher.run())
    await status.publisher.first.wait()
    publishing.cancel()
    await asyncio.wait({publishing})


def test_ready_when_listed_and_written(tmp_path: Path) -> None:
    async def scenario(status: Status, _server: KubeServer) -> None:
        assert not is_ready(status.checks())
        assert told(status, "synced").detail == "not listed yet: nodes, pods, namespaces"
        status.intake(Listed("nodes", []))
        status.intake.stats["nodes"].last_sync = 1.0
        assert told(status, "synced").detail == "not listed yet: pods, namespaces"
        sync(status)
        assert not is_ready(status.checks())
        assert told(status, "snapshot").detail == "not written yet"
        await written(status)
        assert is_ready(status.checks())
        # Whatever breaks later is told, and takes nobody out of service: the webhook judges by the snapshot's time.
        status.intake.stats["pods"].problem = "cannot list pods: forbidden"
        status.publisher.problem = "disk full"
        assert is_ready(status.checks())
        assert told(status, "watch pods") == Check("watch pods", False, "cannot list pods: forbidden", False)
        assert told(status, "snapshot-writes") == Check("snapshot-writes", False, "disk full", False)
        status.stopping = True
        assert not is_ready(status.checks())

    play(tmp_path, scenario)


def test_what_cannot_be_read_is_counted_and_not_named(tmp_path: Path) -> None:
    async def scenario(status: Status, _server: KubeServer) -> None:
        status.intake.stats["pods"].last_sync = 1.0
        status.intake.stats["pods"].unreadable.update({f"ns/p{number}": "no name" for number in range(1000)})
        detail = told(status, "unreadable pods").detail
        assert detail == "1000 objects cannot be read and count as absent: log line `objects not read`"

    play(tmp_path, scenario)


def test_conflicts_are_counted_and_not_named(tmp_path: Path) -> None:
    async def scenario(status: Status, server: KubeServer) -> None:
        image = [{"names": ["example.org/llm:1"], "sizeBytes": 2**34}]
        for number in range(8):
            server.nodes[f"n{number}"] = Node(f"uid-n{number}")
            server.label(f"n{number}", KEY, "cold")
        sync(status, *[node(f"n{number}", images=image, labels={KEY: "cold"}) for number in range(8)])
        assert status.election is not None
        assert status.labeller is not None
        leading = asyncio.create_task(status.election.run(status.labeller.run))
        await until(lambda: status.labeller is not None and len(status.labeller.conflicts) == 8)
        assert told(status, "leader") == Check("leader", True, "this one", False)
        conflicts = told(status, "label-conflicts")
        assert conflicts.detail == "left to another owner on 8 nodes: log line `labels left to another owner`"
        assert not conflicts.required
        assert status.state().nodes_conflicting == 8
        leading.cancel()
        await asyncio.wait({leading})

    play(tmp_path, scenario)


def test_the_exposition_says_what_is(tmp_path: Path) -> None:
    async def scenario(status: Status, _server: KubeServer) -> None:
        sync(status, node("a", images=[{"names": ["example.org/llm:1"], "sizeBytes": 2**34}]))
        await written(status)
        status.cluster.placements["image", "warm"] += 3
        status.cluster.refused["garbled"] += 1
        status.intake.stats["nodes"].restarts["expired"] += 2
        text = Metrics(status.state).exposition().decode()
        samples = {
            (sample.name, *sorted(sample.labels.values())): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        }
        assert samples["warmpod_controller_ready",] == 1
        assert samples["warmpod_controller_nodes",] == 1
        assert samples["warmpod_controller_nodes_behind",] == 1
        assert samples["warmpod_controller_artifacts", "image"] == 1
        assert samples["warmpod_controller_artifacts", "model"] == 0
        assert samples["warmpod_controller_placements_total", "image", "warm"] == 3
        assert samples["warmpod_controller_reports_refused_total", "garbled"] == 1
        assert samples["warmpod_controller_watch_restarts_total", "expired", "nodes"] == 2
        assert samples["warmpod_controller_watch_ok", "nodes"] == 1
        assert samples["warmpod_controller_watch_ok", "resourceslices"] == 0
        assert samples["warmpod_controller_snapshot_writes_total", "success"] == 1
        assert samples["warmpod_controller_snapshot_bytes",] == (tmp_path / "snapshot.json").stat().st_size
        assert samples["warmpod_controller_leader",] == 0
        assert samples["warmpod_controller_label_writes_total", "refused"] == 0

    play(tmp_path, scenario)


@pytest.mark.parametrize("resource", REQUIRED)
def test_what_is_known_stands_still_while_a_required_watch_is_broken(tmp_path: Path, resource: Resource) -> None:
    async def scenario(status: Status, _server: KubeServer) -> None:
        intake = status.intake
        assert intake.known_at() is None
        assert intake.unknown_for() == float("inf")
        sync(status)
        first = intake.known_at()
        assert first == pytest.approx(time.time(), abs=1.0)
        intake.stats[resource].problem = "it broke"
        broken_at = intake.known_at()
        await asyncio.sleep(1.5)
        assert intake.known_at() == broken_at
        assert intake.unknown_for() >= 1.5
        intake.stats[resource].problem = None
        assert (intake.known_at() or 0) >= (broken_at or 0) + 1.5
        assert intake.unknown_for() < 1.0

    play(tmp_path, scenario)


def test_an_api_that_hangs_is_noticed_by_its_silence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intake_module, "SILENT_SECONDS", 2.0)

    async def scenario(status: Status, _server: KubeServer) -> None:
        sync(status)
        stats = status.intake.stats
        for resource in REQUIRED:
            stats[resource].last_event = 1.0
        assert status.intake.unknown_for() < 1.0
        await asyncio.sleep(2.5)
        assert status.intake.unknown_for() < 1.0  # it does not send bookmarks: silence says nothing
        for resource in REQUIRED:
            stats[resource].events["BOOKMARK"] += 1
            stats[resource].last_event = 2.0
        assert status.intake.unknown_for() < 1.0
        await asyncio.sleep(3.5)
        stats["nodes"].last_event = stats["pods"].last_event = 3.0
        assert status.intake.problem("nodes") is None
        assert "not said a word" in (status.intake.problem("namespaces") or "")
        assert status.intake.unknown_for() > 1.0
        stats["namespaces"].last_event = 3.0
        assert status.intake.unknown_for() < 1.0

    play(tmp_path, scenario)


@pytest.mark.parametrize("resource", OPTIONAL)
def test_an_optional_watch_that_is_broken_is_told_and_no_more(tmp_path: Path, resource: Resource) -> None:
    async def scenario(status: Status, _server: KubeServer) -> None:
        sync(status)
        assert told(status, f"watch {resource}").passes  # not served
        status.intake.stats[resource].problem = "it broke"
        assert not told(status, f"watch {resource}").passes
        assert status.intake.unknown_for() < 1

    play(tmp_path, scenario)


def test_changes_reach_the_facts(tmp_path: Path) -> None:
    async def scenario(status: Status, _server: KubeServer) -> None:
        sync(status)
        status.intake(Changed("nodes", "ADDED", node("a")))
        status.intake(Changed("nodes", "MODIFIED", node("a", labels={"x": "y"})))
        assert status.cluster.uid("a") == "uid-a"
        status.intake(Changed("nodes", "DELETED", node("a")))
        assert status.cluster.uid("a") == ""

    play(tmp_path, scenario)


class Faulty(Cluster):
    """A cluster that has a defect for a while."""

    defects = 2

    def replace(self, resource: Resource, objects: object, at: float) -> None:
        if resource == "nodes" and self.defects:
            self.defects -= 1
            raise KeyError("a defect")
        super().replace(resource, objects, at)  # type: ignore[arg-type]  # whatever came goes on


def test_a_defect_of_ours_starts_over_and_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intake_module, "_AGAIN_SECONDS", 1.0)
    cluster = Faulty()

    async def scenario(status: Status, server: KubeServer) -> None:
        server.nodes["a"] = Node("uid-a")
        following = asyncio.create_task(status.intake.run())
        await until(lambda: status.intake.problem("nodes"))
        problem = status.intake.problem("nodes") or ""
        assert "a defect in Warmpod: KeyError" in problem
        await until(lambda: cluster.synced)
        assert status.intake.problem("nodes") is None
        assert cluster.uid("a") == "uid-a"
        assert cluster.defects == 0
        following.cancel()
        await asyncio.wait({following})

    play(tmp_path, scenario, cluster)


def test_a_leader_that_knows_nothing_any_more_lets_another_one_try(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(standing_module, "STALE_SECONDS", 0.3)

    async def scenario(status: Status, server: KubeServer) -> None:
        assert status.election is not None
        stands = Standing(status.election, status.intake, status.labeller, always=False)
        standing = asyncio.create_task(stands.run())
        await asyncio.sleep(0.3)
        assert server.lease is None  # who never knew the cluster does not stand
        sync(status)
        await until(lambda: server.holder == "me")
        status.intake.stats["nodes"].problem = "it broke"
        await until(lambda: server.holder == "")
        assert not status.election.leading
        status.intake.stats["nodes"].problem = None
        await until(lambda: server.holder == "me")
        standing.cancel()
        await asyncio.wait({standing})
        assert server.holder == ""

    play(tmp_path, scenario)


def test_two_processes_of_one_host_have_two_names() -> None:
    assert Access().name() != Access().name()
    assert Access(identity="given").name() == "given"


@pytest.mark.parametrize("answers", [True, False], ids=["answered", "not found at first"])
def test_the_api_servers_version_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, answers: bool
) -> None:
    monkeypatch.setattr(intake_module, "_VERSION_SECONDS", 0.05)

    async def scenario(status: Status, server: KubeServer) -> None:
        if answers:
            server.objects["/version"] = {"gitVersion": "v1.36.2-eks-1a2b3c4"}
        following = asyncio.create_task(status.intake.run())
        await until(lambda: any(one.path == "/version" for one in server.seen))
        await until(lambda: status.cluster.synced)
        server.objects["/version"] = {"gitVersion": "v1.36.2-eks-1a2b3c4"}
        await until(lambda: status.cluster.inventory(time.time()).server == "1.36")
        server.objects["/version"] = {"gitVersion": "v1.37.0"}
        await until(lambda: status.cluster.inventory(time.time()).server == "1.37")
        following.cancel()
        await asyncio.wait({following})

    play(tmp_path, scenario)


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        pytest.param(Answer(403, b"no"), "ClusterRole system:public-info-viewer", id="forbidden"),
        pytest.param(Answer(404, b"no"), "HTTP 404", id="not served"),
        pytest.param(Answer(503, b"starting"), "HTTP 503: starting", id="not up yet"),
        pytest.param(Answer(200, b'{"gitVersion": 1.36}'), "the answer is no version", id="garbage"),
        pytest.param(HTML, "something else than JSON", id="login page"),
        pytest.param(Trouble("cut"), "cannot ask the API server for its version", id="broken off"),
    ],
)
def test_a_version_that_is_not_told_is_said_and_asked_for_again_soon(tmp_path: Path, fault: Fault, said: str) -> None:
    """Not after the minutes between two looks: until it is known, pods get no image volumes."""

    async def scenario(status: Status, server: KubeServer) -> None:
        broken = True
        server.fault = lambda _method, path: fault if broken and path == "/version" else None
        server.objects["/version"] = {"gitVersion": "v1.36.2-eks-1a2b3c4"}
        following = asyncio.create_task(status.intake.run())
        await until(lambda: not told(status, "version").passes)
        assert said in told(status, "version").detail
        assert not told(status, "version").required
        assert "RBAC" not in told(status, "version").detail, "our roles say nothing of it"
        await until(lambda: status.cluster.synced)
        broken = False
        await until(lambda: status.cluster.inventory(time.time()).server == "1.36")
        await until(lambda: told(status, "version").passes)
        assert told(status, "version").detail == "Kubernetes 1.36"
        following.cancel()
        await asyncio.wait({following})

    play(tmp_path, scenario)


def test_a_defect_in_asking_for_the_version_stops_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fails(_self: KubeApi) -> str:
        raise RuntimeError("a defect")

    monkeypatch.setattr(KubeApi, "version", fails)

    async def scenario(status: Status, _server: KubeServer) -> None:
        following = asyncio.create_task(status.intake.run())
        await until(lambda: not told(status, "version").passes)
        assert told(status, "version").detail == "a defect in Warmpod: RuntimeError; see the log"
        await until(lambda: status.cluster.synced)
        assert not following.done()
        following.cancel()
        await asyncio.wait({following})

    play(tmp_path, scenario)


@pytest.mark.parametrize(
    ("fault", "passes", "said"),
    [
        pytest.param(Answer(403, b"no"), True, "not allowed: the zones of volumes are not known", id="forbidden"),
        pytest.param(Answer(500, b"boom"), False, "HTTP 500: boom", id="broken"),
        pytest.param(Trouble("cut"), False, "cannot watch persistentvolumes", id="broken off"),
        pytest.param(Trouble("hang"), True, "not listed yet", id="hanging"),
    ],
)
def test_volumes_that_cannot_be_read_hold_up_nothing(tmp_path: Path, fault: Fault, said: str, *, passes: bool) -> None:
    async def scenario(status: Status, server: KubeServer) -> None:
        server.fault = lambda _method, path: fault if path.endswith("/persistentvolumes") else None
        following = asyncio.create_task(status.intake.run())
        await written(status)
        await until(lambda: said in told(status, "watch persistentvolumes").detail)
        assert told(status, "watch persistentvolumes").passes == passes
        assert is_ready(status.checks())
        following.cancel()
        await asyncio.wait({following})

    play(tmp_path, scenario)
