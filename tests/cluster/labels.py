"""Our labels on the nodes of a sandbox: what they are, and what a controller plans that knows what the API says now."""

from __future__ import annotations

import time
from collections.abc import Callable

import msgspec

from tests.cluster.pods import eventually
from webhook.inventory import snapshot
from webhook.inventory.cluster import Cluster
from webhook.inventory.model import Artifact, Inventory
from webhook.inventory.objects import TYPES, Resource
from webhook.kube import Object, names
from webhook.sandbox.sandbox import Sandbox
from webhook.sandbox.stock import RULES

Labels = dict[str, dict[str, str]]
"""Of each node, those under our prefix."""

RESOURCES: tuple[Resource, ...] = ("nodes", "pods", "namespaces")


def found(box: Sandbox) -> Labels:
    """What the nodes bear now."""
    return {node["metadata"]["name"]: ours(node) for node in box.api.list("nodes")}


def ours(node: Object) -> dict[str, str]:
    labels = node["metadata"].get("labels", {})
    return {key: value for key, value in labels.items() if key.startswith(names.NODE_LABEL_PREFIX)}


def planned(box: Sandbox) -> Labels:
    """What a controller plans that starts now, with no memory but the API."""
    cluster, now = Cluster(RULES), time.time()
    for resource in RESOURCES:
        objects = [
            msgspec.json.decode(msgspec.json.encode(one), type=TYPES[resource]) for one in box.api.list(resource)
        ]
        cluster.replace(resource, objects, now)
    return {node["metadata"]["name"]: dict(cluster.planned(node["metadata"]["name"])) for node in box.api.list("nodes")}


def converge(box: Sandbox, seconds: float = 90.0) -> Labels:
    """Wait until every node bears what a fresh controller would give it; returns that."""
    eventually(lambda: found(box) == planned(box), "agreement with the labels of a fresh start", seconds)
    return found(box)


def is_labelled(box: Sandbox, node: str, key: str, value: str | None = names.NODE_LABEL_WARM) -> bool:
    return found(box)[node].get(key) == value


def inventory(box: Sandbox) -> Inventory:
    """The snapshot as it is on disk."""
    return snapshot.decode(box.snapshot.read_bytes())


def holders(box: Sandbox, look: Callable[[Inventory], Artifact | None]) -> set[str]:
    """The names of the nodes that the snapshot says hold an artifact."""
    stock = inventory(box)
    artifact = look(stock)
    return {stock.nodes[index].name for index in artifact.nodes} if artifact else set()


def add_image(box: Sandbox, node: str, name: str, size: int) -> None:
    """Have the node's kubelet list one more image, as it does after a pull."""
    path = f"/api/v1/nodes/{node}"
    listed = box.api.call("GET", path)["status"].get("images", [])
    images = sorted([*listed, {"names": [name], "sizeBytes": size}], key=lambda entry: -int(entry["sizeBytes"]))
    box.api.patch(f"{path}/status", {"status": {"images": images}})


def writes(box: Sandbox) -> float:
    """How often the first controller has written labels, whatever came of it."""
    return box.controllers[0].count("warmpod_controller_label_writes_total")
