"""The laws, where zones and bound volumes are about: over policies with zones and pods that are in the way of them."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests import builders, strategies
from webhook.admission import admit
from webhook.admission.changes import changes
from webhook.admission.decision import Decision, Facts
from webhook.ec2.zones import ZONE_ID, ZONE_NAME
from webhook.inventory.model import Artifact, Inventory
from webhook.kube import Object, affinity, names
from webhook.mutate import node_affinity
from webhook.policy.model import Placement, Policy, PolicySet

NAMES, IDS = ("us-east-1a", "us-east-1b"), ("use1-az1", "use1-az4")
BUCKET = "s3://acme-models--use1-az4--x-s3/llama/"


def policy_of(models: list[Object], volumes: list[Object], images: str) -> Object:
    spec: Object = {"mode": "Enforce", "acknowledge": ["RequireBlocksScaleFromZero"], "images": {"placement": images}}
    return {**spec, "models": models, "volumes": volumes}


def document(name: str, spec: Object) -> str:
    made = {"kind": "WarmPolicy", "apiVersion": names.API_VERSION, "metadata": {"name": name}, "spec": spec}
    return f"---\n{json.dumps(made)}\n"


ZONES = st.sampled_from([*NAMES, *IDS])
PLACEMENTS = st.sampled_from(["Off", "Prefer", "Prefer", "Require"])


def models(number: int) -> st.SearchStrategy[Object]:
    return st.fixed_dictionaries(
        {
            "name": st.just(f"m{number}"),
            "source": st.sampled_from([{"value": BUCKET}, {"value": builders.MODEL}, {"arg": "--model"}]),
            "allow": st.just(["s3://acme-models/*", BUCKET]),
            "cache": st.sampled_from(["nvme", "shared"]),
            "mountPath": st.just(f"/m{number}"),
            "placement": PLACEMENTS,
            "zonePlacement": PLACEMENTS,
            "redirect": st.booleans(),
        },
        optional={"zone": ZONES, "size": st.sampled_from(["1Gi", "700Gi"])},
    )


VOLUMES = st.fixed_dictionaries(
    {
        "volume": st.just({"name": "data", "persistentVolumeClaim": {"claimName": "data"}}),
        "mountPath": st.just("/data"),
        "zone": ZONES,
        "zonePlacement": PLACEMENTS,
    }
)


@st.composite
def policies(draw: st.DrawFn) -> list[str]:
    found = []
    for number in range(draw(st.integers(1, 2))):
        volumes = draw(st.lists(VOLUMES, max_size=1))
        spec = policy_of([draw(models(number))], volumes, draw(PLACEMENTS))
        found.append(document(f"p{number}", spec))
    return [*found, builders.SHARED_CACHE]


TERMS: st.SearchStrategy[list[Object]] = st.sampled_from(
    [
        [],
        *([{"matchExpressions": [{"key": ZONE_NAME, "operator": "In", "values": [zone]}]}] for zone in NAMES),
        [{"matchExpressions": [{"key": "topology.ebs.csi.aws.com/zone", "operator": "In", "values": [NAMES[1]]}]}],
        [{"matchExpressions": [{"key": "cores", "operator": "Gt", "values": ["8"]}]}, {"matchExpressions": []}],
    ]
)
MASKS = st.integers(0, 15)


@st.composite
def inventories(draw: st.DrawFn) -> Inventory:
    """Four nodes, in zones by name and by id or in one of them only, that hold this or that."""
    by_name, by_id = draw(MASKS), draw(MASKS)
    labels = {
        ZONE_NAME: {NAMES[0]: by_name, NAMES[1]: 15 & ~by_name & draw(MASKS)},
        ZONE_ID: {IDS[0]: by_id, IDS[1]: 15 & ~by_id & draw(MASKS)},
        "cores": {"8": 0b1, "96": 0b1110},
    }
    artifacts: list[Artifact] = [
        builders.image(nodes=draw(st.sets(st.integers(0, 3), min_size=1))),
        builders.model(nodes=draw(st.sets(st.integers(0, 3), min_size=1))),
        builders.model(
            BUCKET, nodes=draw(st.sets(st.integers(0, 3), min_size=1)), size=draw(st.sampled_from([0, 2**36]))
        ),
    ]
    claims = {f"default/{claim}": tuple(draw(TERMS)) for claim in draw(st.sets(st.sampled_from(["data", "own"])))}
    number = draw(st.sampled_from([4, 4, 4, 0]))
    if not number:
        return Inventory(id="none", labels={}, volumes=claims)
    return builders.inventory(*artifacts, labels=labels, volumes=claims)


REQUIREMENTS = st.one_of(
    st.builds(lambda zone: {"key": ZONE_NAME, "operator": "In", "values": [zone]}, st.sampled_from(NAMES)),
    st.builds(lambda zone: {"key": ZONE_ID, "operator": "In", "values": [zone]}, st.sampled_from(IDS)),
    st.builds(lambda zone: {"key": ZONE_NAME, "operator": "NotIn", "values": [zone]}, st.sampled_from(NAMES)),
    st.just({"key": "cores", "operator": "Exists"}),
    st.just({"key": names.image_label(builders.CANONICAL_IMAGE), "operator": "In", "values": ["warm"]}),
)
TERM = st.builds(lambda found: {"matchExpressions": found}, st.lists(REQUIREMENTS, max_size=2))


@st.composite
def pods(draw: st.DrawFn) -> Object:
    """Pods that name zones themselves, required or preferred, and claim volumes."""
    made = draw(strategies.sound_pods())
    spec = dict(made["spec"])
    node: Object = {}
    if required := draw(st.lists(TERM, max_size=2)):
        node["requiredDuringSchedulingIgnoredDuringExecution"] = {"nodeSelectorTerms": required}
    if preferred := draw(st.lists(TERM, max_size=2)):
        node["preferredDuringSchedulingIgnoredDuringExecution"] = [
            {"weight": 7, "preference": one} for one in preferred
        ]
    if node:
        spec["affinity"] = {"nodeAffinity": node}
    if draw(st.booleans()):
        spec["volumes"] = [
            *[one for one in spec.get("volumes") or [] if one["name"] != "own"],
            {"name": "own", "persistentVolumeClaim": {"claimName": "own"}},
        ]
    if draw(st.integers(0, 3)) == 0:
        spec["nodeSelector"] = {ZONE_NAME: draw(st.sampled_from(NAMES))}
    return {**made, "spec": spec}


@st.composite
def facts(draw: st.DrawFn) -> Facts:
    return builders.facts(*draw(policies()), inventory=draw(inventories()))


def decide(pod: Object, known: Facts) -> Decision:
    decision = admit(builders.request(pod), known)
    assert decision.violations == (), decision.violations
    return decision


def after(decision: Decision) -> Object:
    assert decision.pod is not None
    return decision.pod


LABELS = st.fixed_dictionaries(
    {},
    optional={
        ZONE_NAME: st.sampled_from(NAMES),
        ZONE_ID: st.sampled_from(IDS),
        "cores": st.sampled_from(["8", "96"]),
        names.image_label(builders.CANONICAL_IMAGE): st.just("warm"),
    },
)


@settings(max_examples=150)
@given(pods(), facts())
def test_a_second_review_changes_nothing(pod: Object, known: Facts) -> None:
    assert decide(after(decide(pod, known)), known).patch == []


@given(strategies.broken_pods(), facts())
def test_no_pod_is_too_broken(pod: Object, known: Facts) -> None:
    decision = admit(builders.request(pod), known)
    assert decision.allowed
    assert isinstance(changes(pod, decision.pod).text, str)


@pytest.mark.parametrize("key", [["x"], None, 7, {}], ids=str)
def test_requirements_of_no_key_break_nothing(key: object) -> None:
    odd = {"matchExpressions": [{"key": key, "operator": "In", "values": ["a"]}]}
    node = {
        "requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [odd]},
        "preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 1, "preference": odd}],
    }
    pod = builders.edited(builders.gpu_pod(), affinity={"nodeAffinity": node})
    model = {"name": "m", "source": {"value": BUCKET}, "cache": "nvme", "mountPath": "/m", "zonePlacement": "Require"}
    known = builders.facts(document("p", policy_of([model], [], "Prefer")), inventory=builders.inventory(labels={}))
    decision = decide(pod, known)
    assert "p" in decision.policies[0].name
    assert after(decision)["spec"]["affinity"]["nodeAffinity"].keys() == node.keys()


@given(pods(), facts(), st.lists(LABELS, min_size=1, max_size=6))
def test_nodes_only_narrow(pod: Object, known: Facts, nodes: list[dict[str, str]]) -> None:
    now, before = affinity.required_terms(after(decide(pod, known))), affinity.required_terms(pod)
    for labels in nodes:
        assert not affinity.selects(now, labels) or affinity.selects(before, labels)


@given(pods(), facts())
def test_at_most_two_preferred_terms_are_added(pod: Object, known: Facts) -> None:
    def terms(of: Object) -> list[Any]:
        node = (of["spec"].get("affinity") or {}).get("nodeAffinity") or {}
        return node.get("preferredDuringSchedulingIgnoredDuringExecution") or []

    assert len(terms(after(decide(pod, known)))) - len(terms(pod)) <= node_affinity.MAX_PREFERRED


@settings(max_examples=150)
@given(pods(), facts())
def test_no_required_zone_leaves_a_pod_without_the_candidates_it_has(pod: Object, known: Facts) -> None:
    """Zones alone: what is required of warmth is for who acknowledged it, or wrote it into the pod.

    A requirement on a label of ours may be that of an earlier review, so zones are judged without it (ADR 21).
    """
    calm = builders.facts(inventory=known.inventory)
    calm = Facts(_zones_only(known), calm.settings, known.inventory, calm.namespace_labels, placement_usable=True)
    made = after(decide(pod, calm))
    spec = made["spec"]
    candidates = _candidates(pod, {**pod["spec"], "volumes": spec.get("volumes")}, known.inventory)
    left = _candidates(pod, spec, known.inventory)
    assert bool(candidates) == bool(left)


def _zones_only(known: Facts) -> PolicySet:
    def calm(policy: Policy) -> Policy:
        models_left = tuple(replace(model, placement=Placement.OFF) for model in policy.models)
        return replace(policy, image_placement=Placement.OFF, models=models_left)

    return replace(known.policies, policies=tuple(map(calm, known.policies.policies)))


def _candidates(pod: Object, spec: Object, inventory: Inventory) -> int:
    """The nodes that the scheduler would let the pod onto, worked out node by node."""
    found = 0
    for index in range(len(inventory.nodes)):
        labels = {
            key: value
            for key, column in (inventory.labels or {}).items()
            for value, mask in column.items()
            if mask >> index & 1
        }
        labels |= {one.label: "warm" for one in inventory.artifacts if one.mask >> index & 1}
        terms = _without_warmth(affinity.required_terms({**pod, "spec": spec}))
        claims = [
            inventory.volumes.get(f"default/{one['persistentVolumeClaim']['claimName']}", ())
            for one in spec.get("volumes") or []
            if "persistentVolumeClaim" in one
        ]
        selector = spec.get("nodeSelector") or {}
        fits = all(labels.get(key) == value for key, value in selector.items()) and affinity.selects(terms, labels)
        if fits and all(affinity.selects(each, labels) for each in claims):
            found |= 1 << index
    return found


def _without_warmth(terms: list[Object]) -> list[Object]:
    """Required terms without what they say of our labels; empty where one of them says nothing else."""
    found = []
    for term in terms:
        given = term.get("matchExpressions") or []
        kept = [one for one in given if not str(one.get("key")).startswith(names.NODE_LABEL_PREFIX)]
        if given and not kept and not term.get("matchFields"):
            return []
        found.append({**term, "matchExpressions": kept})
    return found
