"""The real scheduler places mutated pods by labels that the real controller wrote. Nobody wrote an inventory.

Eight nodes of 64 GPUs; two of them list every image that the tests speak of.
"""

from __future__ import annotations

import json
import shutil
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cluster import labels, pods
from webhook.cli import cases
from webhook.kube import Object, affinity, image, names
from webhook.kube import pod as kube_pod
from webhook.kube.workload import pods_of
from webhook.sandbox.nodes import PretendModel, PretendNode
from webhook.sandbox.sandbox import Sandbox

pytestmark = pytest.mark.cluster

ROOT = Path(__file__).parents[2]
HERE = Path(__file__).parent
POLICIES = ROOT / "policies"
CORPUS = ROOT.parent / "shared" / "corpus"
GPUS = 64
NODES = [f"gpu-{number}" for number in range(1, 9)]
WARM = {"gpu-4", "gpu-7"}
ROOM = GPUS * len(WARM)
GPU = "nvidia.com/gpu"
CROWD = "registry.example/crowd:1"
MODEL = PretendModel("s3://acme-models/mixtral/", "models", 90_000_000_000)
PLACE = "placed"


def sent() -> list[Any]:
    """Every pod of the shipped policies' cases, of our examples, and of the manifests that other people wrote."""
    found = []
    for case in cases.find([str(POLICIES)]):
        for document in yaml.safe_load_all((case.directory / "input.yaml").read_text()):
            found += [(f"{case.name}", one.pod) for one in pods_of(document)]
    for path in sorted([*(ROOT / "webhook/cli/examples").glob("*.yaml"), *CORPUS.glob("*.yaml")]):
        for document in yaml.safe_load_all(path.read_text()):
            found += [(f"{path.stem}:{one.path or one.kind}", one.pod) for one in pods_of(document)]
    return [pytest.param(pod, id=f"{name}#{number}") for number, (name, pod) in enumerate(found)]


SENT = sent()


def images_of(pod: Object) -> set[str]:
    spec = pod["spec"]
    containers = [*spec.get("containers", []), *spec.get("initContainers", [])]
    found = {image.canonical(one["image"]) for one in containers if isinstance(one.get("image"), str)}
    return {name for name in found if name}


IMAGES = {CROWD} | {name for parameter in SENT for name in images_of(parameter.values[0])}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """The shipped policies and those of the cluster tests, all at once."""
    directory = tmp_path_factory.mktemp("policies")
    shutil.copytree(POLICIES, directory, dirs_exist_ok=True, ignore=shutil.ignore_patterns("cases"))
    shutil.copy(HERE / "policies.yaml", directory)
    nodes = [
        PretendNode(
            name,
            accelerators={GPU: GPUS, "google.com/tpu": GPUS, "aws.amazon.com/neuron": GPUS},
            images=dict.fromkeys(IMAGES, 12_000_000_000) if name in WARM else {},
            models=(MODEL,) if name == "gpu-2" else (),
            zone="us-west-2a" if number % 2 else "us-west-2b",
            cpu="2000",
            memory="16Ti",
        )
        for number, name in enumerate(NODES, 1)
    ]
    with Sandbox(policies=directory, nodes=nodes, controller_arguments=["--max-labels-per-node=200"]) as sandbox:
        sandbox.make_namespace(PLACE)
        sandbox.make_namespace(MODEL.tenant)
        yield sandbox
        sandbox.check()


def deployment(name: str, replicas: int, **spec: Any) -> Object:
    label = {"app": name}
    containers = [{"name": "app", "image": CROWD, "resources": {"limits": {GPU: "1"}}}]
    template = {"metadata": {"labels": label}, "spec": {"containers": containers, **spec}}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name},
        "spec": {"replicas": replicas, "selector": {"matchLabels": label}, "template": template},
    }


def nodes_of(box: Sandbox, namespace: str, app: str) -> list[str]:
    """The node of each pod of an app, "" for one that has none."""
    return [one["spec"].get("nodeName", "") for one in pods.listed(box, namespace, f"app={app}")]


def all_placed(box: Sandbox, app: str, count: int, seconds: float = 120.0) -> Counter[str]:
    def look() -> list[str] | None:
        found = nodes_of(box, PLACE, app)
        return found if len(found) == count and all(found) else None

    return Counter(pods.eventually(look, f"place for {count} pods", seconds))


def test_a_hundred_of_a_hundred_pods_land_on_warm_nodes_and_more_overflow(place: Sandbox) -> None:
    """The two warm nodes have room for 128; nobody waits for it when it is gone."""
    controller = place.controllers[0]
    before = {how: controller.count("warmpod_controller_placements_total", result=how) for how in ("warm", "cold")}
    document = json.dumps(deployment("crowd", 100))
    place.kubectl("apply", "-n", PLACE, "-f", "-", stdin=document)
    first = all_placed(place, "crowd", 100)
    assert set(first) == WARM, first
    began = time.monotonic()
    place.kubectl("scale", "-n", PLACE, "deployment", "crowd", "--replicas=160")
    found = all_placed(place, "crowd", 160)
    print(f"\n100 of 100 on {dict(first)}; 60 more placed in {time.monotonic() - began:.1f} s: {dict(found)}")
    warm = sum(count for node, count in found.items() if node in WARM)
    assert warm == ROOM, found
    pods.eventually(
        lambda: controller.count("warmpod_controller_placements_total") >= sum(before.values()) + 160, "count of pods"
    )
    counted = {how: controller.count("warmpod_controller_placements_total", result=how) for how in ("warm", "cold")}
    assert counted["warm"] - before["warm"] >= 100
    assert counted["warm"] + counted["cold"] - sum(before.values()) == 160
    place.kubectl("delete", "-n", PLACE, "deployment", "crowd")
    pods.eventually(lambda: not nodes_of(place, PLACE, "crowd"), "end of the crowd")


def test_a_pod_goes_where_its_model_is(place: Sandbox) -> None:
    """A pod reported it there; the image is nowhere. The next pod of the namespace follows."""
    place.take_stock()
    document = pods.pod("follows", model=MODEL.source, containers=[pods.container(image=pods.OTHER_IMAGE)])
    stored = pods.create(place, MODEL.tenant, document)
    keys = [term["preference"]["matchExpressions"][0]["key"] for term in pods.preferred(stored)]
    assert keys == [names.model_label(MODEL.source, MODEL.tenant)]
    assert pods.scheduled(place, MODEL.tenant, "follows") == "gpu-2"


def test_another_namespace_does_not_see_that_model(place: Sandbox) -> None:
    document = pods.pod("stranger", model=MODEL.source, containers=[pods.container(image=pods.OTHER_IMAGE)])
    assert pods.preferred(pods.create(place, PLACE, document, dryRun="All")) == []


def test_required_placement_waits_for_a_warm_node_with_room(place: Sandbox) -> None:
    """The author of the policy acknowledged that: no cold node will do."""
    labels_of = {"app": "required"}
    filling = pods.container(image=CROWD, resources={"limits": {GPU: str(GPUS)}})
    for number, node in enumerate(sorted(WARM)):
        document = pods.pod(f"required-{number}", model=None, labels=labels_of, containers=[filling])
        pods.create(place, PLACE, document)
        assert pods.scheduled(place, PLACE, f"required-{number}") in WARM, node
    stored = pods.create(place, PLACE, pods.pod("required-2", model=None, labels=labels_of, containers=[filling]))
    [term] = pods.required(stored)
    assert term["matchExpressions"] == [
        {"key": names.image_label(CROWD), "operator": "In", "values": [names.NODE_LABEL_WARM]}
    ]

    def refused() -> bool:
        found = pods.get(place, PLACE, "required-2")["status"].get("conditions", [])
        return any(one["type"] == "PodScheduled" and one["reason"] == "Unschedulable" for one in found)

    pods.eventually(refused, "the scheduler's word that no node will do")
    place.api.call("DELETE", f"/api/v1/namespaces/{PLACE}/pods/required-0")
    assert pods.scheduled(place, PLACE, "required-2") in WARM
    for name in ("required-1", "required-2"):
        place.api.call("DELETE", f"/api/v1/namespaces/{PLACE}/pods/{name}")


def test_a_cordoned_warm_node_is_not_counted(place: Sandbox) -> None:
    """One of two is left; the decision says so."""
    place.kubectl("cordon", "gpu-4")
    try:
        place.take_stock()
        pods.create(place, PLACE, pods.pod("cordoned", model=None, containers=[pods.container(image=CROWD)]))
        assert pods.scheduled(place, PLACE, "cordoned") == "gpu-7"
        held = labels.inventory(place).image(CROWD)
        assert held is not None
        assert {labels.inventory(place).nodes[index].name for index in held.nodes} & WARM == {"gpu-7"}
    finally:
        place.kubectl("uncordon", "gpu-4")
        place.api.call("DELETE", f"/api/v1/namespaces/{PLACE}/pods/cordoned")


def allowed(stored: Object, nodes: list[Object]) -> set[str]:
    """The names of the nodes that a pod's own selectors allow; its tolerations are compared beside this."""
    spec = kube_pod.spec(stored)
    selector, terms = spec.get("nodeSelector") or {}, affinity.required_terms(stored)
    found = set()
    for node in nodes:
        name, given = node["metadata"]["name"], node["metadata"]["labels"]
        if selector.items() <= given.items() and affinity.selects(terms, given, name):
            found.add(name)
    return found


@pytest.mark.parametrize("app", ["as-sent", "required"])
@pytest.mark.parametrize("manifest", SENT)
def test_no_pod_may_run_anywhere_that_it_could_not_before(place: Sandbox, manifest: Object, app: str) -> None:
    """Of all manifests: as the API server stores them with us and without us, on nodes that bear our labels."""
    meta = manifest.get("metadata", {})
    given = dict(meta.get("labels") or {}) | ({"app": "required"} if app == "required" else {})
    notes = {key: value for key, value in (meta.get("annotations") or {}).items() if key != names.ANNOTATION_SKIP}
    metadata = {"generateName": "corpus-", "labels": given, "annotations": notes}
    document = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": manifest["spec"]}
    pods.make_account(place, PLACE, manifest["spec"].get("serviceAccountName", "default"))
    after = pods.create(place, PLACE, document, dryRun="All")
    skipping = {**metadata, "annotations": {names.ANNOTATION_SKIP: "true"}}
    before = pods.create(place, PLACE, {**document, "metadata": skipping}, dryRun="All")
    nodes = place.api.list("nodes")
    assert allowed(after, nodes) <= allowed(before, nodes)
    assert after["spec"].get("tolerations") == before["spec"].get("tolerations")
    assert after["spec"].get("nodeSelector") == before["spec"].get("nodeSelector")


def test_the_corpus_is_steered_at_all(place: Sandbox) -> None:
    """Else the law above would hold of nothing."""
    steered = 0
    for parameter in SENT:
        [manifest] = parameter.values
        metadata = {"generateName": "corpus-", "labels": {"app": "required"}}
        spec = {**manifest["spec"]}
        spec.pop("serviceAccountName", None)
        stored = pods.create(
            place, PLACE, {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}, dryRun="All"
        )
        steered += names.NODE_LABEL_PREFIX in json.dumps(pods.required(stored))
    assert steered >= len(SENT) // 4
