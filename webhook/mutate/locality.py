"""Zones that models and volumes lie in: which of a pod's nodes are in one, and whether the pod should be, too.

A zone is a well-known label: an autoscaler that finds no node there can make one, which it cannot for our own labels.
So a zone is asked for where no node is in it, too. It is never asked for against what binds the pod already (ADR 21).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from webhook.ec2.zones import ZONE_ID, ZONE_NAME
from webhook.inventory.candidates import Candidates
from webhook.kube import Object, affinity
from webhook.kube.pod import objects
from webhook.mutate.account import Account
from webhook.mutate.node_affinity import Wish
from webhook.mutate.placement import Choice
from webhook.policy.model import Placement

# Labels whose values are names of zones: aws-ebs-csi-driver, pkg/driver/driver.go; the beta label is on older volumes.
_SAME = {
    ZONE_NAME: (ZONE_NAME, "failure-domain.beta.kubernetes.io/zone", "topology.ebs.csi.aws.com/zone"),
    ZONE_ID: (ZONE_ID,),
}


class Locality(NamedTuple):
    """That something of a pod lies in a zone: `what` it is for people, `seconds` less that it takes to read there.

    `label` is the label that says the zone. `account` is its policy's.
    """

    what: str
    label: str
    zone: str
    placement: Placement
    seconds: float
    account: Account


class Bounds(NamedTuple):
    """What binds a pod whatever we do. Of each group of node selector terms one must hold.

    `author` are those of the pod as written, `volumes` those of the volumes it claims, `zones` zones that we require of
    it for something else. `loose` are claims of which it is not known whether they are bound, and where.
    """

    author: Sequence[Sequence[Object]]
    volumes: Sequence[Sequence[Object]]
    zones: Sequence[Sequence[Object]] = ()
    loose: Sequence[str] = ()


def consider(
    locality: Locality, candidates: Candidates, labels: Mapping[str, Mapping[str, int]] | None, bounds: Bounds
) -> Choice | None:
    """The zone as a choice, or None and the reason in the account.

    `candidates` are the nodes within `bounds`. Required is a zone that some of them are in, or where none is known at
    all; else the pod that could run elsewhere would wait for a node that perhaps nobody makes, and prefers it instead.
    """
    zone, account, label = locality.zone, locality.account, locality.label
    why = _excluded(label, zone, bounds)
    if why:
        account.leave(f"zone {zone} of {locality.what}: {why}")
        return None
    column = (labels or {}).get(label, {})
    inside = column.get(zone, 0) & candidates.able
    nodes = candidates.able.bit_count()
    placement = locality.placement
    if inside == candidates.able and nodes and placement is Placement.PREFER:
        account.leave(f"zone {zone} of {locality.what}: every candidate is in it")
        return None
    if placement is Placement.REQUIRE:
        hindrance = _hindrance(inside, nodes, bounds)
        if hindrance:
            account.leave(f"zone {zone} of {locality.what} is not required: {hindrance}")
            placement = Placement.PREFER
    # A zone without a candidate saves nothing at present, and must not take a term from what does.
    seconds = locality.seconds if inside and inside != candidates.able else 0.0
    return Choice(
        wish=Wish(label, seconds, zone),
        placement=placement,
        name=f"zone {zone}",
        place=f"nodes in zone {zone}, where {locality.what} lies",
        told=_told(inside, candidates, seconds, bears=any(column[each] & candidates.able for each in column)),
        account=account,
    )


def _told(inside: int, candidates: Candidates, seconds: float, *, bears: bool) -> str:
    nodes = candidates.able.bit_count()
    if inside:
        worth = f", {int(seconds)} s saved" if seconds >= 1 else ""
        roomy = (inside & candidates.roomy).bit_count()
        return f"{inside.bit_count()} of {nodes} candidates, {roomy} with room{worth}"
    among = f"none of {nodes} candidates" + ("" if bears else " has a label that says so")
    return f"{among if nodes else 'no candidate is known'}, a new node may be made there"


def _hindrance(inside: int, nodes: int, bounds: Bounds) -> str:
    if nodes and not inside:
        return f"none of {nodes} candidates is known to be in it"
    if bounds.loose:
        named = ", ".join(bounds.loose[:3])
        return f"where {f'claim {named} is' if len(bounds.loose) == 1 else f'claims {named} are'} bound is not known"
    return ""


def _excluded(label: str, zone: str, bounds: Bounds) -> str:
    """What rules the zone out, for people; empty when nothing does."""
    labels = dict.fromkeys(_SAME[label], zone)
    if any(_rules_out(terms, labels) for terms in bounds.author):
        return "the pod's own selector leaves it out"
    if any(_rules_out(terms, labels) for terms in bounds.volumes):
        return "a volume that the pod claims lies elsewhere"
    if any(_rules_out(terms, labels) for terms in bounds.zones):
        return "another zone is required"
    return ""


def _rules_out(terms: Iterable[Object], labels: Mapping[str, str]) -> bool:
    """Whether every one of the terms asks for another zone."""
    return all(any(_excludes(one, labels) for one in objects(term.get("matchExpressions"))) for term in terms)


def _excludes(requirement: Object, labels: Mapping[str, str]) -> bool:
    key = requirement.get("key")
    return type(key) is str and key in labels and not affinity.holds(requirement, labels)
