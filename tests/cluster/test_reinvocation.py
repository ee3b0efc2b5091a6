"""The API server calls us again when others changed the pod after us, and with ServiceAccount admission always."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.cluster import pods
from tests.cluster.injector import Patch, injecting
from webhook.kube import Object
from webhook.sandbox.sandbox import Sandbox

pytestmark = pytest.mark.cluster

TOKEN_PATH = "/var/run/secrets/kubernetes.io/serviceaccount"


def names_of(entries: list[Object]) -> list[str]:
    return [one["name"] for one in entries]


def adds(path: str, value: Object) -> Patch:
    """An injector of one entry, unless an entry of that name is there."""
    field = path.split("/")[2]

    def patch(pod: Object) -> list[Object]:
        there = value["name"] in names_of(pod["spec"].get(field, []))
        if not there and field not in pod["spec"]:
            return [{"op": "add", "path": f"/spec/{field}", "value": [value]}]
        return [] if there else [{"op": "add", "path": path, "value": value}]

    return patch


def sets_env_everywhere(pod: Object) -> list[Object]:
    """What service meshes and APM agents do: an env entry into every container, ours too."""
    operations: list[Object] = []
    for field in ("containers", "initContainers"):
        for index, one in enumerate(pod["spec"].get(field, [])):
            if "MESH" not in pods.env(one):
                entries = [*one.get("env", []), {"name": "MESH", "value": "on"}]
                operations.append({"op": "add", "path": f"/spec/{field}/{index}/env", "value": entries})
    return operations


SIDECAR = {"name": "proxy", "image": "proxy:1", "env": [{"name": "A", "value": "1"}]}
SECOND_GPU = {**pods.container("second"), "resources": {"limits": {"cpu": "1", "nvidia.com/gpu": "1"}}}
INJECTORS: dict[str, Patch] = {
    "sidecar-last": adds("/spec/containers/-", SIDECAR),
    "sidecar-first": adds("/spec/containers/0", SIDECAR),
    "native-sidecar-first": adds("/spec/initContainers/0", {**SIDECAR, "restartPolicy": "Always"}),
    "init-container-last": adds("/spec/initContainers/-", SIDECAR),
    "second-gpu-container": adds("/spec/containers/-", SECOND_GPU),
    "volume": adds("/spec/volumes/-", {"name": "extra", "emptyDir": {}}),
    "env-everywhere": sets_env_everywhere,
}


def assert_nothing_twice(stored: Object) -> None:
    everybody = [*stored["spec"].get("initContainers", []), *stored["spec"]["containers"]]
    assert len(set(names_of(everybody))) == len(everybody)
    pods.volumes(stored)
    for one in everybody:
        pods.env(one)
        pods.mounts(one)


def test_service_account_admission_alone_makes_it_call_twice(box: Sandbox, namespace: str) -> None:
    """It mounts its token into the init container we added, after which the pod is not what we saw."""
    reviews = box.webhook.reviews()
    stored = pods.create(box, namespace, pods.pod("alone"))
    assert box.webhook.reviews() == reviews + 2
    pods.assert_warm(stored)
    assert_nothing_twice(stored)
    [hydrator] = pods.hydrators(stored)
    assert TOKEN_PATH in pods.mounts(hydrator)


@pytest.mark.parametrize("order", ["aa-before", "zz-after"])
@pytest.mark.parametrize("injector", INJECTORS)
def test_beside_another_injector_nothing_comes_twice(
    box: Sandbox, make_namespace: Any, tmp_path: Path, injector: str, order: str
) -> None:
    namespace = make_namespace(f"{order}-{injector}")
    with injecting(box, namespace, f"{order}-{injector}", INJECTORS[injector], tmp_path) as other:
        stored = pods.create(box, namespace, pods.pod("both"))
        assert other.calls >= 1
    assert_nothing_twice(stored)
    assert len(pods.hydrators(stored)) == 1
    app = next(one for one in stored["spec"]["containers"] if one["name"] == "vllm")
    assert pods.mounts(app)["/models"]["name"] == pods.CACHE
    assert pods.env(app)["AWS_RETRY_MODE"] == "standard"
    assert INJECTORS[injector](stored) == [], "the other one's work is there, too"
    for one in stored["spec"]["containers"]:
        if one["name"] == "proxy":
            assert "/models" not in pods.mounts(one)
            assert "AWS_RETRY_MODE" not in pods.env(one)


def test_a_stored_pod_sent_again_comes_out_the_same(box: Sandbox, namespace: str) -> None:
    """What backup tools and `kubectl get -o yaml | kubectl create -f -` do."""
    stored = pods.create(box, namespace, pods.pod("first"))
    metadata = {key: stored["metadata"][key] for key in ("labels", "annotations") if key in stored["metadata"]}
    again = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "again", **metadata}, "spec": stored["spec"]}
    twice = pods.create(box, namespace, again)
    assert twice["spec"] == stored["spec"]
    assert twice["metadata"]["annotations"] == stored["metadata"]["annotations"]
