"""The TLS port of a webhook in a thread of this process: the real listener, app and files, on either event loop."""

from __future__ import annotations

import asyncio
import http.client
import json
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

import uvloop

from certs.issue import Pair, Usage, issue_leaf
from webhook.admission.decision import Settings
from webhook.daemon.listener import Listener
from webhook.daemon.protocol import Limits
from webhook.kube.accelerator import Accelerators
from webhook.kube.podsecurity import Level
from webhook.server.app import create_app
from webhook.server.bearer_tokens import BearerTokens
from webhook.server.client_authorities import ClientAuthorities
from webhook.server.metrics import Metrics
from webhook.server.reload import World
from webhook.server.sinks import Sinks, log_sink
from webhook.server.status import Identity, Status
from webhook.server.tls import CertificateFiles
from webhook.sources.policy_files import PolicyFiles
from webhook.sources.snapshot_file import SnapshotFile

SETTINGS = Settings(hydrator_image="", accelerators=Accelerators(), default_level=Level.BASELINE)
LOOPS = {"uvloop": uvloop.new_event_loop, "asyncio": asyncio.new_event_loop}
REVIEW = json.dumps(
    {
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "request": {
            "uid": "u-1",
            "operation": "CREATE",
            "namespace": "team-a",
            "kind": {"group": "", "version": "v1", "kind": "Pod"},
            "resource": {"group": "", "version": "v1", "resource": "pods"},
            "object": {"metadata": {"name": "a"}, "spec": {"containers": [{"name": "a", "image": "b"}]}},
        },
    }
).encode()


class Paths(Protocol):
    certificate: Path
    key: Path
    authority: Pair
    authority_pem: str

    def rotate(self, authority: Pair | None = None) -> Pair: ...


class Server:
    """A served world. `refresh` looks at its files, as the process does every few seconds."""

    def __init__(self, world: World, status: Status, metrics: Metrics) -> None:
        self.world = world
        self.status = status
        self.metrics = metrics
        self.port = 0

    def refresh(self) -> None:
        asyncio.run(self.world.refresh())

    def connect(self, trust: ssl.SSLContext) -> http.client.HTTPSConnection:
        return http.client.HTTPSConnection("localhost", self.port, timeout=60, context=trust)

    def ask(
        self,
        trust: ssl.SSLContext,
        headers: Mapping[str, str] | None = None,
        *,
        path: str = "/mutate",
        body: bytes = REVIEW,
    ) -> tuple[int, str]:
        """One request on a connection of its own: the status, and the text."""
        connection = self.connect(trust)
        try:
            return post(connection, headers, path=path, body=body)
        finally:
            connection.close()


def post(
    connection: http.client.HTTPConnection,
    headers: Mapping[str, str] | None = None,
    *,
    path: str = "/mutate",
    body: bytes = REVIEW,
) -> tuple[int, str]:
    connection.request("POST", path, body, {"content-type": "application/json", **(headers or {})})
    answer = connection.getresponse()
    return answer.status, answer.read().decode()


@contextmanager
def serving(
    root: Path,
    credentials: Paths,
    *,
    client_ca: Path | None = None,
    names: tuple[str, ...] = (),
    tokens: Path | None = None,
    loop: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop,
    limits: Limits | None = None,
    snapshot: Path | None = None,
    settings: Settings = SETTINGS,
) -> Iterator[Server]:
    """`root/policies` are the policies, none if there is no such directory."""
    policies = root / "policies"
    policies.mkdir(exist_ok=True)
    metrics = Metrics()
    world = World(
        PolicyFiles(policies),
        SnapshotFile(snapshot),
        CertificateFiles(
            credentials.certificate,
            credentials.key,
            ClientAuthorities(client_ca) if client_ca else None,
            metrics.handshake_failed,
        ),
        settings,
        metrics,
        tokens=BearerTokens(tokens) if tokens else None,
    )
    status = Status(Identity("1.2.3", "native", "image@sha256:0"), world, metrics)
    metrics.gauges = status.gauges
    server = Server(world, status, metrics)
    server.refresh()
    started, stop = threading.Event(), threading.Event()

    async def serve() -> None:
        app = create_app(
            world.facts,
            Sinks([metrics, log_sink], metrics),
            metrics,
            probe=status.probe,
            names=frozenset(names),
            tokens=world.tokens,
        )
        listener = Listener(app, limits or Limits(), metrics.close, world.certificate.context)
        server.port = await listener.start("127.0.0.1", 0)
        started.set()
        await asyncio.to_thread(stop.wait)
        await listener.stop(0.0)

    def run() -> None:
        with asyncio.Runner(loop_factory=loop) as runner:
            runner.run(serve())

    thread = threading.Thread(target=run)
    thread.start()
    try:
        assert started.wait(60)
        yield server
    finally:
        stop.set()
        thread.join(60)


def trusting(credentials: Paths) -> ssl.SSLContext:
    return ssl.create_default_context(cadata=credentials.authority_pem)


def identity(
    root: Path, credentials: Paths, authority: Pair, common_name: str = "kube-apiserver", names: tuple[str, ...] = ()
) -> ssl.SSLContext:
    """How a client that trusts us and shows a certificate by `authority` shakes hands."""
    leaf = issue_leaf(authority, names, datetime.now(UTC), common_name=common_name, usage=Usage.CLIENT)
    return showing(root, credentials, leaf)


def showing(root: Path, credentials: Paths, leaf: Pair) -> ssl.SSLContext:
    file = root / f"{leaf.certificate.serial_number:x}.pem"
    file.write_bytes(leaf.certificate_pem + leaf.key_pem)
    context = trusting(credentials)
    context.load_cert_chain(file)
    return context


def metric(metrics: Metrics, line: str) -> float:
    found = [row for row in metrics.exposition().decode().splitlines() if row.startswith(f"{line} ")]
    assert found, line
    return float(found[0].rpartition(" ")[2])
