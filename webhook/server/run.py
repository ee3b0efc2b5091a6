"""The webhook process: two ports, reloads beside them, and a drain at the end."""

from __future__ import annotations

import asyncio
import gc
import time
from dataclasses import dataclass, field
from pathlib import Path

from webhook import __version__, cel
from webhook.admission.decision import Settings
from webhook.daemon import health, process
from webhook.daemon.listener import Listener
from webhook.daemon.logs import LOGGER
from webhook.daemon.process import CannotStart, Stop, netloc
from webhook.daemon.protocol import Limits
from webhook.server import app
from webhook.server.bearer_tokens import BearerTokens
from webhook.server.client_authorities import ClientAuthorities
from webhook.server.metrics import Metrics
from webhook.server.record_files import Recording
from webhook.server.recorder import Recorder
from webhook.server.reload import World
from webhook.server.sinks import Sinks, log_sink
from webhook.server.status import Identity, Status
from webhook.server.tls import CertificateFiles
from webhook.sources.policy_files import PolicyFiles
from webhook.sources.snapshot_file import SnapshotFile

_FINISH_SECONDS = 10.0  # for requests in flight once nothing is accepted any more
_WAIT_LOOK_SECONDS = 0.25  # between two looks for the first certificate: somebody waits for this replica
_GARBAGE_THRESHOLDS = (50_000, 20, 50)  # a review makes thousands of short-lived objects and no cycles


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line decides. Times are in seconds."""

    policies: Path
    certificate: Path
    key: Path
    settings: Settings
    snapshot: Path | None = None
    host: str = "0.0.0.0"  # noqa: S104  in a pod the API server comes from outside; a NetworkPolicy says who may
    port: int = 8443
    metrics_host: str = "0.0.0.0"  # noqa: S104  the kubelet's probes and Prometheus come from outside
    metrics_port: int = 8080
    reload_seconds: float = 2.0
    snapshot_max_age: float = 120.0
    drain_seconds: float = 5.0
    tls_wait_seconds: float = 0.0
    """How long to wait at the start, unready and with the port of reviews closed, for a pair that can serve."""
    client_ca: Path | None = None
    """Only clients whose certificate one of these authorities signed may shake hands."""
    client_names: tuple[str, ...] = ()
    """Common names or DNS names of the certificates that may ask; empty: all that `client_ca` signed."""
    bearer_tokens: Path | None = None
    """Only requests with one of these tokens are answered."""
    recording: Recording | None = None
    limits: Limits = field(default_factory=Limits)


def run(options: Options) -> None:
    """Serve until SIGTERM or SIGINT, then drain. Raises CannotStart before the first request, and never after."""
    if not options.policies.is_dir():
        raise CannotStart(f"--policies: {options.policies} is not a directory")
    if options.client_names and options.client_ca is None:
        raise CannotStart("--client-name: says nothing without --client-ca, which makes clients show a certificate")
    process.run(_serve(options))


async def _serve(options: Options) -> None:
    stop = Stop()
    metrics = Metrics()
    authorities = ClientAuthorities(options.client_ca) if options.client_ca else None
    tokens = BearerTokens(options.bearer_tokens) if options.bearer_tokens else None
    world = World(
        PolicyFiles(options.policies),
        SnapshotFile(options.snapshot, options.snapshot_max_age),
        CertificateFiles(options.certificate, options.key, authorities, metrics.handshake_failed),
        options.settings,
        metrics,
        tokens=tokens,
    )
    await world.refresh()
    if not options.tls_wait_seconds:
        _must_be_free(world)
    engine = cel.environment().name
    identity = Identity(__version__, engine, options.settings.hydrator_image)
    status = Status(identity, world, metrics, lambda: len(reviews.roster.state.connections))
    status.listening = False
    metrics.gauges = status.gauges
    recorder = Recorder(options.recording, metrics) if options.recording else None
    reviews = Listener(
        app.create_app(
            world.facts,
            Sinks([metrics, log_sink], metrics),
            metrics,
            probe=status.probe,
            names=frozenset(options.client_names),
            tokens=tokens,
            keep=recorder,
        ),
        options.limits,
        metrics.close,
        world.certificate.context,
    )
    plain = Listener(health.create_app(status.checks, metrics, status.document), options.limits, metrics.close)
    metrics_port = await process.start(plain, options.metrics_host, options.metrics_port, "--metrics-port")
    metrics_address = f"http://{netloc(options.metrics_host, metrics_port)}"
    if world.obstacle:
        fields = {"seconds": options.tls_wait_seconds, "problem": world.obstacle, "metricsAddress": metrics_address}
        LOGGER.info("waiting to serve", extra={"fields": fields})
    if not await _is_free(world, options, stop):
        await plain.stop(0.2)
        return
    port = await process.start(reviews, options.host, options.port, "--port")
    status.listening = True
    following = asyncio.create_task(world.follow(options.reload_seconds))
    LOGGER.info(
        "started",
        extra={
            "fields": {
                "version": __version__,
                "celEngine": engine,
                "address": f"https://{netloc(options.host, port)}",
                "metricsAddress": metrics_address,
                "policies": world.policy_count,
                "hydratorImage": options.settings.hydrator_image,
            }
        },
    )
    gc.collect()
    gc.freeze()  # what is here stays; later collections need not look at it
    gc.set_threshold(*_GARBAGE_THRESHOLDS)
    await stop.asked.wait()
    # Not ready at once, but serving: endpoints take a while to leave every kube-proxy.
    world.draining = True
    reviews.roster.drain()
    LOGGER.info("draining", extra={"fields": {"seconds": options.drain_seconds}})
    await stop.wait_unless_pressed(options.drain_seconds)
    cut = await reviews.stop(_FINISH_SECONDS)
    following.cancel()
    if recorder is not None:
        recorder.close()
    await plain.stop(0.2)
    LOGGER.info("stopped", extra={"fields": {"connectionsCut": cut}})


async def _is_free(world: World, options: Options, stop: Stop) -> bool:
    """Wait until there is what it takes to answer reviews; False when we were asked to stop meanwhile."""
    until = time.monotonic() + options.tls_wait_seconds
    while world.obstacle and time.monotonic() < until:
        await stop.wait_until_asked(min(_WAIT_LOOK_SECONDS, options.reload_seconds))
        if stop.asked.is_set():
            return False
        await world.refresh()
    _must_be_free(world)
    return True


def _must_be_free(world: World) -> None:
    if world.obstacle:
        raise CannotStart(world.obstacle)
