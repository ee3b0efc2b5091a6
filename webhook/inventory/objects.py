"""What is read of the Kubernetes API's objects: only the fields that the inventory is made of.

Field names and their meaning: the Kubernetes API reference, v1.36. A field that is absent, or that another version of
the API does not have, has the default given here; unknown fields are passed over without a look.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

Resource = Literal["nodes", "pods", "namespaces", "resourceslices", "resourceclaims", "resourceclaimtemplates"]
"""The plural names of what is watched. The last three are served with dynamic resource allocation only."""


class _Read(msgspec.Struct, gc=False, rename="camel"):
    pass


class Metadata(_Read):
    """An object's metadata. Timestamps are RFC 3339 text; that of a deletion is there once one is asked for."""

    name: str = ""
    namespace: str = ""
    uid: str = ""
    resource_version: str = ""
    labels: dict[str, str] | None = None
    creation_timestamp: str | None = None
    deletion_timestamp: str | None = None


class Taint(_Read):
    """A taint: `effect` is NoSchedule, PreferNoSchedule or NoExecute."""

    key: str
    effect: str
    value: str | None = None


class NodeSpec(_Read):
    """A node's spec."""

    unschedulable: bool = False
    taints: list[Taint] | None = None


class Condition(_Read):
    """One of a node's conditions."""

    type: str
    status: str


class NodeInfo(_Read):
    """What the kubelet says of its machine."""

    boot_id: str = msgspec.field(name="bootID", default="")


class NodeStatus(_Read):
    """A node's status. `images` stays undecoded: a heartbeat repeats the whole list, byte for byte."""

    allocatable: dict[str, Any] | None = None
    conditions: list[Condition] | None = None
    images: msgspec.Raw = msgspec.Raw(b"null")
    node_info: NodeInfo | None = None


class Node(_Read):
    """A node."""

    metadata: Metadata
    spec: NodeSpec | None = None
    status: NodeStatus | None = None


class ContainerImage(_Read):
    """One entry of a node's `status.images`: at most five names, digests first."""

    names: list[str] | None = None
    size_bytes: int = 0


class Resources(_Read):
    """A container's resources: quantities as the API spells them, text or numbers."""

    requests: dict[str, Any] | None = None
    limits: dict[str, Any] | None = None


class Container(_Read):
    """A container, init container or ephemeral container of a pod's spec."""

    name: str = ""
    image: str = ""
    restart_policy: str | None = None
    resources: Resources | None = None


class PodSpec(_Read):
    """A pod's spec. `affinity` is read for the terms that Warmpod put there."""

    node_name: str = ""
    containers: list[Container] | None = None
    init_containers: list[Container] | None = None
    overhead: dict[str, Any] | None = None
    resources: Resources | None = None
    affinity: dict[str, Any] | None = None


class Running(_Read):
    """A container's state while it runs."""

    started_at: str | None = None


class Terminated(_Read):
    """A container's state once it ended. `message` is what it wrote for its last words, at most 4 KiB."""

    exit_code: int = 0
    message: str | None = None
    started_at: str | None = None
    finished_at: str | None = None


class ContainerState(_Read):
    """One of the two, or neither while it waits."""

    running: Running | None = None
    terminated: Terminated | None = None


class ImageVolumeStatus(_Read):
    """What an image volume was mounted from."""

    image_ref: str = ""


class VolumeStatus(_Read):
    """The status of a volume's source, by kind."""

    image: ImageVolumeStatus | None = None


class VolumeMountStatus(_Read):
    """The status of a mount."""

    volume_status: VolumeStatus | None = None


class ContainerStatus(_Read):
    """A container's status: `image` is the name it runs by, `image_id` names the bytes, often by digest."""

    name: str = ""
    image: str = ""
    image_id: str = msgspec.field(name="imageID", default="")
    state: ContainerState | None = None
    last_state: ContainerState | None = None
    volume_mounts: list[VolumeMountStatus] | None = None


class PodStatus(_Read):
    """A pod's status."""

    phase: str = ""
    container_statuses: list[ContainerStatus] | None = None
    init_container_statuses: list[ContainerStatus] | None = None
    ephemeral_container_statuses: list[ContainerStatus] | None = None


class Pod(_Read):
    """A pod."""

    metadata: Metadata
    spec: PodSpec | None = None
    status: PodStatus | None = None


class Namespace(_Read):
    """A namespace."""

    metadata: Metadata


class Device(_Read):
    """A device of a pool."""

    name: str


class ResourcePool(_Read):
    """The pool that a slice belongs to."""

    name: str = ""
    generation: int = 0


class ResourceSliceSpec(_Read):
    """What a driver offers, on one node when `node_name` is set."""

    driver: str = ""
    pool: ResourcePool | None = None
    node_name: str | None = None
    devices: list[Device] | None = None


class ResourceSlice(_Read):
    """A resource slice."""

    metadata: Metadata
    spec: ResourceSliceSpec | None = None


class ExactDeviceRequest(_Read):
    """A request for devices of one class."""

    device_class_name: str = ""


class DeviceRequest(_Read):
    """A request: exactly one thing, or the first of several that can be had."""

    name: str = ""
    exactly: ExactDeviceRequest | None = None
    first_available: list[ExactDeviceRequest] | None = None


class DeviceClaim(_Read):
    """What a claim asks for."""

    requests: list[DeviceRequest] | None = None


class ResourceClaimSpec(_Read):
    """A claim's spec."""

    devices: DeviceClaim | None = None


class DeviceAllocation(_Read):
    """A device that a claim got."""

    driver: str = ""
    pool: str = ""
    device: str = ""


class DeviceAllocations(_Read):
    """All devices that a claim got."""

    results: list[DeviceAllocation] | None = None


class Allocation(_Read):
    """What a claim got."""

    devices: DeviceAllocations | None = None


class ResourceClaimStatus(_Read):
    """A claim's status."""

    allocation: Allocation | None = None


class ResourceClaim(_Read):
    """A resource claim."""

    metadata: Metadata
    spec: ResourceClaimSpec | None = None
    status: ResourceClaimStatus | None = None


class ResourceClaimTemplateSpec(_Read):
    """What the claims made of a template look like."""

    spec: ResourceClaimSpec | None = None


class ResourceClaimTemplate(_Read):
    """A template of resource claims."""

    metadata: Metadata
    spec: ResourceClaimTemplateSpec | None = None


Watched = Node | Pod | Namespace | ResourceSlice | ResourceClaim | ResourceClaimTemplate

TYPES: dict[Resource, type[Watched]] = {
    "nodes": Node,
    "pods": Pod,
    "namespaces": Namespace,
    "resourceslices": ResourceSlice,
    "resourceclaims": ResourceClaim,
    "resourceclaimtemplates": ResourceClaimTemplate,
}
"""What an object of each resource is decoded into."""
