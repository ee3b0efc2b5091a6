"""HTTP/1.1 over real TCP for servers that tests script: connections, requests, answers. What is answered is theirs."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, urlsplit

STREAM_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"


@dataclass(frozen=True)
class Answer:
    """An answer instead of the right one."""

    status: int = 500
    body: bytes = b'{"kind":"Status","message":"scripted"}'
    headers: Mapping[str, str] = field(default_factory=dict)
    content_type: str = "application/json"


class HttpRequest(NamedTuple):
    """A request. Names of headers are in lower case."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes


class HttpServer:
    """Serves on loopback; a subclass answers."""

    context: ssl.SSLContext | None = None
    """For TLS."""

    def __init__(self) -> None:
        self.port = 0
        self._server: asyncio.Server | None = None
        self._connections: dict[asyncio.StreamWriter, asyncio.Task[None]] = {}

    async def handle(self, request: HttpRequest, writer: asyncio.StreamWriter) -> bool:
        """Answer one request; False when the connection is to be reset."""
        raise NotImplementedError

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port, ssl=self.context)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """As kill -9 does: the port is closed, and every connection reset."""
        assert self._server
        self._server.close()
        for writer, task in list(self._connections.items()):
            writer.transport.abort()
            task.cancel()
            await asyncio.wait([task])
        await self._server.wait_closed()

    def write_kubeconfig(self, directory: Path, user: Mapping[str, Any]) -> Path:
        path = directory / "kubeconfig"
        document = {
            "clusters": [{"name": "c", "cluster": {"server": f"http://127.0.0.1:{self.port}"}}],
            "users": [{"name": "u", "user": user}],
            "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
            "current-context": "x",
        }
        path.write_text(json.dumps(document))
        return path

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # Not the task that the stream made for us: asyncio complains when somebody cancels that one.
        task = asyncio.create_task(self._converse(reader, writer))
        self._connections[writer] = task
        await asyncio.wait([task])
        self._connections.pop(writer)
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while head := await reader.readuntil(b"\r\n\r\n"):
                first, *rest = head.decode().split("\r\n")
                method, target, _ = first.split(" ")
                headers = {key.lower(): value for key, _, value in (one.partition(": ") for one in rest if one)}
                body = await reader.readexactly(int(headers.get("content-length", "0")))
                parts = urlsplit(target)
                request = HttpRequest(method, parts.path, dict(parse_qsl(parts.query)), headers, body)
                if not await self.handle(request, writer):
                    writer.transport.abort()
                    return


async def reply(writer: asyncio.StreamWriter, answer: Answer) -> None:
    headers = {"Content-Type": answer.content_type, "Content-Length": str(len(answer.body)), **answer.headers}
    text = "".join(f"{key}: {value}\r\n" for key, value in headers.items())
    writer.write(f"HTTP/1.1 {answer.status} Scripted\r\n{text}\r\n".encode() + answer.body)
    await writer.drain()
    if "Content-Length" in answer.headers:
        writer.close()  # it was a lie
