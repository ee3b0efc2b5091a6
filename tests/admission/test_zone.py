"""Zones that models and volumes lie in: when a pod is sent there, when not, and what is said of it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests import builders
from webhook.admission import admit
from webhook.admission.changes import changes
from webhook.admission.decision import Decision, Facts
from webhook.ec2.zones import ZONE_ID, ZONE_NAME
from webhook.inventory.model import Inventory
from webhook.kube import Object, names
from webhook.kube.recreated import recreated, unwarmed

BUCKET = "s3://acme-models--use1-az4--x-s3/llama/"
A, B = "us-east-1a", "us-east-1b"
BY_NAME: dict[str, dict[str, int]] = {ZONE_NAME: {A: 0b0011, B: 0b1100}}
BY_ID: dict[str, dict[str, int]] = {ZONE_ID: {"use1-az4": 0b0001, "use1-az6": 0b1110}}
EBS = "topology.ebs.csi.aws.com/zone"


def spec(model: str = "", *, source: str = builders.MODEL, images: str = "Off", volumes: str = "[]") -> str:
    return f"""
  acknowledge: [RequireBlocksScaleFromZero]
  images: {{placement: {images}}}
  models:
    - name: weights
      source: {{value: {source}}}
      cache: nvme
      mountPath: /models
      placement: Off
      {model}
  volumes: {volumes}
"""


def facts(policy: str, labels: Any = None, **fields: Any) -> Facts:
    known = builders.inventory(labels=BY_NAME if labels is None else labels, **fields)
    return builders.facts(builders.policy(policy), inventory=known)


def decide(pod: Object, given: Facts) -> Decision:
    decision = admit(builders.request(pod), given)
    assert decision.violations == ()
    assert decision.pod is not None
    assert admit(builders.request(decision.pod), given).patch == []
    return decision


def told(decision: Decision) -> str:
    parts = decision.policies[0].reason.split("; ")
    return "; ".join(one for one in parts if not one.startswith(("hydrates", "mounts")))


def terms(decision: Decision) -> tuple[list[tuple[str, int]], list[str]]:
    """The values that preferred terms ask for, with their weights, and those that required ones do."""
    assert decision.pod is not None
    node = (decision.pod["spec"].get("affinity") or {}).get("nodeAffinity") or {}
    preferred = node.get("preferredDuringSchedulingIgnoredDuringExecution") or []
    required = (node.get("requiredDuringSchedulingIgnoredDuringExecution") or {}).get("nodeSelectorTerms") or []
    return (
        [(term["preference"]["matchExpressions"][0]["values"][0], term["weight"]) for term in preferred],
        [value for term in required for one in term.get("matchExpressions", ()) for value in one["values"]],
    )


def claims(pod: Object, *named: str) -> Object:
    return builders.edited(pod, volumes=[{"name": one, "persistentVolumeClaim": {"claimName": one}} for one in named])


def within(*zones: str, key: str = ZONE_NAME) -> Object:
    return {"matchExpressions": [{"key": key, "operator": "In", "values": list(zones)}]}


def requiring(*found: Object) -> Object:
    return {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": list(found)}}}


POD = builders.gpu_pod()


@pytest.mark.parametrize(
    ("model", "labels", "preferred", "said"),
    [
        pytest.param(
            f"zone: {A}",
            BY_NAME,
            [(A, 100)],
            f"prefers nodes in zone {A}, where weights lies: 2 of 4 candidates, 2 with room",
            id="some",
        ),
        pytest.param("", BY_NAME, [], "nothing to add", id="no zone is declared"),
        pytest.param(f"zone: {A}\n      zonePlacement: Off", BY_NAME, [], "nothing to add", id="Off"),
        pytest.param(
            f"zone: {A}", {ZONE_NAME: {A: 15}}, [], f"zone {A} of weights: every candidate is in it", id="all"
        ),
        pytest.param(
            "zone: us-east-1c",
            BY_NAME,
            [("us-east-1c", 1)],
            "none of 4 candidates, a new node may be made there",
            id="nobody",
        ),
        pytest.param(
            "zone: use1-az4",
            BY_NAME,
            [("use1-az4", 1)],
            "none of 4 candidates has a label that says so",
            id="an id, where nodes bear names",
        ),
        pytest.param("zone: use1-az4", BY_ID, [("use1-az4", 100)], "1 of 4 candidates", id="an id"),
    ],
)
def test_a_declared_zone_is_preferred(model: str, labels: Any, preferred: Any, said: str) -> None:
    decision = decide(POD, facts(spec(model), labels))
    assert terms(decision) == (preferred, [])
    assert said in (told(decision) or "nothing to add")


def test_a_directory_bucket_says_its_zone_itself() -> None:
    decision = decide(POD, facts(spec(source=BUCKET), BY_ID))
    assert terms(decision) == ([("use1-az4", 1)], []), "of a size that nobody knows"
    declared = decide(POD, facts(spec("zone: use1-az6", source=BUCKET), BY_ID))
    assert terms(declared)[0] == [("use1-az6", 1)]


def test_where_no_candidate_is_known_a_new_node_is_wished_for() -> None:
    given = builders.facts(builders.policy(spec(f"zone: {A}")), inventory=Inventory(id="empty", labels={}))
    decision = decide(POD, given)
    assert terms(decision) == ([(A, 1)], [])
    assert "no candidate is known, a new node may be made there" in told(decision)
    assert decision.seconds_saved == 0


@pytest.mark.parametrize(
    "obstacle",
    [{"nodeName": "gpu-1"}, {"metadata": "daemon"}, {"inventory": "none"}],
    ids=lambda one: str(next(iter(one))),
)
def test_what_no_term_would_help_gets_none(obstacle: str) -> None:
    given = facts(spec(f"zone: {A}"))
    pod = builders.gpu_pod()
    if obstacle == "its node is named":
        pod = builders.edited(pod, nodeName="gpu-1")
    elif obstacle == "a DaemonSet's":
        pod["metadata"]["ownerReferences"] = [{"kind": "DaemonSet", "controller": True, "apiVersion": "apps/v1"}]
    else:
        given = replace(given, placement_usable=False)
    decision = decide(pod, given)
    assert terms(decision) == ([], [])
    assert "placement: " in told(decision)


REQUIRE = f"zone: {A}\n      zonePlacement: Require"


@pytest.mark.parametrize(
    ("pod", "labels", "found", "said"),
    [
        pytest.param(
            POD,
            BY_NAME,
            ([], [A]),
            f"requires nodes in zone {A}, where weights lies: 2 of 4 candidates",
            id="some are in it",
        ),
        pytest.param(POD, {ZONE_NAME: {A: 15}}, ([], [A]), "4 of 4 candidates", id="all are, and it stays so"),
        pytest.param(
            POD,
            {ZONE_NAME: {B: 15}},
            ([(A, 1)], []),
            f"zone {A} of weights is not required: none of 4 candidates is known to be in it",
            id="none is",
        ),
        pytest.param(POD, {}, ([(A, 1)], []), "is not required: none of 4", id="nobody says"),
        pytest.param(
            claims(POD, "own"),
            BY_NAME,
            ([(A, 1)], []),
            "is not required: where claim own is bound is not known",
            id="a claim that is not bound",
        ),
        pytest.param(
            builders.edited(POD, nodeSelector={ZONE_NAME: B}),
            BY_NAME,
            ([], []),
            "the pod's own selector leaves it out",
            id="another selector",
        ),
        pytest.param(
            builders.edited(POD, affinity=requiring(within(B))),
            BY_NAME,
            ([], [B]),
            "the pod's own selector leaves it out",
            id="another affinity",
        ),
        pytest.param(
            builders.edited(POD, affinity=requiring(within(B), within(A))),
            BY_NAME,
            ([], [B, A, A]),
            "requires nodes",
            id="one of two terms",
        ),
        pytest.param(
            builders.edited(POD, affinity=requiring(within(A))),
            BY_NAME,
            ([], [A]),
            f"already requires nodes in zone {A}, where weights lies",
            id="the author's own",
        ),
    ],
)
def test_a_zone_is_required_on_request(pod: Object, labels: Any, found: Any, said: str) -> None:
    decision = decide(pod, facts(spec(REQUIRE), labels))
    assert said in told(decision)
    weightless = ([(zone, 1) for zone, _ in terms(decision)[0]], terms(decision)[1])
    assert weightless == found


@pytest.mark.parametrize("placement", ["Prefer", "Require"])
@pytest.mark.parametrize(
    ("bound", "elsewhere"),
    [
        pytest.param(within(B), True, id="another zone"),
        pytest.param(within(B, key=EBS), True, id="another zone, by the driver's own label"),
        pytest.param(within(A, B), False, id="either"),
        pytest.param(within("use1-az6", key=ZONE_ID), False, id="an id, of which nothing is known"),
    ],
)
def test_never_against_a_volume_that_the_pod_claims(bound: Object, elsewhere: bool, placement: str) -> None:
    labels = {**BY_NAME, EBS: BY_NAME[ZONE_NAME], ZONE_ID: {"use1-az6": 15}}
    given = facts(spec(f"zone: {A}\n      zonePlacement: {placement}"), labels, volumes={"default/own": (bound,)})
    decision = decide(claims(POD, "own"), given)
    assert ("a volume that the pod claims lies elsewhere" in told(decision)) == elsewhere
    preferred, required = terms(decision)
    assert bool(preferred or required) != elsewhere


def test_volumes_that_the_pod_claims_rule_out_nodes() -> None:
    own = {"default/own": (within(B),), "other/own": (within(A),)}
    given = facts(spec(images="Prefer"), volumes=own)
    warm = decide(claims(POD, "own"), given)
    assert "image: none of 2 candidates holds it" in told(warm), "those that hold it are in the other zone"
    assert "on 2 of 4 candidates" in told(decide(claims(POD, "another"), given))


def test_the_volume_of_a_policy_counts_though_the_pod_does_not_have_it_yet() -> None:
    volume = f"""
    - volume: {{name: fsx, persistentVolumeClaim: {{claimName: fsx}}}}
      mountPath: /fsx
      zone: {A}
      zonePlacement: Require"""
    given = facts(spec(images="Prefer", volumes=volume))
    decision = decide(POD, given)
    assert terms(decision)[1] == [A]
    assert "where volume fsx lies" in told(decision)
    assert "image: every candidate holds it" in told(decision), "the zone that is required leaves warm nodes alone"
    lies = facts(spec(images="Prefer", volumes=volume), volumes={"default/fsx": (within(B),)})
    astray = decide(POD, lies)
    assert f"zone {A} of volume fsx: a volume that the pod claims lies elsewhere" in told(astray)
    assert "image: none of 2 candidates holds it" in told(astray)


def test_what_every_candidate_holds_is_read_from_no_zone() -> None:
    known = builders.inventory(builders.model(nodes=range(4)), labels=BY_NAME)
    decision = decide(POD, builders.facts(builders.policy(spec(f"zone: {A}")), inventory=known))
    assert terms(decision) == ([], [])
    assert f"zone {A} of weights: every candidate holds it, nothing is read from there" in told(decision)


def test_two_terms_by_value() -> None:
    """A hydrator reads S3 from another zone nearly as fast, so warmth counts for more."""
    policy = f"""
  images: {{placement: Prefer}}
  models:
    - name: weights
      source: {{value: {builders.MODEL}}}
      cache: nvme
      mountPath: /models
      placement: Prefer
      zone: {A}
      size: 700Gi
"""
    decision = decide(POD, builders.facts(builders.policy(policy), inventory=builders.inventory(labels=BY_NAME)))
    preferred, _ = terms(decision)
    assert [value for value, _ in preferred] == ["warm", "warm"]
    assert f"zone {A}: a pod gets 2 terms, others save more" in told(decision)


def test_a_zone_without_a_node_takes_no_term_from_warmth() -> None:
    volume = "[{volume: {name: v, emptyDir: {}}, mountPath: /v, zone: us-east-1c}]"
    policy = spec("zone: us-east-1d", images="Prefer", volumes=volume)
    preferred, _ = terms(decide(POD, facts(policy)))
    assert preferred == [("warm", 100), ("us-east-1c", 1)]


def test_two_zones_cannot_both_be_required() -> None:
    volume = f"[{{volume: {{name: v, emptyDir: {{}}}}, mountPath: /v, zone: {B}, zonePlacement: Require}}]"
    decision = decide(POD, facts(spec(REQUIRE, volumes=volume)))
    assert terms(decision) == ([], [A])
    assert f"zone {B} of volume v: another zone is required" in told(decision)


def test_a_zone_that_two_ask_for_is_one_term() -> None:
    volume = f"[{{volume: {{name: v, emptyDir: {{}}}}, mountPath: /v, zone: {A}, zonePlacement: Require}}]"
    decision = decide(POD, facts(spec(f"zone: {A}", volumes=volume)))
    assert terms(decision) == ([], [A])


def test_the_authors_own_preference_is_not_counted_as_ours() -> None:
    own = {"weight": 3, "preference": within(B)}
    pod = builders.edited(POD, affinity={"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [own]}})
    preferred, _ = terms(decide(pod, facts(spec(f"zone: {A}", images="Prefer"))))
    assert [value for value, _ in preferred] == [B, "warm", A]


def test_a_change_is_told_and_can_be_taken_back() -> None:
    volume = "[{volume: {name: v, emptyDir: {}}, mountPath: /v, zone: us-east-1c}]"
    own = builders.edited(POD, affinity=requiring(within(A, B)))
    decision = decide(own, facts(spec(REQUIRE, images="Prefer", volumes=volume)))
    assert decision.pod is not None
    told_changes = changes(own, decision.pod)
    assert (told_changes.preferred_zones, told_changes.required_zones) == ((), (A,))
    free = decide(POD, facts(spec(f"zone: {A}", volumes=volume)))
    assert free.pod is not None
    assert changes(POD, free.pod).text.startswith(f"prefers zone {A}, us-east-1c; ")
    assert "placement" in changes(POD, free.pod).parts
    for sent, after in ((own, decision.pod), (POD, free.pod)):
        assert f" zones={ZONE_NAME}:{A}" in after["metadata"]["annotations"][names.ANNOTATION_DECISION]
        assert recreated(after)["spec"].get("affinity") == sent["spec"].get("affinity")
        assert unwarmed(after)["spec"].get("affinity") == sent["spec"].get("affinity")


def test_an_annotation_of_somebody_elses_takes_nothing_back_but_what_it_names() -> None:
    pod = builders.edited(POD, affinity=requiring(within(A)))
    pod["metadata"]["annotations"][names.ANNOTATION_DECISION] = f"forged zones={ZONE_NAME}:{B},x,:"
    assert unwarmed(pod)["spec"]["affinity"] == requiring(within(A))
