"""Where a pod is sent, and what is said of it: the edges of placement, through the function that answers reviews."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests import builders
from webhook.admission import admit
from webhook.admission.decision import Decision, Facts
from webhook.inventory.model import Artifact, Inventory, NodeRoom, Taint
from webhook.kube import Object, names

ACKNOWLEDGED = "  acknowledge: [RequireBlocksScaleFromZero]\n"
NAME = builders.CANONICAL_IMAGE


def spec(images: str = "Prefer", models: str = "Off", cache: str = "nvme") -> str:
    return f"""{ACKNOWLEDGED}  images: {{placement: {images}}}
  models:
    - name: weights
      source: {{value: {builders.MODEL}}}
      cache: {cache}
      mountPath: /models
      placement: {models}
"""


def facts(*artifacts: Artifact, policy: str | None = None, **fields: Any) -> Facts:
    text = builders.policy(spec() if policy is None else policy) + (
        builders.SHARED_CACHE if "shared" in (policy or "") else ""
    )
    return builders.facts(text, inventory=builders.inventory(*artifacts, **fields))


def decide(sent: Object, given: Facts) -> Decision:
    decision = admit(builders.request(sent), given)
    assert decision.violations == ()
    assert decision.pod is not None
    assert admit(builders.request(decision.pod), given).patch == []
    return decision


def reason(decision: Decision) -> str:
    told = decision.policies[0].reason
    return "; ".join(part for part in told.split("; ") if not part.startswith("hydrates"))


def preferred(decision: Decision) -> list[tuple[str, int]]:
    """Our labels that the pod prefers, with their weights."""
    assert decision.pod is not None
    node = (decision.pod["spec"].get("affinity") or {}).get("nodeAffinity") or {}
    terms = node.get("preferredDuringSchedulingIgnoredDuringExecution") or []
    return [(term["preference"]["matchExpressions"][0]["key"], term["weight"]) for term in terms]


def required(decision: Decision) -> list[str]:
    assert decision.pod is not None
    node = (decision.pod["spec"].get("affinity") or {}).get("nodeAffinity") or {}
    terms = (node.get("requiredDuringSchedulingIgnoredDuringExecution") or {}).get("nodeSelectorTerms") or []
    return [expression["key"] for term in terms for expression in term["matchExpressions"]]


ZONES = {"zone": {"a": 0b0011, "b": 0b1100}}
TAINTED = (Taint("dedicated", "train", "NoSchedule", 0b0001),)


@pytest.mark.parametrize(
    ("pod", "told"),
    [
        pytest.param({}, "on 2 of 3 candidates, 2 with room, 128 s saved", id="a taint rules out a node"),
        pytest.param(
            {"tolerations": [{"operator": "Exists"}]},
            "on 3 of 4 candidates, 3 with room, 128 s saved",
            id="tolerated",
        ),
        pytest.param({"nodeSelector": {"zone": "a"}}, "every candidate holds it", id="a zone that is warm"),
        pytest.param({"nodeSelector": {"zone": "c"}}, "no node is known that this pod could run on", id="no zone"),
        pytest.param(
            {"nodeSelector": {"zone": "b"}}, "on 1 of 2 candidates, 1 with room, 128 s saved", id="a zone half warm"
        ),
    ],
)
def test_candidates_are_the_nodes_that_the_pod_may_run_on(pod: Object, told: str) -> None:
    known = facts(builders.image(nodes=(0, 1, 2)), labels=ZONES, taints=TAINTED)
    decision = decide(builders.edited(builders.gpu_pod(), **pod), known)
    assert reason(decision).endswith(told)
    assert bool(preferred(decision)) == ("saved" in told)


def test_a_cold_zone_is_told_from_an_image_that_nobody_has() -> None:
    known = facts(builders.image(nodes=(0, 1)), labels=ZONES)
    cold = decide(builders.edited(builders.gpu_pod(), nodeSelector={"zone": "b"}), known)
    assert reason(cold) == "image: none of 2 candidates holds it"
    unknown = decide(builders.gpu_pod(image="other:1"), known)
    assert reason(unknown) == "image: no node is known to hold it (images under 1 GiB are not tracked)"


@pytest.mark.parametrize(
    ("least", "told"),
    [(2**30, "under 1 GiB are"), (500 * 2**20, "under 500 MiB are"), (5 * 2**30, "under 5 GiB are"), (0, "hold it")],
    ids=["a GiB", "less", "more", "all"],
)
def test_what_is_not_tracked_is_said_with_its_size(least: int, told: str) -> None:
    given = facts(builders.model())
    decision = decide(builders.gpu_pod(), replace(given, settings=builders.settings(image_min_bytes=least)))
    assert told in reason(decision)


def test_nodes_too_small_for_the_pod_are_no_candidates() -> None:
    rooms = [NodeRoom("one", {builders.GPU: (1, 1)}), NodeRoom("full", {builders.GPU: (8, 3)})]
    rooms.append(NodeRoom("free", {builders.GPU: (8, 8)}))
    given = builders.facts(
        builders.policy(spec()), inventory=Inventory(id="x", nodes=rooms, artifacts=[builders.image(nodes=(0, 1))])
    )
    four = builders.pod(builders.container(gpus=4))
    assert reason(decide(four, given)) == (
        f"prefers nodes that hold {NAME}: on 1 of 2 candidates, 0 with room, 128 s saved"
    )
    sixteen = builders.pod(builders.container(gpus=16))
    assert reason(decide(sixteen, given)) == "image: no node is known that this pod could run on"


def test_only_nodes_that_bear_the_label_count() -> None:
    """It is all that the scheduler can see: a term for an unlabelled node would send pods to none."""
    half = replace(builders.image(nodes=(0, 1)), unlabelled=0b10)
    assert "on 1 of 4 candidates" in reason(decide(builders.gpu_pod(), facts(half)))
    none = replace(half, unlabelled=0b11)
    for wanted in ("Prefer", "Require"):
        decision = decide(builders.gpu_pod(), facts(none, policy=spec(wanted)))
        assert reason(decision) == "image: the nodes that hold it do not bear its label yet"
        assert (preferred(decision), required(decision)) == ([], [])
    everywhere = replace(builders.image(nodes=range(4)), unlabelled=0b1000)
    assert "on 3 of 4 candidates" in reason(decide(builders.gpu_pod(), facts(everywhere)))


def test_a_model_restored_from_its_label_has_no_size_yet() -> None:
    restored = replace(builders.model(nodes=(1,)), name="", tenant="", bytes=0)
    decision = decide(builders.gpu_pod(), facts(builders.image(), restored, policy=spec(models="Prefer")))
    image = builders.image().label
    assert preferred(decision) == [(image, 100), (names.model_label(builders.MODEL, "default"), 1)]
    assert (
        f"prefers nodes that hold {builders.MODEL}: on 1 of 4 candidates, 1 with room, its size is not known yet"
    ) in reason(decision)
    alone = decide(builders.gpu_pod(), facts(restored, policy=spec("Off", "Prefer")))
    assert preferred(alone) == [(names.model_label(builders.MODEL, "default"), 1)]
    assert alone.seconds_saved == 0


@pytest.mark.parametrize(
    ("tenants", "chosen"),
    [
        pytest.param({"": (0,)}, "", id="everyone's"),
        pytest.param({"": (0,), "default": (1,)}, "", id="everyone's before the namespace's"),
        pytest.param({"default": (1,)}, "default", id="the namespace's where there is no other"),
        pytest.param({"other": (1,)}, None, id="another namespace's is not ours"),
        pytest.param({"": (), "default": (1,)}, "default", id="everyone's on no node"),
    ],
)
def test_a_cache_of_everyone(tenants: dict[str, tuple[int, ...]], chosen: str | None) -> None:
    held = [builders.model(nodes=nodes, tenant=tenant) for tenant, nodes in tenants.items()]
    decision = decide(builders.gpu_pod(), facts(*held, policy=spec("Off", "Prefer", cache="shared")))
    wanted = [] if chosen is None else [(names.model_label(builders.MODEL, chosen), 100)]
    assert preferred(decision) == wanted
    own = decide(builders.gpu_pod(), facts(*held, policy=spec("Off", "Prefer")))
    assert preferred(own) == ([(names.model_label(builders.MODEL, "default"), 100)] if "default" in tenants else [])


def test_require_narrows_to_labelled_nodes_and_a_second_review_finds_its_own_terms() -> None:
    """The pod's required terms name our label then: its candidates are the warm nodes, and nothing is left to add."""
    known = facts(
        builders.image(nodes=(0, 1)), builders.model(nodes=(1, 2)), policy=spec("Require", "Prefer"), labels=ZONES
    )
    decision = decide(builders.gpu_pod(), known)
    assert required(decision) == [builders.image().label]
    assert preferred(decision) == [(builders.model().label, 100)]
    assert f"requires nodes that hold {NAME}: on 2 of 4 candidates, 2 with room, 128 s saved" in reason(decision)
    assert decision.pod is not None
    again = admit(builders.request(decision.pod), known)
    assert reason(again) == (
        f"already requires nodes that hold {NAME}; already prefers nodes that hold {builders.MODEL}"
    )
    assert again.seconds_saved == 0


def test_terms_of_an_earlier_review_stay_when_the_nodes_have_changed() -> None:
    first = decide(builders.gpu_pod(), facts(builders.image(nodes=(0,))))
    assert first.pod is not None
    for nodes in ((), (0, 1, 2, 3), (2,)):
        later = admit(builders.request(first.pod), facts(builders.image(nodes=nodes), labels=ZONES))
        assert (later.patch, later.violations) == ([], ())


def test_a_pod_that_names_our_label_itself_is_understood() -> None:
    expression = {"key": builders.image().label, "operator": "DoesNotExist"}
    terms = {"nodeSelectorTerms": [{"matchExpressions": [expression]}]}
    affinity = {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": terms}}
    cold = builders.edited(builders.gpu_pod(), affinity=affinity)
    assert (
        reason(decide(cold, facts(builders.image(nodes=(0, 1)), labels=ZONES)))
        == "image: none of 2 candidates holds it"
    )


@pytest.mark.parametrize(
    ("rooms", "told"),
    [
        ([{}, {}], "every candidate holds it"),
        ([{"gpu.nvidia.com": (8, 2)}, {}], "every candidate holds it"),
        ([{"gpu.nvidia.com": (8, 0)}, {"gpu.nvidia.com": (8, 8)}], "on 1 of 2 candidates, 0 with room, 128 s saved"),
        ([{}, {"gpu.nvidia.com": (8, 8)}], "none of 1 candidates holds it"),
    ],
    ids=["no driver", "one node has the driver", "both have it", "the cold one has it"],
)
def test_devices_that_a_claim_names(rooms: list[dict[str, tuple[int, int]]], told: str) -> None:
    container = builders.container(gpus=0)
    container["resources"]["claims"] = [{"name": "gpu"}]
    claims = [{"name": "gpu", "resourceClaimTemplateName": "one-gpu"}]
    sent = builders.edited(builders.pod(container), resourceClaims=claims)
    held = builders.image(nodes=(0, 1) if told == "every candidate holds it" and not any(rooms) else (0,))
    inventory = Inventory(
        id="x",
        nodes=[NodeRoom(f"n{index}", room) for index, room in enumerate(rooms)],
        artifacts=[held],
        claims={"default/one-gpu": ("gpu.nvidia.com",)},
    )
    decision = decide(sent, builders.facts(builders.policy(spec()), inventory=inventory))
    assert reason(decision).endswith(told)


def test_weights_are_by_what_is_saved() -> None:
    decision = decide(builders.gpu_pod(), facts(policy=spec(models="Prefer")))
    assert preferred(decision) == [(builders.image().label, 100), (builders.model().label, 31)]
    slow = builders.settings(image_bytes_per_second=2e9)
    faster = decide(builders.gpu_pod(), replace(facts(policy=spec(models="Prefer")), settings=slow))
    assert preferred(faster) == [(builders.model().label, 100), (builders.image().label, 11)]
