"""Caches by the name of a node's set-up, so that nobody has to know where its local disks lie.

Where instance stores are mounted: Amazon Linux 2023, amazon-eks-ami, templates/al2023/runtime/bin/setup-local-disks
(`/mnt/k8s-disks/0`); Bottlerocket, bottlerocket-core-kit, sources/api/apiserver/src/server/ephemeral_storage.rs
(`/mnt/.ephemeral`; a directory right below the mount point needs no binding). `manifests/eks` has a node class for
each, and its tests hold the two together.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, get_args

from webhook.ec2 import systems
from webhook.kube import Object

PresetName = Literal["al2023-raid0", "bottlerocket", "emptydir", "generic-ephemeral"]
PRESETS: tuple[PresetName, ...] = get_args(PresetName)

_DIRECTORY = "warmpod"
# By where a host path lies, the systems that have a local disk there.
_DISKS = {
    systems.ARRAY: frozenset({systems.AL2023, systems.AL2}),
    systems.EPHEMERAL: frozenset({systems.BOTTLEROCKET}),
}


@dataclass(frozen=True, slots=True)
class Place:
    """The volume sources of a preset; no fallback where every PodSecurity level allows the volume."""

    volume: Object
    fallback_volume: Object | None = None


def place(preset: PresetName, size: str, storage_class: str) -> Place:
    """The place that a preset stands for. `size` is a quantity or empty; `storage_class` counts for one preset only."""
    return _PLACES[preset](size, storage_class)


def systems_of(volume: Object, preset: PresetName | None) -> frozenset[str]:
    """The systems (`webhook.ec2.systems`) on whose nodes a cache's volume is a local disk; empty: it does not say.

    Who wrote a path out, and no preset, may have such a disk on a system that we do not know.
    """
    given = volume.get("hostPath")
    path = given.get("path") if isinstance(given, dict) else None
    if not isinstance(path, str):
        return frozenset()
    found = next((found for disk, found in _DISKS.items() if f"{path}/".startswith(f"{disk}/")), frozenset[str]())
    return found | {systems.OTHER} if found and preset is None else found


def _empty_dir(size: str) -> Object:
    return {"emptyDir": {"sizeLimit": size} if size else {}}


def _host_path(directory: str) -> Callable[[str, str], Place]:
    volume: Object = {"hostPath": {"path": f"{directory}/{_DIRECTORY}", "type": "DirectoryOrCreate"}}
    return lambda size, _: Place(volume, _empty_dir(size))


def _ephemeral(size: str, storage_class: str) -> Place:
    claim: Object = {
        "accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": size}},
        "storageClassName": storage_class,
    }
    return Place({"ephemeral": {"volumeClaimTemplate": {"spec": claim}}})


_PLACES: dict[PresetName, Callable[[str, str], Place]] = {
    "al2023-raid0": _host_path(f"{systems.ARRAY}/0"),
    "bottlerocket": _host_path(systems.EPHEMERAL),
    "emptydir": lambda size, _: Place(_empty_dir(size)),
    "generic-ephemeral": _ephemeral,
}
