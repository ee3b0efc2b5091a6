"""What the scheduler's rules say of one pod and one node: the yardstick for what is worked out of columns.

Line by line after k8s.io/component-helpers/scheduling/corev1 and k8s.io/api v0.36. Required node affinity is
`affinity.selects`, which has tests of its own against those rules.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from webhook.kube import Object, affinity

Taint = tuple[str, str, str]
"""Key, value and effect."""


def allows(pod: Object, name: str, labels: Mapping[str, str], taints: Iterable[Taint]) -> bool:
    """Whether the pod may run on this node, as far as its selectors and tolerations go."""
    spec = pod["spec"]
    if any(labels.get(key) != value for key, value in (spec.get("nodeSelector") or {}).items()):
        return False
    if not affinity.selects(affinity.required_terms(pod), labels, name):
        return False
    tolerations = spec.get("tolerations") or []
    return all(
        taint[2] == "PreferNoSchedule" or any(tolerates(toleration, taint) for toleration in tolerations)
        for taint in taints
    )


def tolerates(toleration: Object, taint: Taint) -> bool:
    """Toleration.ToleratesTaint, with the comparison operators enabled."""
    key, value, effect = taint
    if len(toleration.get("effect") or "") > 0 and toleration["effect"] != effect:
        return False
    if len(toleration.get("key") or "") > 0 and toleration["key"] != key:
        return False
    operator, wanted = toleration.get("operator") or "", toleration.get("value") or ""
    if operator in ("", "Equal"):
        return bool(wanted == value)
    if operator == "Exists":
        return True
    if operator in ("Lt", "Gt"):
        if not (_is_decimal_integer(wanted) and _is_decimal_integer(value)):
            return False
        return int(value) < int(wanted) if operator == "Lt" else int(value) > int(wanted)
    return False


def _is_decimal_integer(text: str) -> bool:
    digits = text.removeprefix("-")
    return digits.isdigit() and digits == str(int(digits)) and text != "-0"
