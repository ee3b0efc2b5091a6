"""Clients that connect to every replica again and again, trusting what the registration says when they begin."""

from __future__ import annotations

import itertools
import socket
import ssl
import threading
from types import TracebackType
from typing import Self

from tests.cluster.drills.registration import bundle, read
from webhook.kube import names
from webhook.sandbox.replica import Replica
from webhook.sandbox.sandbox import Sandbox

SERVER_NAME = f"{names.WEBHOOK_SERVICE}.{names.SYSTEM_NAMESPACE}.svc"
"""What an API server asks for, of a webhook that a Service leads to."""

PATIENCE_SECONDS = 10.0


class Handshakes:
    """`with Handshakes(box, address, replicas) as clients:` connects from some threads until the block ends.

    Each reads the `caBundle` anew, trusts that alone, connects as an API server does that has no connection yet, and
    asks for one answer, for in TLS 1.3 a server may refuse after the client's last word.
    """

    def __init__(
        self, box: Sandbox, address: str, replicas: list[Replica], *, clients: int = 8, pause: float = 0.3
    ) -> None:
        self._box = box
        self._address = address
        self._replicas = replicas
        self._pause = pause
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._connect, args=(number,)) for number in range(clients)]
        self.failures: list[str] = []
        self._counts = [0] * clients

    def __enter__(self) -> Self:
        """Begin."""
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """End."""
        self._over.set()
        for thread in self._threads:
            thread.join()

    @property
    def succeeded(self) -> int:
        """How many handshakes did."""
        return sum(self._counts)

    def _connect(self, client: int) -> None:
        for number in itertools.count(client):
            if self._over.wait(self._pause):
                return
            trusted = bundle(read(self._box))
            replica = self._replicas[number % len(self._replicas)]
            try:
                handshake(self._address, replica.webhook.port, trusted)
            except OSError as error:
                self.failures.append(f"{replica.name}: {error!r}")
            else:
                self._counts[client] += 1


def handshake(address: str, port: int, trusted: bytes) -> str:
    """Connect as an API server that trusts these authorities alone; the serial that was served, in hex.

    Raises OSError when that fails, as `ssl.SSLError` where it is a matter of certificates.
    """
    context = ssl.create_default_context(cadata=trusted.decode())
    with (
        socket.create_connection((address, port), PATIENCE_SECONDS) as plain,
        context.wrap_socket(plain, server_hostname=SERVER_NAME) as secured,
    ):
        secured.sendall(b"GET / HTTP/1.1\r\nHost: drill\r\nConnection: close\r\n\r\n")
        if not secured.recv(1024).startswith(b"HTTP/1.1 404"):
            raise ConnectionError("the handshake succeeded, and no answer came")
        served = secured.getpeercert() or {}
        return str(served.get("serialNumber", "")).lower().lstrip("0")
