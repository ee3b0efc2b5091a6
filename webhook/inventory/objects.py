"""What is read of the Kubernetes API's objects: only the fields that the inventory is made of.

Field names and their meaning: the Kubernetes API reference, v1.36. A field that is absent, or that another version of
the API does not have, has the default given here; unknown fields are passed over without a look.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from webhook.inventory.device_objects import ResourceClaim, ResourceClaimTemplate, ResourceSlice
from webhook.inventory.metadata import Metadata, Read

Resource = Literal[
    "nodes",
    "pods",
    "namespaces",
    "persistentvolumes",
    "resourceslices",
    "resourceclaims",
    "resourceclaimtemplates",
]
"""The plural names of what is watched. The last three are served with dynamic resource allocation only."""


class Taint(Read):
    """A taint: `effect` is NoSchedule, PreferNoSchedule or NoExecute."""

    key: str
    effect: str
    value: str | None = None


class NodeSpec(Read):
    """A node's spec."""

    unschedulable: bool = False
    taints: list[Taint] | None = None


class Condition(Read):
    """One of a node's conditions."""

    type: str
    status: str


class NodeInfo(Read):
    """What the kubelet says of its machine."""

    boot_id: str = msgspec.field(name="bootID", default="")
    os_image: str = ""
    kubelet_version: str = ""
    container_runtime_version: str = ""


class NodeStatus(Read):
    """A node's status. `images` stays undecoded: a heartbeat repeats the whole list, byte for byte."""

    allocatable: dict[str, Any] | None = None
    conditions: list[Condition] | None = None
    images: msgspec.Raw = msgspec.Raw(b"null")
    node_info: NodeInfo | None = None


class Node(Read):
    """A node."""

    metadata: Metadata
    spec: NodeSpec | None = None
    status: NodeStatus | None = None


class ContainerImage(Read):
    """One entry of a node's `status.images`: at most five names, digests first."""

    names: list[str] | None = None
    size_bytes: int = 0


class Resources(Read):
    """A container's resources: quantities as the API spells them, text or numbers."""

    requests: dict[str, Any] | None = None
    limits: dict[str, Any] | None = None


class Container(Read):
    """A container, init container or ephemeral container of a pod's spec."""

    name: str = ""
    image: str = ""
    restart_policy: str | None = None
    resources: Resources | None = None


class PodSpec(Read):
    """A pod's spec. `affinity` is read for the terms that Warmpod put there."""

    node_name: str = ""
    containers: list[Container] | None = None
    init_containers: list[Container] | None = None
    overhead: dict[str, Any] | None = None
    resources: Resources | None = None
    affinity: dict[str, Any] | None = None


class Running(Read):
    """A container's state while it runs."""

    started_at: str | None = None


class Terminated(Read):
    """A container's state once it ended. `message` is what it wrote for its last words, at most 4 KiB."""

    exit_code: int = 0
    message: str | None = None
    started_at: str | None = None
    finished_at: str | None = None


class ContainerState(Read):
    """One of the two, or neither while it waits."""

    running: Running | None = None
    terminated: Terminated | None = None


class ImageVolumeStatus(Read):
    """What an image volume was mounted from."""

    image_ref: str = ""


class VolumeStatus(Read):
    """The status of a volume's source, by kind."""

    image: ImageVolumeStatus | None = None


class VolumeMountStatus(Read):
    """The status of a mount."""

    volume_status: VolumeStatus | None = None


class ContainerStatus(Read):
    """A container's status: `image` is the name it runs by, `image_id` names the bytes, often by digest."""

    name: str = ""
    image: str = ""
    image_id: str = msgspec.field(name="imageID", default="")
    state: ContainerState | None = None
    last_state: ContainerState | None = None
    volume_mounts: list[VolumeMountStatus] | None = None


class PodStatus(Read):
    """A pod's status."""

    phase: str = ""
    container_statuses: list[ContainerStatus] | None = None
    init_container_statuses: list[ContainerStatus] | None = None
    ephemeral_container_statuses: list[ContainerStatus] | None = None


class Pod(Read):
    """A pod."""

    metadata: Metadata
    spec: PodSpec | None = None
    status: PodStatus | None = None


class Namespace(Read):
    """A namespace."""

    metadata: Metadata


class VolumeNodeAffinity(Read):
    """From which nodes a volume can be reached: a node selector, as pods have it."""

    required: dict[str, Any] | None = None


class ClaimReference(Read):
    """The claim that a volume is bound to."""

    name: str = ""
    namespace: str = ""


class PersistentVolumeSpec(Read):
    """A persistent volume's spec: not what it is made of, only whose it is and where."""

    claim_ref: ClaimReference | None = None
    node_affinity: VolumeNodeAffinity | None = None


class PersistentVolumeStatus(Read):
    """A persistent volume's status."""

    phase: str = ""


class PersistentVolume(Read):
    """A persistent volume."""

    metadata: Metadata
    spec: PersistentVolumeSpec | None = None
    status: PersistentVolumeStatus | None = None


Watched = Node | Pod | Namespace | PersistentVolume | ResourceSlice | ResourceClaim | ResourceClaimTemplate

TYPES: dict[Resource, type[Watched]] = {
    "nodes": Node,
    "pods": Pod,
    "namespaces": Namespace,
    "persistentvolumes": PersistentVolume,
    "resourceslices": ResourceSlice,
    "resourceclaims": ResourceClaim,
    "resourceclaimtemplates": ResourceClaimTemplate,
}
"""What an object of each resource is decoded into."""
