"""What becomes of the pods of a workload, were they created now: one decision for each of its templates."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, Final

from webhook.admission import admit
from webhook.admission.decision import Decision, Facts
from webhook.kube import Object, names
from webhook.kube import pod as pods
from webhook.kube.owner import Owner, owner_of
from webhook.kube.recreated import recreated
from webhook.kube.review import for_pod
from webhook.kube.workload import pods_of
from webhook.policy.model import FailurePolicy, Mode
from webhook.report.judgement import Judgement, of_decision

#: Where each kind says how many pods it has.
_COUNTS: Final[Mapping[str, tuple[str, str]]] = {
    "Deployment": ("spec", "replicas"),
    "ReplicaSet": ("spec", "replicas"),
    "StatefulSet": ("spec", "replicas"),
    "DaemonSet": ("status", "desiredNumberScheduled"),
    "Job": ("spec", "parallelism"),
}
#: Namespaces that the registration leaves out (manifests/base).
_LEFT_OUT: Final = frozenset({"kube-system", "kube-node-lease", names.SYSTEM_NAMESPACE})


def judgements(document: Object, facts: Facts, cap: Mode = Mode.AUDIT) -> Iterator[Judgement]:
    """What would become of the pods that an object of the cluster has, were they created now.

    No policy's mode is higher than `cap`. In Audit each change is one that would be, and what would be denied if the
    policies had their own modes is told all the same. None for a workload without pods, for pods that ask for no
    accelerator, and for namespaces that the registration leaves out: Warmpod never hears of them.
    """
    for found in pods_of(document):
        if found.kind == "Pod":
            sent, owner, count = recreated(found.pod), owner_of(found.pod), 1
        else:
            sent, owner = found.pod, Owner(found.kind, found.name)
            count = _count(found.kind, document)
        namespace = found.namespace or "default"
        if not count or namespace in _LEFT_OUT or not _is_for_us(sent, namespace, facts):
            continue
        request = for_pod(sent, namespace=namespace)
        labels = {names.LABEL_NAMESPACE_NAME: namespace, **facts.inventory.namespaces.get(namespace, {})}
        mine = replace(facts, namespace_labels=labels)
        decision = admit(request, replace(mine, mode_cap=cap))
        if (
            cap is not Mode.ENFORCE
            and any(verdict.result == "errored" for verdict in decision.policies)
            and _some_fail(facts)
        ):
            decision = _denied(decision, admit(request, mine))
        yield of_decision(sent, decision, namespace=namespace, owner=owner, count=count)


def _is_for_us(pod: Object, namespace: str, facts: Facts) -> bool:
    return bool(facts.settings.accelerators.of_pod(pod, facts.inventory.claims, namespace))


def _count(kind: str, document: Object) -> int:
    """How many pods a workload has, or is to have. 1 where it does not say: that is the API's default."""
    if kind not in _COUNTS:
        return 1
    section, field = _COUNTS[kind]
    value: Any = pods.mapping(document.get(section)).get(field)
    return value if isinstance(value, int) and value >= 0 else 1


def _some_fail(facts: Facts) -> bool:
    return any(policy.failure_policy is FailurePolicy.FAIL for policy in facts.policies.policies)


def _denied(audited: Decision, enforced: Decision) -> Decision:
    """The audited decision; with the denial where the policies as they are would deny the pod."""
    return audited if enforced.allowed else replace(audited, allowed=False, message=enforced.message)
