"""Pods towards nodes that are warm for them: a few preferred terms, and required ones where a policy insists."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from webhook.kube import Object, affinity, names
from webhook.mutate import cost

MAX_PREFERRED = 2
"""Preferred terms of ours on one pod. Karpenter tries to satisfy each before it gives one up, at a price in time."""


class Wish(NamedTuple):
    """That a pod start where an artifact is: the label its warm nodes carry, and the seconds it saves there."""

    label: str
    seconds: float

    @property
    def requirement(self) -> Object:
        """The requirement on a node's labels."""
        return {"key": self.label, "operator": "In", "values": [names.NODE_LABEL_WARM]}


def require(pod: Object, wish: Wish) -> Object:
    """The pod bound to nodes that are warm for this. It may run on no node it could not run on before."""
    return affinity.require(pod, wish.requirement)


def prefer(pod: Object, wishes: Sequence[Wish]) -> Object:
    """The pod with a preferred term for each of these, weighed by the seconds each saves."""
    if not wishes:
        return pod
    weights = cost.weights([wish.seconds for wish in wishes])
    return affinity.prefer_each(pod, list(zip([wish.requirement for wish in wishes], weights, strict=True)))


def preferred_labels(pod: Object) -> list[str]:
    """Our labels that the pod's preferred terms name already."""
    terms = _at(pod, "spec", "affinity", "nodeAffinity", "preferredDuringSchedulingIgnoredDuringExecution")
    found = []
    for term in _list(terms):
        for expression in _list(_at(term, "preference", "matchExpressions")):
            key = expression.get("key") if isinstance(expression, dict) else None
            if isinstance(key, str) and key.startswith(names.NODE_LABEL_PREFIX):
                found.append(key)
    return found


def _at(holder: Any, *path: str) -> Any:
    for field in path:
        if not isinstance(holder, dict):
            return None
        holder = holder.get(field)
    return holder


def _list(found: Any) -> list[Any]:
    return found if isinstance(found, list) else []
