"""A server that answers requests with the bytes it is told to, also behind CONNECT and TLS. A thread per connection."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

from certs.issue import issue_authority, issue_leaf

Answers = Callable[[int, str], bytes | None]
"""Number of the request from 1 and its head, to the bytes to send; None closes the connection."""


class Script:
    """What was asked so far; heads without their empty line."""

    def __init__(self, answers: Answers, context: ssl.SSLContext | None, *, proxy: bool) -> None:
        self.port = 0
        self.heads: list[str] = []
        self.connects: list[str] = []
        self.connections = 0
        self._answers = answers
        self._context = context
        self._proxy = proxy
        self._open: list[socket.socket] = []
        self._lock = threading.Lock()

    @property
    def url(self) -> str:
        return f"{'https' if self._context and not self._proxy else 'http'}://127.0.0.1:{self.port}"

    def serve(self, listener: socket.socket, threads: list[threading.Thread]) -> None:
        while True:
            try:
                raw, _ = listener.accept()
            except OSError:
                return
            with self._lock:
                self.connections += 1
            threads.append(threading.Thread(target=self._serve, args=(raw,)))
            threads[-1].start()

    def hang_up(self) -> None:
        with self._lock:
            for one in self._open:
                with suppress(OSError):
                    one.shutdown(socket.SHUT_RDWR)

    def _serve(self, raw: socket.socket) -> None:
        with raw, suppress(OSError):
            if self._proxy:
                self.connects.append(_head(raw))
                answer = self._answers(0, self.connects[-1])
                raw.sendall(answer or b"")
                if not answer or b" 200 " not in answer:
                    return
            with self._context.wrap_socket(raw, server_side=True) if self._context else raw as wire:
                with self._lock:
                    self._open.append(wire)
                while head := _head(wire):
                    with self._lock:
                        self.heads.append(head)
                        number = len(self.heads)
                    answer = self._answers(number, head)
                    if answer is None:
                        return
                    wire.sendall(answer)


@contextmanager
def scripted(answers: Answers, context: ssl.SSLContext | None = None, *, proxy: bool = False) -> Iterator[Script]:
    """Serve on a free port of loopback. `proxy`: every connection begins with CONNECT, answered as request 0."""
    script = Script(answers, context, proxy=proxy)
    threads: list[threading.Thread] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        script.port = listener.getsockname()[1]
        threads.append(threading.Thread(target=script.serve, args=(listener, threads)))
        threads[0].start()
        try:
            yield script
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            threads[0].join()
            script.hang_up()
            for thread in threads:
                thread.join()


def trusted(directory: Path, names: list[str]) -> tuple[ssl.SSLContext, Path]:
    """A server's TLS for these names, and the bundle that trusts it."""
    now = datetime.now(UTC)
    authority = issue_authority(now)
    leaf = issue_leaf(authority, names, now)
    pem, bundle = directory / "leaf.pem", directory / "bundle.pem"
    pem.write_bytes(leaf.certificate_pem + leaf.key_pem)
    bundle.write_bytes(authority.certificate_pem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    return context, bundle


def reply(body: bytes = b"", status: int = 200, **headers: str) -> bytes:
    """An answer with its length, unless the headers name one. `_` in names stands for `-`."""
    lines = {"content-length": str(len(body))} | {name.replace("_", "-"): value for name, value in headers.items()}
    text = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return f"HTTP/1.1 {status} Scripted\r\n{text}\r\n".encode("latin-1") + body


def error(code: str, status: int, message: str = "", extra: str = "", **headers: str) -> bytes:
    """An answer as S3 refuses."""
    body = f"<Error><Code>{code}</Code><Message>{message}</Message>{extra}</Error>".encode()
    return reply(body, status, **headers)


def listing(*objects: tuple[str, int], token: str = "", etag: str = "&quot;e1&quot;") -> bytes:
    """An answer to ListObjectsV2, keys as they are written here."""
    contents = "".join(
        f"<Contents><Key>{key}</Key><Size>{size}</Size><ETag>{etag}</ETag></Contents>" for key, size in objects
    )
    more = f"<IsTruncated>true</IsTruncated><NextContinuationToken>{token}</NextContinuationToken>" if token else ""
    text = f"<ListBucketResult><EncodingType>url</EncodingType>{more}{contents}</ListBucketResult>"
    return reply(text.encode())


def _head(wire: socket.socket) -> str:
    data = b""
    while not data.endswith(b"\r\n\r\n"):
        more = wire.recv(1)
        if not more:
            return ""
        data += more
    return data[:-4].decode("latin-1")
