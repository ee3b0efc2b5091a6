"""How nodes of the sandbox come to hold models: pods hydrated them there, as far as anybody can tell.

kwok reports of every pod with our init container what a hydrator would have written (`stages.yaml`). For the models
that a `PretendNode` is born with there is a pod of its own: bound to the node by name, done at once, without an
accelerator, so that the webhook never sees it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Final

from webhook.kube import Object, names
from webhook.sandbox.api import Api
from webhook.sandbox.nodes import PretendModel, PretendNode
from webhook.sandbox.process import Process, wait_until

DEFAULT_NAMESPACE: Final = "default"
"""Where the pods of models that are everyone's run."""

LABEL: Final = "sandbox.warmpod.dev/hydrated-before"
"""On pods that are done as soon as they run (`stages.yaml`); the value is "true"."""

ANNOTATION_BYTES: Final = "sandbox.warmpod.dev/model-bytes"
"""How big each of the pod's models is said to be. Anybody may set it on a pod."""

ANNOTATION_REPORT: Final = "sandbox.warmpod.dev/report"
"""What the pod's hydrator is said to have written, in place of what is made up. Anybody may set it on a pod."""

DEFAULT_BYTES: Final = 16_000_000_000
"""As `stages.yaml` has it; a test compares."""

_CACHE: Final = f"{names.CACHE_ROOT}/pretend"
# Any PodSecurity level admits it.
_SECURITY: Final[Object] = {
    "runAsNonRoot": True,
    "runAsUser": 65532,
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "seccompProfile": {"type": "RuntimeDefault"},
}


def hydrate(
    api: Api,
    nodes: Iterable[PretendNode],
    namespace: str,
    hydrator_image: str,
    *,
    processes: Sequence[Process],
    seconds: float,
) -> None:
    """Make the pods that bring the models of a namespace to their nodes; returns when they are done.

    Raises OSError when the API server refuses one, or does not answer, and `DeadProcess` after so many seconds.
    """
    wanted = [
        (node, model) for node in nodes for model in node.models if (model.tenant or DEFAULT_NAMESPACE) == namespace
    ]
    for node, model in wanted:
        api.call("POST", f"/api/v1/namespaces/{namespace}/pods", pod(node, model, hydrator_image))
    wait_until(
        lambda: count_done(api, namespace) >= len(wanted),
        f"finish the pods that hydrate models in namespace {namespace}",
        processes=processes,
        seconds=seconds,
    )


def count_done(api: Api, namespace: str) -> int:
    """How many of these pods of a namespace are done, and so have reported."""
    found = api.call("GET", f"/api/v1/namespaces/{namespace}/pods", labelSelector=LABEL)["items"]
    return sum(each["status"].get("phase") == "Succeeded" for each in found)


def pod(node: PretendNode, model: PretendModel, hydrator_image: str) -> Object:
    """The pod that hydrated this model on this node."""
    told = {
        "cache": _CACHE,
        "directory": names.directory(model.source),
        "name": "pretend",
        "source": model.source,
        "tenant": model.tenant,
    }
    argument = f"--model={json.dumps(told, separators=(',', ':'))}".replace("$", "$$")
    # A directory of a volume that pods share, as the webhook mounts it.
    directory = f"namespaces/{model.tenant}" if model.tenant else "cluster"
    mount = {"name": "cache", "mountPath": _CACHE, "subPath": directory}
    container = {"image": hydrator_image, "securityContext": _SECURITY}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "generateName": f"hydrated-before-{node.name}-",
            "labels": {LABEL: "true"},
            "annotations": {ANNOTATION_BYTES: str(model.bytes)},
        },
        "spec": {
            "nodeName": node.name,
            "restartPolicy": "Never",
            "automountServiceAccountToken": False,
            "initContainers": [
                {**container, "name": names.INIT_CONTAINER, "args": ["hydrate", argument], "volumeMounts": [mount]}
            ],
            "containers": [{**container, "name": "done"}],
            "volumes": [{"name": "cache", "emptyDir": {}}],
        },
    }
