"""Zones of volumes beside the zones that policies prefer: those that nobody says, and those that contradict.

FSx for Lustre lies in one zone (Amazon FSx for Lustre User Guide, "Accessing file systems from within a VPC"). Required
terms of a PersistentVolume bind every pod that uses it (k8s.io/kubernetes, the scheduler's plugin volumebinding).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from webhook.ec2.zones import zone_label
from webhook.kube import Object, affinity
from webhook.kube import pod as pods
from webhook.lint.check import Codes, Finding
from webhook.lint.node_check import NodeCheck, Nodes
from webhook.lint.node_lustre import DRIVER
from webhook.nodeclass.documents import NodeDocument

CODES: Codes = {
    "N054": ("warning", "a file system of one zone that no policy knows the zone of"),
    "N055": ("warning", "a policy that prefers a zone which its volume rules out"),
}


@dataclass(frozen=True, slots=True)
class _Use:
    """One place in a policy that mounts a claim: what it is, for people, and the zone that it declares."""

    what: str
    zone: str


def _uses(nodes: Nodes, volume: NodeDocument) -> Iterator[_Use]:
    claim = _claim_of(nodes, volume)
    for policy in nodes.policies.policies if claim else ():
        for model in policy.models:
            if model.source_volume is not None and _claimed(model.source_volume.volume) == claim:
                yield _Use(f"model {model.name} of policy {policy.name}", model.zone)
        for rule in policy.volumes:
            if _claimed(rule.volume) == claim:
                yield _Use(f"volume {rule.volume.get('name')} of policy {policy.name}", rule.zone)


def _claim_of(nodes: Nodes, volume: NodeDocument) -> str:
    """The claim of a volume. A policy says no namespace, so its name is all there is to go by."""
    for claim in nodes.documents.of("PersistentVolumeClaim"):
        if volume.name and claim.at("spec", "volumeName") == volume.name:
            return claim.name
    name = volume.at("spec", "claimRef", "name")
    return name if isinstance(name, str) else ""


def _claimed(volume: Object) -> str:
    name = pods.mapping(volume.get("persistentVolumeClaim")).get("claimName")
    return name if isinstance(name, str) else ""


def _unknown(nodes: Nodes) -> Iterator[tuple[NodeDocument, Finding]]:
    for volume in nodes.documents.of("PersistentVolume"):
        if volume.at("spec", "csi", "driver") != DRIVER or volume.at("spec", "nodeAffinity") is not None:
            continue
        silent = next((each.what for each in _uses(nodes, volume) if not each.zone), "")
        if silent:
            message = (
                f"the file system lies in one zone, and neither this volume nor {silent} says which: pods may read it"
                " across zones"
            )
            yield volume, Finding("N054", "spec", message, "zone: use1-az4 in the policy, beside the volume")


def _contrary(nodes: Nodes) -> Iterator[tuple[NodeDocument, Finding]]:
    for volume in nodes.documents.of("PersistentVolume"):
        terms = volume.at("spec", "nodeAffinity", "required", "nodeSelectorTerms")
        if not isinstance(terms, list) or not terms:
            continue
        for each in _uses(nodes, volume):
            label = zone_label(each.zone)
            if label and all(_rules_out(pods.mapping(term), label, each.zone) for term in terms):
                message = f"{each.what} prefers {each.zone}, where no pod with this volume can run"
                hint = "say the same zone in both, or leave the volume's nodeAffinity away"
                yield volume, Finding("N055", "spec.nodeAffinity", message, hint)


def _rules_out(term: Object, label: str, zone: str) -> bool:
    """Whether a term selects no node of a zone; of other labels nothing is known."""
    return any(
        each.get("key") == label and not affinity.holds(each, {label: zone})
        for each in pods.objects(term.get("matchExpressions"))
    )


CHECKS: tuple[NodeCheck, ...] = (_unknown, _contrary)
