"""Two hundred rotations of the serving pair under clients that shake hands all the while, on both event loops."""

from __future__ import annotations

import asyncio
import ssl
import threading
import time
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from certs.issue import issue_authority
from tests.server.serving import LOOPS, Paths, Server, post, serving

ROTATIONS = 200
CLIENTS = 8


class Clients:
    """Threads that shake hands, ask, and leave; and as many that keep their connection."""

    def __init__(self, server: Server, trust: Callable[[], ssl.SSLContext]) -> None:
        self.seen: Counter[str] = Counter()
        self.serials: set[str] = set()
        self._server = server
        self._trust = trust
        self._stop = threading.Event()
        self._turns = [0] * CLIENTS
        self._threads = [threading.Thread(target=self._come_and_go, args=(number,)) for number in range(CLIENTS)]
        self._threads += [threading.Thread(target=self._stay) for _ in range(2)]
        for thread in self._threads:
            thread.start()

    def settle(self) -> None:
        """Wait until no client goes by what it trusted before."""
        before = list(self._turns)
        deadline = time.monotonic() + 60
        while any(now == then for now, then in zip(self._turns, before, strict=True)):
            assert time.monotonic() < deadline, self.seen
            time.sleep(0.001)

    def leave(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(60)

    def _come_and_go(self, number: int) -> None:
        while not self._stop.is_set():
            self._turns[number] += 1
            time.sleep(0.02)  # they share one interpreter with the server
            connection = self._server.connect(self._trust())
            try:
                connection.connect()
                assert isinstance(connection.sock, ssl.SSLSocket)
                certificate = connection.sock.getpeercert()
                assert certificate is not None
                self.serials.add(str(certificate["serialNumber"]).lower().lstrip("0"))
                status, _ = post(connection)
                self.seen[f"handshake {status}"] += 1
            except Exception as error:  # noqa: BLE001  whatever went wrong is what this test is about
                self.seen[f"{type(error).__name__}: {error}"] += 1
            finally:
                connection.close()

    def _stay(self) -> None:
        connection = self._server.connect(self._trust())
        try:
            connection.connect()
            socket = connection.sock
            while not self._stop.wait(0.02):
                status, _ = post(connection)
                self.seen[f"kept {status}"] += connection.sock is socket
        except Exception as error:  # noqa: BLE001  as above
            self.seen[f"kept {type(error).__name__}: {error}"] += 1
        finally:
            connection.close()


@pytest.mark.parametrize("loop", LOOPS.values(), ids=LOOPS)
def test_no_handshake_fails_while_the_files_change(
    tmp_path: Path, credentials: Paths, loop: Callable[[], asyncio.AbstractEventLoop]
) -> None:
    """The certificate is written before its key, so that every other look finds a pair that does not match."""
    authorities = [credentials.authority]
    trust = ssl.create_default_context(cadata=credentials.authority_pem)

    with serving(tmp_path, credentials, loop=loop) as server:
        served = [server.world.certificate.served]
        clients = Clients(server, lambda: trust)
        try:
            for turn in range(ROTATIONS):
                if turn % 50 == 49:  # another authority, trusted before it signs, as the rotation does it
                    authorities.append(issue_authority(datetime.now(UTC)))
                    pem = "".join(one.certificate_pem.decode() for one in authorities)
                    trust = ssl.create_default_context(cadata=pem)
                    clients.settle()
                old = credentials.key.read_bytes()
                credentials.rotate(authorities[-1])
                new = credentials.key.read_bytes()
                credentials.key.write_bytes(old)
                server.world.certificate.refresh(datetime.now(UTC))  # beside the loop's thread, as ever
                assert "does not belong" in str(server.world.certificate.problem)
                assert server.status.gauges().source_problems["certificate"]
                credentials.key.write_bytes(new)
                server.world.certificate.refresh(datetime.now(UTC))
                assert server.world.certificate.problem is None
                served.append(server.world.certificate.served)
        finally:
            clients.leave()
    assert set(clients.seen) == {"handshake 200", "kept 200"}, clients.seen
    assert clients.seen["handshake 200"] >= CLIENTS
    assert clients.seen["kept 200"] >= 2
    assert len({one.serial for one in served if one}) == ROTATIONS + 1
    assert len(clients.serials) > 1
    assert clients.serials <= {one.serial for one in served if one}
    assert server.metrics.handshakes.total() == 0
