"""What nodes have in common: the slowest network, accelerators of a container, and which nodes count at all."""

from __future__ import annotations

from typing import Any

import pytest

from tests import builders
from webhook.admission import nodes
from webhook.admission.scene import Scene
from webhook.ec2.instances import instance
from webhook.kube import Object, names

TYPE = "node.kubernetes.io/instance-type"
BANDWIDTH = "karpenter.k8s.aws/instance-network-bandwidth"


def rate(name: str) -> float:
    found = instance(name)
    assert found is not None
    return found.s3 * 1e9 / 8


@pytest.mark.parametrize(
    ("labels", "able", "expected"),
    [
        pytest.param(None, 0b11, 0.0, id="labels not known"),
        pytest.param({}, 0b11, 0.0, id="no label"),
        pytest.param({TYPE: {"g5.xlarge": 0b01, "g6e.12xlarge": 0b10}}, 0b11, rate("g5.xlarge"), id="the slowest"),
        pytest.param(
            {TYPE: {"g5.xlarge": 0b01, "g6e.12xlarge": 0b10}}, 0b10, rate("g6e.12xlarge"), id="of these nodes"
        ),
        pytest.param({TYPE: {"x9.huge": 0b11}}, 0b11, 0.0, id="a type nobody knows"),
        pytest.param({BANDWIDTH: {"5000": 0b01, "100000": 0b10}}, 0b11, 625e6, id="Karpenter's label"),
        pytest.param(
            {TYPE: {"g6e.12xlarge": 0b01}, BANDWIDTH: {"100000": 0b11}}, 0b01, rate("g6e.12xlarge"), id="the type first"
        ),
        pytest.param({BANDWIDTH: {"fast": 0b01, "-5": 0b10, "٣": 0b100, "": 0b1000}}, 0b1111, 0.0, id="no numbers"),
        pytest.param({BANDWIDTH: {"9" * 400: 0b01}}, 0b01, 999_999_999e6 / 8, id="a number without end"),
    ],
)
def test_network(labels: dict[str, dict[str, int]] | None, able: int, expected: float) -> None:
    assert nodes.machine(able, labels).network == pytest.approx(expected)


@pytest.mark.parametrize(
    ("labels", "able", "expected"),
    [
        pytest.param(None, 0b11, 0, id="labels not known"),
        pytest.param({TYPE: {"g6e.12xlarge": 0b01, "p5.48xlarge": 0b10}}, 0b11, 2, id="the least"),
        pytest.param({TYPE: {"g6e.12xlarge": 0b01, "p5.48xlarge": 0b10}}, 0b10, 8, id="of these nodes"),
        pytest.param({TYPE: {"p5.48xlarge": 0b01, "x9.huge": 0b10}}, 0b11, 0, id="one of a type nobody knows"),
    ],
)
def test_disks(labels: dict[str, dict[str, int]] | None, able: int, expected: int) -> None:
    assert nodes.machine(able, labels).disks == expected


@pytest.mark.parametrize(
    ("resources", "expected"),
    [
        pytest.param({"limits": {"cpu": "8"}, "requests": {"cpu": "4"}}, 8.0, id="limit"),
        pytest.param({"requests": {"cpu": "1500m"}}, 1.5, id="request"),
        pytest.param({"limits": {"cpu": "much"}, "requests": {"cpu": 2}}, 2.0, id="what can be read"),
        pytest.param({"limits": {"cpu": "-3"}}, 0.0, id="below zero"),
        pytest.param({"limits": [], "requests": None}, 0.0, id="of wrong types"),
        pytest.param(None, 0.0, id="none"),
    ],
)
def test_cpus(resources: Any, expected: float) -> None:
    assert nodes.cpus({"name": "c", "resources": resources}) == expected


@pytest.mark.parametrize(
    ("resources", "expected"),
    [
        pytest.param({"limits": {builders.GPU: "8"}}, 8, id="text"),
        pytest.param({"limits": {builders.GPU: 4}}, 4, id="a number"),
        pytest.param({"requests": {builders.GPU: "8"}}, 1, id="no limit, as the API server never lets be"),
        pytest.param({"limits": {"cpu": "8"}}, 1, id="none"),
        pytest.param({"limits": {builders.GPU: "many"}}, 1, id="words"),
        pytest.param({"limits": {builders.GPU: ["8"]}}, 1, id="a list"),
        pytest.param({"limits": None}, 1, id="null"),
        pytest.param(None, 1, id="nothing"),
    ],
)
def test_devices(resources: Any, expected: int) -> None:
    assert nodes.devices({"name": "c", "resources": resources}, frozenset({builders.GPU})) == expected


ZONE = {"key": "topology.kubernetes.io/zone", "operator": "In", "values": ["a"]}
WARM = {"key": names.image_label(builders.CANONICAL_IMAGE), "operator": "In", "values": [names.NODE_LABEL_WARM]}
POOL = {"key": "pool", "operator": "In", "values": ["new"]}
FIELD = {"key": "metadata.name", "operator": "In", "values": ["gpu-3"]}


@pytest.mark.parametrize(
    ("terms", "expected"),
    [
        pytest.param([], 0b1111, id="no term"),
        pytest.param([{"matchExpressions": [POOL]}], 0b0011, id="the author's"),
        pytest.param([{"matchExpressions": [POOL, WARM, ZONE]}], 0b0011, id="the author's, narrowed by ours"),
        pytest.param([{"matchExpressions": [WARM]}], 0b1111, id="ours alone"),
        pytest.param([{"matchExpressions": [POOL]}, {"matchExpressions": [ZONE]}], 0b1111, id="or any in a zone"),
        pytest.param([{"matchExpressions": [ZONE], "matchFields": [FIELD]}], 0b1000, id="a node in a zone"),
        pytest.param([{}], 0, id="a term that selects nothing"),
    ],
)
def test_nodes_that_count_whatever_we_add(terms: list[Object], expected: int) -> None:
    inventory = builders.inventory(labels={"pool": {"new": 0b0011}, ZONE["key"]: {"a": 0b0101}})
    required = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}
    sent = builders.edited(builders.gpu_pod(), affinity={"nodeAffinity": required if terms else {}})
    scene = Scene(builders.request(sent), sent, builders.facts(inventory=inventory))
    assert nodes.lasting(scene, None).able == expected
