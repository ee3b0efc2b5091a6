"""Who leads, over a real HTTP server that keeps the lease and fails in every way it can."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import pytest

from tests.controller.kube_server import HTML, LEASE, LEASES, NAMESPACE, Fault, KubeServer, Trouble, until
from tests.scripted_http import Answer
from webhook.controller.election import Election, Timing, microtime
from webhook.controller.lease import Caller, Lease, LeaseApi
from webhook.sources.kube_api import KubeApi

QUICK = Timing(lease=1.5, renew=1.0, retry=0.2, look=0.1, call=0.5)
LASTING = Timing(lease=20.0, renew=2.0, retry=0.2, look=0.1, call=0.5)
"""For what comes much sooner than a lease ends, also where a busy machine takes seconds over it."""


class Candidate:
    """An election and what it led to."""

    def __init__(self, api: KubeApi, name: str, timing: Timing = QUICK, **more: Any) -> None:
        self.election = Election(LeaseApi(cast("Caller", api.transport), NAMESPACE, LEASE), name, timing, **more)
        self.working = False
        self.task = asyncio.create_task(self.election.run(self.lead))

    async def lead(self) -> None:
        self.working = True
        try:
            await asyncio.Event().wait()
        finally:
            self.working = False

    async def stop(self) -> None:
        self.task.cancel()
        with suppress(asyncio.CancelledError):
            await self.task


def leads(candidate: Candidate) -> bool:
    return candidate.election.leading


def works(candidate: Candidate) -> bool:
    return candidate.working


Scenario = Callable[[KubeServer, KubeApi], Awaitable[None]]


def play(directory: Path, scenario: Scenario) -> KubeServer:
    server = KubeServer()

    async def act() -> None:
        async with asyncio.timeout(200), server.serve(directory) as api:
            await scenario(server, api)

    asyncio.run(act())
    return server


def test_the_first_one_makes_the_lease_and_renews_it(tmp_path: Path) -> None:
    async def scenario(server: KubeServer, api: KubeApi) -> None:
        one = Candidate(api, "one")
        await until(lambda: one.working)
        assert server.lease is not None
        first = server.lease["spec"]
        assert first["holderIdentity"] == "one"
        assert first["leaseTransitions"] == 0
        await until(lambda: server.lease is not None and server.lease["spec"]["renewTime"] != first["renewTime"])
        assert server.lease["spec"]["acquireTime"] == first["acquireTime"]
        await one.stop()

    play(tmp_path, scenario)


def test_who_is_told_to_stop_releases_and_the_next_one_leads_at_once(tmp_path: Path) -> None:
    async def scenario(server: KubeServer, api: KubeApi) -> None:
        one = Candidate(api, "one", LASTING)
        await until(lambda: one.working)
        two = Candidate(api, "two", LASTING)
        await until(lambda: two.election.holder == "one")
        await asyncio.sleep(3 * LASTING.look)
        assert not two.working
        await one.stop()
        assert not works(one)
        assert not leads(one)
        # By far less than the lease's duration: it was released, not abandoned.
        assert await until(lambda: two.working) < LASTING.lease / 2
        assert server.lease is not None
        assert server.lease["spec"]["leaseTransitions"] == 1
        await two.stop()
        assert server.holder == ""

    play(tmp_path, scenario)


def test_a_holder_that_vanished_is_waited_for_and_then_replaced(tmp_path: Path) -> None:
    async def scenario(server: KubeServer, api: KubeApi) -> None:
        server.put_lease({"holderIdentity": "gone", "leaseDurationSeconds": 2, "leaseTransitions": 4})
        two = Candidate(api, "two")
        assert await until(lambda: two.working) >= 1.9
        assert server.lease is not None
        assert server.lease["spec"]["leaseTransitions"] == 5
        await two.stop()

    play(tmp_path, scenario)


@pytest.mark.parametrize(
    "renewed",
    ["1970-01-01T00:00:00.000000Z", "2999-01-01T00:00:00.000000Z", "yesterday", 7, None],
    ids=["long ago", "in future", "garbage", "a number", "null"],
)
def test_the_times_in_a_lease_are_for_people(tmp_path: Path, renewed: object) -> None:
    """A jump of the wall clock, here or at the holder, neither ends a lease nor prolongs it."""

    async def scenario(server: KubeServer, api: KubeApi) -> None:
        server.put_lease({"holderIdentity": "other", "leaseDurationSeconds": 2, "renewTime": renewed})
        two = Candidate(api, "two")
        assert await until(lambda: two.working) >= 1.9
        await two.stop()

    play(tmp_path, scenario)


@pytest.mark.parametrize(
    "spec",
    [
        None,
        [],
        {},
        {"holderIdentity": None},
        {"holderIdentity": ["x"], "leaseDurationSeconds": "x", "leaseTransitions": -5, "renewTime": {}},
        {"holderIdentity": "", "leaseTransitions": 2**31 - 1},
        {"holderIdentity": "", "leaseTransitions": True},
    ],
    ids=["null", "list", "empty", "no holder", "wrong types", "transitions at their end", "boolean"],
)
def test_a_lease_that_nobody_holds_is_taken_whatever_it_looks_like(tmp_path: Path, spec: object) -> None:
    async def scenario(server: KubeServer, api: KubeApi) -> None:
        server.put_lease(spec)
        one = Candidate(api, "one", LASTING)
        await until(lambda: one.working, LASTING.lease / 2)
        assert server.holder == "one"
        assert server.lease is not None
        assert 0 <= server.lease["spec"]["leaseTransitions"] < 2**31
        await one.stop()

    play(tmp_path, scenario)


@pytest.mark.parametrize("duration", [-1, 0, 86_400, 10**30, None], ids=str)
def test_an_odd_duration_counts_as_ours(tmp_path: Path, duration: object) -> None:
    async def scenario(server: KubeServer, api: KubeApi) -> None:
        server.put_lease({"holderIdentity": "gone", "leaseDurationSeconds": duration})
        two = Candidate(api, "two")
        assert await until(lambda: two.working) >= QUICK.lease - 0.1
        await two.stop()

    play(tmp_path, scenario)


def test_what_others_put_into_the_lease_stays(tmp_path: Path) -> None:
    async def scenario(server: KubeServer, api: KubeApi) -> None:
        server.put_lease({"preferredHolder": "x", "strategy": "OldestEmulationVersion"}, annotations={"a": "b"})
        one = Candidate(api, "one")
        await until(lambda: one.working)
        await one.stop()
        assert server.lease is not None
        assert server.lease["metadata"]["annotations"] == {"a": "b"}
        assert server.lease["spec"]["preferredHolder"] == "x"

    play(tmp_path, scenario)


def test_a_leader_that_reaches_nobody_stops_before_another_may_begin(tmp_path: Path) -> None:
    async def scenario(server: KubeServer, api: KubeApi) -> None:
        one = Candidate(api, "one", LASTING)
        await until(lambda: one.working)
        server.fault = lambda _method, _path: Trouble("hang")
        assert await until(lambda: not one.working) < LASTING.lease / 2
        assert not leads(one)
        assert one.election.problem is not None
        server.fault = lambda _method, _path: None
        await until(lambda: one.working)
        await until(lambda: one.election.problem is None)
        await one.stop()

    play(tmp_path, scenario)


def test_a_process_that_was_stopped_for_long_does_not_believe_that_it_leads(tmp_path: Path) -> None:
    async def scenario(_server: KubeServer, api: KubeApi) -> None:
        ahead = 0.0
        one = Candidate(api, "one", clock=lambda: time.monotonic() + ahead)
        await until(lambda: one.working)
        assert leads(one)
        ahead = 20.0  # the process, or its machine, slept
        assert not leads(one)
        await until(lambda: one.election.terms == 2)  # it stopped, looked, and found that nobody took the lease
        await one.stop()

    play(tmp_path, scenario)


def test_who_is_replaced_by_hand_stops_and_waits(tmp_path: Path) -> None:
    async def scenario(server: KubeServer, api: KubeApi) -> None:
        one = Candidate(api, "one")
        await until(lambda: one.working)
        server.hold("somebody", leaseDurationSeconds=2)
        await until(lambda: not one.working)
        assert one.election.holder == "somebody"
        assert server.holder == "somebody"
        assert await until(lambda: one.working) >= 1.0
        await one.stop()

    play(tmp_path, scenario)


@pytest.mark.parametrize("how", ["deleted", "emptied"])
def test_two_lead_for_a_moment_when_a_person_takes_the_lease_away(tmp_path: Path, how: str) -> None:
    async def scenario(server: KubeServer, api: KubeApi) -> None:
        one, two = Candidate(api, "one"), Candidate(api, "two")

        def leading() -> int:
            return [one.election.leading, two.election.leading].count(True)

        for _ in range(6):
            await until(lambda: leading() == 1)
            if how == "deleted":
                server.lease = None
            else:
                server.hold("")
            await asyncio.sleep(0.6)  # the other one may lead by now
            # It ends by itself, and stays so for longer than a leader waits before it looks again.
            await until(lambda: leading() == 1)
            alone = time.monotonic()
            while time.monotonic() < alone + 2 * QUICK.retry:
                assert leading() < 2
                await asyncio.sleep(0.005)
        await until(lambda: leading() == 1)
        await one.stop()
        await two.stop()

    play(tmp_path, scenario)


FAULTS: dict[str, Fault] = {
    "500": Answer(500),
    "HTML": HTML,
    "HTML 404": Answer(404, b"<html>nothing here</html>", content_type="text/html"),
    "HTML 502": Answer(502, b"<html>bad gateway</html>", content_type="text/html"),
    "empty": Answer(200, b""),
    "null": Answer(200, b"null"),
    "list": Answer(200, b"[]"),
    "no metadata": Answer(200, b'{"kind":"Lease"}'),
    "deep": Answer(200, b"[" * 100_000),
    "not UTF-8": Answer(200, b'{"metadata":{"name":"\xff"}}'),
    "throttled": Answer(429, headers={"Retry-After": "1"}),
    "throttled for a year": Answer(429, headers={"Retry-After": "31536000"}),
    "forbidden": Answer(403, b'{"kind":"Status","message":"no"}'),
    "unauthorized": Answer(401, b'{"kind":"Status","message":"who"}'),
    "cut": Trouble("cut"),
    "lost": Trouble("lost"),
    "hang": Trouble("hang"),
}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS.keys())
def test_no_answer_of_any_kind_ends_the_election(tmp_path: Path, fault: Fault) -> None:
    async def scenario(server: KubeServer, api: KubeApi) -> None:
        server.faults.extend([fault, None, fault])
        one = Candidate(api, "one")
        await until(lambda: one.working)
        server.faults.append(fault)
        await until(lambda: not server.faults)
        await until(lambda: one.working and one.election.leading)
        assert not one.task.done()
        await one.stop()

    play(tmp_path, scenario)


@pytest.mark.parametrize("seed", range(3))
def test_never_do_two_lead_whatever_fails(tmp_path: Path, seed: int) -> None:
    """While nobody edits the lease: of three, at most one leads at any moment, and one does as often as it can."""
    chance = random.Random(seed)
    kinds = list(FAULTS.values())

    async def scenario(server: KubeServer, api: KubeApi) -> None:
        server.fault = lambda _method, _path: chance.choice(kinds) if chance.random() < 0.3 else None
        candidates = [Candidate(api, name) for name in ("one", "two", "three")]
        end = time.monotonic() + 5
        restart = time.monotonic() + 1.5
        while time.monotonic() < end:
            leading = [one.election.identity for one in candidates if one.election.leading]
            assert len(leading) < 2
            assert all(one.election.leading or not one.working for one in candidates) or await settled(candidates)
            if time.monotonic() > restart:
                restart += 1.5
                index = chance.randrange(3)
                await candidates[index].stop()
                candidates[index] = Candidate(api, f"{index}-{restart}")
            await asyncio.sleep(0.003)
        server.fault = lambda _method, _path: None
        await until(lambda: sum(one.election.leading for one in candidates) == 1)
        for one in candidates:
            await one.stop()

    async def settled(candidates: list[Candidate]) -> bool:
        """Work ends a turn of the loop after leadership."""
        await until(lambda: all(one.election.leading or not one.working for one in candidates), 2)
        return True

    play(tmp_path, scenario)


def test_a_namespace_that_is_missing_is_named(tmp_path: Path) -> None:
    async def scenario(server: KubeServer, api: KubeApi) -> None:
        server.namespace_exists = False
        one = Candidate(api, "one")
        await until(lambda: one.election.problem is not None)
        assert one.election.problem is not None
        assert NAMESPACE in one.election.problem
        assert "--lease-namespace" in one.election.problem
        server.namespace_exists = True
        await until(lambda: one.working)
        await one.stop()

    play(tmp_path, scenario)


def test_what_the_work_raises_is_raised_after_the_release(tmp_path: Path) -> None:
    async def scenario(server: KubeServer, api: KubeApi) -> None:
        election = Election(LeaseApi(cast("Caller", api.transport), NAMESPACE, LEASE), "one", QUICK)

        async def fail() -> None:
            raise KeyError("a defect")

        with pytest.raises(KeyError):
            await election.run(fail)
        assert server.holder == ""

        async def finish() -> None:
            return

        await election.run(finish)
        assert server.holder == ""
        assert election.terms == 2

    play(tmp_path, scenario)


def test_a_release_that_fails_is_survived(tmp_path: Path) -> None:
    async def scenario(server: KubeServer, api: KubeApi) -> None:
        one = Candidate(api, "one")
        await until(lambda: one.working)
        server.fault = lambda _method, _path: Trouble("hang")
        began = time.monotonic()
        await one.stop()
        assert time.monotonic() < began + 10
        assert server.holder == "one"

    play(tmp_path, scenario)


def test_only_calls_that_rbac_allows_are_made(tmp_path: Path) -> None:
    async def scenario(_server: KubeServer, api: KubeApi) -> None:
        one, two = Candidate(api, "one"), Candidate(api, "two")
        await asyncio.sleep(1)
        await one.stop()
        await two.stop()

    seen = {(one.method, one.path) for one in play(tmp_path, scenario).seen}
    assert seen == {("GET", f"{LEASES}/{LEASE}"), ("POST", LEASES), ("PUT", f"{LEASES}/{LEASE}")}


def test_a_hostile_name_stays_one_segment_of_the_path(tmp_path: Path) -> None:
    async def scenario(server: KubeServer, api: KubeApi) -> None:
        lease = LeaseApi(cast("Caller", api.transport), "../../x", "a/b?c#d")
        path = "/apis/coordination.k8s.io/v1/namespaces/..%2F..%2Fx/leases/a%2Fb%3Fc%23d"
        server.put(path, {"spec": {}})
        await lease.replace((await lease.read()), Lease("", 1, "", "", 0))
        assert server.seen[0].path == path

    play(tmp_path, scenario)


def test_microtime_is_utc_with_six_digits() -> None:
    assert microtime(datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)) == "2026-01-02T03:04:05.000000Z"
