"""Clients that are slow, silent, greedy or many, over real sockets and TLS."""

from __future__ import annotations

import asyncio
import ssl
from collections import Counter
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any, Protocol

import pytest
import uvloop
from starlette.types import Receive, Scope, Send

from webhook.daemon.listener import Listener
from webhook.daemon.protocol import Limits
from webhook.server.tls import CertificateFiles

QUICK = Limits(
    handshake_seconds=0.5,
    first_byte_seconds=0.4,
    header_seconds=0.4,
    body_seconds=0.4,
    answer_seconds=0.6,
    close_seconds=0.3,
    keep_alive_seconds=0.6,
    header_bytes=4096,
    headers=20,
    message_bytes=300_000,
    connections=8,
    sweep_seconds=0.05,
)
GET = b"GET /x HTTP/1.1\r\nhost: a\r\n\r\n"


class Paths(Protocol):
    certificate: Any
    key: Any
    authority_pem: str


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """Read the body; answer its length. `/big` answers more than socket buffers hold; `/slow` takes its time."""
    size = 0
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return
        size += len(message["body"])
        if not message["more_body"]:
            break
    if scope["path"] == "/slow":
        await asyncio.sleep(0.3)
    body = b"x" * 50_000_000 if scope["path"] == "/big" else str(size).encode()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(body))]})
    await send({"type": "http.response.body", "body": body})


class Client:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def ask(self, request: bytes = GET) -> bytes:
        """Send a request and read one answer's head and body."""
        self.writer.write(request)
        head = await self.reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        return head + await self.reader.readexactly(length)

    async def rest(self, seconds: float = 60.0) -> bytes:
        """Everything until the server closes; fails when it does not."""
        async with asyncio.timeout(seconds):
            try:
                return await self.reader.read()
            except ConnectionError:
                return b""

    async def closed_after(self) -> tuple[float, bytes]:
        began = asyncio.get_running_loop().time()
        said = await self.rest()
        return asyncio.get_running_loop().time() - began, said


class House:
    """A listener over TLS, and what it counted."""

    def __init__(self, listener: Listener, port: int, trust: ssl.SSLContext, closed: Counter[str]) -> None:
        self.listener = listener
        self.port = port
        self.trust = trust
        self.closed = closed
        self._writers: list[asyncio.StreamWriter] = []

    async def connect(self) -> Client:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port, ssl=self.trust)
        self._writers.append(writer)
        return Client(reader, writer)

    async def leave(self) -> None:
        for writer in self._writers:
            writer.transport.abort()
        await asyncio.sleep(0)


Scenario = Callable[[House], Awaitable[None]]
Play = Callable[..., None]


@pytest.fixture
def play(credentials: Paths) -> Play:
    """Run a scenario against a listener, on the loop that production uses."""

    def run(scenario: Scenario, limits: Limits = QUICK) -> None:
        async def act() -> None:
            files = CertificateFiles(credentials.certificate, credentials.key)
            assert files.refresh(datetime.now(UTC))
            closed: Counter[str] = Counter()

            def count(reason: str) -> None:
                closed[reason] += 1

            listener = Listener(echo, limits, count, files.context)
            port = await listener.start("127.0.0.1", 0)
            house = House(listener, port, ssl.create_default_context(cadata=credentials.authority_pem), closed)
            try:
                async with asyncio.timeout(20):
                    await scenario(house)
            finally:
                await house.leave()
                await listener.stop(0.05)

        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(act())

    return run


def test_answers_and_keeps_the_connection(play: Play) -> None:
    async def scenario(house: House) -> None:
        client = await house.connect()
        post = b"POST /x HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\r\nhello"
        for _ in range(3):
            answer = await client.ask(post)
            assert answer.startswith(b"HTTP/1.1 200 OK\r\ndate: ")
            assert answer.endswith(b"\r\n\r\n5")
            assert b"connection: close" not in answer
            assert b"server:" not in answer
        assert not house.closed

    play(scenario)


def test_client_that_says_nothing_is_closed(play: Play) -> None:
    async def scenario(house: House) -> None:
        took, said = await (await house.connect()).closed_after()
        assert 0.2 < took < 2
        assert said == b""
        assert house.closed == {"no-request": 1}

    play(scenario)


def test_client_that_never_shakes_hands_is_closed(play: Play) -> None:
    async def scenario(house: House) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", house.port)
        began = asyncio.get_running_loop().time()
        await Client(reader, writer).rest()
        assert 0.2 < asyncio.get_running_loop().time() - began < 2
        writer.close()

    play(scenario)


@pytest.mark.parametrize(
    "begun",
    [b"P", b"POST /mutate HTTP/1.1\r\nhost", b"POST /x HTTP/1.1\r\nhost: a\r\n"],
    ids=["one byte", "half a line", "no empty line"],
)
def test_half_a_header_gets_408(play: Play, begun: bytes) -> None:
    async def scenario(house: House) -> None:
        client = await house.connect()
        client.writer.write(begun)
        took, said = await client.closed_after()
        assert 0.2 < took < 2
        assert said.startswith(b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\n")
        assert house.closed == {"slow-headers": 1}

    play(scenario)


async def trickle(client: Client, piece: bytes) -> None:
    while not client.writer.is_closing():
        client.writer.write(piece)
        await asyncio.sleep(0.05)


@pytest.mark.parametrize(
    ("begun", "piece", "reason"),
    [
        (b"POST /x HTTP/1.1\r\n", b"a: b\r\n", "slow-headers"),
        (b"POST /x HTTP/1.1\r\ncontent-length: 9999\r\n\r\n", b"y", "slow-body"),
        (b"POST /x HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n", b"1\r\ny\r\n", "slow-body"),
    ],
    ids=["headers", "body", "chunks"],
)
def test_a_trickle_does_not_move_the_deadline(play: Play, begun: bytes, piece: bytes, reason: str) -> None:
    async def scenario(house: House) -> None:
        client = await house.connect()
        client.writer.write(begun)
        trickling = asyncio.create_task(trickle(client, piece))
        took, said = await client.closed_after()
        trickling.cancel()
        assert took < 2
        assert said.startswith(b"HTTP/1.1 408")
        assert house.closed == {reason: 1}

    play(scenario, Limits(**{**_fields(QUICK), "headers": 1000}))


def _fields(limits: Limits) -> dict[str, Any]:
    return {name: getattr(limits, name) for name in Limits.__slots__}


def test_bare_newlines_do_not_keep_an_idle_connection(play: Play) -> None:
    async def scenario(house: House) -> None:
        client = await house.connect()
        await client.ask()
        trickling = asyncio.create_task(trickle(client, b"\r\n"))
        took, _ = await client.closed_after()
        trickling.cancel()
        assert took < 2
        assert house.closed == {"idle": 1}

    play(scenario)


def test_idle_keep_alive_ends_and_a_used_one_does_not(play: Play) -> None:
    async def scenario(house: House) -> None:
        idle, used = await house.connect(), await house.connect()
        await idle.ask()
        for _ in range(8):
            assert (await used.ask()).startswith(b"HTTP/1.1 200")
            await asyncio.sleep(0.15)
        assert await idle.rest() == b""
        assert house.closed == {"idle": 1}

    play(scenario)


def test_client_that_does_not_read_is_cut(play: Play) -> None:
    async def scenario(house: House) -> None:
        client = await house.connect()
        client.reader._limit = 1024  # type: ignore[attr-defined]  # stop reading early
        client.writer.write(b"GET /big HTTP/1.1\r\nhost: a\r\n\r\n" * 2)
        await asyncio.sleep(0.2)
        assert len(house.listener.roster.open) == 1
        end = asyncio.get_running_loop().time() + 60
        while house.listener.roster.open or not house.closed:
            assert asyncio.get_running_loop().time() < end, "it is still open"
            await asyncio.sleep(0.05)
        # Which deadline it meets first depends on how much of the answer the kernel's buffers took.
        assert set(house.closed) <= {"slow-answer", "idle", "slow-close"}

    play(scenario)


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"GET /x HTTP/1.1\r\nlong: " + b"y" * 10_000, b"431"),
        (b"GET /" + b"y" * 10_000, b"431"),
        (b"GET /x HTTP/1.1\r\n" + b"a: b\r\n" * 50 + b"\r\n", b"400"),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b"400"),
        (b"GET http://[::1 HTTP/1.1\r\n\r\n", b"400"),
        (b"CONNECT a:1 HTTP/1.1\r\nhost: a\r\n\r\n", b"400"),
        (b"GET /\xff\xfe HTTP/1.1\r\n\r\n", b"400"),
        (b"POST /x HTTP/1.1\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n", b"400"),
        (b"POST /x HTTP/1.1\r\ncontent-length: -1\r\n\r\n", b"400"),
        (b"POST /x HTTP/1.1\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n", b"400"),
        (b"POST /x HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n", b"400"),
    ],
    ids=[
        "long header", "long url", "many headers", "tls in tls", "bad url", "connect", "binary path",
        "smuggling", "negative", "two lengths", "bad chunk",
    ],
)  # fmt: skip
def test_what_is_not_http_is_refused_at_once(play: Play, sent: bytes, status: bytes) -> None:
    async def scenario(house: House) -> None:
        client = await house.connect()
        client.writer.write(sent)
        took, said = await client.closed_after()
        assert took < 0.35
        assert said.startswith(b"HTTP/1.1 " + status), said
        assert b"connection: close" in said
        assert (await (await house.connect()).ask()).startswith(b"HTTP/1.1 200")

    play(scenario)


def test_endless_chunk_extensions_and_trailers_end(play: Play) -> None:
    async def scenario(house: House) -> None:
        client = await house.connect()
        client.writer.write(b"POST /x HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n0\r\n")
        for _ in range(100):
            client.writer.write(b"trailer: " + b"y" * 4000 + b"\r\n")
        took, said = await client.closed_after()
        assert took < 1
        assert said == b"" or said.startswith((b"HTTP/1.1 413", b"HTTP/1.1 400")), said[:100]

    play(scenario)


def test_upgrades_are_answered_as_plain_requests(play: Play) -> None:
    async def scenario(house: House) -> None:
        client = await house.connect()
        answer = await client.ask(b"GET /x HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 200")

    play(scenario)


def test_pipelined_requests_are_answered_in_order(play: Play) -> None:
    async def scenario(house: House) -> None:
        client = await house.connect()
        client.writer.write(b"POST /slow HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\n\r\ny" + GET)
        first = await client.ask(b"")
        second = await client.ask(b"")
        assert (first[-1:], second[-1:]) == (b"1", b"0")
        assert await client.rest() == b""
        assert house.closed == {"idle": 1}

    play(scenario)


def test_idle_connections_make_room_for_requests(play: Play) -> None:
    async def scenario(house: House) -> None:
        busy = await house.connect()
        slow = asyncio.create_task(busy.ask(b"GET /slow HTTP/1.1\r\nhost: a\r\n\r\n"))
        idle = [await house.connect() for _ in range(7)]
        for one in idle:
            await one.ask()
        crowd = [await house.connect() for _ in range(20)]
        for one in crowd[-3:]:
            assert (await one.ask()).startswith(b"HTTP/1.1 200")
        assert (await slow).startswith(b"HTTP/1.1 200")
        assert await idle[0].rest() == b""
        assert len(house.listener.roster.open) <= 9
        assert house.closed["too-many"] >= 10

    play(scenario, Limits(**{**_fields(QUICK), "keep_alive_seconds": 60, "first_byte_seconds": 60}))


def test_half_sent_requests_make_room_too(play: Play) -> None:
    async def scenario(house: House) -> None:
        for _ in range(20):
            attacker = await house.connect()
            attacker.writer.write(b"POST /x HTTP/1.1\r\nhost:")
            await asyncio.sleep(0.01)
        client = await house.connect()
        assert (await client.ask()).startswith(b"HTTP/1.1 200")
        assert len(house.listener.roster.open) <= 9

    play(scenario, Limits(**{**_fields(QUICK), "header_seconds": 60}))


def test_draining_closes_with_the_answer_and_loses_nothing(play: Play) -> None:
    async def scenario(house: House) -> None:
        idle, busy, used = [await house.connect() for _ in range(3)]
        await idle.ask()
        slow = asyncio.create_task(busy.ask(b"GET /slow HTTP/1.1\r\nhost: a\r\n\r\n"))
        await asyncio.sleep(0.05)
        house.listener.roster.drain()
        assert b"connection: close" in await used.ask()
        assert await used.rest() == b""
        stopping = asyncio.create_task(house.listener.stop(5.0))
        assert b"connection: close" in await slow
        assert await idle.rest() == b""
        assert await stopping == 0
        with pytest.raises(OSError, match=r".*"):
            await house.connect()
        assert not house.closed

    play(scenario)
