"""A server that speaks the Kubernetes API's list and watch over real TCP, with faults on demand.

https://kubernetes.io/docs/reference/using-api/api-concepts/ is what it follows.
"""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from tests.scripted_http import STREAM_HEAD, Answer, HttpRequest, HttpServer, reply
from webhook.sources.kube_api import KubeApi

Object = dict[str, Any]
Kind = Literal["list", "watch", "initial", "patch"]


@dataclass(frozen=True)
class Hang:
    """No answer at all until the client goes away."""


@dataclass(frozen=True)
class Stream:
    """What happens to a watch after `after` of its lines: raw bytes, then one of the ends."""

    after: int = 0
    data: bytes = b""
    end: Literal["go on", "end", "cut", "cut line", "truncate", "silence", "again"] = "end"
    """"again" sends the last line twice and goes on."""
    chunk: int = 0
    """Bytes of each write, with a pause in between; 0 is a line at a time."""


Fault = Answer | Hang | Stream


def status(code: int, reason: str = "", message: str = "scripted", **details: Any) -> bytes:
    return json.dumps(
        {"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "reason": reason, "message": message}
        | ({"details": details} if details else {})
    ).encode()


def line(kind: str, found: Object | bytes) -> bytes:
    raw = found if isinstance(found, bytes) else json.dumps(found).encode()
    return b'{"type":"%s","object":%s}\n' % (kind.encode(), raw)


@dataclass
class Seen:
    """A request."""

    kind: Kind
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes


class ApiServer(HttpServer):
    """`async with ApiServer().serve(path) as api:` gives a client of it."""

    def __init__(self) -> None:
        super().__init__()
        self.objects: dict[str, Object] = {}
        self.log: list[tuple[int, str, Object]] = []
        self.version = 100
        self.floor = 0
        """Changes up to this version are compacted."""
        self.initial: Literal["served", "refused 400", "refused 422", "ignored"] = "served"
        self.bookmarks = True
        self.faults: dict[Kind, deque[Fault]] = {
            "list": deque(),
            "watch": deque(),
            "initial": deque(),
            "patch": deque(),
        }
        self.tokens: set[str] | None = None
        self.poisoned: set[int] = set()
        """Versions whose event is garbage, whoever watches: only a list tells what it would have said."""
        self.seen: list[Seen] = []
        self.before_answer: Callable[[Seen], None] = lambda _seen: None
        self.resource = "nodes"
        self.prefix = "/api/v1/"
        self._changed = asyncio.Condition()
        self._snapshots: dict[str, tuple[int, list[Object]]] = {}

    # --- what happens in the cluster

    async def put(self, name: str, **more: Any) -> None:
        kind = "MODIFIED" if name in self.objects else "ADDED"
        self.version += 1
        metadata = {
            "name": name,
            "uid": f"uid-{name}",
            "resourceVersion": str(self.version),
            **more.pop("metadata", {}),
        }
        await self._happen(kind, {"metadata": metadata, **more})
        self.objects[name] = self.log[-1][2]

    async def delete(self, name: str) -> None:
        if name in self.objects:
            self.version += 1
            found = self.objects.pop(name)
            metadata = {**found["metadata"], "resourceVersion": str(self.version)}
            await self._happen("DELETED", {**found, "metadata": metadata})

    def compact(self) -> None:
        self.floor = self.version
        self._snapshots.clear()

    async def _happen(self, kind: str, found: Object) -> None:
        async with self._changed:
            self.log.append((self.version, kind, found))
            self._changed.notify_all()

    def count(self, kind: Kind) -> int:
        return sum(one.kind == kind for one in self.seen)

    # --- the server

    @asynccontextmanager
    async def serve(self, directory: Path, token: str = "good") -> AsyncIterator[KubeApi]:
        await self.start()
        try:
            async with KubeApi.connect(self.kubeconfig(directory, token)) as api:
                yield api
        finally:
            await self.stop()

    def kubeconfig(self, directory: Path, token: str = "good") -> Path:
        (directory / "token").write_text(token + "\n")
        return self.write_kubeconfig(directory, {"tokenFile": "token"})

    async def handle(self, request: HttpRequest, writer: asyncio.StreamWriter) -> bool:
        method, path, query, headers, body = request
        await self._answer(Seen(_kind(method, query), path, query, headers, body), writer)
        return True

    async def _answer(self, seen: Seen, writer: asyncio.StreamWriter) -> None:
        self.seen.append(seen)
        self.before_answer(seen)
        if self.tokens is not None and seen.headers.get("authorization", "").removeprefix("Bearer ") not in self.tokens:
            await reply(writer, Answer(401, status(401, "Unauthorized", "Unauthorized")))
            return
        if seen.path != f"{self.prefix}{self.resource}" and seen.kind != "patch":
            await reply(writer, Answer(404, b"404 page not found\n", content_type="text/plain"))
            return
        faults = self.faults[seen.kind]
        fault = faults.popleft() if faults else None
        if isinstance(fault, Answer):
            await reply(writer, fault)
        elif isinstance(fault, Hang):
            await asyncio.sleep(3600)
        elif seen.kind == "list":
            await reply(writer, self._page(seen.query))
        elif seen.kind == "initial" and self.initial.startswith("refused"):
            code = int(self.initial.split()[1])
            await reply(writer, Answer(code, status(code, "Invalid", "sendInitialEvents is forbidden for watch")))
        elif seen.kind != "patch":
            await self._watch(seen, fault or Stream(after=1 << 60), writer)

    def _page(self, query: Mapping[str, str]) -> Answer:
        start = 0
        if token := query.get("continue"):
            identity, _, place = token.partition(":")
            if identity not in self._snapshots:
                return Answer(410, status(410, "Expired", "The provided continue parameter is too old"))
            version, objects = self._snapshots[identity]
            start = int(place)
        else:
            version, objects = self.version, list(self.objects.values())
            identity = str(len(self.seen))
        limit = int(query.get("limit", "0")) or len(objects) + 1
        metadata: dict[str, Any] = {"resourceVersion": str(version)}
        if start + limit < len(objects):
            self._snapshots[identity] = (version, objects)
            metadata |= {"continue": f"{identity}:{start + limit}", "remainingItemCount": 1}
        return Answer(200, json.dumps({"metadata": metadata, "items": objects[start : start + limit] or None}).encode())

    async def _watch(self, seen: Seen, fault: Stream, writer: asyncio.StreamWriter) -> None:
        writer.write(STREAM_HEAD)
        sent, last = 0, b""
        try:
            async with asyncio.timeout(float(seen.query["timeoutSeconds"])):
                async for data in self._lines(seen):
                    if sent == fault.after:
                        await self._break(fault, data, last, writer)
                        if fault.end not in {"go on", "again"}:
                            return
                    await _chunks(writer, data, fault.chunk)
                    last = data
                    sent += 1
        except TimeoutError:
            writer.write(b"0\r\n\r\n")
        except _Silence:
            await asyncio.sleep(3600)

    async def _break(self, fault: Stream, data: bytes, last: bytes, writer: asyncio.StreamWriter) -> None:
        if fault.data:
            await _chunks(writer, fault.data, fault.chunk)
        match fault.end:
            case "cut":
                writer.transport.abort()
            case "cut line":
                await _chunks(writer, data[: len(data) // 2], 0)
                writer.transport.abort()
            case "truncate":
                await _chunks(writer, data[: len(data) // 2], 0)
                writer.write(b"0\r\n\r\n")
            case "end":
                writer.write(b"0\r\n\r\n")
            case "again":
                await _chunks(writer, last, fault.chunk)
            case "silence":
                raise _Silence

    async def _lines(self, seen: Seen) -> AsyncIterator[bytes]:
        if seen.kind == "watch" and "resourceVersion" in seen.query:
            version = int(seen.query["resourceVersion"])
            if version < self.floor:
                yield line("ERROR", status(410, "Expired", f"too old resource version: {version} ({self.floor})"))
                return
        else:
            version = self.version
            for found in list(self.objects.values()):
                yield line("ADDED", found)
            if self.initial == "served":
                yield bookmark(version, {"k8s.io/initial-events-end": "true"})
        if self.bookmarks:
            yield bookmark(version)
        while True:
            async with self._changed:
                await self._changed.wait_for(lambda: self.log and self.log[-1][0] > version)  # noqa: B023 - awaited here
            for number, kind, found in list(self.log):
                if number > version:
                    version = number
                    yield b"garbage\n" if number in self.poisoned else line(kind, found)


class _Silence(Exception):
    """From here on nothing is sent, and nothing closed: the peer of a half-open connection is gone."""


def bookmark(version: int, annotations: Mapping[str, str] | None = None) -> bytes:
    return line("BOOKMARK", {"metadata": {"resourceVersion": str(version), "annotations": annotations}})


def _kind(method: str, query: Mapping[str, str]) -> Kind:
    if method == "PATCH":
        return "patch"
    if "watch" not in query:
        return "list"
    return "initial" if "sendInitialEvents" in query else "watch"


async def _chunks(writer: asyncio.StreamWriter, data: bytes, size: int) -> None:
    size = size or len(data) or 1
    for start in range(0, len(data), size):
        part = data[start : start + size]
        writer.write(b"%x\r\n%s\r\n" % (len(part), part))
        await writer.drain()
        await asyncio.sleep(0)
