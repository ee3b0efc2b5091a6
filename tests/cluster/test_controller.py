"""The real controller on a real API server: what it learns, what it writes, and what it takes without harm.

Whatever happened, the labels of all nodes must come to be those that a fresh start gives.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path

import pytest

from tests.cluster import labels, pods
from webhook.controller import permissions as installation
from webhook.inventory import report
from webhook.kube import names
from webhook.sandbox import controller, models
from webhook.sandbox.nodes import PretendModel, PretendNode
from webhook.sandbox.sandbox import Sandbox
from webhook.sources.kube_api import permissions

pytestmark = pytest.mark.cluster

GIB = 1 << 30
NODES = [f"gpu-{number}" for number in range(1, 7)]
BASE = "registry.example/base:1"
LLAMA = PretendModel("s3://acme-models/llama/", "serving", 15 * GIB)
EVERYONES = PretendModel("s3://acme-models/tokenizers/", "", 2 * GIB)
SNAPSHOT_SECONDS, LABEL_SECONDS = 2.0, 5.0
"""What the snapshot and the label may take on an idle machine; tests print what they saw and allow more."""

PATIENCE = 12


@pytest.fixture(scope="module")
def events(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The API server's audit log."""
    return tmp_path_factory.mktemp("audit") / "audit.log"


@pytest.fixture(scope="module")
def place(events: Path) -> Iterator[Sandbox]:
    """Six nodes, of which three hold an image and one has two models; no webhook."""
    nodes = [
        PretendNode(
            name,
            images={BASE: 3 * GIB} if number < 3 else {},
            models=(LLAMA, EVERYONES) if number == 0 else (),
        )
        for number, name in enumerate(NODES)
    ]
    # Slow enough to be caught in the middle.
    with Sandbox(
        policies=None, nodes=nodes, audit_log=events, controller_arguments=["--label-writes-per-second=8"]
    ) as sandbox:
        sandbox.make_namespace(LLAMA.tenant)
        yield sandbox
        sandbox.check()


@pytest.fixture
def calm(place: Sandbox) -> Sandbox:
    """The sandbox, its first controller running, when all labels are as they should be."""
    if not place.controllers[0].running:
        place.controllers[0].start()
    place.take_stock()
    labels.converge(place)
    return place


def image(number: int) -> tuple[str, str]:
    """Another image for each test: its canonical name and its label."""
    name = f"registry.example/image-{number}:1"
    return name, names.image_label(name)


def test_nodes_are_labelled_for_what_they_hold(calm: Sandbox) -> None:
    found = labels.found(calm)
    base, llama = names.image_label(BASE), names.model_label(LLAMA.source, LLAMA.tenant)
    everyones = names.model_label(EVERYONES.source, "")
    assert [node for node in NODES if found[node].get(base) == "warm"] == NODES[:3]
    assert [node for node in NODES if found[node].get(llama) == "warm"] == NODES[:1]
    assert [node for node in NODES if found[node].get(everyones) == "warm"] == NODES[:1]
    boot = calm.api.call("GET", f"/api/v1/nodes/{NODES[0]}")["status"]["nodeInfo"]["bootID"]
    assert found[NODES[0]][names.NODE_LABEL_BOOT].partition(".")[0] == names.digest16(boot)
    assert labels.holders(calm, lambda stock: stock.model(LLAMA.source, LLAMA.tenant)) == {NODES[0]}
    held = labels.inventory(calm).model(LLAMA.source, LLAMA.tenant)
    assert held is not None
    assert held.bytes == LLAMA.bytes


def test_an_image_that_is_pulled_is_known_within_seconds(calm: Sandbox) -> None:
    name, label = image(1)
    began = time.monotonic()
    labels.add_image(calm, "gpu-5", name, 2 * GIB)
    seen: dict[str, float] = {}

    def look() -> bool:
        if labels.holders(calm, lambda stock: stock.image(name)) == {"gpu-5"}:
            seen.setdefault("snapshot", time.monotonic() - began)
        if labels.is_labelled(calm, "gpu-5", label):
            seen.setdefault("label", time.monotonic() - began)
        return len(seen) == 2

    pods.eventually(look, "image in the snapshot and on the node")
    print(f"\nin the snapshot after {seen['snapshot']:.2f} s, on the node after {seen['label']:.2f} s")
    assert seen["snapshot"] < SNAPSHOT_SECONDS * PATIENCE
    assert seen["label"] < LABEL_SECONDS * PATIENCE


def test_a_small_image_gets_no_label(calm: Sandbox) -> None:
    name, label = image(2)
    labels.add_image(calm, "gpu-5", name, GIB - 1)
    marker, marked = image(3)
    labels.add_image(calm, "gpu-5", marker, GIB)
    pods.eventually(lambda: labels.is_labelled(calm, "gpu-5", marked), "label of the image after it")
    assert labels.is_labelled(calm, "gpu-5", label, None)


def hydrate(box: Sandbox, name: str, node: str, source: str) -> None:
    """Create a pod that hydrates a model, as the webhook would have made it, on a node of our choice."""
    made = models.pod(PretendNode(node), PretendModel(source, "serving", 7 * GIB), "hydrator:1")
    metadata = {"name": name, "annotations": made["metadata"]["annotations"]}
    pods.create(box, "serving", {**made, "metadata": metadata})


def delete(box: Sandbox, name: str) -> None:
    """Delete a pod; returns when it is gone."""
    box.api.call("DELETE", f"/api/v1/namespaces/serving/pods/{name}", gracePeriodSeconds="0")
    pods.eventually(lambda: name not in [one["metadata"]["name"] for one in pods.listed(box, "serving")], "end of it")


def test_a_pod_that_hydrated_makes_its_node_warm_for_the_next_one(calm: Sandbox) -> None:
    source = "s3://acme-models/mistral/"
    label = names.model_label(source, "serving")
    hydrate(calm, "first", "gpu-4", source)
    pods.eventually(lambda: labels.is_labelled(calm, "gpu-4", label), "model's label")
    [status] = pods.get(calm, "serving", "first")["status"]["initContainerStatuses"]
    read = report.read(status["state"]["terminated"]["message"])
    assert isinstance(read, report.Report)
    assert [(each.source, each.tenant, each.bytes) for each in read.models] == [(source, "serving", 7 * GIB)]
    calm.take_stock()
    held = labels.inventory(calm).model(source, "serving")
    assert held is not None
    assert (held.bytes, held.unlabelled) == (7 * GIB, 0)
    assert labels.inventory(calm).model(source, "default") is None, "another namespace cannot read it"


def test_models_outlive_their_pods_and_the_controllers_memory(calm: Sandbox) -> None:
    """Their pods are deleted, then the controller is killed and its snapshot lost: only the labels remember."""
    source = "s3://acme-models/qwen/"
    label = names.model_label(source, "serving")
    hydrate(calm, "gone", "gpu-4", source)
    pods.eventually(lambda: labels.is_labelled(calm, "gpu-4", label), "model's label")
    delete(calm, "gone")
    with killed(calm):
        calm.snapshot.unlink()
    calm.take_stock()
    time.sleep(1)
    assert labels.is_labelled(calm, "gpu-4", label)
    held = labels.inventory(calm).model(source, "serving")
    assert held is not None
    assert held.nodes == (NODES.index("gpu-4"),)


def test_models_do_not_outlive_a_reboot(calm: Sandbox) -> None:
    source = "s3://acme-models/rebooted/"
    label = names.model_label(source, "serving")
    hydrate(calm, "before-reboot", "gpu-6", source)
    pods.eventually(lambda: labels.is_labelled(calm, "gpu-6", label), "model's label")
    delete(calm, "before-reboot")  # a pod that stays would hydrate again, and say so
    path = "/api/v1/nodes/gpu-6/status"
    calm.api.patch(path, {"status": {"nodeInfo": {"bootID": "5e0f0c51-0000-4000-8000-000000000000"}}})
    pods.eventually(lambda: labels.is_labelled(calm, "gpu-6", label, None), "end of the label")


@contextmanager
def killed(box: Sandbox) -> Iterator[None]:
    """The first controller is gone, without a word; it starts again after the block."""
    box.controllers[0].process.send(signal.SIGKILL)
    pods.eventually(lambda: not box.controllers[0].running, "end of the controller")
    try:
        yield
    finally:
        box.controllers[0].start()
        box.controllers[0].wait_until_ready()


def test_killed_amid_writing(calm: Sandbox) -> None:
    name, label = image(10)
    names_of_more = [image(number)[0] for number in range(11, 14)]

    def labelled() -> int:
        return sum(label in each for each in labels.found(calm).values())

    for node in NODES:
        for each in (name, *names_of_more):
            labels.add_image(calm, node, each, 2 * GIB)
    pods.eventually(labelled, "first label")
    with killed(calm):
        before = labelled()
    print(f"\nkilled when {before} of {len(NODES)} nodes bore the label")
    found = labels.converge(calm)
    assert all(each[label] == "warm" for each in found.values())


def test_the_api_server_restarts_beneath_it(calm: Sandbox) -> None:
    name, label = image(20)
    with calm.without_api_server():
        pods.eventually(
            lambda: "[-]" in calm.controllers[0].details() or "[!]" in calm.controllers[0].details(), "complaint"
        )
        assert calm.controllers[0].running
    labels.add_image(calm, "gpu-2", name, 2 * GIB)
    pods.eventually(lambda: labels.is_labelled(calm, "gpu-2", label), "label")
    labels.converge(calm)
    pods.eventually(calm.controllers[0].is_ready, "readiness")


def test_what_it_missed_was_compacted_away(calm: Sandbox) -> None:
    """It sleeps, things change and are forgotten by the API server and by etcd: its watches answer 410 Gone."""
    first = calm.controllers[0]
    name, label = image(30)
    expired = first.count("warmpod_controller_watch_restarts_total", resource="nodes", reason="expired")
    lists = first.count("warmpod_controller_watch_lists_total", resource="nodes")
    first.process.send(signal.SIGSTOP)
    try:
        with calm.without_api_server():
            pass  # it ends the watches, so that nothing of what follows is on its way already
        labels.add_image(calm, "gpu-3", name, 2 * GIB)
        calm.api.call("DELETE", "/api/v1/nodes/gpu-6")
        calm.compact_etcd()
        with calm.without_api_server():
            pass  # it forgets what it could still have told
    finally:
        first.process.send(signal.SIGCONT)
    pods.eventually(lambda: labels.is_labelled(calm, "gpu-3", label), "label")
    calm.take_stock()
    assert "gpu-6" not in {room.name for room in labels.inventory(calm).nodes}, "what it did not see deleted is gone"
    labels.converge(calm)
    assert first.count("warmpod_controller_watch_lists_total", resource="nodes") > lists
    assert first.count("warmpod_controller_watch_restarts_total", resource="nodes", reason="expired") > expired


def label(box: Sandbox, node: str, *changes: str) -> None:
    """As a user does it."""
    box.kubectl("label", "node", node, "--overwrite", *changes)


def test_a_label_that_a_user_removed_comes_back(calm: Sandbox) -> None:
    key = names.image_label(BASE)
    label(calm, "gpu-1", f"{key}-")
    pods.eventually(lambda: labels.is_labelled(calm, "gpu-1", key), "label")


def test_a_value_that_a_user_gave_is_not_fought_over(calm: Sandbox) -> None:
    key = names.image_label(BASE)
    label(calm, "gpu-2", f"{key}=cold")
    name, other = image(40)
    labels.add_image(calm, "gpu-2", name, 2 * GIB)
    pods.eventually(lambda: labels.is_labelled(calm, "gpu-2", other), "label beside the user's")
    written: list[float] = []

    def rests() -> bool:
        time.sleep(1)  # what its watch brings of the user's label may be worth another write
        written.append(labels.writes(calm))
        return written[-2:] == [written[-1]] * 2

    pods.eventually(rests, "end of the writes")
    time.sleep(5)
    assert labels.writes(calm) == written[-1], "it goes on writing"
    assert labels.is_labelled(calm, "gpu-2", key, "cold")
    held = labels.inventory(calm).image(BASE)
    assert held is not None
    index = [room.name for room in labels.inventory(calm).nodes].index("gpu-2")
    assert index in held.nodes
    assert not held.labelled >> index & 1, "the scheduler does not find the node by this label"
    label(calm, "gpu-2", f"{key}-")
    pods.eventually(lambda: labels.is_labelled(calm, "gpu-2", key), "label that the user no longer claims")


def holds_base(box: Sandbox, node: str) -> bool:
    return node in labels.holders(box, lambda stock: stock.image(BASE))


def test_a_cordoned_node_is_not_warm_until_it_is_uncordoned(calm: Sandbox) -> None:
    """Its labels stay, for they say what it holds, and what it holds would be forgotten with them."""
    before = labels.found(calm)["gpu-1"]
    calm.kubectl("cordon", "gpu-1")
    try:
        pods.eventually(lambda: not holds_base(calm, "gpu-1"), "end in the snapshot")
        written = labels.writes(calm)
    finally:
        calm.kubectl("uncordon", "gpu-1")
    pods.eventually(lambda: holds_base(calm, "gpu-1"), "return to the snapshot")
    assert labels.found(calm)["gpu-1"] == before
    assert labels.writes(calm) == written


def test_a_node_that_is_not_ready_is_not_warm_until_it_is(calm: Sandbox) -> None:
    kwok = next(each for each in calm.processes if each.name == "kwok")
    path = "/api/v1/nodes/gpu-1"
    conditions = calm.api.call("GET", path)["status"]["conditions"]

    def say(status: str) -> None:
        changed = [{**each, "status": status} if each["type"] == "Ready" else each for each in conditions]
        calm.api.patch(f"{path}/status", {"status": {"conditions": changed}})

    before = labels.found(calm)["gpu-1"]
    kwok.send(signal.SIGSTOP)  # it would make the node ready at once
    try:
        say("False")
        pods.eventually(lambda: not holds_base(calm, "gpu-1"), "end in the snapshot")
        say("True")
        pods.eventually(lambda: holds_base(calm, "gpu-1"), "return to the snapshot")
    finally:
        kwok.send(signal.SIGCONT)
    assert labels.found(calm)["gpu-1"] == before


def test_a_node_made_again_has_forgotten_its_models(calm: Sandbox) -> None:
    source = "s3://acme-models/of-the-first/"
    label = names.model_label(source, "serving")
    hydrate(calm, "on-the-first", "gpu-5", source)
    pods.eventually(lambda: labels.is_labelled(calm, "gpu-5", label), "model's label")
    calm.api.call("DELETE", "/api/v1/nodes/gpu-5")
    calm.make_node(PretendNode("gpu-5", images={BASE: 3 * GIB}))
    pods.eventually(lambda: labels.is_labelled(calm, "gpu-5", names.image_label(BASE)), "image's label")
    assert labels.is_labelled(calm, "gpu-5", label, None)
    delete(calm, "on-the-first")


def test_the_leader_dies_and_a_standby_takes_over(calm: Sandbox) -> None:
    first = calm.controllers[0]
    standby = calm.add_controller("standby")
    try:
        pods.eventually(first.is_leader, "leader")
        assert not standby.is_leader()
        assert standby.snapshot != calm.snapshot
        pods.eventually(standby.snapshot.exists, "snapshot of the standby")
        name, label = image(50)
        first.process.send(signal.SIGKILL)
        began = time.monotonic()
        for node in ("gpu-1", "gpu-2", "gpu-3"):
            labels.add_image(calm, node, name, 2 * GIB)
        pods.eventually(standby.is_leader, "new leader")
        print(f"\na new leader after {time.monotonic() - began:.1f} s")
        found = labels.converge(calm)
        assert all(found[node][label] == "warm" for node in ("gpu-1", "gpu-2", "gpu-3"))
        first.start()
        first.wait_until_ready()
        standby.stop()  # it gives the lease back: no waiting this time
        began = time.monotonic()
        pods.eventually(first.is_leader, "leader after an orderly end")
        print(f"a new leader {time.monotonic() - began:.1f} s after an orderly end")
    finally:
        calm.remove_controller(standby)


def test_cleanup_leaves_nothing_and_a_fresh_start_brings_the_same_back(calm: Sandbox) -> None:
    before = labels.converge(calm)
    assert any(before.values())
    calm.controllers[0].stop()
    kubeconfig = calm.directory / "credentials" / controller.KUBECONFIG
    done = subprocess.run(
        [sys.executable, "-m", "webhook.cli.main", "controller", "--cleanup", f"--kubeconfig={kubeconfig}"],
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert not any(labels.found(calm).values())
    calm.snapshot.unlink()
    calm.controllers[0].start()
    calm.controllers[0].wait_until_ready()
    # Nothing but its label remembered the model whose pod is gone.
    gone = names.model_label("s3://acme-models/qwen/", "serving")
    assert what_they_say(labels.converge(calm), "") == what_they_say(before, gone)


def what_they_say(found: labels.Labels, but_for: str) -> labels.Labels:
    """The labels without one key, and without the time in the boot label: when the last report came that was heeded."""
    return {
        node: {key: value.partition(".")[0] for key, value in each.items() if key != but_for}
        for node, each in found.items()
    }


def calls(events: Path) -> tuple[set[tuple[str, str, str]], set[tuple[str, str, str]]]:
    """What the API server says that the controller asked for, ever: allowed and forbidden."""
    user = f"system:serviceaccount:{controller.NAMESPACE}:{controller.ACCOUNT}"
    seen: dict[bool, set[tuple[str, str, str]]] = {True: set(), False: set()}
    for line in events.read_text().splitlines(keepends=True):
        if not line.endswith("\n"):
            break  # it is being written
        event = json.loads(line)
        if event["user"]["username"] == user and (reference := event.get("objectRef")):
            allowed = event.get("responseStatus", {}).get("code") != HTTPStatus.FORBIDDEN
            seen[allowed].add((reference.get("apiGroup", ""), reference["resource"], event["verb"]))
    return seen[True], seen[False]


def test_it_made_no_call_that_its_role_does_not_list(calm: Sandbox, events: Path) -> None:
    """What the API server says it did in this test and in all before."""
    leases = {("coordination.k8s.io", "leases", verb) for verb in ("get", "create", "update")}
    watches = {("", "pods", "watch"), ("", "namespaces", "watch")}
    # An Event tells that there is no registration here, when a leader has found so for ten seconds.
    needed = {*leases, *watches, ("", "nodes", "patch"), ("", "secrets", "get"), ("", "secrets", "create")}
    needed.add(("", "events", "create"))

    def lacking() -> set[tuple[str, str, str]]:
        # An API server that starts forbids everything until it has read the roles; so each call is allowed some time.
        allowed, forbidden = calls(events)
        return (needed | forbidden) - allowed

    pods.eventually(lambda: not lacking(), "call of every kind, allowed")
    parts = installation.LEASES | installation.REGISTRATION | installation.CERTIFICATES
    allowed, _ = calls(events)
    assert allowed <= permissions.CALLS | {(each.group, each.resource, each.verb) for each in parts}
    assert calm.controllers[0].running
