"""QoS class and effective requests as the kubelet and the scheduler compute them."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest

from webhook.kube import Object
from webhook.kube.footprint import effective_requests, qos_class

FULL = {"cpu": "1", "memory": "1Gi"}


def asks(requests: Any = None, limits: Any = None, **more: Any) -> Object:
    return {"name": "c", "resources": {"requests": requests, "limits": limits}, **more}


def pod(*containers: Object, init: tuple[Object, ...] = (), **spec: Any) -> Object:
    return {"spec": {"containers": list(containers), "initContainers": list(init), **spec}}


@pytest.mark.parametrize(
    ("it", "expected"),
    [
        pytest.param({}, "BestEffort", id="no spec"),
        pytest.param(pod({"name": "c"}), "BestEffort", id="nothing asked"),
        pytest.param(
            pod(asks({"nvidia.com/gpu": "1"}, {"nvidia.com/gpu": "1"})), "BestEffort", id="devices do not count"
        ),
        pytest.param(pod(asks({"cpu": "0"}, {"memory": 0})), "BestEffort", id="zeros do not count"),
        pytest.param(pod(asks(FULL, FULL)), "Guaranteed", id="requests equal limits"),
        pytest.param(pod(asks({"cpu": "1000m", "memory": "1024Mi"}, FULL)), "Guaranteed", id="equal in other words"),
        pytest.param(pod(asks(None, FULL)), "Guaranteed", id="requests default to limits"),
        pytest.param(pod(asks(FULL, FULL), asks(None, FULL)), "Guaranteed", id="all containers"),
        pytest.param(pod(asks(FULL, FULL), {"name": "d"}), "Burstable", id="one container without"),
        pytest.param(pod(asks(FULL, FULL), init=({"name": "i"},)), "Burstable", id="an init container without"),
        pytest.param(pod(asks(FULL, FULL), init=(asks(FULL, FULL),)), "Guaranteed", id="init containers too"),
        pytest.param(pod(asks(FULL)), "Burstable", id="no limits"),
        pytest.param(pod(asks({"cpu": "1"}, {"cpu": "1"})), "Burstable", id="one resource only"),
        pytest.param(
            pod(asks({"cpu": "1", "memory": "1Gi"}, {"cpu": "2", "memory": "1Gi"})), "Burstable", id="a higher limit"
        ),
        pytest.param(pod(asks({"cpu": "0", "memory": "1Gi"}, FULL)), "Burstable", id="a request of zero is a request"),
        pytest.param(
            pod(
                asks({"cpu": 1, "memory": 2}, {"cpu": 2, "memory": 2}),
                asks({"cpu": 2, "memory": 2}, {"cpu": 1, "memory": 2}),
            ),
            "Guaranteed",
            id="only the sums are compared",
        ),
        pytest.param(pod({"name": "c"}, resources={"limits": FULL, "requests": FULL}), "Guaranteed", id="of the pod"),
        pytest.param(
            pod(asks(FULL, FULL), resources={"requests": {"cpu": "4"}}), "Burstable", id="of the pod comes first"
        ),
        pytest.param(
            pod(asks(FULL, FULL), ephemeralContainers=[{"name": "e"}]), "Guaranteed", id="ephemeral ones do not count"
        ),
    ],
)
def test_qos_class(it: Object, expected: str) -> None:
    assert qos_class(it) == expected


def cpu(amount: str) -> Object:
    return asks({"cpu": amount})


def sidecar(amount: str) -> Object:
    return asks({"cpu": amount}, restartPolicy="Always")


@pytest.mark.parametrize(
    ("it", "expected"),
    [
        pytest.param({}, {}, id="nothing"),
        pytest.param(pod(cpu("100m"), cpu("200m")), {"cpu": Fraction(3, 10)}, id="containers add up"),
        pytest.param(pod(cpu("1"), init=(cpu("2"), cpu("3"))), {"cpu": 3}, id="the largest init container"),
        pytest.param(pod(cpu("4"), init=(cpu("2"), cpu("3"))), {"cpu": 4}, id="the app is larger"),
        pytest.param(pod(cpu("1"), init=(sidecar("1"),)), {"cpu": 2}, id="a sidecar runs beside the app"),
        pytest.param(pod(cpu("1"), init=(sidecar("1"), cpu("5"))), {"cpu": 6}, id="a sidecar runs beside later ones"),
        pytest.param(pod(cpu("1"), init=(cpu("5"), sidecar("1"))), {"cpu": 5}, id="but not beside earlier ones"),
        pytest.param(pod(cpu("1"), init=(sidecar("1"), sidecar("2"), cpu("3"))), {"cpu": 6}, id="sidecars cumulate"),
        pytest.param(
            pod(asks({"cpu": "1"}), init=(asks({"memory": "1Gi"}),)),
            {"cpu": 1, "memory": 2**30},
            id="resource by resource",
        ),
        pytest.param(
            pod(asks({"cpu": "1"}, {"cpu": "2", "memory": "1Ki"})), {"cpu": 1, "memory": 1024}, id="limits fill in"
        ),
        pytest.param(pod(asks({"cpu": "0"}, {"cpu": "2"})), {}, id="a request of zero is one"),
        pytest.param(pod(cpu("1"), overhead={"cpu": "250m"}), {"cpu": Fraction(5, 4)}, id="overhead"),
        pytest.param(
            pod(asks({"cpu": "1", "nvidia.com/gpu": "2"}), resources={"requests": {"cpu": "8"}}),
            {"cpu": 8, "nvidia.com/gpu": 2},
            id="of the pod replaces",
        ),
        pytest.param(
            pod(cpu("1"), resources={"limits": {"cpu": "8", "memory": "1Ki"}}),
            {"cpu": 1, "memory": 1024},
            id="limits of the pod",
        ),
        pytest.param(
            pod(cpu("1"), resources={"requests": {"nvidia.com/gpu": "1", "hugepages-2Mi": "4Mi"}}),
            {"cpu": 1, "hugepages-2Mi": 2**22},
            id="only some resources are the pod's to ask",
        ),
        pytest.param(pod(cpu("junk"), cpu("1")), {"cpu": 1}, id="no quantity"),
    ],
)
def test_effective_requests(it: Object, expected: Any) -> None:
    assert effective_requests(it) == expected


def test_a_copy_of_an_app_container_in_front_costs_nothing() -> None:
    """What hydration rests on: the same resources once more, but earlier, change neither class nor requests."""
    app = asks(FULL, FULL)
    before = pod(app, asks(FULL, FULL), init=(cpu("100m"),))
    after = pod(app, asks(FULL, FULL), init=({**app, "name": "copy"}, cpu("100m")))
    assert (qos_class(after), effective_requests(after)) == (qos_class(before), effective_requests(before))
