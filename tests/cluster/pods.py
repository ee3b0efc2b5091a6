"""Pods to send to the API server, and ways to look at what it stored."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from webhook.kube import Object, names
from webhook.sandbox.sandbox import Sandbox

IMAGE = "vllm/vllm-openai:v0.11.0"
"""The warm nodes hold it."""

OTHER_IMAGE = "vllm/vllm-openai:v0.10.2"
"""No node lists it, so nobody knows its size: for pods that run on cold nodes, which by IMAGE would get warm."""

NOBODY: dict[str, Any] = {"schedulerName": "nobody"}
"""For pods of IMAGE that Warmpod does not steer: on a cold node they would make it warm for the tests after."""

MODEL = "s3://acme-models/llama-3-8b/"
WARM_NODES = {"gpu-1", "gpu-2"}
CACHE = names.cache_volume("nvme")

RESOURCES = {"cpu": "2", "memory": "4Gi", "nvidia.com/gpu": "1"}
RESTRICTED = {
    "runAsNonRoot": True,
    "runAsUser": 1000,
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "seccompProfile": {"type": "RuntimeDefault"},
}


def container(name: str = "vllm", **fields: Any) -> Object:
    """A container that asks for one GPU."""
    return {"name": name, "image": IMAGE, "resources": {"limits": dict(RESOURCES)}, **fields}


def pod(name: str, *, model: str | None = MODEL, labels: dict[str, str] | None = None, **spec: Any) -> Object:
    """A GPU pod that names its model by annotation (None: it names none). `spec` adds to the spec or replaces."""
    metadata: Object = {"name": name, "labels": labels or {}, "annotations": {}}
    if model is not None:
        metadata["annotations"][names.ANNOTATION_MODEL] = model
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {"containers": [container()], **spec}}


def create(box: Sandbox, namespace: str, document: Object, **query: str) -> Object:
    """Create a pod; returns it as the API server stored it (or would have: dryRun="All")."""
    return box.api.call("POST", f"/api/v1/namespaces/{namespace}/pods", document, **query)


def make_account(box: Sandbox, namespace: str, name: str) -> None:
    """A service account, if it is not there: the API server refuses pods of an account that does not exist."""
    path = f"/api/v1/namespaces/{namespace}/serviceaccounts"
    if name not in {one["metadata"]["name"] for one in box.api.call("GET", path)["items"]}:
        box.api.call("POST", path, {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name}})


def get(box: Sandbox, namespace: str, name: str) -> Object:
    """A stored pod."""
    return box.api.call("GET", f"/api/v1/namespaces/{namespace}/pods/{name}")


def listed(box: Sandbox, namespace: str, selector: str = "") -> list[Object]:
    """The pods of a namespace."""
    query = {"labelSelector": selector} if selector else {}
    found: list[Object] = box.api.call("GET", f"/api/v1/namespaces/{namespace}/pods", **query)["items"]
    return found


def eventually(look: Callable[[], Any], what: str, seconds: float = 90.0) -> Any:
    """The first true answer of `look`. `seconds` are for a machine that does ten other things."""
    deadline = time.monotonic() + seconds
    while True:
        if found := look():
            return found
        assert time.monotonic() < deadline, f"no {what} within {seconds:g} s"
        time.sleep(0.1)


def scheduled(box: Sandbox, namespace: str, name: str) -> str:
    """The node the scheduler chose for a pod."""
    node: str = eventually(lambda: get(box, namespace, name)["spec"].get("nodeName"), f"node for {namespace}/{name}")
    return node


def hydrators(stored: Object) -> list[Object]:
    """Our init containers in a pod; more than one would be a defect."""
    return [one for one in stored["spec"].get("initContainers", []) if one["name"] == names.INIT_CONTAINER]


def preferred(stored: Object) -> list[Object]:
    """The preferred node affinity terms."""
    affinity = stored["spec"].get("affinity", {}).get("nodeAffinity", {})
    found: list[Object] = affinity.get("preferredDuringSchedulingIgnoredDuringExecution", [])
    return found


def required(stored: Object) -> list[Object]:
    """The required node selector terms."""
    affinity = stored["spec"].get("affinity", {}).get("nodeAffinity", {})
    found: list[Object] = affinity.get("requiredDuringSchedulingIgnoredDuringExecution", {}).get(
        "nodeSelectorTerms", []
    )
    return found


def env(owner: Object) -> dict[str, str]:
    """The literal environment of a container; a name given twice is a defect."""
    entries = owner.get("env", [])
    assert len({entry["name"] for entry in entries}) == len(entries)
    return {entry["name"]: entry.get("value", "") for entry in entries}


def mounts(owner: Object) -> dict[str, Object]:
    """The mounts of a container by path; a path given twice is a defect."""
    entries = owner.get("volumeMounts", [])
    assert len({entry["mountPath"] for entry in entries}) == len(entries)
    return {entry["mountPath"]: entry for entry in entries}


def volumes(stored: Object) -> dict[str, Object]:
    """The volumes by name; a name given twice is a defect."""
    entries = stored["spec"].get("volumes", [])
    assert len({entry["name"] for entry in entries}) == len(entries)
    return {entry["name"]: entry for entry in entries}


def assert_untouched(stored: Object) -> None:
    """Nothing of ours is in the pod."""
    assert names.INIT_CONTAINER not in str(stored["spec"])
    assert names.NODE_LABEL_PREFIX not in str(stored["spec"])
    assert names.VOLUME_PREFIX not in str(stored["spec"])
    assert names.ANNOTATION_DECISION not in stored["metadata"].get("annotations", {})
    assert all("AWS_RETRY_MODE" not in env(one) for one in stored["spec"]["containers"])


def assert_warm(stored: Object, *, placed: bool = True) -> None:
    """The pod carries everything that `policies.yaml` asks for a model, once.

    Its model may be on a node already, by an earlier pod of the namespace: then there is a term for that, too.
    """
    assert len(hydrators(stored)) == 1
    app = stored["spec"]["containers"][0]
    assert CACHE in volumes(stored)
    assert mounts(app)["/models"]["readOnly"] is True
    assert mounts(app)["/models"]["name"] == CACHE
    assert env(app)["AWS_RETRY_MODE"] == "standard"
    assert env(app)["AWS_CONFIG_FILE"] == names.AWS_CONFIG_FILE
    assert names.ANNOTATION_DECISION in stored["metadata"]["annotations"]
    keys = [term["preference"]["matchExpressions"][0]["key"] for term in preferred(stored)]
    model = names.model_label(MODEL, stored["metadata"]["namespace"])
    assert [key for key in keys if key != model] == ([names.image_label(f"docker.io/{IMAGE}")] if placed else [])
    assert keys.count(model) <= placed
