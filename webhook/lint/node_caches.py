"""Caches of policies beside the node classes that are to hold them: whether they lie on a local disk, and leave room.

Thresholds of kubelet: k8s.io/kubernetes, pkg/kubelet/apis/config/v1beta1/defaults.go and pkg/kubelet/eviction (images
go at 85 % of the disk, pods when 15 % of imagefs or 10 % of nodefs are left).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from webhook.ec2 import systems
from webhook.ec2.systems import EPHEMERAL
from webhook.kube import pod as pods
from webhook.lint.check import Codes, Finding
from webhook.lint.node_check import NodeCheck, Nodes, host_path
from webhook.nodeclass.documents import NodeDocument
from webhook.nodeclass.local_storage import CONTAINERD, KUBELET, LocalStorage, local_storage
from webhook.nodeclass.node_class import NodeClass
from webhook.nodeclass.node_config import merged
from webhook.policy.legibility import shown
from webhook.policy.model import NodeCache

CODES: Codes = {
    "N060": ("warning", "a cache that does not lie on the local disks of a node class"),
    "N061": ("warning", "a cache that no node class has the system for"),
    "N062": ("warning", "a cache that leaves less free than kubelet wants"),
    "N063": ("warning", "a storage class of a cache that binds before the pod has a node"),
}
_PERCENT = re.compile(r"\s*(\d{1,3}(?:\.\d+)?)%\s*")
# amazon-eks-ami 81fec2e, nodeadm/internal/kubelet/config.go.
_OF_NODEADM = {"nodefs.available": 10.0}
_DEFAULTS = {"imagefs.available": 15.0, "nodefs.available": 10.0}
_HIGH = 85.0


def _elsewhere(nodes: Nodes) -> Iterator[tuple[NodeDocument, Finding]]:
    for cache in nodes.policies.caches:
        path = host_path(cache)
        if not path:
            continue
        for node_class in nodes.classes:
            storage = local_storage(node_class)
            if cache.systems and node_class.system not in cache.systems:
                continue
            if path.startswith(f"{EPHEMERAL}/._"):
                message = f"NodeCache {cache.name} lies in a directory that Bottlerocket binds elsewhere and then hides"
                yield node_class.document, Finding("N060", "spec", message, f"a path such as {EPHEMERAL}/warmpod")
                continue
            if node_class.system == systems.OTHER or storage.holds(path):
                continue
            field, message, hint = _why(cache, path, node_class, storage)
            yield node_class.document, Finding("N060", field, message, hint)


def _why(cache: NodeCache, path: str, node_class: NodeClass, storage: LocalStorage) -> tuple[str, str, str]:
    head = f"NodeCache {cache.name} lies at {shown(path)}"
    if not storage.mount_point:
        message = f"{head}, and nothing mounts local disks there: models go to an EBS volume"
        hint = "instanceStorePolicy: RAID0"
        if node_class.system == systems.AL2023:
            hint += ", or localStorage: {strategy: RAID0} in a NodeConfig"
        return "spec", message, hint
    preset = {systems.AL2023: "al2023-raid0", systems.BOTTLEROCKET: "bottlerocket"}.get(node_class.system)
    message = f"{head}; these nodes have their local disks at {storage.mount_point}"
    hint = f"a path below {storage.mount_point}{f', or preset: {preset}' if preset else ''}"
    return "spec", message, hint


def _place(cache: NodeCache) -> str:
    """Where the cache's files lie on the node; empty where that is on no disk of the node."""
    return KUBELET if isinstance(cache.volume.get("emptyDir"), dict) else host_path(cache)


def _no_system(nodes: Nodes) -> Iterator[tuple[NodeDocument, Finding]]:
    known = {each.system for each in nodes.classes} - {systems.OTHER}
    for cache in nodes.policies.caches:
        if known and cache.systems and known.isdisjoint(cache.systems):
            wanted = " or ".join(sorted(systems.TITLES[each] for each in cache.systems))
            for node_class in nodes.classes:
                message = f"NodeCache {cache.name} is for nodes of {wanted}, and this is {node_class.title}"
                hint = "the preset of this system; until then pods use the fallback volume, which dies with them"
                yield node_class.document, Finding("N061", "spec.amiSelectorTerms", message, hint)


def _crowded(nodes: Nodes) -> Iterator[tuple[NodeDocument, Finding]]:
    """On nodes whose disk holds models, images and kubelet's directories, the first threshold counts for all."""
    for node_class in nodes.classes:
        storage = local_storage(node_class)
        if storage.of != "nvme" or not {CONTAINERD, KUBELET} & storage.binds:
            continue
        for cache in nodes.policies.caches:
            kept = _percent(cache.keep_free)
            if kept is None or not storage.holds(_place(cache)):
                continue
            wanted, reason = _most_wanted(node_class, storage)
            if kept < wanted:
                head = f"NodeCache {cache.name} fills the disk until {kept:g} % are free"
                message = f"{head}, and {reason} when {wanted:g} % are"
                hint = f"keepFree: {min(int(wanted) + 5, 99)}% in the NodeCache"
                yield node_class.document, Finding("N062", "spec", message, hint)


def _most_wanted(node_class: NodeClass, storage: LocalStorage) -> tuple[float, str]:
    said = _kubelet(node_class)
    hard = said.get("evictionHard")
    given = hard if isinstance(hard, Mapping) else {}
    signals = {key: found for key, value in given.items() if (found := _percent(str(value))) is not None}
    if node_class.system == systems.AL2023:
        signals = {**_OF_NODEADM, **signals}
    elif not given:  # kubelet takes its defaults for none of the signals as soon as one is given
        signals = dict(_DEFAULTS)
    candidates = []
    if CONTAINERD in storage.binds:
        high = said.get("imageGCHighThresholdPercent")
        candidates.append((100 - (_number(high) or _HIGH), "kubelet removes images"))
        candidates.append((signals.get("imagefs.available", 0.0), "kubelet evicts pods"))
    if KUBELET in storage.binds:
        candidates.append((signals.get("nodefs.available", 0.0), "kubelet evicts pods"))
    return max(candidates, key=lambda each: each[0])


def _kubelet(node_class: NodeClass) -> Mapping[str, Any]:
    """What is said of kubelet: Karpenter's fields win over user data."""
    said: dict[str, Any] = {}
    config = merged(node_class.user_data.node_configs).at("kubelet", "config")
    if isinstance(config, dict):
        said |= config
    settings = node_class.user_data.settings
    if settings is not None:
        for key, name in (
            ("eviction-hard", "evictionHard"),
            ("image-gc-high-threshold-percent", "imageGCHighThresholdPercent"),
        ):
            if settings.at("kubernetes", key) is not None:
                said[name] = settings.at("kubernetes", key)
    own = node_class.document.at("spec", "kubelet")
    return said | own if isinstance(own, dict) else said


def _percent(text: str) -> float | None:
    match = _PERCENT.fullmatch(text)
    return float(match[1]) if match else None


def _number(value: Any) -> float | None:
    if isinstance(value, str) and value.isascii() and value.isdigit():
        return float(value[:9])
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None


def _bound_early(nodes: Nodes) -> Iterator[tuple[NodeDocument, Finding]]:
    """Bound at once, the claim takes a disk of any node, and the pod must go there: the scheduler has no choice."""
    wanted = {_storage_class(cache): cache.name for cache in nodes.policies.caches}
    for each in nodes.documents.of("StorageClass"):
        mode = each.at("volumeBindingMode")
        if each.name and each.name in wanted and mode != "WaitForFirstConsumer":
            head = f"the claim of NodeCache {wanted[each.name]} is bound before its pod has a node"
            message = f"{head}: the pod goes where the disk is, without accelerators perhaps"
            path = "spec" if mode is None else "volumeBindingMode"
            yield each, Finding("N063", path, message, "volumeBindingMode: WaitForFirstConsumer")


def _storage_class(cache: NodeCache) -> str:
    template = pods.mapping(pods.mapping(cache.volume.get("ephemeral")).get("volumeClaimTemplate"))
    name = pods.mapping(template.get("spec")).get("storageClassName")
    return name if isinstance(name, str) else ""


CHECKS: tuple[NodeCheck, ...] = (_elsewhere, _no_system, _crowded, _bound_early)
