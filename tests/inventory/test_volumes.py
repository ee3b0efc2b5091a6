"""From where bound volumes can be reached, and what nodes say of their system and kubelet."""

from __future__ import annotations

from typing import Any

import pytest

from tests.inventory.api import EPOCH, in_zone, node, read, volume
from webhook.inventory import snapshot
from webhook.inventory.candidates import Demand
from webhook.inventory.cluster import Cluster
from webhook.inventory.objects import TYPES
from webhook.inventory.versions import minor

A, B = in_zone("a"), in_zone("b")
ZONE, BETA = "topology.kubernetes.io/zone", "failure-domain.beta.kubernetes.io/zone"
HOST = in_zone("n", key="kubernetes.io/hostname")
UNLABELLED = {
    "matchExpressions": [
        {"key": f"{domain}/{key}", "operator": "DoesNotExist"}
        for domain in ("topology.kubernetes.io", "failure-domain.beta.kubernetes.io")
        for key in ("zone", "region")
    ]
}


def cluster(*objects: Any) -> Cluster:
    found = Cluster()
    for resource in TYPES:
        found.replace(resource, [one for one in objects if type(one) is TYPES[resource]], EPOCH)
    return found


def volumes(of: Cluster) -> dict[str, Any]:
    return dict(of.inventory(EPOCH).volumes)


@pytest.mark.parametrize(
    ("fields", "terms"),
    [
        pytest.param({"terms": [A]}, (A,), id="of a zone"),
        pytest.param({"terms": [A, B]}, (A, B), id="of either of two"),
        pytest.param({"terms": None}, (), id="from anywhere"),
        pytest.param({"terms": None, "labels": {ZONE: "a"}}, (A, UNLABELLED), id="by its label"),
        pytest.param({"terms": None, "labels": {BETA: "a__b"}}, (in_zone("a", "b"), UNLABELLED), id="by an old label"),
        pytest.param({"terms": None, "labels": {BETA: "a", ZONE: "a"}}, (A, UNLABELLED), id="by both labels"),
        pytest.param({"terms": None, "labels": {"team": "x"}}, (), id="another label"),
        pytest.param(
            {"terms": [A, {}], "labels": {BETA: "b"}},
            ({"matchExpressions": [*A["matchExpressions"], *B["matchExpressions"]]}, {}),
            id="by both, and an empty term stays empty",
        ),
        pytest.param(
            {"terms": [HOST], "labels": {ZONE: "a"}},
            tuple({"matchExpressions": [*HOST["matchExpressions"], *x["matchExpressions"]]} for x in (A, UNLABELLED)),
            id="by a term of another key and a label",
        ),
    ],
)
def test_a_bound_volume_is_its_claims(fields: dict[str, Any], terms: Any) -> None:
    assert volumes(cluster(volume(**fields))) == {"team/data": terms}


@pytest.mark.parametrize(
    ("labels", "able"),
    [
        pytest.param({ZONE: "a"}, 0b0011, id="its zone"),
        pytest.param({BETA: "a"}, 0b0011, id="its zone as it was spelled"),
        pytest.param({BETA: "a__b"}, 0b0111, id="two zones"),
        pytest.param({"topology.kubernetes.io/region": "r"}, 0b1001, id="its region"),
    ],
)
def test_a_labelled_volume_is_reached_from_where_the_scheduler_says(labels: dict[str, str], able: int) -> None:
    """Kubernetes 1.36, volume_zone.go: nodes without any label of a zone or region are passed over by the plugin."""
    inventory = cluster(
        node("0"),
        node("1", labels={ZONE: "a"}),
        node("2", labels={ZONE: "b"}),
        node("3", labels={"topology.kubernetes.io/region": "r"}),
        volume(terms=None, labels=labels),
    ).inventory(EPOCH)
    assert inventory.candidates(Demand({}, {}, (), (), list(inventory.volumes.values()))).able == able


@pytest.mark.parametrize("phase", ["Available", "Released", "Pending", "Failed", ""])
def test_one_that_is_not_bound_is_nobodys(phase: str) -> None:
    assert volumes(cluster(volume(terms=[A], phase=phase))) == {}


@pytest.mark.parametrize("claim", ["/data", "team/", "/"])
def test_a_reference_without_a_name_is_none(claim: str) -> None:
    assert volumes(cluster(volume(terms=[A], claim=claim))) == {}


@pytest.mark.parametrize(
    "affinity", [{"required": None}, {"required": {}}, {"required": {"nodeSelectorTerms": None}}, {}, None], ids=str
)
def test_affinity_that_says_nothing_restricts_nothing(affinity: Any) -> None:
    content = {
        "metadata": {"name": "pv"},
        "spec": {"claimRef": {"namespace": "team", "name": "data"}, "nodeAffinity": affinity},
        "status": {"phase": "Bound"},
    }
    assert volumes(cluster(read("persistentvolumes", content))) == {"team/data": ()}


@pytest.mark.parametrize(
    "term",
    [
        {"matchExpressions": [{"key": ["topology.kubernetes.io/zone"], "operator": "In", "values": ["a"]}]},
        {"matchExpressions": [{"key": {}, "operator": "In", "values": [["a"]]}]},
        {"matchExpressions": [None, 1, "x"]},
        {"matchExpressions": 5},
        {"matchFields": "x"},
    ],
    ids=str,
)
@pytest.mark.parametrize("labels", [{}, {ZONE: "a"}], ids=["plain", "labelled"])
def test_odd_terms_of_a_dump_break_nothing(term: dict[str, Any], labels: dict[str, str]) -> None:
    inventory = cluster(node("0", labels={ZONE: "a"}), volume(terms=[term], labels=labels)).inventory(EPOCH)
    assert inventory.candidates(Demand({}, {}, (), (), [inventory.volumes["team/data"]])).able == 0
    assert snapshot.decode(snapshot.encode(inventory)).volumes == inventory.volumes


def test_volumes_come_go_and_are_bound_to_others() -> None:
    found = cluster(volume(terms=[A]))
    first = found.inventory(EPOCH)
    found.put("persistentvolumes", volume(terms=[A]), EPOCH)
    assert found.inventory(EPOCH).id == first.id
    found.put("persistentvolumes", volume(terms=[A], claim="team/other"), EPOCH)
    assert volumes(found) == {"team/other": (A,)}
    assert found.inventory(EPOCH).id != first.id
    found.put("persistentvolumes", volume(terms=[A], phase="Released"), EPOCH)
    assert volumes(found) == {}
    found.put("persistentvolumes", volume(terms=[B]), EPOCH)
    found.remove("persistentvolumes", volume(), EPOCH)
    assert volumes(found) == {}
    found.replace("persistentvolumes", [volume("x", terms=[B])], EPOCH)
    found.replace("persistentvolumes", [], EPOCH)
    assert volumes(found) == {}
    assert first.volumes == {"team/data": (A,)}, "what was handed out stays"


def test_two_volumes_of_one_claim_break_nothing() -> None:
    """The API server keeps them apart; what reaches us may be two moments of it."""
    one, other = volume("one", terms=[A]), volume("other", terms=[B])
    assert volumes(cluster(one, other)) == volumes(cluster(other, one)) == {"team/data": (B,)}


def test_volumes_of_one_zone_share_their_terms() -> None:
    found = volumes(cluster(volume("one", terms=[A], claim="team/1"), volume("two", terms=[A], claim="team/2")))
    assert found["team/1"] is found["team/2"]


def test_nodes_are_known_by_system_and_kubelet() -> None:
    found = cluster(
        node("a", os_image="Amazon Linux 2023.8.20250915", kubelet="v1.36.2-eks-1a2b3c4"),
        node("b", os_image="Bottlerocket OS 1.44.0 (aws-k8s-1.35-nvidia)", kubelet="v1.35.0"),
        node("c", os_image="Ubuntu 24.04", kubelet="nonsense"),
        node("d"),
        node("e", gpus=None, os_image="Amazon Linux 2023.8", kubelet="v1.36.0"),
    )
    found.serve("1.36")
    inventory = found.inventory(EPOCH)
    assert inventory.systems == {"al2023": 0b1, "bottlerocket": 0b10, "other": 0b100}
    assert (inventory.kubelets, inventory.server) == ({"1.36": 0b1, "1.35": 0b10}, "1.36")
    again = snapshot.decode(snapshot.encode(inventory))
    assert (again.systems, again.kubelets, again.server) == (inventory.systems, inventory.kubelets, inventory.server)


@pytest.mark.parametrize(
    ("version", "runtime", "told"),
    [
        ("v1.36.2-eks-1", "containerd://2.1.4", "1.36"),
        ("v1.36.2-eks-1", "containerd://2.0.5", "1.36 on containerd 2.0"),
        ("v1.35.0", "containerd://1.7.27+bottlerocket", "1.35 on containerd 1.7"),
        ("v1.35.0", "containerd://unknown", "1.35 on containerd"),
        ("v1.35.0", "cri-o://1.34.1", "1.35"),
        ("v1.35.0", "kwok-v0.8.0", "1.35"),
        ("v1.35.0", "other://1.0", "1.35"),
        ("", "containerd://1.7.27", ""),
    ],
)
def test_a_kubelet_is_named_with_a_runtime_that_mounts_no_images(version: str, runtime: str, told: str) -> None:
    found = cluster(node("a", kubelet=version, runtime=runtime)).inventory(EPOCH)
    assert found.kubelets == ({told: 1} if told else {})


def test_an_upgrade_is_seen() -> None:
    found = cluster(node(kubelet="v1.35.0", os_image="Amazon Linux 2023"))
    before = found.inventory(EPOCH)
    version = found.version
    found.put("nodes", node(kubelet="v1.36.0", os_image="Bottlerocket OS 1"), EPOCH)
    assert found.version > version
    now = found.inventory(EPOCH)
    assert (now.systems, now.kubelets) == ({"bottlerocket": 1}, {"1.36": 1})
    assert now.id != before.id
    found.serve("1.36")
    assert found.inventory(EPOCH).id != now.id
    assert (before.systems, before.kubelets, before.server) == ({"al2023": 1}, {"1.35": 1}, "")


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("v1.36.2-eks-1a2b3c4", "1.36"),
        ("v1.9.0", "1.9"),
        ("1.35+", "1.35"),
        ("v1.36", "1.36"),
        ("v1.036.1", "1.36"),
        ("", ""),
        ("v1", ""),
        ("1.x", ""),
        ("v1.99999", ""),
        ("9" * 5000, ""),
    ],
)
def test_minor_versions(text: str, version: str) -> None:
    assert minor(text) == version
