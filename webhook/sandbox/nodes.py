"""Pretend GPU nodes: Node objects as an EKS node group would have them, kept alive by kwok."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field

from webhook.kube import Object, image
from webhook.policy.allow import canonical_source

MAX_IMAGES = 50
"""kubelet reports at most this many images a node (nodeStatusMaxImages)."""


@dataclass(frozen=True, slots=True)
class PretendModel:
    """A model on a node's cache: canonical source, the namespace that may use it (empty: all), and its bytes."""

    source: str
    tenant: str = ""
    bytes: int = 0


@dataclass(frozen=True, slots=True)
class PretendNode:
    """What a node of the sandbox claims to be. The defaults are those of a p5.48xlarge.

    `images` maps image references, in any spelling, to their bytes: its kubelet lists them. Its `models` were hydrated
    by pods before anybody looked (`webhook.sandbox.models`). Which labels follow from both, the controller says.
    """

    name: str
    accelerators: Mapping[str, int] = field(default_factory=lambda: {"nvidia.com/gpu": 8})
    images: Mapping[str, int] = field(default_factory=dict)
    models: tuple[PretendModel, ...] = ()
    zone: str = "us-west-2a"
    instance_type: str = "p5.48xlarge"
    cpu: str = "192"
    memory: str = "2048Gi"
    ephemeral_storage: str = "28Ti"
    labels: Mapping[str, str] = field(default_factory=dict)


def fleet(count: int, *, warm: int, images: Mapping[str, int]) -> tuple[PretendNode, ...]:
    """`count` GPU nodes over two zones, of which the first `warm` hold the images."""
    return tuple(
        PretendNode(
            name=f"gpu-{number}",
            images=images if number <= warm else {},
            zone="us-west-2a" if number % 2 else "us-west-2b",
        )
        for number in range(1, count + 1)
    )


def manifest(node: PretendNode) -> Object:
    """The Node object. Raises ValueError for an image that is no reference, or a model that no policy could allow."""
    for model in node.models:
        if canonical_source(model.source) != model.source:
            raise ValueError(f"{model.source!r} is no source of a model; write one like s3://bucket/prefix/")
    resources = {
        "cpu": node.cpu,
        "memory": node.memory,
        "ephemeral-storage": node.ephemeral_storage,
        "pods": "110",
        **{name: str(count) for name, count in node.accelerators.items()},
    }
    images = []
    for text, size in node.images.items():
        canonical = image.canonical(text)
        if canonical is None:
            raise ValueError(f"{text!r} is no image reference; write one like vllm/vllm-openai:v0.11.0")
        images.append({"names": [canonical], "sizeBytes": size})
    images.sort(key=lambda entry: -int(str(entry["sizeBytes"])))
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": node.name,
            "labels": {
                "kubernetes.io/arch": "amd64",
                "kubernetes.io/os": "linux",
                "kubernetes.io/hostname": node.name,
                "node.kubernetes.io/instance-type": node.instance_type,
                "topology.kubernetes.io/region": node.zone[:-1],
                "topology.kubernetes.io/zone": node.zone,
                **node.labels,
            },
        },
        "status": {
            "allocatable": resources,
            "capacity": resources,
            "images": images[:MAX_IMAGES],
            # Of this boot of this machine: made under the same name again, it is another.
            "nodeInfo": {"bootID": str(uuid.uuid4())},
        },
    }


def takes_pods(node: Object) -> bool:
    """Whether the API says of a node that pods may run on it."""
    conditions = node.get("status", {}).get("conditions", [])
    ready = any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)
    return ready and not node["spec"].get("taints")
