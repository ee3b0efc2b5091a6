"""Whatever goes wrong in between: what a follower tells adds up to the server's state, nothing lost, nothing twice."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.scripted_http import Answer
from tests.sources.kube_api_mirror import Following, following
from tests.sources.kube_api_server import ApiServer, Fault, Kind, Stream, line, status

NAMES = st.sampled_from(["a", "b", "c", "d"])
EMPTY = Stream(after=1 << 60)

ANSWERS: list[Answer] = [
    Answer(500, status(500, "InternalError")),
    Answer(503, b"upstream connect error", content_type="text/plain"),
    Answer(504, status(504, "Timeout")),
    Answer(429, status(429, "TooManyRequests", retryAfterSeconds=1), {"Retry-After": "1"}),
    Answer(403, status(403, "Forbidden")),
    Answer(401, status(401, "Unauthorized")),
    Answer(410, status(410, "Expired")),
    Answer(200, b"<html>log in</html>", content_type="text/html"),
    Answer(200, b"<html>log in</html>"),
    Answer(200, b'{"kind":"NodeList"}'),
    Answer(200, b""),
    Answer(200, b'{"metadata":{"resourceVersion":"1"},"items":[{"metadata"', {"Content-Length": "9999"}),
]
PIECES: list[bytes] = [
    b"",
    b"\n \r\n",
    b"garbage\n",
    b'{"type":"ADDED"}\n',
    b'{"type":"ADDED","object":{"metadata":7}}\n',
    b'{"type":"MODIFIED","object":null}\n',
    b'{"type":"BOOKMARK","object":[]}\n',
    b"\xff\xfe\n",
    b"[" * 5000 + b"\n",
    b'{"type":"SOMETHING-NEW","object":{"metadata":{"name":"a","resourceVersion":"999999"}}}\n',
    line("ERROR", status(410, "Expired")),
    line("ERROR", status(500, "InternalError")),
    line("ERROR", b"{}"),
    line("ADDED", {"metadata": {"name": "a", "resourceVersion": "3"}}),
    line("BOOKMARK", {"metadata": {"resourceVersion": "3"}}),
]
STREAMS = st.builds(
    Stream,
    after=st.integers(0, 6),
    data=st.sampled_from(PIECES),
    end=st.sampled_from(["go on", "end", "cut", "cut line", "truncate", "silence", "again"]),
    chunk=st.sampled_from([0, 0, 1, 7, 64]),
)
FAULTS: st.SearchStrategy[tuple[Kind, Fault]] = st.one_of(
    st.tuples(st.sampled_from(["list", "watch", "initial"]), st.sampled_from(ANSWERS)),
    st.tuples(st.sampled_from(["watch", "initial"]), STREAMS),
)
STEPS = st.one_of(
    st.tuples(st.just("put"), NAMES),
    st.tuples(st.just("put"), NAMES),
    st.tuples(st.just("delete"), NAMES),
    st.tuples(st.just("fault"), FAULTS),
    st.tuples(st.just("fault"), FAULTS),
    st.tuples(st.just("compact"), st.none()),
    st.tuples(st.just("outage"), st.tuples(st.lists(NAMES, max_size=3), st.booleans())),
    st.tuples(st.just("wait"), st.sampled_from([0.0, 0.005, 0.02])),
    st.tuples(st.just("catch up"), st.none()),
)


async def take(server: ApiServer, one: Following, step: tuple[str, Any]) -> None:
    match step:
        case ("put", str(name)):
            await server.put(name)
        case ("delete", str(name)):
            await server.delete(name)
        case ("fault", (kind, fault)):
            server.faults[kind].append(fault)
        case ("compact", _):
            server.compact()
        case ("outage", (list(changed), bool(forgotten))):
            await server.stop()
            for name in changed:
                await server.delete(name)
                await server.put(name)
            if forgotten:
                server.compact()
            await server.start()
        case ("wait", float(seconds)):
            await asyncio.sleep(seconds)
        case ("catch up", _):
            # Without this, most of what happens happens before the first list.
            await one.until(lambda: one.mirror.shown() == versions(server))


def versions(server: ApiServer) -> dict[str, str]:
    return {name: found["metadata"]["resourceVersion"] for name, found in server.objects.items()}


async def settled(server: ApiServer, one: Following) -> None:
    """Let the faults end and wait for the last word. Whatever broke, nothing may have been left out on the way."""
    for faults in server.faults.values():
        faults.clear()
    await server.put("last")
    await one.until(lambda: one.mirror.shown() == versions(server))
    told = one.mirror.versions
    if told:
        happened = [version for version, _, _ in server.log if version >= told[0]]
        assert told == happened, "since the last list, every change was told, in order"


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    steps=st.lists(STEPS, max_size=25),
    initial=st.sampled_from(["served", "served", "refused 400", "refused 422", "ignored"]),
    bookmarks=st.booleans(),
)
def test_mirror_is_the_servers_state_in_the_end(steps: list[tuple[str, Any]], initial: str, bookmarks: bool) -> None:
    async def run(directory: Path) -> None:
        server = ApiServer()
        server.initial = initial  # type: ignore[assignment]  # sampled from the literals
        server.bookmarks = bookmarks
        async with server.serve(directory) as api, following(api) as one:
            for step in steps:
                await take(server, one, step)
            await settled(server, one)

    with tempfile.TemporaryDirectory() as directory:
        asyncio.run(run(Path(directory)))


@pytest.mark.parametrize("kind", ["list", "watch", "initial"])
@pytest.mark.parametrize("answer", ANSWERS, ids=lambda answer: f"{answer.status} {answer.body[:12]!r}")
def test_each_wrong_answer_is_got_over(kind: Kind, answer: Answer, tmp_path: Path) -> None:
    async def run() -> None:
        server = ApiServer()
        server.initial = "served" if kind == "initial" else "refused 400"
        for _ in range(3):
            server.faults[kind].append(answer)
        await server.put("a")
        async with server.serve(tmp_path) as api, following(api) as one:
            await one.until(lambda: one.mirror.shown() == {"a": "101"})
            # One that looks as if streaming lists were not known is followed by pages, and not asked for again.
            await one.until(lambda: not server.faults[kind] or kind == "initial")
            met = 3 - len(server.faults[kind])
            await settled(server, one)
            assert one.stats.problem is None
            assert sum(one.stats.restarts.values()) >= met - 1, "refused credentials are tried once more at once"

    asyncio.run(run())


@pytest.mark.parametrize("end", ["go on", "end", "cut", "cut line", "truncate", "silence", "again"])
@pytest.mark.parametrize("piece", PIECES, ids=lambda piece: repr(piece[:40]))
@pytest.mark.parametrize("kind", ["watch", "initial"])
def test_each_break_of_a_stream_is_got_over(kind: Kind, piece: bytes, end: str, tmp_path: Path) -> None:
    async def run() -> None:
        server = ApiServer()
        server.initial = "served" if kind == "initial" else "refused 422"
        for name in "abc":
            await server.put(name)
        for after in range(4):
            server.faults[kind].append(Stream(after, piece, end))  # type: ignore[arg-type]  # one of the literals
        async with server.serve(tmp_path) as api, following(api) as one:
            await one.until(lambda: one.stats.synced)
            for name in "cdab":
                await server.put(name)
                await one.until(lambda: one.mirror.shown() == versions(server))
                await server.delete(name)
            await settled(server, one)

    asyncio.run(run())
