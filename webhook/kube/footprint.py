"""What a pod costs its node: the quality-of-service class and the resources the scheduler sets aside for it."""

from __future__ import annotations

from collections.abc import Container
from typing import Any

from webhook.kube import Object, quantity
from webhook.kube import pod as pods
from webhook.kube.quantity import InvalidQuantity, Quantity

_COMPUTE = ("cpu", "memory")


def qos_class(pod: Object) -> str:
    """`Guaranteed`, `Burstable` or `BestEffort`, as k8s.io/kubernetes/pkg/apis/core/v1/helper/qos computes it.

    Counts app and init containers, CPU and memory, amounts above zero; resources of the pod itself replace theirs. A
    limit without a request is a request too, as the API server defaults it.
    """
    own = pods.spec(pod).get("resources")
    asks = (
        [own]
        if type(own) is dict
        else [c.get("resources") for c in pods.app_containers(pod) + pods.init_containers(pod)]
    )
    requests: dict[str, Quantity] = {}
    limits: dict[str, Quantity] = {}
    guaranteed = True
    for resources in asks:
        bounded = _amounts(resources, "limits", _COMPUTE)
        for name, amount in bounded.items():
            limits[name] = limits.get(name, 0) + amount
        for name, amount in _requests(resources, _COMPUTE).items():
            requests[name] = requests.get(name, 0) + amount
        guaranteed = guaranteed and len(bounded) == len(_COMPUTE)
    if not requests and not limits:
        return "BestEffort"
    return "Guaranteed" if guaranteed and requests == limits else "Burstable"


def effective_requests(pod: Object, only: Container[str] | None = None) -> dict[str, Quantity]:
    """What the scheduler counts, by resource name, or of `only` these; amounts above zero only.

    The larger of what the app containers ask together and of what any init container asks at its turn, sidecars adding
    to everything that starts after them (KEP-753); resources of the pod itself replace that (KEP-2837); the overhead
    comes on top. As k8s.io/component-helpers/resource does. An amount that is no quantity counts as absent: the API
    server refuses it.
    """
    spec = pods.spec(pod)
    total: dict[str, Quantity] = {}
    for container in pods.app_containers(pod):
        _add(total, _requests(container.get("resources"), only))
    sidecars: dict[str, Quantity] = {}
    peak: dict[str, Quantity] = {}
    for container in pods.init_containers(pod):
        asked = _requests(container.get("resources"), only)
        if pods.is_sidecar(container):
            _add(total, asked)
            _add(sidecars, asked)
            turn = sidecars
        elif sidecars:
            _add(asked, sidecars)
            turn = asked
        else:
            turn = asked
        _raise(peak, turn)
    _raise(total, peak)
    own = spec.get("resources")
    if type(own) is dict:
        requests, limits = _amounts(own, "requests", only), _amounts(own, "limits", only)
        for name in {**requests, **limits}:
            if name in _COMPUTE or name.startswith("hugepages-"):
                amount = requests.get(name)
                if amount is not None:
                    total[name] = amount
                elif name not in total:
                    total[name] = limits[name]
    _add(total, _quantities(spec.get("overhead"), only))
    return total


def _requests(resources: Any, only: Container[str] | None = None) -> dict[str, Quantity]:
    """Requests above zero, those that are absent taken from the limits; a request of zero is one."""
    asked = _amounts(resources, "requests", only)
    limits = resources.get("limits") if type(resources) is dict else None
    if type(limits) is dict and limits:
        present = pods.mapping(resources.get("requests"))
        for name, amount in _quantities(limits, only).items():
            if name not in present:
                asked[name] = amount
    return asked


def _amounts(resources: Any, part: str, only: Container[str] | None = None) -> dict[str, Quantity]:
    return _quantities(resources.get(part), only) if type(resources) is dict else {}


def _quantities(amounts: Any, only: Container[str] | None = None) -> dict[str, Quantity]:
    """The amounts above zero of a resource list, in a dict of their own."""
    found: dict[str, Quantity] = {}
    if type(amounts) is dict:
        for name, text in amounts.items():
            if only is None or name in only:
                try:
                    amount = quantity.parse(text)
                except InvalidQuantity:
                    continue
                if amount > 0:
                    found[name] = amount
    return found


def _add(total: dict[str, Quantity], more: dict[str, Quantity]) -> None:
    for name, amount in more.items():
        total[name] = total.get(name, 0) + amount


def _raise(total: dict[str, Quantity], other: dict[str, Quantity]) -> None:
    for name, amount in other.items():
        if amount > total.get(name, 0):
            total[name] = amount
