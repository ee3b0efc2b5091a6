"""Clients that connect to every replica again and again, trusting what the registration says when they begin."""

from __future__ import annotations

import itertools
import socket
import ssl
import time

from tests.cluster.drills.fleet import SETTLE_SECONDS
from tests.cluster.drills.registration import bundle, read
from tests.cluster.drills.threads import Threads
from webhook.kube import names
from webhook.sandbox.replica import Replica
from webhook.sandbox.sandbox import Sandbox

SERVER_NAME = f"{names.WEBHOOK_SERVICE}.{names.SYSTEM_NAMESPACE}.svc"
"""What an API server asks for, of a webhook that a Service leads to."""

PATIENCE_SECONDS = 60.0


class Handshakes(Threads):
    """`with Handshakes(box, address, replicas) as clients:` connects from some threads until the block ends.

    Each reads the `caBundle` anew, trusts that alone, connects as an API server does that has no connection yet, and
    asks for one answer, for in TLS 1.3 a server may refuse after the client's last word.
    """

    def __init__(
        self, box: Sandbox, address: str, replicas: list[Replica], *, clients: int = 8, pause: float = 0.3
    ) -> None:
        super().__init__(self._connect, clients, pause)
        self._box = box
        self._address = address
        self._replicas = replicas
        self.failures: list[str] = []
        self._counts = [0] * clients

    @property
    def succeeded(self) -> int:
        """How many handshakes did."""
        return sum(self._counts)

    def _connect(self, client: int) -> None:
        for number in itertools.count(client):
            if self.over():
                return
            began = time.monotonic()
            trusted = bundle(read(self._box))
            replica = self._replicas[number % len(self._replicas)]
            try:
                handshake(self._address, replica.webhook.port, trusted)
            except OSError as error:
                if time.monotonic() > began + SETTLE_SECONDS:
                    continue  # what it trusted may be older than anybody may read the registration late
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
