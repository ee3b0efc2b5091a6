"""What the sandbox's nodes hold, as an inventory: read from the API, so that what people change by kubectl counts.

Stands in for the controller, which knows more (models from termination messages) and watches where this asks again.
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from webhook.inventory import nodeset, snapshot
from webhook.inventory.model import Artifact, Inventory, Kind, NodeRoom
from webhook.kube import Object, footprint, image, names, quantity
from webhook.kube.accelerator import Accelerators
from webhook.sandbox.credentials import write_private
from webhook.sandbox.nodes import PretendModel

INTERVAL_SECONDS = 1.5
REWRITE_SECONDS = 30.0
"""An unchanged snapshot is written again this often, for readers distrust one older than two minutes."""


def take_stock(
    nodes: Iterable[Object],
    pods: Iterable[Object],
    namespaces: Iterable[Object],
    *,
    models: Iterable[PretendModel] = (),
    now: float,
) -> Inventory:
    """The inventory of these API objects at `now`. Nodes that are cordoned, not ready or leaving are warm for nothing.

    A node holds an image when its status lists it and its label says so; a model of `models` when its label says so.
    """
    accelerators = Accelerators()
    used = _used(pods)
    rooms: list[NodeRoom] = []
    held: dict[tuple[Kind, str, str], tuple[int, str, list[int]]] = {}
    models = tuple(models)
    for node in sorted(nodes, key=lambda node: str(node["metadata"]["name"])):
        name, status = node["metadata"]["name"], node.get("status", {})
        allocatable = status.get("allocatable", {})
        wanted = accelerators.requested_by({"resources": {"limits": allocatable}})
        if not wanted:
            continue
        rooms.append(NodeRoom(name, _room(allocatable, wanted, used.get(name, {}))))
        if not _takes_pods(node):
            continue
        labels = node["metadata"].get("labels", {})
        for kind, artifact, tenant, size, label in (*_images(status), *_models(models)):
            if labels.get(label) == names.NODE_LABEL_WARM:
                entry = held.setdefault((kind, artifact, tenant), (size, label, []))
                entry[2].append(len(rooms) - 1)
    artifacts = [
        Artifact(kind, name, tenant, size, label, nodeset.mask(indexes))
        for (kind, name, tenant), (size, label, indexes) in sorted(held.items())
    ]
    labels_of = {one["metadata"]["name"]: one["metadata"].get("labels", {}) for one in namespaces}
    content = snapshot.encode(Inventory(id="-", nodes=rooms, artifacts=artifacts, namespaces=labels_of))
    identity = f"sandbox-{hashlib.sha256(content).hexdigest()[:12]}"
    return Inventory(id=identity, time=now, nodes=rooms, artifacts=artifacts, namespaces=labels_of)


class Stocktaking:
    """Keeps a snapshot file up to date from the API server, in a thread of its own, until `stop`."""

    def __init__(self, read: Callable[[str], list[Object]], path: Path, *, models: Iterable[PretendModel] = ()) -> None:
        """`read` lists a resource ("nodes", "pods", "namespaces") as plain objects, or raises OSError."""
        self._read = read
        self._path = path
        self._models = tuple(models)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._loop, name="stocktaking", daemon=True)
        self._written: tuple[str, float] = ("", 0.0)
        self._once = threading.Lock()

    def start(self) -> None:
        """Write the first snapshot, then go on in the background. Raises OSError if the API server does not answer."""
        self.refresh()
        self._thread.start()

    def stop(self) -> None:
        """End the thread; returns when it is gone."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()

    @property
    def latest(self) -> str:
        """The id of the snapshot that was written last; empty before the first."""
        return self._written[0]

    def refresh(self) -> None:
        """Take stock now; the file is written if something changed, or it gets old."""
        with self._once:
            inventory = take_stock(
                self._read("nodes"),
                self._read("pods"),
                self._read("namespaces"),
                models=self._models,
                now=time.time(),
            )
            last_id, last_time = self._written
            if inventory.id == last_id and inventory.time - last_time < REWRITE_SECONDS:
                return
            aside = self._path.with_name(f".{self._path.name}.new")
            write_private(aside, snapshot.encode(inventory))
            aside.replace(self._path)
            self._written = (inventory.id, inventory.time)

    def _loop(self) -> None:
        while not self._stop.wait(INTERVAL_SECONDS):
            try:
                self.refresh()
            except OSError:
                # The API server is gone or busy: the file gets old, and the webhook stops to place by it.
                continue


def _room(allocatable: Mapping[str, Any], wanted: Iterable[str], used: Mapping[str, int]) -> dict[str, tuple[int, int]]:
    able = {resource: int(quantity.parse(allocatable[resource])) for resource in sorted(wanted)}
    return {resource: (count, max(0, count - used.get(resource, 0))) for resource, count in able.items()}


def _used(pods: Iterable[Object]) -> dict[str, dict[str, int]]:
    used: dict[str, dict[str, int]] = {}
    for pod in pods:
        node = pod.get("spec", {}).get("nodeName")
        if not node or pod.get("status", {}).get("phase") in ("Succeeded", "Failed"):
            continue
        on_node = used.setdefault(node, {})
        for resource, amount in footprint.effective_requests(pod).items():
            on_node[resource] = on_node.get(resource, 0) + int(amount)
    return used


def _takes_pods(node: Object) -> bool:
    ready = any(
        condition.get("type") == "Ready" and condition.get("status") == "True"
        for condition in node.get("status", {}).get("conditions", ())
    )
    leaving = "deletionTimestamp" in node["metadata"] or node.get("spec", {}).get("unschedulable", False)
    return ready and not leaving


def _images(status: Mapping[str, Any]) -> Iterable[tuple[Kind, str, str, int, str]]:
    for entry in status.get("images", ()):
        for name in entry.get("names") or ():
            if canonical := image.canonical(name):
                yield "image", canonical, "", int(entry.get("sizeBytes", 0)), names.image_label(canonical)


def _models(models: Iterable[PretendModel]) -> Iterable[tuple[Kind, str, str, int, str]]:
    for model in models:
        yield "model", model.source, model.tenant, model.bytes, names.model_label(model.source, model.tenant)
