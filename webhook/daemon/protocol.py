"""uvicorn's HTTP/1.1 protocol with a deadline for every stage of a connection.

uvicorn waits for ever for a client that connects and says nothing, sends half a header, trickles a body, or does not
read its answer; and its `limit_concurrency` counts idle connections, so that idle sockets turn reviews away. Here every
connection is always in one stage with one deadline, a sweep closes the late ones, and a full house closes the
connection that has been idle longest, never one that waits for an answer.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from email.utils import formatdate
from enum import IntEnum
from typing import Any

from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState


@dataclass(frozen=True, slots=True)
class Limits:
    """How long (seconds) and how much a client may take. The defaults suit a kube-apiserver many times over."""

    handshake_seconds: float = 5.0
    first_byte_seconds: float = 10.0
    header_seconds: float = 10.0
    body_seconds: float = 10.0
    answer_seconds: float = 30.0
    """From the whole request to the whole answer taken; only a client that does not read needs so long."""
    close_seconds: float = 5.0
    linger_seconds: float = 0.5
    """The same for a client that was answered and still sends: TLS reads what comes until the client closes, too."""
    keep_alive_seconds: float = 120.0
    """Longer than the 90 s after which a kube-apiserver drops an idle connection: so it is always the one to close."""
    header_bytes: int = 64 * 1024
    headers: int = 100
    message_bytes: int = 24 * 1024 * 1024
    """Of one request in all, with what is read only to be thrown away."""
    connections: int = 512
    sweep_seconds: float = 0.25


class Stage(IntEnum):
    """Where a connection stands."""

    CLOSING = 0
    WAITING = 1  # nothing came yet
    IDLE = 2  # between requests
    HEADERS = 3
    BODY = 4
    ANSWER = 5


CLOSED_REASONS = (
    "no-request", "idle", "slow-headers", "slow-body", "slow-answer", "slow-close", "too-many", "too-large",
)  # fmt: skip
# Which to close first when there are too many; of one rank, the one that has been there longest.
_RANK = {Stage.CLOSING: 0, Stage.WAITING: 1, Stage.IDLE: 1, Stage.HEADERS: 2, Stage.BODY: 2}
_LATE = {
    Stage.CLOSING: "slow-close",
    Stage.WAITING: "no-request",
    Stage.IDLE: "idle",
    Stage.HEADERS: "slow-headers",
    Stage.BODY: "slow-body",
    Stage.ANSWER: "slow-answer",
}


class Roster:
    """The connections of one listener: their limits, their sweep, and whether they are being drained."""

    def __init__(self, limits: Limits, count_closed: Callable[[str], None]) -> None:
        self.limits = limits
        self.state = ServerState()
        self.draining = False
        self._count_closed = count_closed

    @property
    def open(self) -> list[Connection]:
        """The connections whose handshake is done and that are not lost yet."""
        return [one for one in self.state.connections if isinstance(one, Connection)]

    def closed(self, reason: str) -> None:
        """Count a connection that we closed on a client."""
        self._count_closed(reason)

    def make_room(self, newcomer: Connection) -> None:
        """Close what has been idle longest when there are too many; a request being answered is never cut."""
        if len(self.state.connections) <= self.limits.connections:
            return
        others = [one for one in self.open if one is not newcomer and one.stage is not Stage.ANSWER]
        victim = min(others, key=lambda one: (_RANK[one.stage], one.since), default=newcomer)
        victim.drop("too-many")

    def sweep(self, now: float) -> None:
        """Close every connection whose stage has lasted too long, and renew the Date header."""
        self.state.default_headers = [(b"date", formatdate(usegmt=True).encode("ascii"))]
        for connection in self.open:
            if now >= connection.deadline:
                connection.expire()

    def drain(self) -> None:
        """From now on every answer closes its connection, which loses no request: the client knows before it sends."""
        self.draining = True
        for connection in self.open:
            if connection.cycle is not None:
                connection.cycle.keep_alive = False

    def close_idle(self, *, unused: bool) -> None:
        """Close the connections between requests; with `unused` also those on which nothing came yet."""
        for connection in self.open:
            if connection.stage is Stage.IDLE or (unused and connection.stage is Stage.WAITING):
                connection.close()


class Connection(HttpToolsProtocol):
    """One client's connection."""

    def __init__(self, config: Config, roster: Roster, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(config, roster.state, {}, loop)
        self.roster = roster
        self.stage = Stage.WAITING
        self.since = 0.0
        self.deadline = float("inf")
        self._chunk = 0
        self._received = 0
        self._tls: object = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        """Start the clock: the handshake is done."""
        super().connection_made(transport)
        self._tls = transport.get_extra_info("ssl_object")
        self._enter(Stage.WAITING, self.roster.limits.first_byte_seconds)
        self.roster.make_room(self)

    def data_received(self, data: bytes) -> None:
        """Parse what came, within the byte limits."""
        self._chunk = len(data)
        self._received += len(data)
        super().data_received(data)
        if self._received > self.roster.limits.message_bytes:
            self._refuse(b"413 Content Too Large", "too-large")
        elif self.stage is Stage.HEADERS and self._received > self.roster.limits.header_bytes:
            self._refuse(b"431 Request Header Fields Too Large", "too-large")

    def on_message_begin(self) -> None:
        """The first byte of a request came."""
        self._received = self._chunk
        self._enter(Stage.HEADERS, self.roster.limits.header_seconds)
        super().on_message_begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep a header; trailers, which come with the body, are dropped: nobody reads them."""
        if self.stage is Stage.HEADERS:
            if len(self.headers) >= self.roster.limits.headers:
                raise ValueError("too many headers")  # the parser turns it into 400
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Start the request, and the clock of its body."""
        now = self._enter(Stage.BODY, self.roster.limits.body_seconds)
        super().on_headers_complete()
        self.scope["state"]["arrived"] = now
        self.scope["state"]["tls"] = self._tls
        if self.roster.draining:
            self.cycle.keep_alive = False

    def on_message_complete(self) -> None:
        """The whole request came."""
        super().on_message_complete()
        self._between_requests() if self.cycle.response_complete else self._awaiting_answer()

    def on_response_complete(self) -> None:
        """The whole answer was handed to the transport."""
        super().on_response_complete()
        self._unset_keepalive_if_required()  # the sweep has that clock: uvicorn's stops at any byte, as a bare newline
        if self.transport.is_closing():
            self._enter(Stage.CLOSING, self._closing_seconds())
        elif self.stage is Stage.ANSWER:
            self._between_requests() if self.cycle.response_complete else self._awaiting_answer()

    def send_400_response(self, msg: str) -> None:
        """Answer what is not HTTP, and close."""
        if not self.transport.is_closing():
            super().send_400_response(msg)
            self._enter(Stage.CLOSING, self.roster.limits.close_seconds)

    def expire(self) -> None:
        """Close because the deadline passed: with 408 where a request was begun, at once where nobody reads."""
        reason = _LATE[self.stage]
        if self.stage in (Stage.HEADERS, Stage.BODY):
            self._refuse(b"408 Request Timeout", reason)
        elif self.stage in (Stage.WAITING, Stage.IDLE):
            self.roster.closed(reason)
            self.close()
        else:
            self.roster.closed(reason)
            self._abort()

    def drop(self, reason: str) -> None:
        """Make room at once: a polite close waits for a client that may not answer, and holds memory meanwhile."""
        self.roster.closed(reason)
        self._abort()

    def close(self) -> None:
        """Close after what was written is flushed, within `close_seconds`."""
        self._enter(Stage.CLOSING, self._closing_seconds())
        self.transport.close()

    def _closing_seconds(self) -> float:
        limits = self.roster.limits
        return limits.linger_seconds if self.stage in (Stage.HEADERS, Stage.BODY) else limits.close_seconds

    def _abort(self) -> None:
        self._enter(Stage.CLOSING, float("inf"))
        self.connections.discard(self)
        self.transport.abort()

    def _refuse(self, status: bytes, reason: str) -> None:
        if self.transport.is_closing():
            return
        self.roster.closed(reason)
        if self.stage is Stage.HEADERS or (self.stage is Stage.BODY and not self.cycle.response_started):
            self.transport.write(b"HTTP/1.1 %b\r\nconnection: close\r\ncontent-length: 0\r\n\r\n" % status)
        self.close()

    def _between_requests(self) -> None:
        self._enter(Stage.IDLE, self.roster.limits.keep_alive_seconds)

    def _awaiting_answer(self) -> None:
        self._enter(Stage.ANSWER, self.roster.limits.answer_seconds)

    def _enter(self, stage: Stage, seconds: float) -> float:
        now = time.monotonic()
        self.stage = stage
        self.since = now
        self.deadline = now + seconds
        return now


def bare_config(app: Any) -> Config:
    """Settings of uvicorn for `app` with everything off that we do ourselves or do not want."""
    config = Config(
        app,
        http="httptools",
        ws="none",
        lifespan="off",
        interface="asgi3",
        log_config=None,
        access_log=False,
        proxy_headers=False,  # nobody stands between the API server and us; routing reads the scope's path alone
        server_header=False,
        date_header=False,  # the sweep sets it
    )
    config.load()
    return config
