"""Zones with the real scheduler, the real volume controller, and a controller that watches volumes."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.cluster import pods
from webhook.kube import Object
from webhook.sandbox.sandbox import Sandbox

pytestmark = pytest.mark.cluster

ZONE = "topology.kubernetes.io/zone"
HERE, THERE = "us-west-2b", "us-west-2a"
"""The zone that the policies name, and the other one."""
INSIDE, OUTSIDE = {"gpu-2", "gpu-4"}, {"gpu-1", "gpu-3"}


def sent(name: str, app: str, image: str = pods.OTHER_IMAGE, **spec: object) -> Object:
    containers = [pods.container(image=image)]
    return pods.pod(name, model=None, labels={"app": app}, **{"containers": containers, **spec})


def zones(terms: list[Object]) -> list[str]:
    expressions = [one for term in terms for one in (term.get("preference") or term)["matchExpressions"]]
    return [value for one in expressions if one["key"] == ZONE for value in one["values"]]


@pytest.fixture(scope="module")
def claim(box: Sandbox, namespace: str) -> Iterator[str]:
    """A claim that is bound to a volume of the other zone; its name."""
    name = f"{namespace}-away"
    volume = {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": name},
        "spec": {
            "capacity": {"storage": "1Gi"},
            "accessModes": ["ReadWriteOnce"],
            "storageClassName": "",
            "csi": {"driver": "ebs.csi.aws.com", "volumeHandle": "vol-0123456789abcdef0"},
            "claimRef": {"namespace": namespace, "name": "away"},
            "nodeAffinity": {
                "required": {
                    "nodeSelectorTerms": [{"matchExpressions": [{"key": ZONE, "operator": "In", "values": [THERE]}]}]
                }
            },
        },
    }
    asked = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": "away"},
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "storageClassName": "",
            "volumeName": name,
            "resources": {"requests": {"storage": "1Gi"}},
        },
    }
    path = f"/api/v1/persistentvolumes/{name}"
    box.api.call("POST", "/api/v1/persistentvolumes", volume)
    box.api.call("POST", f"/api/v1/namespaces/{namespace}/persistentvolumeclaims", asked)
    pods.eventually(lambda: box.api.call("GET", path)["status"].get("phase") == "Bound", "bound volume")
    box.take_stock()
    yield "away"
    box.api.call("DELETE", path)


@pytest.mark.parametrize("app", ["near", "bound"])
def test_a_pod_comes_to_the_zone(box: Sandbox, namespace: str, app: str) -> None:
    stored = pods.create(box, namespace, sent(f"{app}-free", app))
    terms = pods.preferred(stored) if app == "near" else pods.required(stored)
    assert zones(terms) == [HERE]
    assert pods.scheduled(box, namespace, f"{app}-free") in INSIDE


def test_warmth_and_zone_together_name_one_node(box: Sandbox, namespace: str) -> None:
    stored = pods.create(box, namespace, sent("near-warm", "near", pods.IMAGE, **pods.NOBODY))
    assert len(pods.preferred(stored)) == 2
    assert zones(pods.preferred(stored)) == [HERE]


@pytest.mark.parametrize("app", ["near", "bound"])
def test_a_volume_of_another_zone_has_its_way(box: Sandbox, namespace: str, claim: str, app: str) -> None:
    """Were the zone required, the pod would never start."""
    volumes = [{"name": "own", "persistentVolumeClaim": {"claimName": claim}}]
    stored = pods.create(box, namespace, sent(f"{app}-away", app, volumes=volumes))
    assert zones([*pods.preferred(stored), *pods.required(stored)]) == []
    assert pods.scheduled(box, namespace, f"{app}-away") in OUTSIDE


def test_a_claim_that_is_not_bound_yet_makes_the_zone_a_preference(box: Sandbox, namespace: str) -> None:
    volumes = [{"name": "own", "persistentVolumeClaim": {"claimName": "unknown"}}]
    stored = pods.create(box, namespace, sent("bound-unknown", "bound", volumes=volumes), dryRun="All")
    assert (zones(pods.preferred(stored)), pods.required(stored)) == ([HERE], [])
