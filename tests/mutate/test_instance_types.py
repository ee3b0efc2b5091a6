"""Which instance types a pod may land on, by what it asks for: every label that EKS nodes bear, every operator."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests import builders, strategies
from webhook.ec2.instances import CLASSES
from webhook.kube import Object
from webhook.mutate.instance_types import network_of

TYPE = "node.kubernetes.io/instance-type"
FAMILY = "karpenter.k8s.aws/instance-family"
SIZE = "karpenter.k8s.aws/instance-size"
RATE = "karpenter.k8s.aws/instance-network-bandwidth"
NOWHERE = "the slowest network (the instance type is not known)"


def expression(key: str, operator: str, *values: str) -> Object:
    return {"key": key, "operator": operator, "values": list(values)}


def pod(selector: Object | None, *terms: list[Object]) -> Object:
    required = {"nodeSelectorTerms": [{"matchExpressions": term} for term in terms]}
    node = {"requiredDuringSchedulingIgnoredDuringExecution": required} if terms else {}
    return builders.edited(builders.gpu_pod(), nodeSelector=selector, affinity={"nodeAffinity": node})


@pytest.mark.parametrize(
    ("asking", "gbps", "told"),
    [
        pytest.param(pod({TYPE: "g6.48xlarge"}), 100, "g6.48xlarge (the pod asks for it), 100 Gb/s to S3", id="type"),
        pytest.param(
            pod({"beta.kubernetes.io/instance-type": "p5.48xlarge"}), 100, "p5.48xlarge (the pod", id="old label"
        ),
        pytest.param(pod({FAMILY: "p5en"}), 200, "p5en.48xlarge (the pod asks for it), 200 Gb/s", id="family"),
        pytest.param(
            pod({"eks.amazonaws.com/instance-family": "p5en"}), 200, "p5en.48xlarge (the pod", id="EKS Auto Mode"
        ),
        pytest.param(
            pod({FAMILY: "g6e"}), 25, "g6e.xlarge (the slowest of 8 that the pod asks for), 2.5 Gb/s", id="all sizes"
        ),
        pytest.param(pod({FAMILY: "g6e", SIZE: "48xlarge"}), 100, "g6e.48xlarge (the pod", id="family and size"),
        pytest.param(
            pod({FAMILY: "g6e"}, [expression("karpenter.k8s.aws/instance-gpu-count", "Gt", "3")]),
            100,
            "g6e.12xlarge (the slowest of 3 that the pod",
            id="number of GPUs",
        ),
        pytest.param(
            pod(None, [expression(TYPE, "In", "p5.48xlarge", "g5.24xlarge")]),
            50,
            "g5.24xlarge (the slowest of 2 that the pod",
            id="one of two",
        ),
        pytest.param(
            pod(None, [expression(FAMILY, "In", "p5")], [expression(TYPE, "In", "g5.48xlarge")]),
            100,
            "g5.48xlarge (the slowest of 3 that the pod",
            id="terms are alternatives",
        ),
        pytest.param(
            pod({TYPE: "p5.48xlarge"}, [expression(TYPE, "In", "p5.48xlarge", "g5.xlarge")]),
            100,
            "p5.48xlarge (the pod",
            id="selector and term",
        ),
        pytest.param(
            pod(None, [expression(RATE, "Gt", "99999")]),
            50,
            "trn2.3xlarge (the slowest of 30 that the pod asks for), 50 Gb/s",
            id="by the label, which counts EFA",
        ),
        pytest.param(
            pod(None, [expression(FAMILY, "In", "p5"), expression(SIZE, "NotIn", "4xlarge")]),
            100,
            "p5.48xlarge (the pod",
            id="not one size",
        ),
        pytest.param(
            pod(None, [expression(FAMILY, "In", "g5", "g5g"), expression("kubernetes.io/arch", "In", "arm64")]),
            25,
            "g5g.xlarge (the slowest of 6 that the pod",
            id="architecture",
        ),
        pytest.param(
            pod(None, [expression(FAMILY, "In", "g5g", "g6"), expression(f"{FAMILY[:-6]}local-nvme", "Exists")]),
            25,
            "g6.xlarge (the slowest of 8 that the pod",
            id="with local disks",
        ),
        pytest.param(
            pod(None, [expression(FAMILY, "In", "inf2", "g6"), expression(f"{FAMILY[:-6]}gpu-name", "DoesNotExist")]),
            25,
            "inf2.xlarge (the slowest of 4 that the pod",
            id="no GPU",
        ),
        pytest.param(pod({TYPE: "x9.large"}), 25, "the slowest network (x9.large is not known)", id="a new type"),
        pytest.param(
            pod(None, [expression(TYPE, "In", "p5.48xlarge", *(f"x{n}.large" for n in range(5)))]),
            25,
            "the slowest network (x0.large, x1.large, x2.large and 2 more are not known)",
            id="new types",
        ),
    ],
)
def test_what_the_pod_asks_for(asking: Object, gbps: int, told: str) -> None:
    found = network_of(asking, 0, None)
    assert found.gbps == gbps
    assert found.told.startswith(told)


@pytest.mark.parametrize(
    "asking",
    [
        pytest.param(pod(None), id="nothing"),
        pytest.param(pod({"kubernetes.io/arch": "arm64"}), id="an architecture is no type"),
        pytest.param(pod({"karpenter.k8s.aws/instance-gpu-count": "8"}), id="nor is a number of GPUs"),
        pytest.param(pod({FAMILY: "x9"}), id="a family nobody knows"),
        pytest.param(pod({FAMILY: "p5", SIZE: "2xlarge"}), id="a size that there is not"),
        pytest.param(
            pod(None, [expression(FAMILY, "In", "p5")], [expression("zone", "In", "a")]), id="one way is open"
        ),
        pytest.param(pod(None, [expression(TYPE, "NotIn", "g5.xlarge")]), id="all but one"),
        pytest.param(pod(None, [expression(TYPE, "In", *(f"x{n}" for n in range(5)))] * 300), id="too long"),
        pytest.param(pod(None, [{"key": TYPE, "operator": "In", "values": "p5.48xlarge"}]), id="no list"),
        pytest.param(pod(None, [{"key": 7, "operator": "In", "values": [None]}]), id="no key"),
    ],
)
def test_where_the_pod_says_nothing_the_nodes_do(asking: Object) -> None:
    assert network_of(asking, 0, None) == (25, NOWHERE)
    assert network_of(asking, 0b10, {TYPE: {"g5.xlarge": 0b1, "p5.48xlarge": 0b10}}).gbps == 100
    assert network_of(asking, 0b11, {TYPE: {"g5.xlarge": 0b1, "p5.48xlarge": 0b10}}).gbps == 25


def test_nodes_that_do_not_say_their_type_may_be_any() -> None:
    assert network_of(pod(None), 0b111, {TYPE: {"p5.48xlarge": 0b11}}) == (25, NOWHERE)


@given(strategies.broken_pods() | strategies.sound_pods(), st.integers(0, 15))
def test_any_pod_gets_a_class(asking: Any, able: int) -> None:
    found = network_of(asking, able, {TYPE: {"p5.48xlarge": 0b11, "x": 0b100}})
    assert found.gbps in CLASSES
    assert found.told
