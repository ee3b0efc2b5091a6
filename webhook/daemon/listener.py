"""One listening socket served by our protocol, from start to the last answer."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Callable

from starlette.types import ASGIApp

from webhook.daemon.protocol import Connection, Limits, Roster, bare_config

_BACKLOG = 1024
_LATE_HANDSHAKE_SECONDS = 0.5  # what was accepted just before the socket closed is still shaking hands
_UNUSED_SECONDS = 1.0  # a client that connected sends at once; later than this it will not


class Listener:
    """An ASGI app on a bound socket, over TLS where there is a context."""

    def __init__(
        self,
        app: ASGIApp,
        limits: Limits,
        count_closed: Callable[[str], None],
        context: ssl.SSLContext | None = None,
    ) -> None:
        self.roster = Roster(limits, count_closed)
        self._config = bare_config(app)
        self._context = context
        self._server: asyncio.Server | None = None
        self._sweep: asyncio.Task[None] | None = None

    async def start(self, host: str, port: int) -> int:
        """Bind and accept; the port that was bound. OSError when it cannot be."""
        loop = asyncio.get_running_loop()
        over_tls = self._context is not None
        self._server = await loop.create_server(
            lambda: Connection(self._config, self.roster, loop),
            host=host,
            port=port,
            ssl=self._context,
            backlog=_BACKLOG,
            ssl_handshake_timeout=self.roster.limits.handshake_seconds if over_tls else None,
            ssl_shutdown_timeout=self.roster.limits.close_seconds if over_tls else None,
        )
        self._sweep = loop.create_task(self._sweep_for_ever())
        bound: int = self._server.sockets[0].getsockname()[1]
        return bound

    async def stop(self, seconds: float) -> int:
        """Stop accepting, finish what was begun within `seconds`, close; how many connections had to be cut."""
        if self._server is not None:
            self._server.close()
        self.roster.drain()
        closed = time.monotonic()
        while (now := time.monotonic()) < closed + seconds:
            if not self.roster.state.connections and now >= closed + min(_LATE_HANDSHAKE_SECONDS, seconds):
                break
            self.roster.close_idle(unused=now >= closed + _UNUSED_SECONDS)
            await asyncio.sleep(0.02)
        left = self.roster.open
        for connection in left:
            connection.transport.abort()
        if self._sweep is not None:
            self._sweep.cancel()
        return len(left)

    async def _sweep_for_ever(self) -> None:
        while True:
            self.roster.sweep(time.monotonic())
            await asyncio.sleep(self.roster.limits.sweep_seconds)
