"""Where a pod could run, which of these nodes are warm for it, and why the other warm ones are not among them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from webhook.admission.decision import Facts
from webhook.cost.seconds import seconds
from webhook.inventory import nodeset
from webhook.inventory.candidates import Candidates, Demand, claims_of, demand_of, terms_of_claims
from webhook.inventory.model import Artifact, Inventory
from webhook.kube import Object, affinity, image, names
from webhook.kube import pod as pods
from webhook.kube.toleration import tolerates
from webhook.mutate.node_affinity import preferred_zones, required_zones

_MODEL = "--model="
_LONGEST = 16 * 1024
_PASSED_OVER = 8
"""Nodes that are warm and cannot run the pod, of one artifact, whose reason is told."""


class Inside(NamedTuple):
    """How many of the able nodes, and of those with room, are in a zone; whether the pod may run nowhere else."""

    zone: str
    able: int
    roomy: int
    required: bool


class Passed(NamedTuple):
    """A warm node that cannot run the pod, and why."""

    node: str
    why: str


@dataclass(frozen=True, slots=True)
class Warmth:
    """One image or model of the pod. `warm` are the nodes that hold it and could run the pod, by name.

    `roomy` of these have the devices free now; `unlabelled` of these do not bear its label yet, so the scheduler cannot
    see that they are warm. `known` is False where no node is known to hold it. `seconds` is the estimate of what it
    costs a node that is cold.
    """

    kind: str
    name: str
    known: bool
    bytes: int = 0
    seconds: float = 0.0
    warm: tuple[str, ...] = ()
    roomy: int = 0
    unlabelled: int = 0
    passed: tuple[Passed, ...] = ()
    more_passed: int = 0


@dataclass(frozen=True, slots=True)
class Whereabouts:
    """Accelerator nodes by what is known now: all of them, those able to run the pod, those of them with room.

    `allowed` of the able ones also fit what Warmpod requires of them; None where it requires nothing.
    """

    nodes: int
    able: int
    roomy: int
    allowed: int | None = None
    artifacts: tuple[Warmth, ...] = ()
    amounts: tuple[tuple[str, str], ...] = ()
    """What the pod asks for of each kind of accelerator."""
    zones: tuple[Inside, ...] = ()
    """Zones that Warmpod asks for, because a model or a volume of the pod lies there."""


class _WantedModel(NamedTuple):
    name: str
    source: str
    held_as: str
    tenant: str


def whereabouts(sent: Object, stored: Object, namespace: str, facts: Facts) -> Whereabouts | None:
    """Where the pod could have run. None without an inventory, and for a pod without accelerators.

    `sent` is the pod as its author has it, `stored` with what Warmpod made of it or would make of it.
    """
    inventory, settings = facts.inventory, facts.settings
    resources = frozenset[str]().union(*settings.accelerators.of_pod(sent, inventory.claims, namespace).values())
    if not facts.placement_usable or not resources:
        return None
    claimed = terms_of_claims(claims_of(stored), namespace, inventory.volumes)
    demand = demand_of(sent, resources, claimed)
    found = inventory.candidates(demand)
    terms = affinity.required_terms(stored)
    required = Demand(dict(demand.amounts), demand.selector, terms, demand.tolerations, claimed)
    return Whereabouts(
        nodes=len(inventory.nodes),
        able=found.able.bit_count(),
        roomy=found.roomy.bit_count(),
        allowed=inventory.candidates(required).able.bit_count() if required != demand else None,
        artifacts=tuple(_artifacts(sent, stored, namespace, facts, demand)),
        amounts=tuple((name, str(amount)) for name, amount in demand.amounts),
        zones=tuple(_zones(sent, stored, found, inventory)),
    )


def _zones(sent: Object, stored: Object, found: Candidates, inventory: Inventory) -> Iterator[Inside]:
    before = {*preferred_zones(sent), *required_zones(sent)}
    required = required_zones(stored)
    for label, zone in dict.fromkeys([*required, *preferred_zones(stored)]):
        if (label, zone) not in before:
            inside = (inventory.labels or {}).get(label, {}).get(zone, 0)
            counts = (inside & found.able).bit_count(), (inside & found.roomy).bit_count()
            yield Inside(zone, *counts, required=(label, zone) in required)


def _artifacts(sent: Object, stored: Object, namespace: str, facts: Facts, demand: Demand) -> Iterator[Warmth]:
    inventory, settings = facts.inventory, facts.settings
    for text in pods.images(sent):
        name = image.canonical(text)
        held = inventory.image(name) if name is not None else None
        if text == settings.hydrator_image or (held is not None and 0 < held.bytes < settings.image_min_bytes):
            continue  # too small to be a reason for anything
        yield _warmth("image", text, held, facts, demand)
    # Models that are images: volumes alone, for the init container's own image is no reason for anything.
    volumes = {"spec": {"volumes": pods.spec(stored).get("volumes")}}
    for text in pods.images(volumes):
        if text not in pods.images(sent):
            name = image.canonical(text)
            yield _warmth("image", text, inventory.image(name) if name is not None else None, facts, demand)
    for model in _models(stored):
        held = inventory.model(model.held_as, model.tenant)
        if held is None and not model.tenant:
            held = inventory.model(model.held_as, namespace)
        yield _warmth("model", model.source, held, facts, demand)


def _warmth(kind: str, name: str, held: Artifact | None, facts: Facts, demand: Demand) -> Warmth:
    if held is None:
        return Warmth(kind, name, known=False)
    inventory, settings = facts.inventory, facts.settings
    rate = settings.image_bytes_per_second if kind == "image" else settings.model_bytes_per_second
    able, roomy = inventory.candidates(demand)
    warm = held.mask & able
    out = nodeset.indexes(held.mask & ~able)
    return Warmth(
        kind,
        name,
        known=True,
        bytes=held.bytes,
        seconds=seconds(held.bytes, rate),
        warm=tuple(inventory.nodes[index].name for index in nodeset.indexes(warm)),
        roomy=(warm & roomy).bit_count(),
        unlabelled=(warm & held.unlabelled).bit_count(),
        passed=tuple(Passed(inventory.nodes[index].name, _obstacle(index, inventory, demand)) for index in
                     out[:_PASSED_OVER]),
        more_passed=max(len(out) - _PASSED_OVER, 0),
    )  # fmt: skip


def _obstacle(index: int, inventory: Inventory, demand: Demand) -> str:
    """The first of the pod's demands that rules out this node, by asking for each of them alone."""
    bit = 1 << index
    amounts = dict(demand.amounts)
    for name, amount in demand.amounts:
        if not inventory.candidates(Demand({name: amount}, {}, (), ({"operator": "Exists"},))).able & bit:
            has = inventory.nodes[index].accelerators.get(name, (0, 0))[0]
            return f"it can give {has} {name}, the pod asks for {amount}"
    anything: tuple[Object, ...] = ({"operator": "Exists"},)
    if not inventory.candidates(Demand(amounts, demand.selector, (), anything)).able & bit:
        return "the pod's nodeSelector leaves it out"
    if not inventory.candidates(Demand(amounts, {}, demand.terms, anything)).able & bit:
        return "the pod's required node affinity leaves it out"
    if not inventory.candidates(Demand(amounts, {}, (), anything, demand.volumes)).able & bit:
        return "a volume that the pod claims cannot be reached from it"
    for taint in inventory.taints:
        if not taint.mask & bit or taint.effect not in ("NoSchedule", "NoExecute"):
            continue
        if not any(tolerates(one, taint.key, taint.value, taint.effect) for one in demand.tolerations):
            value = f"={taint.value}" if taint.value else ""
            return f"the pod does not tolerate its taint {taint.key}{value}:{taint.effect}"
    return "selector, affinity and taints together leave it out"


def _models(stored: Object) -> Iterator[_WantedModel]:
    """The models that the pod's hydrator is told to bring."""
    for container in pods.init_containers(stored):
        if container.get("name") != names.INIT_CONTAINER:
            continue
        args = container.get("args")
        for word in args if type(args) is list else ():
            if type(word) is not str or not word.startswith(_MODEL) or len(word) > _LONGEST:
                continue
            try:
                told = pods.mapping(json.loads(word.removeprefix(_MODEL).replace("$$", "$")))
            except (ValueError, RecursionError):
                continue
            source, directory = told.get("source"), told.get("directory")
            if type(source) is str and type(directory) is str:
                whole = directory == names.directory(source)
                held_as = source if whole else names.selection(source, directory)
                yield _WantedModel(str(told.get("name") or ""), source, held_as, str(told.get("tenant") or ""))
