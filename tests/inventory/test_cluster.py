"""Nodes, rooms, labels, placements: what else the accumulator tells."""

from __future__ import annotations

from typing import Any

import pytest

from tests.inventory.api import EPOCH, GIB, GPU, image, namespace, node, pod, ran, read, said
from tests.inventory.test_fold import claim, offered
from webhook.inventory import snapshot
from webhook.inventory.cluster import Cluster, Rules
from webhook.inventory.nodes import LEAVING
from webhook.inventory.objects import TYPES
from webhook.kube import names

VLLM = "docker.io/vllm/vllm:1"
LABEL = names.image_label(VLLM)
DRIVER = "gpu.nvidia.com"


def cluster(*objects: Any, **rules: Any) -> Cluster:
    found = Cluster(Rules(**rules))
    for resource in TYPES:
        those = [each for each in objects if type(each).__name__.lower() + "s" == resource]
        found.replace(resource, those, EPOCH)
    return found


def warm(of: Cluster) -> list[str]:
    inventory = of.inventory(EPOCH)
    artifact = inventory.image(VLLM)
    return [inventory.nodes[index].name for index in artifact.nodes] if artifact else []


def room(of: Cluster, name: str = "n") -> dict[str, tuple[int, int]]:
    (found,) = [each for each in of.inventory(EPOCH).nodes if each.name == name]
    return dict(found.accelerators)


class TestNodesThatTakeNoPods:
    @pytest.mark.parametrize(
        "trouble",
        [
            pytest.param({"ready": False}, id="not ready"),
            pytest.param({"cordoned": True}, id="cordoned"),
            pytest.param({"deleting": True}, id="being deleted"),
            *(
                pytest.param({"taints": [(key + "spot-itn" * key.endswith("/"), "", "NoSchedule")]}, id=key)
                for key in LEAVING
            ),
        ],
    )
    def test_are_not_warm_and_are_again_when_they_recover(self, trouble: dict[str, Any]) -> None:
        reported = pod(reports=[said(1, ("s3://b/p/",))])
        found = cluster(node(images=[image(VLLM)], **trouble), reported)
        assert found.inventory(EPOCH).artifacts == ()
        assert [each.name for each in found.inventory(EPOCH).nodes] == ["n"]
        found.put("nodes", node(images=[image(VLLM)]), EPOCH)
        assert warm(found) == ["n"]
        assert found.inventory(EPOCH).model("s3://b/p/", "team") is not None

    def test_keep_their_labels_which_say_what_they_hold(self) -> None:
        found = cluster(node(images=[image(VLLM)]))
        planned = found.planned("n")
        assert LABEL in planned
        found.put("nodes", node(images=[image(VLLM)], ready=False), EPOCH)
        assert found.planned("n") == planned

    @pytest.mark.parametrize(
        "key", ["nvidia.com/gpu", "DeletionCandidateOfClusterAutoscaler", "karpenter.sh/disruptedx"]
    )
    def test_are_not_those_with_other_taints(self, key: str) -> None:
        assert warm(cluster(node(images=[image(VLLM)], taints=[(key, "", "NoSchedule")]))) == ["n"]

    def test_include_one_that_says_nothing_of_itself(self) -> None:
        silent = read("nodes", {"metadata": {"name": "n"}, "status": {"allocatable": {GPU: "8"}}})
        assert cluster(silent).inventory(EPOCH).artifacts == ()


class TestScope:
    def test_nodes_without_accelerators_are_left_out_and_unlabelled(self) -> None:
        found = cluster(node(images=[image(VLLM)], gpus=None))
        assert found.inventory(EPOCH).nodes == ()
        assert found.planned("n") == {}
        assert found.behind() == []

    def test_and_lose_the_labels_that_they_bear(self) -> None:
        assert cluster(node(gpus=None, labels={LABEL: "warm"})).behind() == ["n"]

    def test_a_node_whose_device_plugin_restarts_stays(self) -> None:
        found = cluster(node(images=[image(VLLM)], gpus=0))
        assert warm(found) == ["n"]
        assert room(found) == {GPU: (0, 0)}

    def test_a_slice_of_its_own_makes_an_accelerator_node(self) -> None:
        found = cluster(node(images=[image(VLLM)], gpus=None), read("resourceslices", offered("n", 4)))
        assert warm(found) == ["n"]
        assert room(found) == {DRIVER: (4, 4)}

    def test_labels_of_ours_are_no_selectors(self) -> None:
        found = cluster(node(images=[image(VLLM)], labels={LABEL: "warm", "zone": "x"}))
        assert found.inventory(EPOCH).labels == {"zone": {"x": 1}}


class TestRoom:
    def test_is_what_pods_leave(self) -> None:
        found = cluster(node(gpus=8), pod("a", gpus=2), pod("b", gpus=3, namespace="x"), pod("c", node="", gpus=1))
        assert room(found) == {GPU: (8, 3)}

    @pytest.mark.parametrize("phase", ["Succeeded", "Failed"])
    def test_pods_that_are_over_take_none(self, phase: str) -> None:
        assert room(cluster(node(), pod(gpus=2, phase=phase))) == {GPU: (8, 8)}

    def test_comes_back_when_a_pod_goes(self) -> None:
        found = cluster(node(), pod(gpus=2))
        found.put("pods", pod(gpus=2, phase="Succeeded"), EPOCH)
        assert room(found) == {GPU: (8, 8)}
        found.remove("pods", pod(gpus=2), EPOCH)
        assert room(found) == {GPU: (8, 8)}

    def test_is_never_negative(self) -> None:
        assert room(cluster(node(gpus=1), pod(gpus=2))) == {GPU: (1, 0)}

    def test_a_pod_of_the_same_name_replaces_the_one_before(self) -> None:
        found = cluster(node("n"), node("m"), pod(gpus=2, uid="1"))
        found.put("pods", pod(gpus=3, uid="2", node="m"), EPOCH)
        assert (room(found, "n"), room(found, "m")) == ({GPU: (8, 8)}, {GPU: (8, 5)})
        found.remove("pods", pod(uid="1"), EPOCH)
        assert room(found, "m") == {GPU: (8, 5)}

    @pytest.mark.parametrize("amount", ["x", None, [], "1e999", -3, 1.5], ids=repr)
    def test_amounts_that_are_none_break_nothing(self, amount: Any) -> None:
        content = {
            "metadata": {"name": "p", "namespace": "team"},
            "spec": {"nodeName": "n", "containers": [{"resources": {"limits": {GPU: amount}, "requests": None}}]},
        }
        broken = read("nodes", {"metadata": {"name": "m"}, "status": {"allocatable": {GPU: amount}}})
        found = cluster(node(), broken, read("pods", content))
        snapshot.encode(found.inventory(EPOCH))
        assert room(found)[GPU][0] == 8

    def test_devices_of_the_newest_generation_less_those_allocated(self) -> None:
        found = cluster(
            node(),
            read("resourceslices", offered("n", 4, 1)),
            read("resourceslices", offered("n", 3, 2)),
            read("resourceclaims", claim("n", 2)),
        )
        assert room(found) == {GPU: (8, 8), DRIVER: (3, 1)}
        found.remove("resourceclaims", read("resourceclaims", claim("n", 2)), EPOCH)
        assert room(found)[DRIVER] == (3, 3)
        found.remove("resourceslices", read("resourceslices", offered("n", 3, 2)), EPOCH)
        assert room(found)[DRIVER] == (4, 4)


def test_claims_and_templates_tell_their_classes() -> None:
    first = {"name": "r", "firstAvailable": [{"deviceClassName": "big"}, {"deviceClassName": "small"}]}
    template = {"metadata": {"name": "n", "namespace": "team"}, "spec": {"spec": {"devices": {"requests": [first]}}}}
    empty = {"metadata": {"name": "e", "namespace": "team"}, "spec": {"spec": None}}
    found = cluster(
        read("resourceclaims", claim("n", 1)),
        read("resourceclaimtemplates", template),
        read("resourceclaimtemplates", empty),
    )
    assert found.inventory(EPOCH).claims == {"team/n": ("big", DRIVER, "small")}
    found.replace("resourceclaimtemplates", [], EPOCH)
    assert found.inventory(EPOCH).claims == {"team/n": (DRIVER,)}


class TestLabels:
    def test_are_planned_observed_and_behind_by_what_they_gain(self) -> None:
        found = cluster(
            node("a", images=[image(VLLM, 2 * GIB)]),
            node("b", images=[image(VLLM, 9 * GIB)]),
            node("c", images=[image(VLLM)], labels=dict(cluster(node(images=[image(VLLM)])).planned("n"))),
            node("d", images=[image(VLLM)], deleting=True),
        )
        assert found.behind() == ["b", "a"]
        assert found.observed("c") == found.planned("c")
        assert set(found.planned("c").values()) == {"warm"}
        assert found.uid("c") == "uid-c"

    def test_that_a_user_changed_are_behind(self) -> None:
        labels = dict(cluster(node(images=[image(VLLM)])).planned("n"))
        found = cluster(node(images=[image(VLLM)], labels={**labels, LABEL: "cold"}))
        assert found.behind() == ["n"]
        artifact = found.inventory(EPOCH).image(VLLM)
        assert artifact is not None
        assert (artifact.mask, artifact.unlabelled) == (1, 1)

    def test_of_our_prefix_that_we_never_set_are_none_of_ours(self) -> None:
        strange = {f"{names.NODE_LABEL_PREFIX}{name}": "x" for name in ("mine", "image-1", "boots")}
        found = cluster(node(labels=strange))
        assert found.observed("n") == {}
        assert found.behind() == []

    def test_of_what_is_gone_are_behind(self) -> None:
        assert cluster(node(labels={LABEL: "warm"})).behind() == ["n"]

    def test_of_unknown_nodes_are_none(self) -> None:
        found = cluster(pod(node="ghost"))
        assert (found.planned("ghost"), found.observed("ghost"), found.uid("ghost")) == ({}, {}, "")
        assert found.planned("nobody") == {}

    def test_only_labelled_artifacts_are_in_the_inventory(self) -> None:
        many = [image(f"docker.io/x/{n}:1", (n + 1) * GIB) for n in range(6)]
        found = cluster(node(images=many), max_labels=4)
        assert [artifact.bytes for artifact in found.inventory(EPOCH).artifacts] == [5 * GIB, 5 * GIB, 6 * GIB, 6 * GIB]


def requires(*requirements: Any) -> dict[str, Any]:
    terms = [{"matchExpressions": list(requirements)}]
    return {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}}


class TestPlacements:
    @staticmethod
    def wants(*labels: str, required: bool = False) -> dict[str, Any]:
        terms = [{"matchExpressions": [{"key": label, "operator": "In", "values": ["warm"]}]} for label in labels]
        if required:
            return {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}}
        preferred = [{"weight": 1, "preference": term} for term in terms]
        return {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": preferred}}

    @pytest.mark.parametrize("required", [False, True], ids=["preferred", "required"])
    def test_count_where_pods_went(self, required: bool) -> None:
        wanted = self.wants(LABEL, names.model_label("s3://b/p/", "team"), required=required)
        found = cluster(node("a", images=[image(VLLM)]), node("b"), pod(node="", affinity=wanted))
        assert not found.placements
        found.put("pods", pod(node="a", affinity=wanted), EPOCH)
        assert found.placements == {("image", "warm"): 1, ("model", "cold"): 1}
        found.put("pods", pod(node="a", affinity=wanted, containers=[ran(VLLM)]), EPOCH)
        found.put("pods", pod("q", node="b", affinity=wanted, containers=[ran(VLLM)]), EPOCH)
        assert found.placements == {("image", "warm"): 1, ("image", "cold"): 1, ("model", "cold"): 2}

    def test_leave_out_what_was_there_before_us(self) -> None:
        wanted = self.wants(LABEL)
        found = cluster(node("a", images=[image(VLLM)]), pod(node="a", affinity=wanted))
        found.put("pods", pod(node="a", affinity=wanted, phase="Succeeded"), EPOCH)
        assert not found.placements

    def test_count_what_a_relist_shows(self) -> None:
        found = cluster(node("a", images=[image(VLLM)]))
        found.replace("pods", [pod(node="a", affinity=self.wants(LABEL))], EPOCH)
        assert found.placements == {("image", "warm"): 1}

    @pytest.mark.parametrize(
        "affinity",
        [
            None,
            {},
            {"nodeAffinity": None},
            {"nodeAffinity": []},
            {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": {}}},
            {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [None, {"preference": None}, 3]}},
            {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": None}}},
            requires(None, {"key": 3}),
            requires({"key": LABEL, "operator": "NotIn", "values": ["warm"]}),
            requires({"key": names.NODE_LABEL_BOOT, "operator": "Exists"}),
        ],
        ids=range(10),
    )
    def test_pass_over_affinity_that_asks_for_none_of_ours(self, affinity: Any) -> None:
        found = cluster(node("a"), pod(node="", affinity=affinity))
        found.put("pods", pod(node="a", affinity=affinity), EPOCH)
        assert not found.placements


def test_synced_once_nodes_pods_and_namespaces_were_listed() -> None:
    found = Cluster()
    for resource in ("nodes", "pods"):
        found.replace(resource, [], EPOCH)
        assert not found.synced
    found.replace("namespaces", [], EPOCH)
    assert found.synced


def test_a_heartbeat_changes_nothing() -> None:
    found = cluster(node(images=[image(VLLM)], labels={"a": "b"}, taints=[("x", "y", "NoExecute")]), namespace("team"))
    version = found.version
    found.put("nodes", node(images=[image(VLLM)], labels={"a": "b"}, taints=[("x", "y", "NoExecute")]), EPOCH + 10)
    found.put("namespaces", namespace("team"), EPOCH + 10)
    assert found.version == version


def test_artifacts_that_did_not_change_are_the_same_objects() -> None:
    found = cluster(*(node(name, images=[image(VLLM)]) for name in "abc"))
    first = found.inventory(EPOCH)
    found.put("pods", pod(node="b", gpus=2), EPOCH)
    second = found.inventory(EPOCH + 1)
    assert second.id != first.id
    assert all(one is other for one, other in zip(first.artifacts, second.artifacts, strict=True))
    assert [one is other for one, other in zip(first.nodes, second.nodes, strict=True)] == [True, False, True]
    assert first.nodes[1].accelerators[GPU] == (8, 8), "an inventory is not changed once it was given"


def test_an_inventory_is_not_changed_once_it_was_given() -> None:
    found = cluster(
        node("a", images=[image(VLLM)], labels={"zone": "x"}, taints=[("t", "", "NoSchedule")]), namespace("team")
    )
    inventory = found.inventory(EPOCH)
    before = snapshot.encode(inventory)
    found.put("nodes", node("b", labels={"zone": "x", "new": "y"}), EPOCH)
    found.put("nodes", node("a", labels={"zone": "y"}), EPOCH)
    found.replace("namespaces", [namespace("other")], EPOCH)
    found.inventory(EPOCH)
    assert snapshot.encode(inventory) == before


def test_the_snapshot_of_it_reads_back() -> None:
    found = cluster(
        node("a", images=[image(VLLM)], labels={"zone": "x"}, taints=[("t", "v", "NoSchedule")]),
        node("b", labels={"zone": "y"}),
        pod(node="b", reports=[said(1, ("s3://b/p/",))]),
        namespace("team", tier="gold"),
        read("resourceclaims", claim("n", 1)),
    )
    inventory = found.inventory(EPOCH)
    again = snapshot.decode(snapshot.encode(inventory))
    assert again.nodes == inventory.nodes
    assert again.artifacts == inventory.artifacts
    assert (again.id, again.namespaces, again.claims) == (inventory.id, inventory.namespaces, inventory.claims)
    assert {key: dict(column) for key, column in (again.labels or {}).items()} == inventory.labels
    assert tuple(again.taints) == tuple(inventory.taints)


@pytest.mark.parametrize("resource", list(TYPES))
@pytest.mark.parametrize(
    "body", [{}, {"spec": None, "status": None}, {"spec": {}, "status": {}}], ids=["bare", "null", "empty"]
)
def test_objects_of_nothing_but_a_name(resource: Any, body: dict[str, Any]) -> None:
    each = read(resource, {"metadata": {"name": "x", "labels": None}, **body})
    found = cluster()
    found.put(resource, each, EPOCH)
    snapshot.encode(found.inventory(EPOCH))
    found.replace(resource, [each], EPOCH)
    found.remove(resource, each, EPOCH)
    snapshot.encode(found.inventory(EPOCH))
    assert found.behind() == []
