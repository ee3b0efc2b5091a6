"""The controller process: it follows the cluster, keeps the snapshot, and, while elected, labels and certificates."""

from __future__ import annotations

import asyncio
import contextlib
import gc
from collections.abc import Callable, Coroutine
from typing import Any

from webhook import __version__
from webhook.controller.election import Election
from webhook.controller.intake import Intake
from webhook.controller.labeller import Labeller
from webhook.controller.metrics import Metrics
from webhook.controller.options import Options
from webhook.controller.publisher import Publisher
from webhook.controller.standing import Standing
from webhook.controller.status import Status
from webhook.controller.upkeep import make
from webhook.daemon import health, process
from webhook.daemon.listener import Listener
from webhook.daemon.logs import LOGGER
from webhook.daemon.process import CannotStart, Stop, netloc
from webhook.daemon.protocol import Limits
from webhook.inventory.cluster import Cluster
from webhook.sources.kube_api import KubeApi, NoCluster

_END_SECONDS = 5.0  # for the writes in flight and the release of the lease
_AGAIN_SECONDS = 5.0
_GARBAGE_THRESHOLDS = (50_000, 20, 50)  # events make many short-lived objects and no cycles


def run(options: Options) -> None:
    """Run until SIGTERM or SIGINT. Raises CannotStart before the first watch, and never after."""
    process.run(_connect(options))


async def _connect(options: Options) -> None:
    try:
        async with KubeApi.connect(options.access.kubeconfig, options.access.context) as api:
            await _control(options, api)
    except NoCluster as error:
        raise CannotStart(str(error)) from error


async def _control(options: Options, api: KubeApi) -> None:
    stop = Stop()
    cluster = Cluster(options.rules)
    intake = Intake(api, cluster)
    status = Status(cluster, intake, Publisher(options.snapshot, cluster, intake.known_at))
    last = await asyncio.to_thread(status.publisher.restore)
    if last is not None:
        cluster.restore(last)
    wanted = options.installation
    if options.labels or wanted.leads:
        lease = options.access.lease(api)
        status.election = election = Election(lease, options.access.name())
        if options.labels:
            status.labeller = Labeller(api, cluster, lambda: election.leading, options.label_writes_per_second)
    status.installation = upkeep = make(api, options.access.namespace, wanted, status.election, status.own)
    metrics = Metrics(status.state)
    plain = Listener(health.create_app(status.checks, metrics), Limits(), metrics.close)
    port = await process.start(plain, options.metrics_host, options.metrics_port, "--metrics-port")
    LOGGER.info(
        "started",
        extra={
            "fields": {
                "version": __version__,
                "server": api.server,
                "metricsAddress": f"http://{netloc(options.metrics_host, port)}",
                "snapshot": str(options.snapshot),
                "restored": last.id if last is not None else None,
                "lease": str(lease) if status.election else None,
                "identity": status.election.identity if status.election else None,
            }
        },
    )
    gc.set_threshold(*_GARBAGE_THRESHOLDS)
    reading = [
        asyncio.create_task(_for_ever("following", intake.run)),
        asyncio.create_task(_for_ever("writing the snapshot", status.publisher.run)),
        asyncio.create_task(_freeze(status.publisher)),
        *(asyncio.create_task(_for_ever(what, work)) for what, work in upkeep.work().items()),
    ]
    writing = []
    if status.election:
        standing = Standing(status.election, intake, status.labeller, always=wanted.leads)
        writing.append(asyncio.create_task(_for_ever("labelling", standing.run)))
    await stop.asked.wait()
    status.stopping = True
    LOGGER.info("stopping")
    await _end(writing, stop)  # first: the lease is for the next one
    await _end(reading, stop)
    if upkeep.reporter:
        await upkeep.reporter.leave()
    await plain.stop(0.2)
    LOGGER.info("stopped")


async def _for_ever(what: str, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Begin again after a defect of ours; a task that has nothing to do ends."""
    while True:
        try:
            await work()
        except Exception:  # noqa: BLE001  the other tasks go on, and so may this one with the next change
            LOGGER.exception(f"{what} failed", extra={"throttled": True})
        else:
            return
        await asyncio.sleep(_AGAIN_SECONDS)


async def _freeze(publisher: Publisher) -> None:
    """What the first lists brought stays; later collections need not look at it."""
    await publisher.first.wait()
    gc.freeze()


async def _end(tasks: list[asyncio.Task[None]], stop: Stop) -> None:
    for task in tasks:
        task.cancel()
    pressed = asyncio.create_task(stop.pressed.wait())
    waiting: set[asyncio.Task[Any]] = {*tasks}
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_END_SECONDS):
            while waiting and not pressed.done():
                done, _ = await asyncio.wait({*waiting, pressed}, return_when=asyncio.FIRST_COMPLETED)
                waiting -= done
    pressed.cancel()
