"""Pods towards nodes that suit them: a few preferred terms, and required ones where a policy insists."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from webhook.ec2.zones import ZONE_ID, ZONE_NAME
from webhook.kube import Object, affinity, names

MAX_PREFERRED = 2
"""Preferred terms of ours on one pod. Karpenter tries to satisfy each before it gives one up, at a price in time."""

ZONE_LABELS = frozenset({ZONE_NAME, ZONE_ID})


class Wish(NamedTuple):
    """That a pod start on nodes of this label, by default one that warm nodes carry; and the seconds it saves there."""

    label: str
    seconds: float
    value: str = names.NODE_LABEL_WARM

    @property
    def requirement(self) -> Object:
        """The requirement on a node's labels."""
        return {"key": self.label, "operator": "In", "values": [self.value]}


def require(pod: Object, wish: Wish) -> Object:
    """The pod bound to nodes of this label. It may run on no node it could not run on before."""
    return affinity.require(pod, wish.requirement)


def prefer(pod: Object, wishes: Sequence[Wish]) -> Object:
    """The pod with a preferred term for each of these, weighed by the seconds each saves."""
    if not wishes:
        return pod
    weights = weights_of([wish.seconds for wish in wishes])
    return affinity.prefer_each(pod, list(zip([wish.requirement for wish in wishes], weights, strict=True)))


def weights_of(savings: Sequence[float]) -> list[int]:
    """Weights of preferred terms, 1 to 100, in proportion to the seconds each saves.

    The scheduler normalises over one pod's own terms, so only the proportion means anything.
    """
    most = max(savings, default=0.0)
    return [min(max(round(100 * saved / most), 1), 100) if most > 0 else 1 for saved in savings]


def preferred_labels(pod: Object) -> list[str]:
    """Our labels that the pod's preferred terms name already."""
    found = []
    for preference in _preferences(pod):
        for expression in _list(_at(preference, "matchExpressions")):
            key = expression.get("key") if isinstance(expression, dict) else None
            if isinstance(key, str) and key.startswith(names.NODE_LABEL_PREFIX):
                found.append(key)
    return found


def preferred_zones(pod: Object) -> list[tuple[str, str]]:
    """Labels and values of the preferred terms that ask for one zone and nothing else, whoever wrote them."""
    preferences = _preferences(pod)
    return [zone for each in preferences if (zone := _only_zone(each)) is not None]


def required_zones(pod: Object) -> list[tuple[str, str]]:
    """Labels and values of the zones that every required term asks for, whoever wrote them."""
    asked = [[zone for one in _list(term.get("matchExpressions")) if (zone := _zone(one)) is not None]
             for term in affinity.required_terms(pod)]  # fmt: skip
    return [zone for zone in asked[0] if all(zone in each for each in asked)] if asked else []


def zones_gained(before: Object, after: Object) -> list[tuple[str, str]]:
    """Labels and values of the zones that one pod prefers or requires and the other does not."""
    found = [each for each in preferred_zones(after) if each not in preferred_zones(before)]
    found += [each for each in required_zones(after) if each not in required_zones(before)]
    return list(dict.fromkeys(found))


def _preferences(pod: Object) -> list[Any]:
    terms = _at(pod, "spec", "affinity", "nodeAffinity", "preferredDuringSchedulingIgnoredDuringExecution")
    return [_at(term, "preference") for term in _list(terms)]


def _only_zone(preference: Any) -> tuple[str, str] | None:
    expressions = _list(_at(preference, "matchExpressions"))
    return _zone(expressions[0]) if len(expressions) == 1 and len(preference) == 1 else None


def _zone(requirement: Any) -> tuple[str, str] | None:
    """Label and value of a requirement of the shape that ours have."""
    key, values = _at(requirement, "key"), _list(_at(requirement, "values"))
    if not isinstance(key, str) or key not in ZONE_LABELS or _at(requirement, "operator") != "In" or len(values) != 1:
        return None
    return (key, values[0]) if isinstance(values[0], str) else None


def _at(holder: Any, *path: str) -> Any:
    for field in path:
        if not isinstance(holder, dict):
            return None
        holder = holder.get(field)
    return holder


def _list(found: Any) -> list[Any]:
    return found if isinstance(found, list) else []
