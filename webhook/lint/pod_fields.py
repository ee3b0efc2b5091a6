"""The fields that a Pod has, as far as CEL conditions usually look, and those that are there in every review.

Names are those of the core/v1 API, Kubernetes 1.37 (a test holds them to its OpenAPI schema). What is always there was
read from the API's types (no `omitempty`, or a struct) and its defaults: the API server encodes a pod after defaulting,
and before it makes a name of `generateName`.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from itertools import pairwise

_METADATA = (
    "annotations creationTimestamp deletionGracePeriodSeconds deletionTimestamp finalizers generateName generation "
    "labels managedFields name namespace ownerReferences resourceVersion selfLink uid"
)
_SPEC = (
    "activeDeadlineSeconds affinity automountServiceAccountToken containers dnsConfig dnsPolicy enableServiceLinks "
    "ephemeralContainers evictionResponders hostAliases hostIPC hostNetwork hostPID hostUsers hostname "
    "hostnameOverride imagePullSecrets initContainers nodeName nodeSelector os overhead preemptionPolicy priority "
    "priorityClassName readinessGates resourceClaims resources restartPolicy runtimeClassName schedulerName "
    "schedulingGates schedulingGroup securityContext serviceAccount serviceAccountName setHostnameAsFQDN "
    "shareProcessNamespace subdomain terminationGracePeriodSeconds tolerations topologySpreadConstraints volumes"
)
_CONTAINER = (
    "args command env envFrom image imagePullPolicy lifecycle livenessProbe name ports readinessProbe resizePolicy "
    "resources restartPolicy restartPolicyRules securityContext startupProbe stdin stdinOnce terminationMessagePath "
    "terminationMessagePolicy tty volumeDevices volumeMounts workingDir"
)

FIELDS: dict[str, frozenset[str]] = {
    "object": frozenset({"apiVersion", "kind", "metadata", "spec", "status"}),
    "object.metadata": frozenset(_METADATA.split()),
    "object.spec": frozenset(_SPEC.split()),
    "object.spec.containers[]": frozenset(_CONTAINER.split()),
    "object.spec.initContainers[]": frozenset(_CONTAINER.split()),
    "object.spec.ephemeralContainers[]": frozenset([*_CONTAINER.split(), "targetContainerName"]),
    "object.spec.containers[].resources": frozenset({"claims", "limits", "requests"}),
    "object.spec.initContainers[].resources": frozenset({"claims", "limits", "requests"}),
}
"""Fields by the path of what holds them; a path that is not here is not judged."""

_ALWAYS = frozenset(
    {"object", "object.apiVersion", "object.kind", "object.metadata", "object.metadata.namespace", "object.spec"}
    | {
        f"object.spec.{name}"
        for name in ("containers", "dnsPolicy", "restartPolicy", "schedulerName", "securityContext")
    }
    | {"object.spec.terminationGracePeriodSeconds", "object.status"}
    | {f"object.spec.containers[].{name}" for name in ("image", "imagePullPolicy", "name", "resources")}
    | {f"object.spec.containers[].{name}" for name in ("terminationMessagePath", "terminationMessagePolicy")}
    | {
        f"object.spec.{kind}[].{name}"
        for kind in ("initContainers", "ephemeralContainers")
        for name in ("image", "name")
    }
    | {f"object.spec.{kind}[].resources" for kind in ("initContainers", "ephemeralContainers")}
)
_MAPS = (".labels", ".annotations", ".nodeSelector", ".limits", ".requests")
_STEP = re.compile(r"\.[^.\[]+|\[\]|\['(?:[^'\\]|\\.)*'\]|\[\"(?:[^\"\\]|\\.)*\"\]")


def prefixes(path: str) -> list[str]:
    """Return the path's own parts from the outside in: `object`, `object.spec`, `object.spec.containers`, ...

    A field named in brackets, `object['spec']`, counts as `object.spec`.
    """
    root = re.split(r"[.\[]", path, maxsplit=1)[0]
    parts = [root]
    for step in _STEP.findall(path[len(root) :]):
        plain = f".{step[2:-2]}" if step[:2] in {"['", '["'} and step[2:-2].isidentifier() else step
        parts.append(parts[-1] + plain)
    return parts


def unknown_field(path: str) -> tuple[str, str] | None:
    """Return the first field on the path that no Pod has, with what would hold it; None where nothing is wrong."""
    parts = prefixes(path)
    for holder, whole in pairwise(parts):
        known = FIELDS.get(holder)
        name = whole[len(holder) :].removeprefix(".")
        if known is not None and name not in known and name != "[]":
            return name, holder
    return None


def unasked_part(path: str, asked: Collection[str]) -> str | None:
    """Return the first part of the path that some pods lack and that the expression does not ask about first.

    `asked` are paths as `prefixes` spells them. Only fields of what is listed above are judged, and keys of labels,
    annotations, node selectors and resource lists.
    """
    for holder, part in pairwise(prefixes(path)):
        if (holder in FIELDS or holder.endswith(_MAPS)) and part not in _ALWAYS and part not in asked:
            return part
    return None
