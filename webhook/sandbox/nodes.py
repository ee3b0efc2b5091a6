"""Pretend GPU nodes: Node objects as an EKS node group would have them, kept alive by kwok."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from webhook.kube import Object, image, names

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

    `images` maps image references, in any spelling, to their bytes; the node is warm for each of them, and for its
    `models`.
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
    """The Node object. Raises ValueError for an image that is not a reference."""
    resources = {
        "cpu": node.cpu,
        "memory": node.memory,
        "ephemeral-storage": node.ephemeral_storage,
        "pods": "110",
        **{name: str(count) for name, count in node.accelerators.items()},
    }
    images = []
    warm = {}
    for text, size in node.images.items():
        canonical = image.canonical(text)
        if canonical is None:
            raise ValueError(f"{text!r} is no image reference; write one like vllm/vllm-openai:v0.11.0")
        images.append({"names": [canonical], "sizeBytes": size})
        warm[names.image_label(canonical)] = names.NODE_LABEL_WARM
    for model in node.models:
        warm[names.model_label(model.source, model.tenant)] = names.NODE_LABEL_WARM
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
                **warm,
                **node.labels,
            },
        },
        "status": {"allocatable": resources, "capacity": resources, "images": images[:MAX_IMAGES]},
    }
