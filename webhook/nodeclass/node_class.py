"""EC2NodeClass of Karpenter: the system its nodes run, their volumes, and their user data.

Facts from karpenter-provider-aws 1d92708 (2026-08-21): pkg/apis/v1/ec2nodeclass.go (families and aliases),
pkg/providers/amifamily/*.go (default devices), pkg/providers/instancetype/types.go (ephemeral-storage).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from webhook.ec2 import systems
from webhook.kube import quantity
from webhook.nodeclass.documents import NODE_CLASS, NodeDocument, NodeDocuments
from webhook.nodeclass.user_data import UserData, user_data

RAID0 = "RAID0"
LATEST = "latest"
_SYSTEMS = {"al2023": systems.AL2023, "al2": systems.AL2, "bottlerocket": systems.BOTTLEROCKET}
_TITLES = {systems.AL2023: "AL2023", systems.AL2: "AL2", systems.BOTTLEROCKET: "Bottlerocket"}
#: The device that pods write to, by system, and so the one whose size Karpenter takes for ephemeral-storage.
EPHEMERAL_DEVICE = {systems.AL2023: "/dev/xvda", systems.AL2: "/dev/xvda", systems.BOTTLEROCKET: "/dev/xvdb"}
_DEFAULT_SIZE = 20 << 30
# Amazon EBS User Guide, "General Purpose SSD volumes": what gp3 gives unasked, MiB a second.
_GP3_THROUGHPUT = 125
_VERSION = re.compile(r"v?(\d+)\.(\d+)(?:\.(\d+))?")


@dataclass(frozen=True, slots=True)
class Device:
    """One entry of blockDeviceMappings. `size` in bytes; `throughput` and `rate` in MiB a second, None: not given."""

    index: int
    name: str
    snapshot: str
    size: int | None
    type: str
    throughput: int | None
    rate: int | None
    root: bool

    @property
    def path(self) -> str:
        """The field of the document."""
        return f"spec.blockDeviceMappings[{self.index}]"

    @property
    def effective_throughput(self) -> int | None:
        """MiB a second that the volume gives; None where that depends on more than is written here."""
        if self.throughput is not None:
            return self.throughput
        return _GP3_THROUGHPUT if self.type in {"gp3", ""} else None


@dataclass(frozen=True, slots=True)
class NodeClass:
    """A node class. `system` is one of `webhook.ec2.systems`; `version` that of its alias, empty: none is named."""

    document: NodeDocument
    system: str
    version: str
    raid0: bool
    devices: tuple[Device, ...]
    user_data: UserData

    @property
    def name(self) -> str:
        """What node pools call it."""
        return self.document.name

    @property
    def title(self) -> str:
        """Its system, as Karpenter spells it."""
        return _TITLES.get(self.system, "another system")

    def device(self, name: str) -> Device | None:
        """The entry for a device."""
        return next((each for each in self.devices if each.name == name), None)

    @property
    def image_device(self) -> Device | None:
        """The entry for the volume that holds images where nothing is done about it."""
        return self.device(EPHEMERAL_DEVICE.get(self.system, ""))

    @property
    def ephemeral_storage(self) -> int | None:
        """Bytes that Karpenter takes for ephemeral-storage of a node without RAID0; None where it cannot be told."""
        if self.system == systems.OTHER:
            return None
        root = next((each for each in self.devices if each.root and each.size is not None), None)
        named = root or self.image_device
        return named.size if named is not None and named.size is not None else _DEFAULT_SIZE

    def older_than(self, major: int, minor: int) -> bool:
        """Whether the alias names a version below this one."""
        match = _VERSION.match(self.version)
        return match is not None and (int(match[1]), int(match[2])) < (major, minor)


def node_classes(found: NodeDocuments) -> tuple[NodeClass, ...]:
    """Return the node classes among the documents. Never raises, whatever their fields hold."""
    return tuple(_node_class(each) for each in found.of(NODE_CLASS))


def _node_class(document: NodeDocument) -> NodeClass:
    family, version = _family(document)
    system = _SYSTEMS.get(family.lower(), systems.OTHER)
    text = document.at("spec", "userData")
    mappings = document.at("spec", "blockDeviceMappings")
    return NodeClass(
        document=document,
        system=system,
        version=version,
        raid0=document.at("spec", "instanceStorePolicy") == RAID0,
        devices=tuple(
            _device(index, each)
            for index, each in enumerate(mappings if isinstance(mappings, list) else ())
            if isinstance(each, dict)
        ),
        user_data=user_data(text, system) if isinstance(text, str) else UserData(),
    )


def _family(document: NodeDocument) -> tuple[str, str]:
    """Family and version: `amiFamily` is heard before the alias."""
    terms = document.at("spec", "amiSelectorTerms")
    alias = next(
        (each["alias"] for each in terms if isinstance(each, dict) and isinstance(each.get("alias"), str))
        if isinstance(terms, list)
        else iter(()),
        "",
    )
    family, _, version = alias.partition("@")
    said = document.at("spec", "amiFamily")
    return (said if isinstance(said, str) and said else family), version


def _device(index: int, mapping: dict[str, Any]) -> Device:
    ebs = mapping.get("ebs")
    ebs = ebs if isinstance(ebs, dict) else {}
    name = mapping.get("deviceName")
    return Device(
        index=index,
        name=name if isinstance(name, str) else "",
        snapshot=ebs["snapshotID"] if isinstance(ebs.get("snapshotID"), str) else "",
        size=_bytes(ebs.get("volumeSize")),
        type=ebs["volumeType"] if isinstance(ebs.get("volumeType"), str) else "",
        throughput=_whole(ebs.get("throughput")),
        rate=_whole(ebs.get("volumeInitializationRate")),
        root=mapping.get("rootVolume") is True,
    )


def _bytes(value: Any) -> int | None:
    try:
        return int(quantity.parse(value))
    except quantity.InvalidQuantity:
        return None


def _whole(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None
