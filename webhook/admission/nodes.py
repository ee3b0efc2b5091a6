"""What the nodes that a pod may land on have in common: their systems, their kubelets, the slowest of their networks.

All this decides what a pod gets, and what a pod gets may narrow its nodes. So volumes, and terms on warmth and zones,
do not count here, whoever wrote them: a second review asks about the same nodes.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import reduce
from operator import or_
from typing import Literal, NamedTuple

from webhook.admission.scene import Scene
from webhook.cost.seconds import line_rate
from webhook.ec2.instances import instance
from webhook.ec2.systems import TITLES
from webhook.ec2.zones import ZONE_ID, ZONE_NAME
from webhook.inventory.candidates import Candidates, demand_of
from webhook.inventory.versions import number
from webhook.kube import Object, affinity, names, quantity
from webhook.kube import pod as pods
from webhook.kube.accelerator import Accelerators
from webhook.kube.quantity import InvalidQuantity
from webhook.mutate.instance_types import LABEL_BANDWIDTH, LABEL_TYPE
from webhook.policy.model import NodeCache

_LEAST = (1, 35)  # ImageVolume is on by default: Kubernetes, pkg/features/kube_features.go


def lasting(scene: Scene, accelerators: Accelerators | None) -> Candidates:
    """The nodes that the pod may land on, whatever terms and volumes Warmpod gives it."""
    resources = frozenset[str]().union(*scene.asked(accelerators).values())
    known = scene.lasting.get(resources)
    if known is not None:
        return known
    spec = {key: value for key, value in pods.spec(scene.sent).items() if key not in {"affinity", "volumes"}}
    terms = [_without_ours(term) for term in affinity.required_terms(scene.sent)]
    if all(term is not None for term in terms) and terms:
        required = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}
        spec["affinity"] = {"nodeAffinity": required}
    found = scene.lasting[resources] = scene.facts.inventory.candidates(demand_of({"spec": spec}, resources))
    return found


def _without_ours(term: Object) -> Object | None:
    """The term without requirements that Warmpod may add; None for one that has no others: it rules out no node."""
    given = pods.objects(term.get("matchExpressions"))
    kept = [each for each in given if not _is_ours(each.get("key"))]
    if len(kept) == len(given):
        return term
    return {**term, "matchExpressions": kept} if kept or term.get("matchFields") else None


def _is_ours(key: object) -> bool:
    return isinstance(key, str) and (key.startswith(names.NODE_LABEL_PREFIX) or key in {ZONE_ID, ZONE_NAME})


def strangers(cache: NodeCache, able: int, systems: Mapping[str, int]) -> str:
    """Those of the nodes on whose system the cache's volume is no local disk, for people; empty where there is none."""
    if not cache.systems:
        return ""
    wrong = {name: held & able for name, held in systems.items() if name not in cache.systems and held & able}
    count = reduce(or_, wrong.values(), 0).bit_count()
    named = " or ".join(sorted(TITLES.get(name, name) for name in wrong))
    return f"{count} of {able.bit_count()} candidates run {named}" if wrong else ""


def without_image_volumes(wanted: Literal["auto", "on", "off"], scene: Scene, able: int) -> str:
    """Why an image volume is nothing for this pod here; empty where the API server and every node know them.

    An API server that does not know the field drops it, and the pod would start and find nothing in its place; a
    kubelet that does not know it never starts the pod.
    """
    inventory = scene.facts.inventory
    if wanted != "auto":
        return "" if wanted == "on" else "image volumes are off (--image-volumes)"
    least = ".".join(map(str, _LEAST))
    if not inventory.server:
        return "it is not known whether the API server has image volumes (--image-volumes on says that it has)"
    if number(inventory.server) < _LEAST:
        return f"the API server is of Kubernetes {inventory.server}, image volumes need {least}"
    among = able or reduce(or_, inventory.kubelets.values(), 0)
    new = reduce(or_, [held for minor, held in inventory.kubelets.items() if number(minor) >= _LEAST], 0)
    if not among:
        return "no node is known whose kubelet could be asked for image volumes (--image-volumes on says all have them)"
    others = (among & ~new).bit_count()
    if others:
        known = f"{others} of {among.bit_count()} nodes are not known to have"
        return f"image volumes need kubelets of {least} on containerd 2.1 or CRI-O, which {known}"
    return ""


class Machine(NamedTuple):
    """What can be counted on at the least of some nodes, 0 where nothing is known.

    `network` is bytes per second of traffic to S3, `disks` how many disks their instance store has.
    """

    network: float
    disks: int


def machine(able: int, labels: Mapping[str, Mapping[str, int]] | None) -> Machine:
    """What the nodes have by their instance types; the network of others by Karpenter's label, which counts all cards.

    A type without an instance store says nothing of disks: its cache lies on one of EBS.
    """
    rates, disks = [], []
    told = 0
    for name, held in (labels or {}).get(LABEL_TYPE, {}).items():
        found = instance(name) if held & able else None
        if found is not None:
            told |= held
            rates.append(line_rate(found.s3))
            disks.append(found.disks)
    for text, held in (labels or {}).get(LABEL_BANDWIDTH, {}).items():
        if held & able & ~told and text.isdecimal() and text.isascii():
            rates.append(line_rate(int(text[:9]) / 1000))
    return Machine(min(rates, default=0.0), min(disks, default=0) if not able & ~told else 0)


def cpus(container: Object) -> float:
    """The CPUs that a container may use, by its limit, else by its request; 0 where it says neither."""
    resources = pods.mapping(container.get("resources"))
    for field in ("limits", "requests"):
        given = pods.mapping(resources.get(field)).get("cpu")
        if given is not None:
            try:
                return max(float(quantity.parse(given)), 0.0)
            except InvalidQuantity:
                continue
    return 0.0


def devices(container: Object, resources: frozenset[str]) -> int:
    """How many accelerators a container asks for, one at least: as many processes read its model, each its part."""
    limits = pods.mapping(pods.mapping(container.get("resources")).get("limits"))
    given = [limits.get(name) for name in resources]
    return max(sum(int(text) for each in given if (text := str(each)[:4]).isdecimal() and text.isascii()), 1)
