"""What a follower tells, counts and says of itself in each situation, against a server over real TCP."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from tests.scripted_http import Answer
from tests.sources.kube_api_mirror import FAST, following
from tests.sources.kube_api_server import ApiServer, Hang, Stream, line, status
from webhook.sources.kube_api import ApiFailure, Changed, KubeApi, Listed, Pace, WatchStats, follow, transport
from webhook.sources.kube_api.follow import INITIAL_ATTEMPTS, STEADY_SECONDS, _Follower
from webhook.sources.kube_api.listing import Listing

FORBIDDEN = Answer(403, status(403, "Forbidden", 'nodes is forbidden: User "u" cannot list resource "nodes"'))
STEADY = dataclasses.replace(FAST, bookmarked_silence=30.0, watch=(290, 590), silence=30.0)


def run(directory: Path, server: ApiServer, test: Callable[[KubeApi], Awaitable[None]]) -> None:
    async def served() -> None:
        async with server.serve(directory) as api:
            await test(api)

    asyncio.run(served())


@pytest.mark.parametrize("initial", ["served", "refused 400", "refused 422", "ignored"])
def test_lists_by_stream_where_it_is_served_and_by_pages_elsewhere(tmp_path: Path, initial: Any) -> None:
    server = ApiServer()
    server.initial = initial

    async def test(api: KubeApi) -> None:
        for number in range(1201):
            await server.put(f"n{number}")
        async with following(api, pace=STEADY) as one:
            await one.until(lambda: one.stats.synced)
            assert len(one.mirror.objects) == 1201
            assert server.count("list") == (0 if initial == "served" else 3), "500 a page"
            await server.stop()
            server.compact()
            await server.delete("n7")
            server.compact()
            await server.start()
            await one.until(lambda: "n7" not in one.mirror.objects)
            assert one.stats.lists == 2
            assert server.count("initial") == (2 if initial == "served" else 1), "what is not served is not asked again"

    run(tmp_path, server, test)


def test_watch_is_resumed_without_a_list(tmp_path: Path) -> None:
    server = ApiServer()

    async def test(api: KubeApi) -> None:
        async with following(api, pace=STEADY) as one:
            await one.until(lambda: one.stats.synced)
            for number in range(3):
                server.faults["watch"].append(Stream(0, end="end"))
                await server.stop()
                await server.put(f"n{number}")
                await server.start()
                await one.until(lambda: len(one.mirror.objects) == number + 1)  # noqa: B023 - awaited here
            assert one.mirror.lists == one.stats.lists == 1
            assert one.stats.restarts["dropped"] == 3
            assert one.stats.restarts["ended"] == 3
            assert one.stats.events["ADDED"] == 3
            assert one.stats.problem is None

    run(tmp_path, server, test)


@pytest.mark.parametrize(
    ("fault", "reason", "lists"),
    [
        (Stream(1, end="end"), "ended", 1),
        (Stream(1, end="cut"), "dropped", 1),
        (Stream(1, end="cut line"), "dropped", 1),
        (Stream(1, end="truncate"), "dropped", 1),
        (Stream(1, b"garbage\n", "go on"), "garbage", 1),
        (Stream(1, line("ERROR", status(410, "Expired")), "go on"), "expired", 2),
        (Stream(1, line("ERROR", status(500, "InternalError")), "go on"), "server", 2),
        (Stream(1, line("BOOKMARK", {"metadata": {"resourceVersion": "1"}}), "go on"), "rewound", 2),
        (Answer(410, status(410, "Expired")), "expired", 2),
        (Answer(504, status(504, "Timeout", causes=[{"reason": "ResourceVersionTooLarge"}])), "expired", 2),
        (Answer(400, status(400, "BadRequest")), "refused", 2),
        (Answer(500, b"oops"), "server", 1),
        (Answer(429, status(429, "TooManyRequests", retryAfterSeconds=0)), "throttled", 1),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_each_end_is_counted_and_costs_no_more_than_it_must(
    tmp_path: Path, fault: Any, reason: str, lists: int
) -> None:
    server = ApiServer()
    server.initial = "refused 400"  # so that the faults meet a watch that is not a list as well
    server.faults["watch"].append(fault)

    async def test(api: KubeApi) -> None:
        await server.put("a")
        async with following(api, pace=STEADY) as one:
            await one.until(lambda: one.stats.synced)
            await server.put("b")
            await one.until(lambda: "b" in one.mirror.objects and one.stats.restarts.total() > 0)
            await server.put("c")
            await one.until(lambda: "c" in one.mirror.objects)
            assert one.stats.restarts == {reason: 1}
            assert one.stats.lists == lists

    run(tmp_path, server, test)


def test_half_open_connection_is_dropped_and_the_watch_resumed(tmp_path: Path) -> None:
    server = ApiServer()
    server.initial = "refused 422"
    server.bookmarks = False
    server.faults["watch"].append(Stream(1, end="silence"))

    async def test(api: KubeApi) -> None:
        async with following(api) as one:
            await one.until(lambda: one.stats.synced)
            await server.put("a")
            await server.put("b")
            await one.until(lambda: "b" in one.mirror.objects)
            assert one.stats.restarts["silent"] == 1
            assert one.stats.lists == 1

    run(tmp_path, server, test)


def test_silence_after_bookmarks_is_half_open_sooner(tmp_path: Path) -> None:
    server = ApiServer()
    server.initial = "refused 422"
    server.faults["watch"].append(Stream(1, end="silence"))

    async def test(api: KubeApi) -> None:
        async with following(api, pace=dataclasses.replace(STEADY, bookmarked_silence=0.2)) as one:
            await one.until(lambda: one.stats.synced)
            await server.put("a")
            await one.until(lambda: "a" in one.mirror.objects)
            assert one.stats.restarts["silent"] >= 1
            assert one.stats.lists == 1

    run(tmp_path, server, test)


def test_what_is_said_twice_is_told_once(tmp_path: Path) -> None:
    server = ApiServer()
    server.initial = "refused 422"
    server.faults["watch"].append(Stream(2, end="again"))

    async def test(api: KubeApi) -> None:
        async with following(api, pace=STEADY) as one:
            await one.until(lambda: one.stats.synced)
            await server.put("a")
            await server.put("b")
            await one.until(lambda: "b" in one.mirror.objects)
            assert one.mirror.versions == [101, 102]
            assert one.stats.events["DUPLICATE"] == 1
            assert one.stats.restarts == {}

    run(tmp_path, server, test)


def test_a_watch_that_breaks_off_is_no_problem_by_itself(tmp_path: Path) -> None:
    server = ApiServer()
    server.faults["initial"].append(Stream(1, end="cut"))
    server.faults["watch"].append(Hang())

    async def test(api: KubeApi) -> None:
        async with following(api, pace=STEADY) as one:
            await one.until(lambda: one.stats.synced)
            await server.put("a")
            await one.until(lambda: server.count("watch") == 1)
            assert one.stats.restarts == {"dropped": 1}
            assert one.stats.problem is None

    run(tmp_path, server, test)


def test_lists_in_a_row_come_ever_more_slowly_whatever_lies_between(tmp_path: Path) -> None:
    expired = ApiFailure("watch nodes", "expired", "HTTP 410", status=410)

    async def test(api: KubeApi) -> None:
        follower = _Follower(api, "nodes", lambda _: None, WatchStats(), Pace())
        waits = []
        for _ in range(100):
            follower._replace(Listing([], "100", {}))
            follower._backoff.reset()  # a change came in between
            waits.append(follower.failed(expired))
        assert max(waits) > 10
        follower._backoff.reset()
        follower._listed_at -= Pace().calm
        assert follower.failed(expired) < 1

    run(tmp_path, ApiServer(), test)


def test_quiet_watches_that_end_after_a_while_are_resumed_at_once(tmp_path: Path) -> None:
    async def test(api: KubeApi) -> None:
        follower = _Follower(api, "nodes", lambda _: None, WatchStats(), Pace())
        follower._version = "100"
        follower._opened = time.monotonic()
        assert max(follower.ended() for _ in range(100)) > 10, "those that end at once are not"
        follower._opened -= STEADY_SECONDS
        assert max(follower.ended() for _ in range(100)) <= 3 * Pace().base

    run(tmp_path, ApiServer(), test)


def test_garbage_in_the_same_place_twice_is_got_over_by_a_list(tmp_path: Path) -> None:
    server = ApiServer()

    async def test(api: KubeApi) -> None:
        async with following(api, pace=STEADY) as one:
            await one.until(lambda: one.stats.synced)
            server.poisoned.add(server.version + 1)
            await server.put("a")
            await one.until(lambda: "a" in one.mirror.objects)
            assert one.stats.restarts == {"garbage": 2}
            assert one.stats.lists == 2

    run(tmp_path, server, test)


def test_lines_of_many_megabytes_in_odd_chunks(tmp_path: Path) -> None:
    server = ApiServer()
    server.initial = "refused 400"
    server.faults["watch"].append(Stream(1 << 60, chunk=100_003))
    large = [{"names": ["x" * 1_000_000], "sizeBytes": number} for number in range(9)]

    async def test(api: KubeApi) -> None:
        async with following(api, pace=STEADY) as one:
            await one.until(lambda: one.stats.synced)
            await server.put("large", status={"images": large})
            await server.put("small")
            await one.until(lambda: len(one.mirror.objects) == 2)
            found: Any = one.mirror.objects["large"]
            assert json.loads(bytes(found.status.images)) == large
            assert one.stats.restarts == {}

    run(tmp_path, server, test)


@pytest.mark.parametrize("initial", ["served", "refused 400"])
def test_an_object_that_cannot_be_read_is_absent_and_named(tmp_path: Path, initial: Any) -> None:
    server = ApiServer()
    server.initial = initial

    async def test(api: KubeApi) -> None:
        await server.put("good")
        await server.put("bad", spec={"taints": "many"})
        async with following(api, pace=STEADY) as one:
            await one.until(lambda: one.stats.synced)
            assert set(one.mirror.objects) == {"good"}
            assert one.stats.unreadable == {"bad": "Expected `array | null`, got `str` - at `$.spec.taints`"}
            assert one.stats.problem is None, "one object is no reason not to be ready"
            await server.put("bad", spec={"taints": 7})
            await server.put("bad")
            await one.until(lambda: "bad" in one.mirror.objects)
            assert one.stats.unreadable == {}
            await server.put("bad", spec=7)
            await one.until(lambda: "bad" not in one.mirror.objects)
            await server.delete("bad")
            await server.put("worse", status=[])
            await server.delete("good")
            await one.until(lambda: not one.mirror.objects)
            assert set(one.stats.unreadable) == {"worse"}
            assert one.stats.events["UNREADABLE"] == 3
            assert one.stats.lists == 1

    run(tmp_path, server, test)


def test_problem_says_what_and_what_to_do_until_it_is_over(tmp_path: Path) -> None:
    server = ApiServer()

    async def test(api: KubeApi) -> None:
        server.faults["initial"].extend([FORBIDDEN] * 20)
        async with following(api) as one:
            await one.until(lambda: one.stats.problem is not None)
            assert str(one.stats.problem) == (
                'cannot watch nodes: HTTP 403: nodes is forbidden: User "u" cannot list resource "nodes"; '
                "apply the RBAC of manifests/base"
            )
            assert not one.stats.synced
            await one.until(lambda: one.stats.synced)
            assert one.stats.problem is None
            assert one.stats.last_sync is not None
            await server.stop()
            await one.until(lambda: "Connection refused" in (one.stats.problem or ""))
            await server.start()
            await one.until(lambda: one.stats.problem is None)

    run(tmp_path, server, test)


def test_page_of_a_proxy_is_told_as_such(tmp_path: Path) -> None:
    server = ApiServer()
    server.faults["initial"].extend([Answer(200, b"<html>Please log in</html>", content_type="text/html")] * 9)

    async def test(api: KubeApi) -> None:
        async with following(api) as one:
            await one.until(lambda: one.stats.problem is not None)
            assert "<html>Please log in</html>; does a proxy or a login page answer" in str(one.stats.problem)
            await one.until(lambda: one.stats.synced)

    run(tmp_path, server, test)


@pytest.mark.parametrize("absent", [Answer(404, b"404 page not found"), FORBIDDEN], ids=["missing", "forbidden"])
def test_optional_resource_comes_and_goes(tmp_path: Path, absent: Answer) -> None:
    server = ApiServer()
    server.prefix, server.resource = "/apis/resource.k8s.io/v1/", "resourceslices"

    async def test(api: KubeApi) -> None:
        await server.put("a")
        server.faults["initial"].extend([absent] * 3)
        async with following(api, "resourceslices", optional=True, pace=STEADY) as one:
            await one.until(lambda: one.stats.restarts["unserved"] == 2)
            assert (one.stats.problem, one.stats.synced, one.mirror.lists) == (None, False, 0)
            await one.until(lambda: one.stats.synced)
            assert set(one.mirror.objects) == {"a"}
            server.faults["watch"].append(absent)
            server.faults["initial"].append(absent)
            await server.stop()
            await server.start()
            await one.until(lambda: one.mirror.lists == 2)
            assert one.mirror.objects == {}, "what is not served any more is gone"
            assert not one.stats.synced
            await one.until(lambda: one.stats.synced)
            assert set(one.mirror.objects) == {"a"}

    run(tmp_path, server, test)


def test_streaming_lists_that_keep_breaking_off_are_given_up(tmp_path: Path) -> None:
    server = ApiServer()
    server.faults["initial"].extend([Stream(0, end="cut")] * 100)

    async def test(api: KubeApi) -> None:
        async with following(api, pace=STEADY) as one:
            await one.until(lambda: one.stats.synced)
            assert server.count("initial") == INITIAL_ATTEMPTS
            assert server.count("list") == 1

    run(tmp_path, server, test)


def test_changes_within_a_streaming_list_count(tmp_path: Path) -> None:
    server = ApiServer()
    gone = {"metadata": {"name": "a", "resourceVersion": "103"}}
    more = {"metadata": {"name": "b", "resourceVersion": "104", "labels": {"x": "y"}}}
    server.faults["initial"].append(Stream(2, line("DELETED", gone) + line("MODIFIED", more), "go on"))

    async def test(api: KubeApi) -> None:
        await server.put("a")
        await server.put("b")
        async with following(api, pace=STEADY) as one:
            await one.until(lambda: one.stats.synced)
            assert one.mirror.shown() == {"b": "104"}
            assert one.mirror.objects["b"].metadata.labels == {"x": "y"}

    run(tmp_path, server, test)


def test_page_is_asked_for_again_before_the_list_is(tmp_path: Path) -> None:
    server = ApiServer()
    server.initial = "refused 400"

    async def test(api: KubeApi) -> None:
        for number in range(1200):
            await server.put(f"n{number}")
        busy = Answer(429, status(429, "TooManyRequests"), {"Retry-After": "0"})

        server.before_answer = lambda _: server.faults["list"].extend([busy, busy] if server.count("list") == 2 else [])
        objects, version = await api.list("nodes")
        assert (len(objects), version) == (1200, str(server.version))
        assert [one.query.get("continue", "").partition(":")[2] for one in server.seen] == [
            "",
            "500",
            "500",
            "500",
            "1000",
        ]

    run(tmp_path, server, test)


def test_expired_pages_begin_anew_with_larger_ones(tmp_path: Path) -> None:
    server = ApiServer()

    async def test(api: KubeApi) -> None:
        for number in range(6000):
            await server.put(f"n{number}")

        server.before_answer = lambda _: server.compact() if server.count("list") in {3, 5} else None
        objects, _ = await api.list("nodes")
        assert len(objects) == 6000
        assert [one.query.get("limit") for one in server.seen] == ["500", "500", "500", "5000", "5000", None]

    run(tmp_path, server, test)


@pytest.mark.parametrize("token", ["good", "new"])
def test_refused_credentials_are_read_anew(tmp_path: Path, token: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "RENEWAL_SECONDS", 0.01)
    server = ApiServer()
    server.tokens = {"new"}

    async def test(api: KubeApi) -> None:
        (tmp_path / "token").write_text(f"{token}\n")
        async with following(api) as one:
            if token == "good":
                await one.until(lambda: one.stats.restarts["unauthorized"] > 2)
                assert "does not accept our credentials" in str(one.stats.problem)
                (tmp_path / "token").write_text("new\n")
            await one.until(lambda: one.stats.synced)
            assert one.stats.problem is None
            if token == "new":
                assert one.stats.restarts == {}, "one request more, and no wait"

    run(tmp_path, server, test)


def test_server_that_never_answers_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "REQUEST_SECONDS", 0.2)
    server = ApiServer()
    server.faults["initial"].append(Hang())
    server.faults["list"].append(Hang())

    async def test(api: KubeApi) -> None:
        async with following(api) as one:
            await one.until(lambda: one.stats.synced)
            assert one.stats.restarts["timeout"] == 1
        with pytest.raises(Exception, match=r"cannot list nodes: .* did not answer in time"):
            await api.list("nodes")

    run(tmp_path, server, test)


@pytest.mark.parametrize("told", [Listed, Changed])
def test_mistakes_of_the_sink_come_out(tmp_path: Path, told: type) -> None:
    server = ApiServer()

    def sink(one: Listed | Changed) -> None:
        if isinstance(one, told):
            raise ZeroDivisionError

    async def test(api: KubeApi) -> None:
        following_ = asyncio.create_task(follow(api, "nodes", sink, WatchStats(), pace=FAST))
        await asyncio.sleep(0.1)
        await server.put("a")
        with pytest.raises(ZeroDivisionError):
            async with asyncio.timeout(10):
                await following_

    run(tmp_path, server, test)
