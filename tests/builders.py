"""What tests build their situations from. A test shows only what it is about; the rest is here, and small."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from webhook.admission.decision import Decision, Facts, Settings
from webhook.inventory import nodeset
from webhook.inventory.model import EMPTY, Artifact, Inventory, NodeRoom, Taint
from webhook.kube import Object, names, patch
from webhook.kube.accelerator import Accelerators
from webhook.kube.podsecurity import Level
from webhook.kube.review import AdmissionRequest, for_pod
from webhook.policy.model import Mode, PolicySet
from webhook.policy.parse import parse
from webhook.policy.problem import Source

GPU = "nvidia.com/gpu"
IMAGE = "vllm/vllm-openai:v0.11.0"
CANONICAL_IMAGE = f"docker.io/{IMAGE}"
IMAGE_BYTES = 9_000_000_000
MODEL = "s3://acme-models/llama/"
MODEL_BYTES = 16_000_000_000
HYDRATOR = "registry.example/warmpod@sha256:" + "0" * 64
PRIVILEGED = {names.LABEL_POD_SECURITY_ENFORCE: "privileged"}
ACCELERATORS = Accelerators()

NODE_CACHE = """
---
kind: NodeCache
apiVersion: warmpod.dev/v1alpha1
metadata: {name: nvme}
spec:
  volume: {hostPath: {path: /mnt/k8s-disks/0/warmpod, type: DirectoryOrCreate}}
  fallbackVolume: {emptyDir: {sizeLimit: 200Gi}}
"""

SHARED_CACHE = """
---
kind: NodeCache
apiVersion: warmpod.dev/v1alpha1
metadata: {name: shared}
spec:
  volume: {hostPath: {path: /mnt/shared, type: DirectoryOrCreate}}
  tenancy: Cluster
"""
"""A cache of everyone's."""

CLIENT_PROFILE = """
---
kind: ClientProfile
apiVersion: warmpod.dev/v1alpha1
metadata: {name: s3}
spec:
  env: {AWS_MAX_ATTEMPTS: "10", AWS_RETRY_MODE: standard}
  awsConfig: {s3: {preferred_transfer_client: crt, direct_io: true}}
"""

EVERYTHING = """
  images: {placement: Prefer}
  models:
    - name: weights
      source: {annotation: warmpod.dev/model}
      allow: ["s3://acme-models/*"]
      cache: nvme
      mountPath: /models
      redirect: true
      placement: Prefer
  volumes:
    - volume: {name: dshm, emptyDir: {medium: Memory, sizeLimit: 16Gi}}
      mountPath: /dev/shm
  clientProfiles: [s3]
  env: [{name: NCCL_DEBUG, value: WARN}]
"""
"""The spec of a policy that makes every kind of edit."""


def container(name: str = "vllm", image: str = IMAGE, *, gpus: int = 1, **fields: Any) -> Object:
    """A container; with GPUs unless told otherwise."""
    resources: Object = {"requests": {"cpu": "8", "memory": "64Gi"}, "limits": {"memory": "64Gi"}}
    if gpus:
        resources["requests"][GPU] = resources["limits"][GPU] = str(gpus)
    return {"name": name, "image": image, "resources": resources, **fields}


def pod(
    *containers: Object,
    annotations: Mapping[str, str] | None = None,
    labels: Mapping[str, str] | None = None,
    **spec: Any,
) -> Object:
    """A pod of these containers, or of one without accelerators."""
    metadata: Object = {"name": "llm-0"}
    if annotations is not None:
        metadata["annotations"] = dict(annotations)
    if labels is not None:
        metadata["labels"] = dict(labels)
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": metadata,
        "spec": {"containers": list(containers) or [container(gpus=0)], **spec},
    }


def gpu_pod(model: str | None = MODEL, /, *, annotations: Mapping[str, str] | None = None, **fields: Any) -> Object:
    """A vLLM pod on one GPU that names its model in the annotation; `fields` are the container's."""
    chosen = {} if model is None else {names.ANNOTATION_MODEL: model}
    return pod(container(**fields), annotations={**chosen, **(annotations or {})})


def edited(base: Object, **spec: Any) -> Object:
    """A copy of a pod with these fields of its spec set."""
    copied = copy.deepcopy(base)
    copied["spec"].update(spec)
    return copied


def policy(spec: str = EVERYTHING, *, name: str = "llm-serving", mode: str = "Enforce") -> str:
    """The text of a WarmPolicy: the fields of `spec` as YAML, indented by two."""
    head = f"---\nkind: WarmPolicy\napiVersion: warmpod.dev/v1alpha1\nmetadata: {{name: {name}}}\n"
    return f"{head}spec:\n  mode: {mode}\n{spec.strip(chr(10))}\n"


TUNED = {
    "name": "weights",
    "source": {"annotation": names.ANNOTATION_MODEL},
    "allow": ["s3://acme-models/*"],
    "cache": "tuned",
    "mountPath": "/models",
    "redirect": True,
}
"""A model in the cache `tuned`, for `tuned` to change."""


def tuned(model: Object, cache: Object, *, name: str = "p") -> str:
    """The texts of a policy with one model and of its cache: TUNED and a hostPath, with these fields changed."""
    host = {"hostPath": {"path": "/mnt/cache", "type": "DirectoryOrCreate"}}
    policy = {"kind": "WarmPolicy", "metadata": {"name": name}}
    spec = {"mode": "Enforce", "models": [{**TUNED, **model}]}
    node_cache = {"kind": "NodeCache", "metadata": {"name": "tuned"}, "spec": {"volume": host, **cache}}
    every = ({"apiVersion": names.API_VERSION, **each} for each in ({**policy, "spec": spec}, node_cache))
    return "".join([f"---\n{json.dumps(each, ensure_ascii=False)}\n" for each in every])


def policies(*texts: str) -> PolicySet:
    """The policies of these texts, with the cache `nvme` and the profile `s3` beside them; all must parse."""
    parsed = parse([Source("policy.yaml", "".join([*texts, NODE_CACHE, CLIENT_PROFILE]))])
    assert not parsed.problems, "\n".join(map(str, parsed.problems))
    return parsed


def image(name: str = CANONICAL_IMAGE, nodes: Iterable[int] = (0, 1), size: int = IMAGE_BYTES) -> Artifact:
    """An image that some nodes hold."""
    return Artifact("image", name, "", size, names.image_label(name), nodeset.mask(nodes))


def model(
    source: str = MODEL, nodes: Iterable[int] = (1, 2), size: int = MODEL_BYTES, tenant: str = "default"
) -> Artifact:
    """A model that some nodes hold for a namespace."""
    return Artifact("model", source, tenant, size, names.model_label(source, tenant), nodeset.mask(nodes))


def inventory(*artifacts: Artifact, nodes: int = 4, **fields: Any) -> Inventory:
    """Some nodes of 8 GPUs, 2 of them free, that hold these artifacts; by default one image and one model."""
    return Inventory(
        id="test",
        time=1_795_313_272.0,
        nodes=[NodeRoom(f"gpu-{index}", {GPU: (8, 2)}) for index in range(nodes)],
        artifacts=artifacts or (image(), model()),
        **fields,
    )


def fleet() -> Inventory:
    """Eight nodes in three zones, of two kinds, some tainted; images and models on some, not all of them labelled.

    The models: one of the tenant `default`, one of everyone and of `default` in different places, one that is known by
    its label only, one whose size nobody knows.
    """
    zones = {"a": 0b00001111, "b": 0b00110000, "c": 0b11000000}
    return Inventory(
        id="fleet",
        time=1_795_313_272.0,
        nodes=[NodeRoom(f"gpu-{index}", {GPU: (8, index)} if index < 7 else {GPU: (1, 1)}) for index in range(8)],
        artifacts=[
            replace(image(nodes=(0, 1, 4, 6)), unlabelled=0b10),
            model(nodes=(1, 2)),
            model("s3://acme-models/qwen", nodes=(3,), tenant=""),
            model("s3://acme-models/qwen", nodes=(0, 3)),
            replace(model("file:///fsx/models/llama/", nodes=(0, 5)), name="", tenant="", bytes=0),
            model("s3://acme-models/fixed/", nodes=(2, 6), size=0),
            model("s3://acme-models/default/x/", nodes=(0, 7)),
            image("ghcr.io/acme/llama:v1", nodes=(1, 4)),
        ],
        namespaces={"default": PRIVILEGED},
        labels={
            "zone": zones,
            "cores": {"8": 0b1, "96": 0b11111110},
            "gpu": {"h100": 0b01111111},
            "node.kubernetes.io/instance-type": {"p5.48xlarge": 0b01111110, "g5.xlarge": 0b1, "unheard.of": 0b10000000},
        },
        taints=[Taint("gpu", "", "NoSchedule", 0b00111100), Taint("spot", "yes", "PreferNoSchedule", 0b1)],
        systems={"al2023": 0b00111111, "bottlerocket": 0b10000000},
        kubelets={"1.36": 0b01111111, "1.34": 0b10000000},
        server="1.36",
    )


def settings(**fields: Any) -> Settings:
    """The settings of an installation that hydrates."""
    given: dict[str, Any] = {
        "hydrator_image": HYDRATOR,
        "accelerators": ACCELERATORS,
        "default_level": Level.PRIVILEGED,
        **fields,
    }
    return Settings(**given)


def facts(
    *texts: str,
    inventory: Inventory | None = None,
    labels: Mapping[str, str] | None = PRIVILEGED,
    mode_cap: Mode = Mode.ENFORCE,
    **fields: Any,
) -> Facts:
    """Facts with these policies (by default one that makes every edit) and an inventory, in a privileged namespace."""
    known = _INVENTORY if inventory is None else inventory
    return Facts(
        policies=policies(*(texts or (policy(),))),
        settings=settings(**fields),
        inventory=known,
        namespace_labels=labels,
        mode_cap=mode_cap,
        placement_usable=known is not EMPTY,
    )


def request(sent: Object, *, namespace: str = "default", dry_run: bool = False) -> AdmissionRequest:
    """The review of a pod's creation."""
    return for_pod(sent, namespace=namespace, dry_run=dry_run)


def patched(sent: Object, decision: Decision) -> Object:
    """What the API server would store: the patch applied to what was sent."""
    return patch.apply(sent, decision.patch)


_INVENTORY = inventory()
