"""The short form of an inventory, as tests have it, made into the snapshot that a controller would have written."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final

from webhook.cli.errors import CouldNotRun
from webhook.inventory.model import Inventory
from webhook.inventory.records import SCHEMA
from webhook.inventory.snapshot import UnreadableSnapshot, decode
from webhook.kube import Object, image, quantity
from webhook.policy.allow import canonical_source
from webhook.policy.warmtest_inventory import InventoryDocument, SnapshotDocument

#: What an image and a model weigh where a test does not say: those of serving frameworks, and 8 billion parameters.
IMAGE_BYTES: Final = 10 * 10**9
MODEL_BYTES: Final = 16 * 10**9
_TIME: Final = "2000-01-01T00:00:00Z"


def inventory_of(document: InventoryDocument | SnapshotDocument, namespace: str) -> Inventory:
    """The inventory that a test describes, for a pod of this namespace. Raises CouldNotRun for no sound snapshot."""
    if isinstance(document, InventoryDocument):
        snapshot = _snapshot(document, namespace)
    else:
        snapshot = document.model_dump(mode="json", by_alias=True)
    try:
        return _decoded(json.dumps(snapshot))
    except UnreadableSnapshot as error:
        raise CouldNotRun(f"inventory: {error}") from error


@lru_cache(maxsize=64)
def _decoded(text: str) -> Inventory:
    return decode(text.encode())


def _snapshot(document: InventoryDocument, namespace: str) -> Object:
    holders: dict[tuple[str, str], list[int]] = {}
    labels: dict[str, dict[str, list[int]]] = {}
    taints: dict[tuple[str, str, str], list[int]] = {}
    systems: dict[str, list[int]] = {}
    kubelets: dict[str, list[int]] = {}
    nodes = []
    for index, node in enumerate(document.nodes):
        rooms = {
            name: {"allocatable": count, "free": node.free.get(name, count)}
            for name, count in node.accelerators.items()
        }
        nodes.append({"name": node.name, "accelerators": rooms})
        for kind, held in (("image", node.images), ("model", node.models)):
            for name in dict.fromkeys(held):
                holders.setdefault((kind, name), []).append(index)
        for key, value in node.labels.items():
            labels.setdefault(key, {}).setdefault(value, []).append(index)
        for said, about in ((systems, node.system), (kubelets, node.kubelet)):
            if about is not None:
                said.setdefault(about, []).append(index)
        for taint in node.taints:
            taints.setdefault((taint.key, taint.value, taint.effect), []).append(index)
    sizes = _sizes(document.sizes, holders)
    return {
        "schema": SCHEMA,
        "id": document.id,
        "time": _TIME,
        "nodes": nodes,
        "artifacts": [
            {
                "kind": kind,
                "name": name,
                "tenant": namespace if kind == "model" else "",
                "bytes": sizes.get(name, IMAGE_BYTES if kind == "image" else MODEL_BYTES),
                "nodes": holding,
            }
            for (kind, name), holding in holders.items()
        ],
        "labels": labels or None,
        "taints": [
            {"key": key, "value": value, "effect": effect, "nodes": tainted}
            for (key, value, effect), tainted in taints.items()
        ],
        "resourceClaims": _of_namespace(document.resource_claims, namespace),
        "systems": systems,
        "kubelets": kubelets,
        "server": document.server or "",
        "volumes": _of_namespace(document.volumes, namespace),
    }


def _of_namespace(named: Mapping[str, Any], namespace: str) -> Object:
    return {name if "/" in name else f"{namespace}/{name}": each for name, each in named.items()}


def _sizes(given: Mapping[str, Any], holders: Mapping[tuple[str, str], Any]) -> dict[str, int]:
    known = {name for _, name in holders}
    found = {}
    for text, size in given.items():
        name = canonical_source(text) if "://" in text else image.canonical(text)
        if name not in known:
            raise CouldNotRun(f"inventory.sizes: no node of this inventory holds {text!r}")
        assert name is not None
        found[name] = int(quantity.parse(size))
    return found
