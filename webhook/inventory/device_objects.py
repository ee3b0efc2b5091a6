"""What is read of dynamic resource allocation (`resource.k8s.io/v1`): the devices of nodes, and claims to them."""

from __future__ import annotations

from webhook.inventory.metadata import Metadata, Read


class Device(Read):
    """A device of a pool."""

    name: str


class ResourcePool(Read):
    """The pool that a slice belongs to."""

    name: str = ""
    generation: int = 0


class ResourceSliceSpec(Read):
    """What a driver offers, on one node when `node_name` is set."""

    driver: str = ""
    pool: ResourcePool | None = None
    node_name: str | None = None
    devices: list[Device] | None = None


class ResourceSlice(Read):
    """A resource slice."""

    metadata: Metadata
    spec: ResourceSliceSpec | None = None


class ExactDeviceRequest(Read):
    """A request for devices of one class."""

    device_class_name: str = ""


class DeviceRequest(Read):
    """A request: exactly one thing, or the first of several that can be had."""

    name: str = ""
    exactly: ExactDeviceRequest | None = None
    first_available: list[ExactDeviceRequest] | None = None


class DeviceClaim(Read):
    """What a claim asks for."""

    requests: list[DeviceRequest] | None = None


class ResourceClaimSpec(Read):
    """A claim's spec."""

    devices: DeviceClaim | None = None


class DeviceAllocation(Read):
    """A device that a claim got."""

    driver: str = ""
    pool: str = ""
    device: str = ""


class DeviceAllocations(Read):
    """All devices that a claim got."""

    results: list[DeviceAllocation] | None = None


class Allocation(Read):
    """What a claim got."""

    devices: DeviceAllocations | None = None


class ResourceClaimStatus(Read):
    """A claim's status."""

    allocation: Allocation | None = None


class ResourceClaim(Read):
    """A resource claim."""

    metadata: Metadata
    spec: ResourceClaimSpec | None = None
    status: ResourceClaimStatus | None = None


class ResourceClaimTemplateSpec(Read):
    """What the claims made of a template look like."""

    spec: ResourceClaimSpec | None = None


class ResourceClaimTemplate(Read):
    """A template of resource claims."""

    metadata: Metadata
    spec: ResourceClaimTemplateSpec | None = None
