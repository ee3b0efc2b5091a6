"""One connection, against a server that does as it is told."""

from __future__ import annotations

import os
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.hydrator.scripted_s3 import Script, reply, scripted, trusted
from webhook.hydrator.outcome import Transient
from webhook.hydrator.s3 import connection as module
from webhook.hydrator.s3.address import resolve
from webhook.hydrator.s3.answer import MAX_HEAD
from webhook.hydrator.s3.connection import Connection
from webhook.hydrator.s3.route import Route, Unreached
from webhook.hydrator.s3.settings import Settings

ASK = b"GET / HTTP/1.1\r\n\r\n"
DATA = os.urandom(3 << 20)
Tls = tuple[ssl.SSLContext, Path] | None


@pytest.fixture(params=["http", "https"])
def tls(request: pytest.FixtureRequest, tmp_path: Path) -> Tls:
    return trusted(tmp_path, ["127.0.0.1"]) if request.param == "https" else None


@contextmanager
def connected(
    answers: Callable[[int, str], bytes | None], tls: Tls = None, stall: float = 10.0
) -> Iterator[tuple[Connection, Script]]:
    with scripted(answers, tls[0] if tls else None) as script:
        settings = Settings(script.url, ca_bundle=str(tls[1]) if tls else "", stall_seconds=stall)
        connection = Connection(Route(resolve("b-1", settings), settings, {}))
        try:
            yield connection, script
        finally:
            connection.drop()


def read(connection: Connection, buffer: int = 1 << 20) -> bytes:
    data, piece = bytearray(), bytearray(buffer)
    while count := connection.readinto(memoryview(piece)):
        data += piece[:count]
    return bytes(data)


def test_one_connection_serves_many_requests(tls: Tls) -> None:
    with connected(lambda number, _: reply(DATA[:number]), tls) as (connection, script):
        for number in range(1, 6):
            assert connection.exchange(ASK).status == 200
            assert read(connection) == DATA[:number]
            connection.finish()
        assert script.connections == 1


def test_a_connection_that_was_closed_when_idle_is_opened_again(tls: Tls) -> None:
    with connected(lambda number, _: reply(DATA[:number]), tls) as (connection, script):
        connection.exchange(ASK)
        assert read(connection) == DATA[:1]
        script.hang_up()
        connection.exchange(ASK)
        assert read(connection) == DATA[:2]
        assert script.connections == 2


def test_a_server_that_says_close_is_believed() -> None:
    with connected(lambda *_: reply(b"x", connection="close")) as (connection, script):
        for _ in range(2):
            connection.exchange(ASK)
            assert read(connection) == b"x"
        assert script.connections == 2


def test_a_fresh_connection_without_an_answer_is_told(tls: Tls) -> None:
    with connected(lambda *_: None, tls) as (connection, script):
        with pytest.raises(Transient, match="closed the connection before it answered"):
            connection.exchange(ASK)
        assert script.connections == 1


def test_a_body_may_be_left_unread() -> None:
    with connected(lambda *_: reply(DATA)) as (connection, script):
        for _ in range(2):
            connection.exchange(ASK)
            assert connection.readinto(memoryview(bytearray(10))) == 10
            connection.finish()
        connection.exchange(ASK)
        assert read(connection) == DATA
        assert script.connections == 3


def test_what_came_before_the_end_is_handed_over_first(tls: Tls) -> None:
    def cut(number: int, _: str) -> bytes | None:
        return reply(DATA[:5000], content_length="9000") if number == 1 else None

    with connected(cut, tls, stall=0.3) as (connection, _):
        connection.exchange(ASK)
        view = memoryview(bytearray(9000))
        assert connection.readinto(view) == 5000
        assert view[:5000] == DATA[:5000]
        for _ in range(2):
            with pytest.raises(Transient, match=r"sent nothing, or next to nothing, for 0.3 s in the middle"):
                connection.readinto(view)


def test_an_end_before_the_end_is_told(tls: Tls) -> None:
    def cut(_: int, head: str) -> bytes | None:
        return reply(DATA[:5000], content_length="9000") if "first" in head else None

    with connected(cut, tls) as (connection, script):
        connection.exchange(b"GET /first HTTP/1.1\r\n\r\n")
        script.hang_up()
        view = memoryview(bytearray(9000))
        assert connection.readinto(view) == 5000
        with pytest.raises(Transient, match="closed the connection in the middle"):
            connection.readinto(view)


def test_a_server_that_never_answers_is_given_up(tls: Tls) -> None:
    silent = connected(lambda *_: b"HTTP/1.1 200", tls, stall=0.2)
    with silent as (connection, _), pytest.raises(Transient, match="sent nothing"):
        connection.exchange(ASK)


@contextmanager
def trickling(pieces: list[bytes], pause: float, tls: Tls, stall: float) -> Iterator[Connection]:
    """Connected to a server that sends an answer in these pieces, with pauses between them."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            raw, _ = listener.accept()
            with raw, suppress(OSError), tls[0].wrap_socket(raw, server_side=True) if tls else raw as wire:
                wire.recv(4096)
                for piece in pieces:
                    wire.sendall(piece)
                    time.sleep(pause)
                wire.recv(1)  # until the client closes it

        thread = threading.Thread(target=serve)
        thread.start()
        url = f"http{'s' if tls else ''}://127.0.0.1:{listener.getsockname()[1]}"
        settings = Settings(url, ca_bundle=str(tls[1]) if tls else "", stall_seconds=stall)
        connection = Connection(Route(resolve("b-1", settings), settings, {}))
        try:
            yield connection
        finally:
            connection.drop()
            thread.join()


def test_a_trickle_is_given_up(tls: Tls, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bytes come, but so slowly that asking elsewhere is better."""
    monkeypatch.setattr(module, "_SLOWEST", 1 << 40)
    head = reply(content_length=str(len(DATA)))
    with trickling([head, *([b"x" * 1000] * 10)], 0.05, tls, stall=0.2) as connection:
        connection.exchange(ASK)
        with pytest.raises(Transient, match="next to nothing"):
            read(connection)


@pytest.mark.parametrize("buffer", [1 << 20, 100_000, 5], ids=["large", "odd", "tiny"])
def test_the_last_bytes_do_not_wait_for_more_than_there_are(tls: Tls, buffer: int) -> None:
    """SO_RCVLOWAT lets the reader sleep until half a megabyte is there. The end of a body seldom is that long."""
    size = len(DATA) if buffer > 5 else (512 << 10) + 20
    head = reply(content_length=str(size))
    pieces = [head, DATA[: size - 700_000], DATA[size - 700_000 : size - 3], DATA[size - 3 : size]]
    if buffer == 5:
        pieces = [head, DATA[:10], DATA[10:size]]
    with trickling(pieces, 0.1, tls, stall=30.0) as connection:
        connection.exchange(ASK)
        before = time.monotonic()
        assert read(connection, buffer) == DATA[:size]
        assert time.monotonic() - before < 30.0  # the kernel wakes him at the latest when the time-out is over


def test_a_reader_sleeps_until_much_is_there(tls: Tls) -> None:
    """What SO_RCVLOWAT is for: fewer wake-ups on slow connections. A server may not notice, so this looks inside."""
    with connected(lambda *_: reply(DATA), tls) as (connection, _):
        for _ in range(2):
            connection.exchange(ASK)
            marks = []
            for _ in range(3):
                assert connection.readinto(memoryview(bytearray(1 << 20))) == 1 << 20
                assert connection._socket is not None
                marks.append(connection._socket.getsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT))
            assert marks == [module._LOW_WATER, module._LOW_WATER, 1]


@pytest.mark.parametrize("interim", [b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 103 Early\r\nlink: x\r\n\r\n"])
def test_interim_answers_are_passed_over(interim: bytes) -> None:
    with connected(lambda *_: interim + interim + reply(b"body")) as (connection, _):
        assert connection.exchange(ASK).status == 200
        assert read(connection) == b"body"


@pytest.mark.parametrize(
    ("sent", "words"),
    [
        (b"SSH-2.0-OpenSSH_9.6\r\n\r\n", "not HTTP"),
        (b"HTTP/1.1 2 OK\r\n\r\n", "not HTTP"),
        (b"HTTP/1.1 200 OK\r\nx: " + b"y" * MAX_HEAD, "KiB of headers"),
    ],
)
def test_what_is_no_answer(sent: bytes, words: str) -> None:
    with connected(lambda *_: sent) as (connection, _), pytest.raises(Transient, match=words):
        connection.exchange(ASK)


CHUNKED = reply(b"5\r\nhello\r\n6;x=y\r\n world\r\n0\r\nx: y\r\n\r\n", transfer_encoding="chunked", content_length="3")


def test_small_bodies_may_be_chunked(tls: Tls) -> None:
    with connected(lambda *_: CHUNKED, tls) as (connection, script):
        for _ in range(2):
            connection.exchange(ASK)
            assert connection.rest(100) == b"hello world"
        assert script.connections == 1


def test_small_bodies_may_end_with_the_connection(tls: Tls) -> None:
    with trickling([b"HTTP/1.1 200 OK\r\n\r\nhello ", b"world"], 0.05, tls, stall=0.3) as connection:
        connection.exchange(ASK)
        with pytest.raises(Transient, match="sent nothing"):
            connection.rest(100)


def test_bodies_are_bounded() -> None:
    for answer in (reply(DATA), CHUNKED, b"HTTP/1.1 200 OK\r\n\r\n" + DATA):
        with connected(lambda *_, answer=answer: answer) as (connection, _):
            connection.exchange(ASK)
            assert len(connection.rest(4)) > 4


def test_an_answer_to_head_has_no_body() -> None:
    with connected(lambda *_: b"HTTP/1.1 200 OK\r\ncontent-length: 5000\r\n\r\n") as (connection, script):
        for _ in range(2):
            assert connection.exchange(b"HEAD / HTTP/1.1\r\n\r\n", bodiless=True).length == 5000
            assert read(connection) == b""
        assert script.connections == 1


def test_nobody_there() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    settings = Settings(f"http://127.0.0.1:{port}")
    with pytest.raises(Unreached, match=f"127.0.0.1:{port} cannot be connected to: Connection refused") as caught:
        Connection(Route(resolve("b-1", settings), settings, {})).exchange(ASK)
    assert caught.value.hint


def test_no_such_name() -> None:
    settings = Settings("http://no-such-host.invalid")
    with pytest.raises(Unreached, match=r"'no-such-host.invalid' cannot be looked up") as caught:
        Connection(Route(resolve("b-1", settings), settings, {})).exchange(ASK)
    assert "DNS" in caught.value.hint


def test_what_follows_a_body_is_no_answer() -> None:
    """A server that sends more than it announced is not believed in the next answer."""
    with connected(lambda *_: reply(b"x", content_length="1") + reply(b"forged")) as (connection, script):
        for _ in range(2):
            connection.exchange(ASK)
            assert read(connection) == b"x"
        assert script.connections == 2


def test_connections_spread_over_the_addresses_and_pass_by_dead_ones() -> None:
    with scripted(lambda *_: reply()) as first, scripted(lambda *_: reply()) as second:
        settings = Settings("http://127.0.0.1:1")
        route = Route(resolve("b-1", settings), settings, {})
        ports = (1, first.port, 2, second.port, 3)
        known = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port)) for port in ports]
        route._names = (time.monotonic() + 3600, known)
        for _ in range(40):
            connection = Connection(route)
            assert connection.exchange(ASK).status == 200
            connection.drop()
    assert first.connections > 0
    assert second.connections > 0
    assert first.connections + second.connections == 40


def test_what_a_hit_imports() -> None:
    """These take milliseconds each, and a pod waits for them."""
    slow = "awscrt _awscrt asyncio http.client email urllib.parse random datetime calendar threading ipaddress"
    code = f"import sys, webhook.hydrator.s3.source; print(*(set(sys.modules) & set({slow.split()})))"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout == "\n"
