"""Where a pod could run, by what is known of the nodes; and what rules out each warm node that could not run it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests import builders
from webhook.admission import admit
from webhook.admission.decision import Facts
from webhook.inventory.model import Inventory, NodeRoom, Taint
from webhook.kube import Object
from webhook.report.whereabouts import Whereabouts, whereabouts

ZONES = {"zone": {"a": 0b0011, "b": 0b1100}}
REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"


def facts(**fields: Any) -> Facts:
    made = builders.facts(builders.policy())
    return replace(made, inventory=builders.inventory(labels=ZONES, **fields), placement_usable=True)


def looked(pod: Object, given: Facts) -> Whereabouts:
    stored = admit(builders.request(pod), given).would_pod
    found = whereabouts(pod, stored or pod, "default", given)
    assert found is not None
    return found


def affinity(key: str, value: str) -> Object:
    term = {"matchExpressions": [{"key": key, "operator": "In", "values": [value]}]}
    return {"nodeAffinity": {REQUIRED: {"nodeSelectorTerms": [term]}}}


TAINTED = Taint("team", "ml", "NoSchedule", 0b0010)


@pytest.mark.parametrize(
    ("spec", "taints", "why"),
    [
        ({"nodeSelector": {"zone": "b"}}, (), "the pod's nodeSelector leaves it out"),
        ({"affinity": affinity("zone", "b")}, (), "the pod's required node affinity leaves it out"),
        ({}, (TAINTED,), "the pod does not tolerate its taint team=ml:NoSchedule"),
        ({}, (replace(TAINTED, value="", effect="NoExecute"),), "the pod does not tolerate its taint team:NoExecute"),
        ({"containers": [builders.container(gpus=9)]}, (), "it can give 8 nvidia.com/gpu, the pod asks for 9"),
    ],
    ids=["selector", "affinity", "taint", "taint-without-value", "amount"],
)
def test_what_rules_out_a_warm_node(spec: Object, taints: tuple[Taint, ...], why: str) -> None:
    found = looked(builders.edited(builders.gpu_pod(None), **spec), facts(taints=taints))
    image = found.artifacts[0]
    assert {one.node: one.why for one in image.passed}["gpu-1"] == why


@pytest.mark.parametrize(
    "spec",
    [
        {"tolerations": [{"key": "team", "operator": "Exists"}]},
        {"nodeSelector": {"zone": "a"}, "tolerations": [{"operator": "Exists"}]},
    ],
    ids=["tolerated", "selected"],
)
def test_a_node_that_could_run_it_is_not_passed_over(spec: Object) -> None:
    found = looked(builders.edited(builders.gpu_pod(None), **spec), facts(taints=(TAINTED,)))
    assert found.artifacts[0].warm == ("gpu-0", "gpu-1")
    assert found.artifacts[0].passed == ()


def test_counts_are_those_that_placement_goes_by() -> None:
    given = facts()
    pod = builders.gpu_pod()
    found = looked(pod, given)
    assert (found.nodes, found.able, found.roomy, found.allowed) == (4, 4, 4, None)
    assert [(one.kind, one.warm) for one in found.artifacts] == [
        ("image", ("gpu-0", "gpu-1")),
        ("model", ("gpu-1", "gpu-2")),
    ]
    (verdict,) = admit(builders.request(pod), given).policies
    assert "on 2 of 4 candidates" in verdict.reason


def test_labels_that_are_not_there_yet_are_counted() -> None:
    image = replace(builders.image(), unlabelled=0b01)
    given = replace(facts(), inventory=builders.inventory(image, labels=ZONES))
    assert looked(builders.gpu_pod(None), given).artifacts[0].unlabelled == 1


def test_small_images_and_our_own_are_no_reason_for_anything() -> None:
    given = replace(facts(), inventory=builders.inventory(builders.image(size=10_000_000), labels=ZONES))
    assert looked(builders.gpu_pod(None), given).artifacts == ()


@pytest.mark.parametrize(
    ("pod", "usable"), [(builders.pod(), True), (builders.gpu_pod(), False)], ids=["no-accelerator", "no-inventory"]
)
def test_where_nothing_can_be_said(pod: Object, usable: bool) -> None:
    assert whereabouts(pod, pod, "default", replace(facts(), placement_usable=usable)) is None


def test_many_warm_nodes_do_not_fill_a_screen() -> None:
    nodes = [NodeRoom(f"gpu-{index}", {builders.GPU: (1, 1)}) for index in range(100)]
    inventory = Inventory(id="x", nodes=nodes, artifacts=[builders.image(nodes=range(100))], labels={})
    pod = builders.edited(builders.gpu_pod(None), containers=[builders.container(gpus=2)])
    image = looked(pod, replace(facts(), inventory=inventory)).artifacts[0]
    assert (len(image.passed), image.more_passed) == (8, 92)


def test_a_model_that_is_an_image_is_looked_for_among_images() -> None:
    name = "ghcr.io/acme/llama:v1"
    text = builders.policy(
        f"""
  models:
    - name: weights
      source: {{value: "oci://{name}"}}
      mountPath: /models
"""
    )
    held = builders.inventory(
        builders.image(nodes=()), builders.image(name, nodes=(2,)), server="1.36", kubelets={"1.36": 0b1111}
    )
    found = looked(builders.gpu_pod(None), builders.facts(text, inventory=held))
    assert [(one.kind, one.name, one.warm) for one in found.artifacts][1:] == [("image", name, ("gpu-2",))]
