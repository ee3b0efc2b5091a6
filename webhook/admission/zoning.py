"""The zones that a pod's models and volumes lie in: which of them become terms of its node affinity.

All this looks at the pod without terms of ours, so that a second review, which finds them there, comes to the same.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import NamedTuple

from webhook.admission.holdings import held
from webhook.admission.scene import Matched, Scene
from webhook.cost.volume import Reader
from webhook.cost.zone import zone_gain
from webhook.ec2.zones import bucket_zone, zone_label
from webhook.inventory.candidates import Demand, claims_of, demand_of, terms_of_claims
from webhook.kube import Object, affinity, names
from webhook.kube import pod as pods
from webhook.kube.accelerator import Accelerators
from webhook.mutate import merge
from webhook.mutate.account import Account
from webhook.mutate.direct import Direct
from webhook.mutate.load import Load
from webhook.mutate.locality import Bounds, Locality, consider
from webhook.mutate.placement import Choice, Label
from webhook.mutate.reader import reader_of
from webhook.policy.model import Placement, Policy, VolumeRule

_MAPS = frozenset({Reader.SAFETENSORS, Reader.UNKNOWN})


class Zones(NamedTuple):
    """The choices that zones are, the pod as the required ones leave it, and the labels of all that were wished for."""

    choices: list[Choice]
    pod: Object
    wished: frozenset[Label]


class _Wanted(NamedTuple):
    """Something that lies in a zone; the claim that is known to lie there with it, empty where there is none."""

    what: str
    zone: str
    placement: Placement
    thing: Load | Direct | VolumeRule
    claim: str
    account: Account
    accelerators: Accelerators | None


def zones(
    pod: Object, matched: Sequence[tuple[Matched, Account]], loads: Sequence[Load | Direct], scene: Scene
) -> Zones:
    """The zones of what came into the pod. Required ones come first: what they leave binds the others."""
    wanted = list(_wanted(pod, matched, loads))
    if not wanted:
        return Zones([], pod, frozenset())
    wished = frozenset([(zone_label(each.zone), each.zone) for each in wanted])
    author = _author_terms(
        pod, {(zone_label(each.zone), each.zone) for each in wanted if each.placement is Placement.REQUIRE}
    )
    declared = {each.claim for each in wanted}
    claims, namespace, volumes = claims_of(pod), scene.site.namespace, scene.facts.inventory.volumes
    bounds = Bounds(
        author=[[_selector(pod)], *([author] if author else [])],
        volumes=terms_of_claims(claims, namespace, volumes),
        loose=[claim for claim in claims if f"{namespace}/{claim}" not in volumes and claim not in declared],
    )
    choices: list[Choice] = []
    for each in sorted(wanted, key=lambda one: one.placement is not Placement.REQUIRE):
        found = _choice(each, pod, author, bounds, scene)
        if found is None:
            continue
        choices.append(found)
        if found.placement is Placement.REQUIRE:
            required = {"matchExpressions": [found.wish.requirement]}
            if [required] not in bounds.zones:
                bounds = bounds._replace(zones=[*bounds.zones, [required]])
            pod = affinity.require(pod, found.wish.requirement)
    return Zones(choices, pod, wished)


def _choice(each: _Wanted, pod: Object, author: list[Object], bounds: Bounds, scene: Scene) -> Choice | None:
    inventory = scene.facts.inventory
    resources = frozenset[str]().union(*scene.asked(each.accelerators).values())
    demand = demand_of(pod, resources)
    groups = [*bounds.volumes, *bounds.zones]
    candidates = inventory.candidates(Demand(dict(demand.amounts), demand.selector, author, demand.tolerations, groups))
    missing, mapped = _missing(each, scene, candidates.able)
    if missing is None:
        each.account.leave(f"zone {each.zone} of {each.what}: every candidate holds it, nothing is read from there")
        return None
    locality = Locality(
        what=each.what,
        label=zone_label(each.zone),
        zone=each.zone,
        placement=each.placement,
        seconds=zone_gain(missing, mapped=mapped),
        account=each.account,
    )
    return consider(locality, candidates, inventory.labels, bounds)


def _wanted(
    pod: Object, matched: Sequence[tuple[Matched, Account]], loads: Sequence[Load | Direct]
) -> Iterator[_Wanted]:
    for each, account in matched:
        accelerators = each.policy.accelerators
        for load in loads:
            model, zone = load.model, _zone_of(load)
            if load.account is account and zone:
                claim = _claim(model.source_volume.volume) if model.source_volume is not None else ""
                yield _Wanted(model.name, zone, model.zone_placement, load, claim, account, accelerators)
        for rule in each.policy.volumes:
            if _is_zonal(rule) and _has(pod, rule.volume):
                what, claim = f"volume {rule.volume['name']}", _claim(rule.volume)
                yield _Wanted(what, rule.zone, rule.zone_placement, rule, claim, account, accelerators)


def is_zoned(policy: Policy, loads: Sequence[Load | Direct]) -> bool:
    """Whether the policy wishes for a zone; `loads` are what it brings into the pod."""
    return any(map(_zone_of, loads)) or any(map(_is_zonal, policy.volumes))


def _zone_of(load: Load | Direct) -> str:
    """The zone that a model lies in, as far as it counts; empty for none."""
    model, given = load.model, load.model.source_volume
    if model.zone_placement is Placement.OFF:
        return ""
    # What a volume shows of a bucket is hydrated from the bucket itself: the volume's zone is nothing to it then.
    declared = "" if isinstance(load, Load) and given is not None and given.holds else model.zone
    return declared or bucket_zone(load.source.canonical)


def _is_zonal(rule: VolumeRule) -> bool:
    return bool(rule.zone) and rule.zone_placement is not Placement.OFF


def _missing(each: _Wanted, scene: Scene, able: int) -> tuple[int | None, bool]:
    """Bytes that are read from the zone, 0 where nobody knows and None where none are; whether by a mapping loader."""
    thing = each.thing
    if isinstance(thing, Load):
        artifact = held(thing, scene)
        if artifact is not None and thing.is_shared and able and artifact.labelled & able == able:
            return None, False
        return (artifact.bytes if artifact is not None else 0) or thing.model.size, False
    if isinstance(thing, Direct):
        readers = {reader_of(one) for one in pods.app_containers(scene.sent) if one.get("name") in thing.targets}
        return thing.model.size, bool(readers & _MAPS) and not thing.reference
    return 0, False


def _author_terms(pod: Object, required: Collection[Label]) -> list[Object]:
    """The pod's required terms without what may be ours in them; empty where no more than that was required."""
    terms = affinity.required_terms(pod)
    found = []
    for term in terms:
        given = pods.objects(term.get("matchExpressions"))
        kept = [one for one in given if not _may_be_ours(one, required)]
        if len(kept) == len(given):
            found.append(term)
        elif kept or term.get("matchFields"):
            found.append({**term, "matchExpressions": kept})
        else:
            return []  # an author's term without requirements is never narrowed: this one, and no other, is ours
    return found


def _may_be_ours(requirement: Object, required: Collection[Label]) -> bool:
    key, values = requirement.get("key"), requirement.get("values")
    if type(key) is not str:
        return False
    if key.startswith(names.NODE_LABEL_PREFIX):
        return True
    one = values[0] if type(values) is list and len(values) == 1 else None
    return requirement.get("operator") == "In" and type(one) is str and (key, one) in required


def _selector(pod: Object) -> Object:
    """The pod's nodeSelector as a term."""
    given = pods.mapping(pods.spec(pod).get("nodeSelector"))
    return {"matchExpressions": [{"key": key, "operator": "In", "values": [value]} for key, value in given.items()]}


def _has(pod: Object, volume: Mapping[str, object]) -> bool:
    there = pods.objects(pods.spec(pod).get("volumes"))
    return any(one.get("name") == volume["name"] and merge.covers(one, dict(volume)) for one in there)


def _claim(volume: Object) -> str:
    found = pods.mapping(volume.get("persistentVolumeClaim")).get("claimName")
    return found if isinstance(found, str) else ""
