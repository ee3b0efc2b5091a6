"""The inventory of a cluster, taken once: what the controller would know right after it started."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from pathlib import Path

from webhook.controller.intake import OPTIONAL, REQUIRED
from webhook.inventory.cluster import Cluster
from webhook.inventory.model import Inventory
from webhook.inventory.rules import Rules
from webhook.inventory.versions import minor
from webhook.kube.accelerator import Accelerators
from webhook.sources import dump_files
from webhook.sources.kube_api import ApiFailure, KubeApi

_NO_CAP = 2**31
_ABSENT = ("missing", "forbidden")


def take_stock(kubeconfig: Path | None, context: str | None, accelerators: Accelerators) -> tuple[str, Inventory]:
    """The API server's URL, and all that is known of images (of any size) and models. NoCluster, ApiFailure."""
    return asyncio.run(_take_stock(kubeconfig, context, accelerators))


def from_dump(path: Path, accelerators: Accelerators) -> Inventory:
    """The same of a cluster that somebody dumped by kubectl. UnreadableDump, OSError."""
    cluster = _everything(accelerators)
    at = path.stat().st_mtime
    for resource, objects in dump_files.read(path).items():
        cluster.replace(resource, objects, at)
    return cluster.inventory(at)


async def _take_stock(
    kubeconfig: Path | None, context: str | None, accelerators: Accelerators
) -> tuple[str, Inventory]:
    cluster = _everything(accelerators)
    async with KubeApi.connect(kubeconfig, context) as api:
        for resource in (*REQUIRED, *OPTIONAL):
            try:
                objects, _ = await api.list(resource)
            except ApiFailure as failure:
                if resource in OPTIONAL and failure.kind in _ABSENT:
                    continue
                raise
            cluster.replace(resource, objects, time.time())
        with suppress(ApiFailure):  # nothing here stands on it
            cluster.serve(minor(await api.version()))
        return api.server, cluster.inventory(time.time())


def _everything(accelerators: Accelerators) -> Cluster:
    return Cluster(Rules(accelerators=accelerators, min_image_bytes=0, max_labels=_NO_CAP))
