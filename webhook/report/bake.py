"""Which images and models to bake into the snapshot that new nodes start from, so that they save the most time.

Pure: what is wanted and how often (`webhook.report.bake_use`), what registries say of layers, a budget and rates go in,
a plan comes out. The value of an image is the seconds of its pull times the share of nodes that come to need it, so the
sum of a plan is what a new node saves, on average, over its life.

A baked image takes more room than its pull has bytes. The builder's `ctr images pull` keeps the compressed layers and
unpacks them beside (containerd 2, cmd/ctr/commands/images/pull.go: unlike the kubelet's pulls, it discards none), and
unpacked they grow: 9.5 GB to 20.4 GB for nvcr.io/nvidia/pytorch:25.02 (terraform-aws-eks-blueprints, pattern
ml-container-cache).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from webhook.cost.seconds import seconds
from webhook.ec2.systems import ARRAY, EPHEMERAL
from webhook.report.bake_choice import Offer, choose
from webhook.report.bake_use import Kind, Wanted

UNPACKED: Final = 2.15
"""Unpacked bytes for each compressed byte of an image: 20.4 GB of 9.5 GB."""

FILLED: Final = 0.8
"""Of a volume, before the kubelet begins to look for images to delete: its imageGCLowThresholdPercent."""

INSTANCE_STORE: Final = (f"{ARRAY}/", f"{EPHEMERAL}/")
"""Where AL2023 and Bottlerocket mount the instance store, of which no snapshot is made."""

LEAST_SECONDS: Final = 1.0
"""What saves a new node less than this is not worth that its tag must be watched."""

_MICRO: Final = 10**6
_GIB: Final = 2**30


class Layer(NamedTuple):
    """A layer as it is pulled: compressed bytes."""

    digest: str
    bytes: int


class Contents(NamedTuple):
    """What a registry says of an image: the digest that its tag names now, that of the platform, and its layers."""

    digest: str = ""
    platform_digest: str = ""
    layers: tuple[Layer, ...] = ()


class Demand(NamedTuple):
    """Something wanted: how many starts want it, what share of nodes comes to need it, and its bytes (0: unknown)."""

    wanted: Wanted
    starts: int
    per_node: float
    bytes: int


@dataclass(frozen=True, slots=True)
class Terms:
    """Bytes that may be baked, rates in bytes per second, and how far images unpack."""

    budget: int
    image_rate: float
    model_rate: float
    unpacked: float = UNPACKED


@dataclass(frozen=True, slots=True)
class Item:
    """One thing that is wanted, and what the plan does with it.

    `seconds` is what having it saves a start on a node that lacks it, `saved` that times the share of nodes. `bytes`
    are those of its pull, `disk` what it takes alone, `shared` how much of that other baked images bring as well.
    `reason` says why it is left out; empty for what is baked.
    """

    kind: Kind
    name: str
    tenant: str
    path: str
    digest: str
    platform_digest: str
    starts: int
    per_node: float
    seconds: float
    saved: float
    bytes: int
    disk: int
    shared: int
    reason: str


@dataclass(frozen=True, slots=True)
class Plan:
    """What to bake and what not, the most saving first.

    `saved` are seconds a new node saves, `bound` what no plan within the budget can exceed; `is_best` where none is
    better. `disk` are the bytes that all of it takes, and `volume_gib` the least volume that holds them and stays below
    what makes the kubelet delete images.
    """

    terms: Terms
    baked: tuple[Item, ...]
    left: tuple[Item, ...]
    saved: float
    bound: float
    is_best: bool
    disk: int
    volume_gib: int


def plan(demands: Sequence[Demand], contents: Mapping[str, Contents], terms: Terms) -> Plan:
    """The plan that saves a new node the most seconds. `contents` are by canonical name, as far as they are known."""
    demands = sorted(demands, key=lambda one: one.wanted)
    parts = [_parts(one, contents.get(one.wanted.name), terms.unpacked) for one in demands]
    lacking = [_seconds(one, part, terms) for one, part in zip(demands, parts, strict=True)]
    hindrances = [
        _hindrance(one, sum(part.values()), one.per_node * each, terms.budget)
        for one, part, each in zip(demands, parts, lacking, strict=True)
    ]
    offers = [
        Offer(0 if hindered else round(_MICRO * one.per_node * each), part)
        for one, part, each, hindered in zip(demands, parts, lacking, hindrances, strict=True)
    ]
    choice = choose(offers, terms.budget)
    taken = frozenset(choice.taken)
    counts: dict[str, int] = {}
    for index in taken:
        for name in parts[index]:
            counts[name] = counts.get(name, 0) + 1
    items = [
        _item(
            one,
            contents.get(one.wanted.name, Contents()),
            part,
            lacking[index],
            counts,
            reason="" if index in taken else hindrances[index] or "the budget saves more with others",
        )
        for index, (one, part) in enumerate(zip(demands, parts, strict=True))
    ]
    items.sort(key=lambda item: (-item.saved, item.kind, item.name, item.tenant, item.path))
    return Plan(
        terms=terms,
        baked=tuple(item for item in items if not item.reason),
        left=tuple(item for item in items if item.reason),
        saved=choice.value / _MICRO,
        bound=choice.bound / _MICRO,
        is_best=choice.is_best,
        disk=choice.bytes,
        volume_gib=-(-choice.bytes // int(_GIB * FILLED)),
    )


def _parts(demand: Demand, contents: Contents | None, unpacked: float) -> dict[str, int]:
    """What it takes on the volume, by name: layers by their digests, so that the same layer has the same name."""
    wanted = demand.wanted
    if wanted.kind == "model":
        return {f"{wanted.path} {wanted.name}": demand.bytes}
    if contents is not None and contents.layers:
        return {layer.digest: round(layer.bytes * (1 + unpacked)) for layer in contents.layers}
    return {wanted.name: round(demand.bytes * (1 + unpacked))}


def _pulled(demand: Demand, contents: Contents | None) -> int:
    if contents is None or not contents.layers:
        return demand.bytes
    return sum({layer.digest: layer.bytes for layer in contents.layers}.values())


def _seconds(demand: Demand, parts: Mapping[str, int], terms: Terms) -> float:
    """What a start waits where the node lacks it."""
    if demand.wanted.kind == "model":
        return seconds(demand.bytes, terms.model_rate)
    return seconds(sum(parts.values()) / (1 + terms.unpacked), terms.image_rate)


def _hindrance(demand: Demand, disk: int, saved: float, budget: int) -> str:
    """Why it is not baked whatever else is; empty when it may be."""
    if demand.wanted.kind == "model":
        if not demand.wanted.path:
            return "its cache ends with the pod"
        if demand.wanted.path.startswith(INSTANCE_STORE):
            return "its cache lies on the instance store, which no snapshot holds"
    if demand.starts <= 0 or demand.per_node <= 0:
        return "nothing that was counted wants it"
    if not disk:
        return "its size is not known"
    if disk > budget:
        return f"it alone takes {disk / _GIB:.1f} GiB, more than the budget"
    if saved < LEAST_SECONDS:
        return "it saves a new node less than a second"
    return ""


def _item(
    demand: Demand,
    contents: Contents,
    parts: Mapping[str, int],
    lacking: float,
    others: Mapping[str, int],
    *,
    reason: str,
) -> Item:
    """The account of one demand. `others` says how many of the baked bring each part."""
    return Item(
        kind=demand.wanted.kind,
        name=demand.wanted.name,
        tenant=demand.wanted.tenant,
        path=demand.wanted.path,
        digest=contents.digest,
        platform_digest=contents.platform_digest,
        starts=demand.starts,
        per_node=demand.per_node,
        seconds=lacking,
        saved=lacking * demand.per_node,
        bytes=_pulled(demand, contents),
        disk=sum(parts.values()),
        shared=sum(size for name, size in parts.items() if others.get(name, 0) > (not reason)),
        reason=reason,
    )
