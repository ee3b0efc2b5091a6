"""What counts in an inventory: the operator's choices."""

from __future__ import annotations

from dataclasses import dataclass, field

from webhook.kube.accelerator import Accelerators


@dataclass(frozen=True, slots=True)
class Rules:
    """What counts. Sizes in bytes, ages in seconds.

    `min_image_bytes`: smaller images are left out. `max_labels`: of ours on one node. `max_images` and
    `image_gc_min_age`: the kubelets' nodeStatusMaxImages (-1: no cap) and imageMinimumGCAge.
    `cluster_cache_namespaces`: patterns (`*` stands for any text) of namespaces whose hydrators are believed what they
    report of models for everyone.
    """

    accelerators: Accelerators = field(default_factory=Accelerators)
    min_image_bytes: int = 2**30
    max_labels: int = 20
    max_images: int = 50
    image_gc_min_age: float = 120.0
    cluster_cache_namespaces: tuple[str, ...] = ()
