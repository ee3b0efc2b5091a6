"""The webhook process: two ports, reloads beside them, and a drain at the end."""

from __future__ import annotations

import asyncio
import gc
import resource
import signal
import sys
from dataclasses import dataclass, field
from pathlib import Path

from uvicorn.loops.auto import auto_loop_factory

from webhook import __version__, cel
from webhook.admission.decision import Settings
from webhook.server import app, health
from webhook.server.listener import Listener
from webhook.server.logs import LOGGER
from webhook.server.metrics import Metrics
from webhook.server.protocol import Limits
from webhook.server.reload import World
from webhook.server.sinks import Sinks, log_sink
from webhook.server.tls import CertificateFiles
from webhook.sources.policy_files import PolicyFiles
from webhook.sources.snapshot_file import SnapshotFile

_FINISH_SECONDS = 10.0  # for requests in flight once nothing is accepted any more
_GARBAGE_THRESHOLDS = (50_000, 20, 50)  # a review makes thousands of short-lived objects and no cycles


class CannotServe(Exception):
    """The process cannot start; the text is one sentence that says why and what to do."""


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
    limits: Limits = field(default_factory=Limits)


def run(options: Options) -> None:
    """Serve until SIGTERM or SIGINT, then drain. Raises CannotServe before the first request, and never after."""
    if not options.policies.is_dir():
        raise CannotServe(f"--policies: {options.policies} is not a directory")
    _raise_file_limit()
    # While a thread compiles policies the event loop waits this long for the interpreter; the default is 5 ms.
    sys.setswitchinterval(0.001)
    with asyncio.Runner(loop_factory=auto_loop_factory()) as runner:
        runner.run(_serve(options))


async def _serve(options: Options) -> None:
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(_log_stray)
    stop = _Stop(loop)
    metrics = Metrics()
    world = World(
        PolicyFiles(options.policies),
        SnapshotFile(options.snapshot, options.snapshot_max_age),
        CertificateFiles(options.certificate, options.key),
        options.settings,
        metrics,
    )
    await world.refresh()
    if world.certificate.served is None:
        raise CannotServe(f"--tls-cert, --tls-key: {world.certificate.problem}")
    reviews = Listener(
        app.create_app(world.facts, Sinks([metrics, log_sink], metrics), metrics),
        options.limits,
        metrics.close,
        world.certificate.context,
    )
    plain = Listener(health.create_app(world.checks, metrics), options.limits, metrics.close)
    engine = cel.environment().name
    metrics.gauges = world.gauges(__version__, engine, lambda: len(reviews.roster.state.connections))
    metrics_port = await _start(plain, options.metrics_host, options.metrics_port, "--metrics-port")
    port = await _start(reviews, options.host, options.port, "--port")
    following = loop.create_task(world.follow(options.reload_seconds))
    LOGGER.info(
        "started",
        extra={
            "fields": {
                "version": __version__,
                "celEngine": engine,
                "address": f"https://{_netloc(options.host, port)}",
                "metricsAddress": f"http://{_netloc(options.metrics_host, metrics_port)}",
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
    await plain.stop(0.2)
    LOGGER.info("stopped", extra={"fields": {"connectionsCut": cut}})


class _Stop:
    """SIGTERM asks to stop after the drain; SIGINT, or a second signal, at once."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.asked = asyncio.Event()
        self._pressed = asyncio.Event()
        loop.add_signal_handler(signal.SIGTERM, self._term)
        loop.add_signal_handler(signal.SIGINT, self._interrupt)

    async def wait_unless_pressed(self, seconds: float) -> None:
        """Sleep, or return when somebody at a terminal does not want to wait."""
        try:
            async with asyncio.timeout(seconds):
                await self._pressed.wait()
        except TimeoutError:
            return

    def _term(self) -> None:
        if self.asked.is_set():
            self._pressed.set()
        self.asked.set()

    def _interrupt(self) -> None:
        self._pressed.set()
        self.asked.set()


async def _start(listener: Listener, host: str, port: int, flag: str) -> int:
    try:
        return await listener.start(host, port)
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise CannotServe(f"{flag}: cannot listen on {_netloc(host, port)}: {reason}") from error


def _netloc(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _log_stray(_loop: asyncio.AbstractEventLoop, context: dict[str, object]) -> None:
    """Tell of an exception no task or callback caught, in our form and not too often."""
    error = context.get("exception")
    LOGGER.error(
        "unexpected",
        exc_info=error if isinstance(error, BaseException) else None,
        extra={"fields": {"what": str(context.get("message", ""))[:512]}, "throttled": True},
    )


def _raise_file_limit() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 65_536 if hard == resource.RLIM_INFINITY else min(hard, 65_536)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
