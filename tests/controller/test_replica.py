"""What a replica says of itself, and who counts as there: Leases on a server that speaks the API."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.controller.kube_server import HTML, LEASES, NAMESPACE, Fault, KubeServer, Trouble, until
from tests.scripted_http import Answer, HttpRequest, HttpServer, reply
from webhook.controller import replica as replica_module
from webhook.controller.replica import RENEW_SECONDS, SWEEP_SECONDS, Reporter, Roster, Self
from webhook.kube import names
from webhook.sources import replicas
from webhook.sources.kube_api.objects import ObjectApi
from webhook.sources.replicas import Replica

Object = dict[str, Any]
NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
LEASE = f"{LEASES}/warmpod-replica-pod-a"
STATUS: Object = {
    "version": "1",
    "ready": True,
    "certificate": {"serial": "a1", "notAfter": "2027-01-01T00:00:00Z", "problem": None},
    "snapshot": {"id": "x", "age": 1.5, "usable": True, "problem": None},
    "reviews": 7,
}


# --- the document


def test_what_is_said_is_what_is_read() -> None:
    said = Replica("pod-a", "me", None, 40.0, "1.2", STATUS, "", {"leading": True, "problems": []})
    document = replicas.document(said, "ns", NOW, pod_uid="u")
    (owner,) = document["metadata"]["ownerReferences"]
    assert owner == {"apiVersion": "v1", "kind": "Pod", "name": "pod-a", "uid": "u"}
    found = replicas.parse({**document, "metadata": {**document["metadata"], "uid": "l", "resourceVersion": "5"}})
    assert found == Replica("pod-a", "me", NOW, 40.0, "1.2", STATUS, "", {"leading": True, "problems": []}, "l", "5")
    assert found.serial == "a1"
    assert "ownerReferences" not in replicas.document(said, "ns", NOW)["metadata"]


def lease(name: str = "warmpod-replica-a", annotation: object = "{}", **spec: Any) -> Object:
    metadata = {"name": name, "annotations": {names.ANNOTATION_STATUS: annotation}}
    return {"metadata": metadata, "spec": {"holderIdentity": "h", **spec}}


@pytest.mark.parametrize(
    ("annotation", "problem"),
    [
        (None, "no annotation"),
        (7, "no annotation"),
        ("", "no annotation"),
        ("{", "no JSON"),
        ("[" * 5000, "no JSON"),
        ("[]", "no JSON object"),
        ("x" * (replicas.MAX_BYTES + 1), "characters"),
    ],
    ids=["absent", "number", "empty", "cut", "deep", "list", "long"],
)
def test_a_status_that_cannot_be_read_leaves_a_replica_that_is_there(annotation: object, problem: str) -> None:
    found = replicas.parse(lease(annotation=annotation, renewTime="2026-11-22T12:00:00.000000Z"))
    assert found is not None
    assert problem in found.problem
    assert found.serial is None
    assert found.is_live(NOW + timedelta(seconds=39))
    assert not found.is_live(NOW + timedelta(seconds=41))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=12), inner, max_size=3),
    max_leaves=10,
)


@given(metadata=JSON, spec=JSON, webhook=JSON)
def test_whatever_a_lease_holds_is_read_without_a_defect(metadata: Any, spec: Any, webhook: Any) -> None:
    replicas.parse({"metadata": metadata, "spec": spec})
    found = replicas.parse(
        {
            "metadata": {
                "name": "warmpod-replica-a",
                "managedFields": metadata,
                "annotations": {names.ANNOTATION_STATUS: json.dumps({"webhook": webhook, "version": spec})},
            },
            "spec": spec,
        }
    )
    assert found is not None
    assert isinstance(found.is_live(NOW), bool)
    assert found.serial is None or isinstance(found.serial, str)


@pytest.mark.parametrize(
    ("spec", "seconds"),
    [(None, 40), (60, 60), (2**31, 40), (0, 40), (True, 40), ("9", 40)],
    ids=["none", "usual", "for ever", "never", "boolean", "text"],
)
def test_nobody_counts_for_ever(spec: object, seconds: float) -> None:
    found = replicas.parse(lease(leaseDurationSeconds=spec))
    assert found is not None
    assert found.duration == seconds
    assert not found.is_live(NOW), "it never said when"


def test_the_api_servers_clock_counts_and_not_the_replicas() -> None:
    wrong = lease(renewTime="2020-01-01T00:00:00.000000Z")
    wrong["metadata"]["managedFields"] = [
        {"manager": "a", "time": "2026-11-22T11:59:50Z"},
        {"manager": "b", "time": "2026-11-22T10:00:00Z"},
        {"time": 7},
        9,
    ]
    found = replicas.parse(wrong)
    assert found is not None
    assert found.silent_for(NOW) == 10


def test_a_status_that_is_too_long_is_left_out() -> None:
    said = Replica("a", webhook={"x": "y" * replicas.MAX_BYTES}, version="1")
    text = replicas.status(said)
    assert len(text) < 1024
    assert json.loads(text)["webhook"] is None
    assert "bytes" in json.loads(text)["problem"]


# --- on a server


class Stage:
    def __init__(self, server: KubeServer, api: ObjectApi) -> None:
        self.server = server
        self.api = api
        self.own: Object = {"leading": False, "snapshotAge": 1.0, "problems": []}
        self.reporter = self.make("me")

    def make(self, identity: str, url: str = "") -> Reporter:
        return Reporter(self.api, Self(NAMESPACE, "pod-a", identity, "uid-a"), url, lambda: self.own)

    def writes(self) -> int:
        return sum(one.method != "GET" for one in self.server.seen)

    def said(self) -> Object:
        found: Object = json.loads(self.server.objects[LEASE]["metadata"]["annotations"][names.ANNOTATION_STATUS])
        return found


def play(directory: Path, scenario: Callable[[Stage], Awaitable[None]]) -> None:
    async def act() -> None:
        server = KubeServer()
        async with asyncio.timeout(200), server.serve(directory) as api:
            await scenario(Stage(server, ObjectApi(api.transport)))

    asyncio.run(act())


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The steady clock of the reporter: set its one number."""
    now = [1000.0]

    class Time:
        @staticmethod
        def monotonic() -> float:
            return now[0]

    monkeypatch.setattr(replica_module, "time", Time)
    return now


def test_it_writes_what_changed_at_once_and_the_rest_every_ten_seconds(tmp_path: Path, clock: list[float]) -> None:
    async def scenario(stage: Stage) -> None:
        await stage.reporter.report(STATUS, "")
        assert stage.said()["webhook"] == STATUS
        assert stage.said()["controller"] == stage.own
        before = stage.writes()
        for age in range(int(RENEW_SECONDS) - 1):
            clock[0] += 1
            stage.own["snapshotAge"] = float(age)
            snapshot = {**STATUS["snapshot"], "age": age, "id": f"{age}"}
            await stage.reporter.report({**STATUS, "reviews": age, "snapshot": snapshot}, "")
        assert stage.writes() == before, "ages and counters are not worth a write"
        clock[0] += 1
        await stage.reporter.report({**STATUS, "reviews": 99}, "")
        assert stage.said()["webhook"]["reviews"] == 99
        before = stage.writes()
        for change in ({**STATUS, "certificate": {"serial": "b2"}}, {**STATUS, "ready": False}, None):
            await stage.reporter.report(change, "" if change else "it does not answer")
            assert stage.said()["webhook"] == change
        stage.own["leading"] = True
        await stage.reporter.report(None, "it does not answer")
        assert stage.said()["controller"]["leading"] is True
        assert stage.writes() == before + 4

    play(tmp_path, scenario)


FAULTS: dict[str, Fault] = {
    "forbidden": Answer(403),
    "server error": Answer(500),
    "HTML": HTML,
    "a list": Answer(200, b"[]"),
    "cut": Trouble("cut"),
    "done and cut": Trouble("lost"),
}


def test_whatever_the_api_server_does_the_lease_comes(tmp_path: Path, clock: list[float]) -> None:
    async def scenario(stage: Stage) -> None:
        troubled, recovered = {}, {}
        for name, fault in FAULTS.items():
            stage.server.fault = lambda _method, _path, fault=fault: fault  # type: ignore[misc]  # bound now
            before = len(stage.server.seen)
            for _ in range(100):
                clock[0] += 1
                await stage.reporter.report(STATUS, "")
            troubled[name] = stage.reporter.problem
            assert len(stage.server.seen) - before <= 30, "later and later"
            stage.server.fault = lambda _method, _path: None
            clock[0] += 60
            await stage.reporter.report({**STATUS, "version": name}, "")
            recovered[name] = stage.reporter.problem
            assert stage.said()["webhook"]["version"] == name
        assert all(troubled.values())
        assert recovered == dict.fromkeys(FAULTS)

    play(tmp_path, scenario)


def test_what_people_and_predecessors_left_is_written_over(tmp_path: Path, clock: list[float]) -> None:
    async def scenario(stage: Stage) -> None:
        garbage: list[Object] = [
            {"spec": None}, {"spec": {"holderIdentity": "the one before", "leaseDurationSeconds": 9}},
            {"metadata": {"annotations": {names.ANNOTATION_STATUS: "{{{"}}},
        ]  # fmt: skip
        for document in garbage:
            stage.server.put(LEASE, document)
            clock[0] += RENEW_SECONDS
            await stage.reporter.report(STATUS, "")
            assert stage.said()["webhook"] == STATUS
            assert stage.server.objects[LEASE]["spec"]["holderIdentity"] == "me"
        del stage.server.objects[LEASE]
        clock[0] += RENEW_SECONDS
        await stage.reporter.report(STATUS, "")
        assert stage.said()["webhook"] == STATUS, "deleted, it comes back"

    play(tmp_path, scenario)


def test_at_the_end_the_lease_goes_unless_it_is_anothers(tmp_path: Path) -> None:
    async def scenario(stage: Stage) -> None:
        await stage.reporter.leave()
        await stage.reporter.report(STATUS, "")
        await stage.make("somebody else").leave()
        assert LEASE in stage.server.objects
        await stage.reporter.leave()
        assert LEASE not in stage.server.objects
        (deletion,) = [one for one in stage.server.seen if one.method == "DELETE"]
        assert deletion.body["preconditions"]["uid"], "a successor's of the same name stays"
        stage.server.fault = lambda _method, _path: Trouble("hang")
        began = time.monotonic()
        await stage.reporter.leave()
        assert time.monotonic() - began < 10

    play(tmp_path, scenario)


class Web(HttpServer):
    """A webhook's plain port."""

    def __init__(self, answer: Answer | None) -> None:
        super().__init__()
        self.answer = answer

    async def handle(self, request: HttpRequest, writer: asyncio.StreamWriter) -> bool:
        if self.answer is None or request.path != "/status":
            return False
        await reply(writer, self.answer)
        return True


ANSWERS: dict[str, tuple[Answer | None, str]] = {
    "as it should": (Answer(200, json.dumps(STATUS).encode()), ""),
    "not found": (Answer(404), "HTTP 404"),
    "elsewhere": (Answer(302, headers={"Location": "http://127.0.0.1:1/"}), "HTTP 302"),
    "HTML": (HTML, "no JSON"),
    "a list": (Answer(200, b"[]"), "no JSON object"),
    "endless": (Answer(200, b'"' + b"x" * 100_000 + b'"'), "bytes"),
    "cut": (None, "does not answer"),
}


def test_what_the_webhook_says_is_passed_on_or_why_it_says_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replica_module, "LOOK_SECONDS", 0.02)

    async def scenario(stage: Stage) -> None:
        web = Web(None)
        await web.start()
        reporter = stage.make("me", f"http://127.0.0.1:{web.port}/status")
        running = asyncio.create_task(reporter.run())
        for name, (answer, problem) in ANSWERS.items():
            web.answer = answer
            await until(lambda problem=problem: LEASE in stage.server.objects and (  # type: ignore[misc]  # bound now
                problem in stage.said()["problem"] if problem else stage.said()["webhook"] == STATUS
            ))  # fmt: skip
            assert (reporter.webhook_problem is None) == (name == "as it should")
        await web.stop()
        await until(lambda: "does not answer" in stage.said()["problem"])
        running.cancel()
        await asyncio.wait({running})

    play(tmp_path, scenario)


def put(stage: Stage, name: str, serial: str | None = "a1", ready: bool = True) -> None:
    webhook = {"ready": ready, "certificate": {"serial": serial}}
    document = replicas.document(Replica(name, "x", webhook=webhook), NAMESPACE, datetime(2020, 1, 1, tzinfo=UTC))
    stage.server.put(f"{LEASES}/{replicas.lease_name(name)}", document)


def test_a_replica_counts_until_nobody_saw_it_change_for_its_duration(tmp_path: Path) -> None:
    async def scenario(stage: Stage) -> None:
        now = 0.0
        roster = Roster(stage.api, NAMESPACE, lambda: now)
        for name in ("a", "b"):
            put(stage, name)
        put(stage, "c", None, ready=False)
        found = await roster.live()
        assert found == replicas.Replicas({"a": "a1", "b": "a1", "c": None}, known=True), "whatever their clocks say"
        now = 39.0
        put(stage, "a", "b2")
        assert (await roster.live()).serials == {"a": "b2", "b": "a1", "c": None}
        now = 41.0
        assert (await roster.live()).serials == {"a": "b2"}
        assert roster.counts() == {"serving": 1, "not-ready": 0, "silent": 2}
        stage.server.fault = lambda _method, _path: Answer(403)
        assert not (await roster.live()).known
        stage.server.fault = lambda _method, _path: None
        put(stage, "b")
        assert (await roster.live()).serials.keys() == {"a", "b"}, "back it counts again"

    play(tmp_path, scenario)


def test_only_a_leader_sweeps_and_only_what_is_long_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replica_module, "_ROSTER_SECONDS", 0.02)

    async def scenario(stage: Stage) -> None:
        now, leads = 0.0, False
        roster = Roster(stage.api, NAMESPACE, lambda: now)
        put(stage, "a")
        put(stage, "b")
        running = asyncio.create_task(roster.run(lambda: leads))
        await until(lambda: roster.known)
        now = SWEEP_SECONDS + 1
        put(stage, "a")
        seen = len(stage.server.seen)
        await until(lambda: len(stage.server.seen) > seen + 3)
        assert f"{LEASES}/warmpod-replica-b" in stage.server.objects
        leads = True
        await until(lambda: f"{LEASES}/warmpod-replica-b" not in stage.server.objects)
        seen = len(stage.server.seen)
        await until(lambda: len(stage.server.seen) > seen + 3)
        assert f"{LEASES}/warmpod-replica-a" in stage.server.objects
        running.cancel()
        await asyncio.wait({running})

    play(tmp_path, scenario)


def test_one_look_by_the_api_servers_time(tmp_path: Path) -> None:
    async def scenario(stage: Stage) -> None:
        await stage.reporter.report(STATUS, "")
        put(stage, "old")
        assert await replicas.live(stage.api, NAMESPACE) == replicas.Replicas({"pod-a": "a1"}, known=True)
        assert (await replicas.live(stage.api, NAMESPACE, ahead=-100)).serials == {}
        stage.server.fault = lambda _method, _path: Trouble("cut")
        assert await replicas.live(stage.api, NAMESPACE) == replicas.Replicas({}, known=False)

    play(tmp_path, scenario)
