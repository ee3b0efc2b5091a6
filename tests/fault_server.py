"""The process behind `fault_store`: a thread for each connection, HTTP/1.1 with keep-alive, TLS on ports of its own."""

from __future__ import annotations

import os
import socket
import ssl
import struct
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from multiprocessing.connection import Connection
from pathlib import Path
from typing import NamedTuple

from certs.issue import issue_authority, issue_leaf
from tests.fault_objects import Answer, Objects, Parsed
from tests.fault_store import Fault

_CHUNK = 256 << 10
_MAX_HEAD = 64 << 10
_HANDSHAKE = 0x16  # first byte of TLS


class Connected(NamedTuple):
    """A connection, of TCP or TLS."""

    wire: socket.socket
    number: int


def main(control: int, directory: str) -> None:
    """Serve until the other end of the socket `control` is closed."""
    objects = Objects()
    numbers = iter(range(1, sys.maxsize))
    ports = {}
    for name, context in (("", None), *_contexts(Path(directory))):
        listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        ports[name] = listener.getsockname()[1]
        threading.Thread(target=_accept, args=(listener, context, objects, numbers), daemon=True).start()
    with Connection(control) as connection, suppress(EOFError, OSError):
        connection.send(ports)
        while True:
            name, arguments = connection.recv()
            try:
                connection.send((True, getattr(objects, name)(*arguments)))
            except Exception as error:  # noqa: BLE001 - it is the test's, which gets to see it
                connection.send((False, repr(error)))
    os._exit(0)  # threads may be stalling by order


def _contexts(directory: Path) -> Iterator[tuple[str, ssl.SSLContext]]:
    now = datetime.now(UTC)
    authority, stranger = issue_authority(now), issue_authority(now, common_name="stranger")
    (directory / "ca.crt").write_bytes(authority.certificate_pem)
    here = ["localhost", "127.0.0.1"]
    for name, pair in {
        "good": issue_leaf(authority, here, now),
        "expired": issue_leaf(authority, here, now - timedelta(days=30), lifetime=timedelta(days=1)),
        "wrong-host": issue_leaf(authority, ["elsewhere.example"], now),
        "stranger": issue_leaf(stranger, here, now),
    }.items():
        certificate, key = directory / f"{name}.crt", directory / f"{name}.key"
        certificate.write_bytes(pair.certificate_pem)
        key.write_bytes(pair.key_pem)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        yield name, context


def _accept(listener: socket.socket, context: ssl.SSLContext | None, objects: Objects, numbers: Iterator[int]) -> None:
    while True:
        raw, _ = listener.accept()
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        threading.Thread(target=_serve, args=(raw, context, objects, next(numbers)), daemon=True).start()


def _serve(raw: socket.socket, context: ssl.SSLContext | None, objects: Objects, number: int) -> None:
    # OSError: the client is gone, or does not like the certificate.
    with raw, suppress(OSError), context.wrap_socket(raw, server_side=True) if context else raw as wire:
        _converse(Connected(wire, number), objects)


def _converse(connected: Connected, objects: Objects) -> None:
    rest = b""
    while True:
        while b"\r\n\r\n" not in rest:
            more = connected.wire.recv(_MAX_HEAD)
            if not more or len(rest) > _MAX_HEAD:
                return
            if more[0] == _HANDSHAKE and not rest:  # TLS where there is none
                connected.wire.sendall(b"HTTP/1.0 400 Bad Request\r\n\r\n")
                return
            rest += more
        head, _, rest = rest.partition(b"\r\n\r\n")
        request = Parsed.from_head(head.decode("latin-1"))
        awaited = int(request.headers.get("content-length", "0"))
        while len(rest) < awaited:
            rest += connected.wire.recv(_MAX_HEAD)
        rest = rest[awaited:]
        fault, answer = objects.answer(request, connected.number)
        if not _send(connected, request, answer, fault, objects):
            return


def _send(connected: Connected, request: Parsed, answer: Answer, fault: Fault | None, objects: Objects) -> bool:
    """Send an answer, or what the fault makes of it. False when that was the end of the connection."""
    kind = fault.kind if fault else ""
    wire = connected.wire
    if fault is None:
        pass
    elif kind == "raw":
        wire.sendall(fault.body or b"")
        return False
    elif kind == "close":
        return False
    elif kind == "hang":
        _idle(connected, fault.seconds)
        return False
    elif kind == "delay":
        time.sleep(fault.seconds)
    wire.sendall(answer.head(chunked=kind == "chunked"))
    if request.method == "HEAD":
        return True
    body = answer.body
    if fault is None:
        return _stream(wire, [body])
    if kind == "chunked":
        pieces = [body[at : at + 10_007] for at in range(0, len(body), 10_007)]
        return _stream(wire, [*(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces), b"0\r\n\r\n"])
    if kind == "slow":
        for at in range(0, len(body), 16 << 10):
            wire.sendall(body[at : at + (16 << 10)])
            time.sleep((16 << 10) / fault.rate)
        return True
    if kind in {"truncate", "reset", "stall"}:
        wire.sendall(body[: fault.after])
        if kind == "stall":
            _idle(connected, fault.seconds)
        if kind == "reset":
            time.sleep(0.05)  # what was sent arrives first
            connected.wire.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        return False
    if kind in {"swap", "mix"}:
        wire.sendall(body[: fault.after])
        new = fault.body or b""
        objects.put(request.key, new, "right")
        if kind == "mix":
            start = answer.first
            body = body[: fault.after] + new[start + fault.after : start + len(body)].ljust(len(body) - fault.after)
        return _stream(wire, [body[fault.after :]])
    return _stream(wire, [body])


def _stream(wire: socket.socket, pieces: Sequence[bytes]) -> bool:
    for piece in pieces:
        view = memoryview(piece)
        for at in range(0, len(view), _CHUNK):
            wire.sendall(view[at : at + _CHUNK])
    return True


def _idle(connected: Connected, seconds: float) -> None:
    """Wait until the client closes the connection."""
    connected.wire.settimeout(seconds)
    with suppress(TimeoutError):
        while connected.wire.recv(4096):
            pass
