"""No pod may run anywhere it could not run before: over manifests that people wrote, node by node."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import pytest
import yaml

from tests import builders, scheduler
from webhook.admission import admit
from webhook.admission.decision import Decision, Facts
from webhook.inventory.model import Inventory
from webhook.kube import Object, image, names
from webhook.kube import pod as pods
from webhook.kube.workload import pods_of

ROOT = Path(__file__).parents[2]
# Manifests that other people wrote; they lie beside the checkout where they lie at all.
CORPUS = sorted((ROOT.parent / "shared" / "corpus").glob("*.yaml"))
OWN = sorted([*ROOT.glob("policies/*/cases/*/input.yaml"), *ROOT.glob("webhook/cli/examples/*.yaml")])

POLICY = """
  acknowledge: [RequireBlocksScaleFromZero]
  images: {{placement: {placement}}}
  models:
    - name: fixed
      source: {{value: s3://acme-models/fixed/}}
      cache: nvme
      mountPath: /fixed
      placement: {placement}
"""
WAYS: dict[str, Object] = {
    "as written": {},
    "in a zone": {"nodeSelector": {"zone": "a"}},
    "tolerant": {"tolerations": [{"operator": "Exists"}]},
    "of two terms": {
        "affinity": {
            "nodeAffinity": {
                "requiredDuringSchedulingIgnoredDuringExecution": {
                    "nodeSelectorTerms": [
                        {"matchExpressions": [{"key": "zone", "operator": "NotIn", "values": ["a"]}]},
                        {"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["gpu-0"]}]},
                        {},
                    ]
                }
            }
        },
        "tolerations": [{"key": "gpu", "operator": "Exists"}],
    },
    "of no term": {
        "affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [{}]}}}
    },
}


def manifests() -> list[tuple[str, Object]]:
    found = []
    for path in (*OWN, *CORPUS):
        where = path.relative_to(ROOT).parent if path in OWN else path.stem
        for document in yaml.safe_load_all(path.read_text()):
            found += [(f"{where}:{one.path or one.kind}", one.pod) for one in pods_of(document)]
    return found


def stocked(pod: Object) -> Inventory:
    """The fleet, with each of the pod's images on other nodes: the first two, the two after them, and so on."""
    known = builders.fleet()
    held = dict.fromkeys(name for text in pods.images(pod) if (name := image.canonical(text)))
    images = [builders.image(name, (index % 7, index % 7 + 1)) for index, name in enumerate(held)]
    others = [each for each in known.artifacts if each.name not in held]
    return Inventory(
        id="stocked", nodes=known.nodes, artifacts=[*images, *others], labels=known.labels, taints=known.taints
    )


class Node(NamedTuple):
    """A node as the API server has it."""

    name: str
    labels: dict[str, str]
    taints: list[scheduler.Taint]


def nodes(inventory: Inventory) -> list[Node]:
    columns = [(key, value, mask) for key, column in (inventory.labels or {}).items() for value, mask in column.items()]
    columns += [(each.label, names.NODE_LABEL_WARM, each.labelled) for each in inventory.artifacts]
    return [
        Node(
            node.name,
            {key: value for key, value, mask in columns if mask >> index & 1},
            [(each.key, each.value, each.effect) for each in inventory.taints if each.mask >> index & 1],
        )
        for index, node in enumerate(inventory.nodes)
    ]


def review(pod: Object, facts: Facts) -> Decision:
    decision = admit(builders.request(pod), facts)
    assert decision.violations == ()
    assert decision.pod is not None
    return decision


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("placement", ["Prefer", "Require"])
@pytest.mark.parametrize("written", [pytest.param(pod, id=where) for where, pod in manifests()])
def test_a_pod_runs_nowhere_it_could_not_run_before(written: Object, placement: str, way: str) -> None:
    pod = builders.edited(written, **WAYS[way])
    inventory = stocked(pod)
    policy = builders.policy(POLICY.format(placement=placement))
    facts = builders.facts(policy, inventory=inventory)
    decision = review(pod, facts)
    after = decision.pod
    assert after is not None
    before = {node.name for node in nodes(inventory) if scheduler.allows(pod, *node)}
    now = {node.name for node in nodes(inventory) if scheduler.allows(after, *node)}
    assert now <= before
    if placement == "Prefer":
        assert now == before
    else:
        for label in required(after) - required(pod):
            bearing = {node.name for node in nodes(inventory) if label in node.labels}
            assert now <= bearing
    assert review(after, facts).patch == []
    assert (
        review(pod, builders.facts(builders.policy(POLICY.format(placement=placement)), inventory=stocked(pod)))
        == decision
    )


def required(pod: Object) -> set[str]:
    """Our labels that every term of the pod's required affinity names."""
    node = pod["spec"].get("affinity", {}).get("nodeAffinity", {})
    terms = node.get("requiredDuringSchedulingIgnoredDuringExecution", {}).get("nodeSelectorTerms", [])
    named = [{e["key"] for e in term.get("matchExpressions", ())} for term in terms if term]
    return {key for key in set().union(*named) if key.startswith(names.NODE_LABEL_PREFIX)}


def test_the_manifests_are_ones_that_placement_is_about() -> None:
    """Else the law above would hold for nothing being done."""
    placed = 0
    for _, written in manifests():
        pod = builders.edited(written, tolerations=[{"operator": "Exists"}])
        facts = builders.facts(builders.policy(POLICY.format(placement="Prefer")), inventory=stocked(pod))
        placed += review(pod, facts).seconds_saved > 0
    assert placed > 15
