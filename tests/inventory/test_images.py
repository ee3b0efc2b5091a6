"""Which images a node holds, by its list and by its pods: the rules of docs/inventory.md, one by one."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from tests.inventory.api import EPOCH, GIB, digest, image, node, pod, ran, read
from webhook.inventory.cluster import Cluster, Rules

VLLM, TRITON = "docker.io/vllm/vllm:1", "nvcr.io/triton:1"
AGE = 120.0


def cluster(*objects: Any, at: float = EPOCH, **rules: Any) -> Cluster:
    found = Cluster(Rules(**rules))
    for resource in ("nodes", "pods", "namespaces"):
        found.replace(resource, [each for each in objects if type(each).__name__.lower() + "s" == resource], at)
    return found


def warm(of: Cluster, name: str, at: float = EPOCH) -> list[str]:
    """The names of the nodes that are warm for an image."""
    inventory = of.inventory(at)
    artifact = inventory.image(name)
    return [inventory.nodes[index].name for index in artifact.nodes] if artifact else []


def size(of: Cluster, name: str) -> int:
    artifact = of.inventory(EPOCH).image(name)
    assert artifact is not None
    return artifact.bytes


def full(*images: Any, smallest: int, count: int = 5) -> list[Any]:
    """A list that is full, since the tests say max_images=5."""
    return [*images, *(image(f"docker.io/filler/f:{n}", smallest) for n in range(count - len(images)))]


def test_listed_images_are_held_by_tag_and_digest() -> None:
    found = cluster(node("a", images=[image(VLLM)]), node("b"))
    assert warm(found, VLLM) == ["a"]
    assert warm(found, f"docker.io/vllm/vllm@{digest(VLLM)}") == ["a"]
    assert size(found, VLLM) == 10 * GIB


def test_small_images_are_left_out() -> None:
    found = cluster(node("a", images=[image(VLLM, GIB), image(TRITON, GIB - 1)]))
    assert warm(found, VLLM) == ["a"]
    assert warm(found, TRITON) == []


@pytest.mark.parametrize(
    "identity",
    [
        pytest.param(f"docker.io/vllm/vllm@{digest(VLLM)}", id="containerd"),
        pytest.param(f"docker-pullable://vllm/vllm@{digest(VLLM)}", id="docker"),
        pytest.param(digest(VLLM), id="an ID that names nothing"),
    ],
)
def test_what_a_pod_runs_is_there_though_the_list_does_not_have_it_yet(identity: str) -> None:
    found = cluster(
        node("a"), node("b", images=[image(VLLM)]), pod(node="a", containers=[ran(VLLM, identity=identity)])
    )
    assert warm(found, VLLM) == ["a", "b"]


def test_an_image_known_from_a_pod_alone_has_no_size_until_some_node_lists_it() -> None:
    found = cluster(node("a"), pod(node="a", containers=[ran(VLLM)]))
    assert warm(found, VLLM) == []
    found.put("nodes", node("b", images=[image(VLLM)]), EPOCH)
    assert warm(found, VLLM) == ["a", "b"]
    found.remove("nodes", node("b"), EPOCH)
    assert warm(found, VLLM) == []


def test_without_a_threshold_it_counts_with_no_size() -> None:
    found = cluster(node("a"), pod(node="a", containers=[ran(VLLM)]), min_image_bytes=0)
    assert warm(found, VLLM) == ["a"]
    assert size(found, VLLM) == 0


@pytest.mark.parametrize("kind", ["initContainerStatuses", "ephemeralContainerStatuses", "containerStatuses"])
def test_every_kind_of_container_counts(kind: str) -> None:
    status = {**ran(VLLM), "name": "other"}
    content = {
        "metadata": {"name": "p", "namespace": "team", "uid": "1"},
        "spec": {"nodeName": "a", "containers": [{"name": "app", "image": "x"}]},
        "status": {"phase": "Running", kind: [status]},
    }
    assert warm(cluster(node("a"), node("b", images=[image(VLLM)]), read("pods", content)), VLLM) == ["a", "b"]


def test_image_volumes_count_by_their_digest() -> None:
    reference = f"registry.io/weights@{digest('weights')}"
    status = {
        **ran("docker.io/library/busybox:1"),
        "volumeMounts": [
            {"name": "w", "mountPath": "/w", "volumeStatus": {"image": {"imageRef": reference}}},
            {"name": "x", "mountPath": "/x"},
        ],
    }
    content = {
        "metadata": {"name": "p", "namespace": "team", "uid": "1"},
        "spec": {"nodeName": "a", "containers": [{"name": "app", "image": "busybox:1"}]},
        "status": {"phase": "Running", "containerStatuses": [status]},
    }
    listed = {"names": [reference], "sizeBytes": 20 * GIB}
    assert warm(cluster(node("a"), node("b", images=[listed]), read("pods", content)), reference) == ["a", "b"]


class TestAListThatIsShort:
    def test_is_complete_so_what_left_it_is_gone(self) -> None:
        found = cluster(node("a", images=[image(VLLM)]), node("b", images=[image(VLLM)]))
        found.put("nodes", node("a"), EPOCH)
        assert warm(found, VLLM) == ["b"]

    def test_does_not_hide_what_runs(self) -> None:
        found = cluster(node("a"), node("b", images=[image(VLLM)]), pod(node="a", containers=[ran(VLLM)]))
        assert warm(found, VLLM) == ["a", "b"]

    def test_tells_that_what_ended_is_gone(self) -> None:
        over = pod(node="a", containers=[ran(VLLM, running=False)], phase="Succeeded")
        assert warm(cluster(node("a"), node("b", images=[image(VLLM)]), over), VLLM) == ["b"]

    def test_is_never_full_where_kubelets_have_no_cap(self) -> None:
        many = [image(f"docker.io/filler/f:{n}", 30 * GIB) for n in range(60)]
        over = pod(node="a", containers=[ran(VLLM, running=False)], phase="Succeeded")
        found = cluster(node("a", images=many), node("b", images=[image(VLLM)]), over, max_images=-1)
        assert warm(found, VLLM) == ["b"]


class TestAListThatIsFull:
    """Sorted by size and cut: what is larger than its smallest would be in it."""

    def test_tells_that_a_larger_image_is_gone(self) -> None:
        over = pod(node="a", containers=[ran(VLLM, running=False)])
        found = cluster(node("a", images=full(smallest=9 * GIB)), node("b", images=[image(VLLM)]), over, max_images=5)
        assert warm(found, VLLM) == ["b"]

    @pytest.mark.parametrize("smallest", [10 * GIB, 11 * GIB], ids=["as large as the smallest", "smaller"])
    def test_does_not_tell_of_others_so_they_count_while_a_pod_uses_them_and_a_little_longer(
        self, smallest: int
    ) -> None:
        over = pod(node="a", containers=[ran(VLLM, running=False)])
        found = cluster(node("a", images=full(smallest=smallest)), node("b", images=[image(VLLM)]), over, max_images=5)
        assert warm(found, VLLM) == ["a", "b"]
        assert found.due() is None
        found.remove("pods", over, EPOCH + 10)
        assert found.due() == EPOCH + 10 + AGE
        assert warm(found, VLLM, EPOCH + 10 + AGE - 1) == ["a", "b"]
        version = found.version
        assert warm(found, VLLM, EPOCH + 10 + AGE) == ["b"]
        assert found.due() is None
        assert found.version >= version

    def test_counts_the_time_from_the_last_use(self) -> None:
        first, second = (pod(name, node="a", containers=[ran(VLLM)]) for name in ("first", "second"))
        found = cluster(
            node("a", images=full(smallest=11 * GIB)), node("b", images=[image(VLLM)]), first, second, max_images=5
        )
        found.remove("pods", first, EPOCH)
        assert warm(found, VLLM, EPOCH + 300) == ["a", "b"]
        found.replace("pods", [], EPOCH + 310)
        assert warm(found, VLLM, EPOCH + 429) == ["a", "b"]
        assert warm(found, VLLM, EPOCH + 430) == ["b"]

    def test_says_nothing_of_an_image_that_no_pod_ran(self) -> None:
        found = cluster(node("a", images=[image(VLLM)]), node("b", images=[image(VLLM)]), max_images=5)
        found.put("nodes", node("a", images=full(smallest=11 * GIB)), EPOCH)
        assert warm(found, VLLM) == ["b"]

    def test_of_nothing_says_nothing(self) -> None:
        over = pod(node="a", containers=[ran(VLLM, running=False)])
        found = cluster(node("a"), over, max_images=0, min_image_bytes=0)
        assert warm(found, VLLM) == ["a"]


class TestATagThatMoved:
    OLD, NEW = f"docker.io/vllm/vllm@{digest('old')}", f"docker.io/vllm/vllm@{digest('new')}"

    def test_both_digests_are_kept_and_the_tag_is_that_of_the_one_that_ran_last(self) -> None:
        found = cluster(
            node("a", images=[image(VLLM, 10 * GIB, of="old"), {"names": [self.NEW], "sizeBytes": 12 * GIB}]),
            pod("early", node="a", containers=[ran(VLLM, of="old", at=100)]),
            pod("late", node="a", containers=[ran(VLLM, of="new", at=200)]),
        )
        assert warm(found, self.OLD) == warm(found, self.NEW) == warm(found, VLLM) == ["a"]
        assert size(found, VLLM) == 12 * GIB

    def test_the_tag_is_cold_where_that_one_is_gone(self) -> None:
        found = cluster(
            node("a", images=[image(VLLM, 10 * GIB, of="old")]),
            pod("early", node="a", containers=[ran(VLLM, of="old", at=100)]),
            pod("late", node="a", containers=[ran(VLLM, of="new", at=200, running=False)]),
        )
        assert warm(found, VLLM) == []
        assert warm(found, self.OLD) == ["a"]

    def test_without_a_pod_the_list_says_which_it_is(self) -> None:
        found = cluster(
            node("a", images=[image(VLLM, of="new"), {"names": [self.OLD], "sizeBytes": 9 * GIB}]),
            node("b", images=[{"names": [self.OLD], "sizeBytes": 9 * GIB}]),
        )
        assert warm(found, VLLM) == ["a"]
        assert warm(found, self.OLD) == ["a", "b"]

    def test_a_pod_that_went_and_whose_image_went_has_no_say(self) -> None:
        over = pod("early", node="a", containers=[ran(VLLM, of="old", at=100, running=False)])
        found = cluster(
            node("a", images=full(image(VLLM, 10 * GIB, of="new"), smallest=9 * GIB)),
            node("b", images=[{"names": [self.OLD], "sizeBytes": 12 * GIB}]),
            over,
            max_images=5,
        )
        assert warm(found, VLLM) == []
        found.remove("pods", over, EPOCH)
        assert warm(found, VLLM) == ["a"]


def test_an_artifact_has_the_largest_size_that_a_node_gives_it() -> None:
    found = cluster(node("a", images=[image(VLLM, 2 * GIB)]), node("b", images=[image(VLLM, 3 * GIB)]))
    assert size(found, VLLM) == 3 * GIB
    found.put("nodes", node("b", images=[image(VLLM, GIB)]), EPOCH)
    assert size(found, VLLM) == 2 * GIB
    found.put("nodes", node("c", images=[image(VLLM, 5 * GIB)]), EPOCH)
    assert size(found, VLLM) == 5 * GIB


def test_a_tag_that_the_list_had_no_room_for_is_held_where_it_ran() -> None:
    digests = [f"docker.io/mirror{n}/vllm@{digest(VLLM)}" for n in range(5)]
    found = cluster(
        node("a", images=[{"names": digests, "sizeBytes": 10 * GIB}]),
        pod(node="a", containers=[ran(VLLM, running=False)]),
    )
    assert warm(found, VLLM) == ["a"]


def test_while_a_new_image_is_pulled_in_place_the_spec_says_nothing_of_what_is_there() -> None:
    status = {
        "name": "app",
        "image": VLLM,
        "imageID": f"docker.io/old@{digest('old')}",
        "state": {"waiting": {"reason": "ContainerCreating"}},
    }
    content = {
        "metadata": {"name": "p", "namespace": "team", "uid": "1"},
        "spec": {"nodeName": "a", "containers": [{"name": "app", "image": VLLM}]},
        "status": {"phase": "Running", "containerStatuses": [status]},
    }
    found = cluster(node("a"), node("b", images=[image(VLLM)]), read("pods", content))
    assert warm(found, VLLM) == ["b"]


@pytest.mark.parametrize(
    "images",
    [
        pytest.param(None, id="null"),
        pytest.param([None], id="a null entry"),
        pytest.param([{"names": None, "sizeBytes": 5 * GIB}], id="no names"),
        pytest.param([{"names": [None], "sizeBytes": 5 * GIB}], id="a null name"),
        pytest.param([{"names": ["<none>@<none>", "<none>:<none>"], "sizeBytes": 5 * GIB}], id="names of none"),
        pytest.param([{"names": ["a\x00b", "x\ny:1", "é", "", "/" * 3000], "sizeBytes": 5 * GIB}], id="hostile names"),
        pytest.param([{"names": ["sha256:" + "a" * 64], "sizeBytes": 5 * GIB}], id="an ID for a name"),
        pytest.param([{"names": ["x:1"], "sizeBytes": -5}], id="a negative size"),
        pytest.param([{"names": ["x:1"], "sizeBytes": "5Gi"}], id="a size that is text"),
        pytest.param([{"names": 3}], id="names that are a number"),
        pytest.param("images", id="text"),
        pytest.param({"names": []}, id="an object"),
    ],
)
def test_malformed_lists_hold_nothing_and_hide_nothing(images: Any) -> None:
    content = {
        "metadata": {"name": "a"},
        "status": {
            "allocatable": {"nvidia.com/gpu": "8"},
            "conditions": [{"type": "Ready", "status": "True"}],
            "images": images,
        },
    }
    broken = read("nodes", content)
    running = pod(node="a", containers=[ran(VLLM)])
    found = cluster(broken, node("b", images=[image(VLLM)]), running)
    names_held = {artifact.name for artifact in found.inventory(EPOCH).artifacts}
    assert names_held == {VLLM, f"docker.io/vllm/vllm@{digest(VLLM)}"}
    assert warm(found, VLLM) == ["a", "b"]


def test_one_bad_entry_does_not_hide_the_others() -> None:
    found = cluster(node("a", images=[{"names": 3, "sizeBytes": "x"}, image(VLLM)]))
    assert warm(found, VLLM) == ["a"]


def test_a_size_beyond_reason_is_cut() -> None:
    assert size(cluster(node("a", images=[image(VLLM, 10**30)])), VLLM) == 2**53


def test_bytes_that_are_no_json_hold_nothing() -> None:
    broken = node("a", images=[image(VLLM)])
    assert broken.status is not None
    for raw in (b"\xff\xfe", b"[" * 4096, b'[{"names":["x:1"],"names":["y:1"],"sizeBytes":99999999999}', b""):
        broken.status.images = msgspec.Raw(raw)
        found = cluster(broken)
        assert found.inventory(EPOCH).artifacts == ()
        assert [each.name for each in found.inventory(EPOCH).nodes] == ["a"]


def test_of_duplicate_keys_the_last_counts() -> None:
    broken = node("a")
    assert broken.status is not None
    broken.status.images = msgspec.Raw(b'[{"names":["x:1"],"names":["docker.io/vllm/vllm:1"],"sizeBytes":99999999999}]')
    assert warm(cluster(broken), VLLM) == ["a"]


def test_the_first_tag_and_digest_of_every_image_come_by_a_label_before_further_names() -> None:
    names_of_big = [f"docker.io/m{n}/big@{digest('big')}" for n in range(3)] + ["m0/big:1", "m0/big:2"]
    big = {"names": names_of_big, "sizeBytes": 30 * GIB}
    found = cluster(node("a", images=[big, image(VLLM)]), max_labels=4)
    names_labelled = {artifact.name for artifact in found.inventory(EPOCH).artifacts}
    assert names_labelled == {
        f"docker.io/m0/big@{digest('big')}",
        "docker.io/m0/big:1",
        VLLM,
        f"docker.io/vllm/vllm@{digest(VLLM)}",
    }
