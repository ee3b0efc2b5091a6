"""A closed-loop HTTPS client that is cheap enough to share two cores with the server it measures.

Each of some connections sends its next review the moment the answer to the last one is there, as an API server under
load does. Connections are kept alive. It runs in the benchmark's process, never in the measured one.
"""

from __future__ import annotations

import asyncio
import re
import ssl
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import uvloop

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)\r\n", re.IGNORECASE)


class BrokenAnswer(Exception):
    """The server answered something else than 200, or no length; the text has the head of the answer."""


@dataclass(slots=True)
class Run:
    """What came back: how long all took, each answer's milliseconds, and the last answer to each of the reviews."""

    seconds: float = 0.0
    milliseconds: list[float] = field(default_factory=list)
    answers: dict[int, bytes] = field(default_factory=dict)


def closed_loop(port: int, bodies: Sequence[bytes], *, connections: int, count: int) -> Run:
    """Send `count` reviews, taken from `bodies` in turn, to `/mutate` on loopback. BrokenAnswer if any goes wrong."""
    return uvloop.run(_closed_loop(port, bodies, connections, count))


async def _closed_loop(port: int, bodies: Sequence[bytes], connections: int, count: int) -> Run:
    # The certificate was made a moment ago for this run alone: there is nobody to be fooled.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    turns = iter(range(count))
    requests = [_request(port, body) for body in bodies]
    run = Run()
    streams = [await asyncio.open_connection("127.0.0.1", port, ssl=context) for _ in range(connections)]
    started = time.perf_counter()
    try:
        await asyncio.gather(*(_converse(reader, writer, requests, turns, run) for reader, writer in streams))
    finally:
        run.seconds = time.perf_counter() - started
        for _, writer in streams:
            writer.close()
    return run


async def _converse(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    requests: Sequence[bytes],
    turns: Iterator[int],
    run: Run,
) -> None:
    for turn in turns:
        which = turn % len(requests)
        sent = time.perf_counter()
        writer.write(requests[which])
        head = await reader.readuntil(b"\r\n\r\n")
        length = _LENGTH.search(head)
        if not head.startswith(b"HTTP/1.1 200 ") or not length:
            raise BrokenAnswer(head.decode("latin-1"))
        run.answers[which] = await reader.readexactly(int(length[1]))
        run.milliseconds.append((time.perf_counter() - sent) * 1000)


def _request(port: int, body: bytes) -> bytes:
    head = (
        "POST /mutate?timeout=2s HTTP/1.1",
        f"Host: 127.0.0.1:{port}",
        "User-Agent: kube-apiserver-admission",
        f"Content-Length: {len(body)}",
        "Accept: application/json, */*",
        "Content-Type: application/json",
    )
    return "\r\n".join(head).encode() + b"\r\n\r\n" + body
