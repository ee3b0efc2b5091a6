"""What of a node the inventory is made of. Condensing a heartbeat must cost next to nothing: most change nothing."""

from __future__ import annotations

import hashlib
import re
import sys
from collections.abc import Mapping
from typing import Any

import msgspec

from webhook.ec2.systems import system_of
from webhook.inventory.objects import Node, NodeInfo
from webhook.inventory.objects import Taint as NodeTaint
from webhook.inventory.report import seconds
from webhook.inventory.versions import kubelet
from webhook.kube import names, quantity
from webhook.kube.accelerator import Accelerators

LEAVING = (
    "karpenter.sh/disrupted",  # Karpenter v1: karpenter.sh/docs/concepts/disruption
    "karpenter.sh/disruption",  # Karpenter v1beta1
    "ToBeDeletedByClusterAutoscaler",  # Cluster Autoscaler: utils/taints. Its soft DeletionCandidate… is a maybe
    "node.kubernetes.io/out-of-service",  # set by people on a node that is shut down: non-graceful node shutdown
    "node.kubernetes.io/unschedulable",  # cordoned, by who sets the taint alone
    "node.cloudprovider.kubernetes.io/shutdown",  # cloud-provider: node lifecycle controller
    "cloud.google.com/impending-node-termination",  # GKE: maintenance and Spot reclaim
    "aws-node-termination-handler/",  # a prefix: spot-itn, scheduled-maintenance, asg-lifecycle-termination, …
)
"""Keys of taints that say a node is about to go, or its prefix where it ends with a slash."""

_OURS = re.compile(rf"{re.escape(names.NODE_LABEL_PREFIX)}(?:(?:image|model)-[0-9a-f]{{16}}|boot)")
_MOST = 2**53
_NOTHING_SAID = NodeInfo()

Taint = tuple[str, str, str]
"""Key, value, effect."""


class NodeFacts(msgspec.Struct, frozen=True, gc=False):
    """A node, condensed. Two of the same facts are equal.

    `created` is in unix seconds, 0 when not known. `takes_pods`: ready, not cordoned, and not about to go; `deleted`:
    somebody deletes the object. `labels` are all but those of our prefix, `ours` those that Warmpod sets.
    `accelerators` is what is allocatable of each, `images` the digest of the list of images as it came. `system` and
    `kubelet` are its operating system (`webhook.ec2.systems`) and its kubelet's minor version, empty when not said.
    """

    uid: str
    created: float
    boot: str
    takes_pods: bool
    deleted: bool
    labels: dict[str, str]
    ours: dict[str, str]
    taints: tuple[Taint, ...]
    accelerators: dict[str, int]
    images: bytes
    system: str
    kubelet: str


def facts(node: Node, accelerators: Accelerators, known: NodeFacts | None) -> NodeFacts:
    """Condense a node. `known` itself comes back when nothing else is known of it now."""
    status, spec = node.status, node.spec
    labels: dict[str, str] = {}
    ours: dict[str, str] = {}
    for key, value in (node.metadata.labels or {}).items():
        if not key.startswith(names.NODE_LABEL_PREFIX):
            labels[key] = value
        elif _OURS.fullmatch(key):
            ours[key] = value
    taints = _taints(spec.taints if spec else None)
    deleted = bool(node.metadata.deletion_timestamp)
    cordoned = spec is not None and spec.unschedulable
    ready = status is not None and any(
        each.type == "Ready" and each.status == "True" for each in status.conditions or ()
    )
    info = (status.node_info if status else None) or _NOTHING_SAID
    found = NodeFacts(
        uid=node.metadata.uid,
        created=seconds(node.metadata.creation_timestamp) or 0.0,
        boot=info.boot_id,
        takes_pods=ready and not cordoned and not deleted and not any(_is_leaving(key) for key, _, _ in taints),
        deleted=deleted,
        labels=labels,
        ours=ours,
        taints=taints,
        accelerators=_allocatable(status.allocatable if status else None, accelerators),
        images=hashlib.blake2b(status.images if status else b"", digest_size=16).digest(),
        system=system_of(info.os_image),
        kubelet=kubelet(info.kubelet_version, info.container_runtime_version),
    )
    if known is not None:
        if known == found:
            return known
        if known.labels == found.labels:
            return msgspec.structs.replace(found, labels=known.labels)
    return msgspec.structs.replace(found, labels=_interned(labels))


def _taints(taints: list[NodeTaint] | None) -> tuple[Taint, ...]:
    return tuple(sorted({(taint.key, taint.value or "", taint.effect) for taint in taints})) if taints else ()


def _is_leaving(key: str) -> bool:
    return any(key.startswith(each) if each.endswith("/") else key == each for each in LEAVING)


def _allocatable(amounts: Mapping[str, Any] | None, accelerators: Accelerators) -> dict[str, int]:
    found: dict[str, int] = {}
    for name, amount in (amounts or {}).items():
        if accelerators.is_resource(name):
            try:
                found[name] = min(max(0, int(quantity.parse(amount))), _MOST)
            except quantity.InvalidQuantity:
                found[name] = 0
    return found


def _interned(labels: Mapping[str, str]) -> dict[str, str]:
    """The same labels, their texts shared among all nodes."""
    return {sys.intern(key): sys.intern(value) for key, value in labels.items()}
