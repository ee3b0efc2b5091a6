"""Node pools and workloads that name Warmpod's own labels, and pools that make nodes without local disks.

Facts from sigs.k8s.io/karpenter 2266468: pkg/scheduling/requirements.go (a required label without known values cannot
be satisfied, a negative one can), pkg/controllers/provisioning/scheduling/nodeclaimtemplate.go (labels of a pool are
set on every node; a requirement that names no value gets one at random).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from webhook.ec2.instances import instances
from webhook.kube import affinity, names
from webhook.kube import pod as pods
from webhook.lint.check import Codes, Finding
from webhook.lint.node_check import NodeCheck, Nodes, host_path
from webhook.nodeclass.documents import NODE_POOL, NodeDocument
from webhook.nodeclass.local_storage import local_storage

CODES: Codes = {
    "N030": ("error", "a node pool that declares Warmpod's labels"),
    "N031": ("error", "a pod that requires one of Warmpod's labels"),
    "N032": ("warning", "a node pool whose nodes may have no local disks"),
}
_LOCAL_NVME = ("karpenter.k8s.aws/instance-local-nvme", "eks.amazonaws.com/instance-local-nvme")
_TYPE = "node.kubernetes.io/instance-type"
_FAMILY = ("karpenter.k8s.aws/instance-family", "eks.amazonaws.com/instance-family")
_POSITIVE = frozenset({"In", "Exists", "Gt", "Lt", "Gte", "Lte"})


def _is_ours(key: Any) -> bool:
    return isinstance(key, str) and key.startswith(names.NODE_LABEL_PREFIX)


def _declared(nodes: Nodes) -> Iterator[tuple[NodeDocument, Finding]]:
    hint = "remove it: the controller sets these labels, on nodes that hold what they say"
    for pool in nodes.documents.of(NODE_POOL):
        labels = pool.at("spec", "template", "metadata", "labels")
        for key in labels if isinstance(labels, dict) else ():
            if _is_ours(key):
                message = "Karpenter sets this on every new node, and so each would pass for warm from the start"
                yield pool, Finding("N030", f"spec.template.metadata.labels.{key}", message, hint, on_key=True)
        for index, requirement in enumerate(_requirements(pool)):
            if _is_ours(requirement.get("key")):
                message = (
                    "a requirement is set on every new node too, with a value of Karpenter's choice where it names none"
                )
                yield pool, Finding("N030", f"spec.template.spec.requirements[{index}].key", message, hint)


def _requirements(pool: NodeDocument) -> list[Mapping[str, Any]]:
    found = pool.at("spec", "template", "spec", "requirements")
    return [each if isinstance(each, dict) else {} for each in found] if isinstance(found, list) else []


def _required(nodes: Nodes) -> Iterator[tuple[NodeDocument, Finding]]:
    for document, found in nodes.documents.pods():
        below = f"{found.path}.spec" if found.path else "spec"
        message = "no autoscaler makes a node for this label, since nobody declares it: the pod stays pending"
        hint = "prefer it, or let Warmpod do so: images.placement: Prefer"
        for key in pods.mapping(pods.spec(found.pod).get("nodeSelector")):
            if _is_ours(key):
                yield document, Finding("N031", f"{below}.nodeSelector.{key}", message, hint, on_key=True)
        for index, term in enumerate(affinity.required_terms(found.pod)):
            for number, each in enumerate(pods.objects(term.get("matchExpressions"))):
                if _is_ours(each.get("key")) and str(each.get("operator")) in _POSITIVE:
                    path = (
                        f"{below}.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution"
                        f".nodeSelectorTerms[{index}].matchExpressions[{number}].key"
                    )
                    yield document, Finding("N031", path, message, hint)


def _without_disks(nodes: Nodes) -> Iterator[tuple[NodeDocument, Finding]]:
    for node_class in nodes.classes:
        storage = local_storage(node_class)
        cache = next((each for each in nodes.policies.caches if storage.holds(host_path(each))), None)
        if storage.of != "nvme" or cache is None:
            continue
        for pool in nodes.pools_of(node_class):
            reason = _diskless(_requirements(pool))
            if reason:
                message = f"NodeCache {cache.name} lies on local disks, and {reason}"
                hint = "add {key: karpenter.k8s.aws/instance-local-nvme, operator: Gt, values: ['0']}"
                yield pool, Finding("N032", "spec.template.spec.requirements", message, hint)


def _diskless(requirements: list[Mapping[str, Any]]) -> str:
    """Why a pool may make nodes without local disks; empty where it cannot, or where that is not known here."""
    types: set[str] | None = None
    for each in requirements:
        key, operator, values = each.get("key"), str(each.get("operator")), each.get("values")
        wanted = [value for value in values if isinstance(value, str)] if isinstance(values, list) else []
        if key in _LOCAL_NVME and operator in {"Gt", "Gte", "Exists", "In"}:
            return ""
        if key == _TYPE and operator == "In":
            types = set(wanted) if types is None else types & set(wanted)
        elif key in _FAMILY and operator == "In":
            families = {name for name in instances() if name.partition(".")[0] in wanted}
            if {name.partition(".")[0] for name in families} != set(wanted):
                return ""  # a family that is not known here
            types = families if types is None else types & families
    if types is None:
        return "no requirement of this pool asks for them"
    without = sorted(name for name in types if name in instances() and not instances()[name].store)
    if without:
        return f"{', '.join(without[:3])}{' and others' if len(without) > 3 else ''} of this pool have none"
    return ""


CHECKS: tuple[NodeCheck, ...] = (_declared, _required, _without_disks)
