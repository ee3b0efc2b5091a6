"""Objects as the API server sends them, short to write."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

import msgspec

from webhook.inventory.objects import TYPES, Node, Pod, Resource, Watched
from webhook.kube import names

GIB = 2**30
GPU = "nvidia.com/gpu"
T = TypeVar("T", bound=Watched)


def read(resource: Resource, content: Mapping[str, Any]) -> Any:
    """Through JSON, as from the wire."""
    return msgspec.json.decode(json.dumps(content), type=TYPES[resource])


def digest(of: str) -> str:
    return "sha256:" + of.encode().hex().rjust(64, "0")[-64:]


def image(name: str, size: int = 10 * GIB, of: str = "") -> dict[str, Any]:
    """An entry of node.status.images: a tag, and the digest that it stands for."""
    repository = name.rpartition(":")[0]
    return {"names": [f"{repository}@{digest(of or name)}", name], "sizeBytes": size}


def node(
    name: str = "n",
    *,
    images: Iterable[Mapping[str, Any]] = (),
    gpus: int | None = 8,
    labels: Mapping[str, str] | None = None,
    uid: str = "",
    created: str | None = None,
    boot: str = "boot",
    ready: bool = True,
    cordoned: bool = False,
    deleting: bool = False,
    taints: Iterable[tuple[str, str, str]] = (),
    os_image: str = "",
    kubelet: str = "",
    runtime: str = "",
) -> Node:
    found: Node = read(
        "nodes",
        {
            "metadata": {
                "name": name,
                "uid": uid or f"uid-{name}",
                "labels": dict(labels or {}),
                "creationTimestamp": created,
                **({"deletionTimestamp": "2026-01-01T00:00:00Z"} if deleting else {}),
            },
            "spec": {
                "unschedulable": cordoned,
                "taints": [{"key": key, "value": value, "effect": effect} for key, value, effect in taints],
            },
            "status": {
                "allocatable": {"cpu": "64", **({GPU: str(gpus)} if gpus is not None else {})},
                "conditions": [{"type": "Ready", "status": "True" if ready else "False"}],
                "images": list(images),
                "nodeInfo": {
                    "bootID": boot,
                    "osImage": os_image,
                    "kubeletVersion": kubelet,
                    "containerRuntimeVersion": runtime,
                },
            },
        },
    )
    return found


def ran(
    image: str, *, of: str | None = None, at: int = 100, running: bool = True, name: str = "app", identity: str = ""
) -> dict[str, Any]:
    """The status of a container: `of` names the digest, by default the name's own; `identity` is the imageID as is."""
    repository = image.rpartition(":")[0]
    state = {"running": {"startedAt": stamp(at)}} if running else {"terminated": {"startedAt": stamp(at)}}
    return {
        "name": name,
        "image": image,
        "imageID": identity or f"{repository}@{digest(image if of is None else of)}",
        "state": state,
    }


def pod(
    name: str = "p",
    *,
    node: str = "n",
    namespace: str = "team",
    containers: Iterable[Mapping[str, Any]] = (),
    reports: Iterable[Mapping[str, Any]] = (),
    gpus: int = 0,
    phase: str = "Running",
    uid: str = "",
    affinity: Mapping[str, Any] | None = None,
) -> Pod:
    """`containers` are statuses (see `ran`), `reports` at most two terminated states, the later one first."""
    statuses = list(containers)
    app = {"name": "app", "image": statuses[0]["image"] if statuses else ""}
    if gpus:
        app["resources"] = {"limits": {GPU: str(gpus)}}
    hydrator = {
        "name": names.INIT_CONTAINER,
        **{state: {"terminated": dict(report)} for state, report in zip(("state", "lastState"), reports, strict=False)},
    }
    found: Pod = read(
        "pods",
        {
            "metadata": {"name": name, "namespace": namespace, "uid": uid or f"uid-{name}"},
            "spec": {"nodeName": node, "containers": [app], "affinity": affinity},
            "status": {"phase": phase, "containerStatuses": statuses, "initContainerStatuses": [hydrator]},
        },
    )
    return found


def said(at: int, *models: Any, result: str = "downloaded", evicted: Iterable[Any] = (), **more: Any) -> dict[str, Any]:
    """A terminated state with a report: models as (source, tenant, version, bytes), or whole objects."""
    content = {
        "schema": 1,
        "result": result,
        "models": [each if isinstance(each, dict) else held(*each) for each in models],
        "evicted": [{"source": source, "tenant": tenant} for source, tenant in evicted],
        "omitted": 0,
        **more,
    }
    return {"message": json.dumps(content), "finishedAt": stamp(at), "exitCode": 0}


def held(source: str, tenant: str = "team", version: str = "v1", size: int = 15 * GIB) -> dict[str, Any]:
    return {"source": source, "tenant": tenant, "version": version, "bytes": size, "checked": True}


def stamp(at: int) -> str:
    """Seconds of the first day of 2026 as the API spells them."""
    return f"2026-01-01T{at // 3600:02}:{at // 60 % 60:02}:{at % 60:02}Z"


EPOCH = 1767225600
"""Unix seconds of `stamp(0)`."""


def namespace(name: str, **labels: str) -> Any:
    return read("namespaces", {"metadata": {"name": name, "labels": labels}})


def in_zone(*zones: str, key: str = "topology.kubernetes.io/zone") -> dict[str, Any]:
    """A node selector term."""
    return {"matchExpressions": [{"key": key, "operator": "In", "values": list(zones)}]}


def volume(
    name: str = "pv",
    *,
    claim: str = "team/data",
    terms: Iterable[Mapping[str, Any]] | None = (),
    phase: str = "Bound",
    labels: Mapping[str, str] | None = None,
) -> Any:
    """A persistent volume; `terms` None for one without node affinity."""
    namespace, _, of = claim.partition("/")
    spec: dict[str, Any] = {"claimRef": {"namespace": namespace, "name": of}, "csi": {"driver": "x"}}
    if terms is not None:
        spec["nodeAffinity"] = {"required": {"nodeSelectorTerms": list(terms)}}
    content = {"metadata": {"name": name, "labels": dict(labels or {})}, "spec": spec, "status": {"phase": phase}}
    return read("persistentvolumes", content)
