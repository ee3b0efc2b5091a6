"""The instance types that a pod may land on, as far as it says so itself or the nodes in sight do.

A pod says so by its nodeSelector and its required node affinity, in the labels that every EKS node bears, and those of
Karpenter (karpenter.sh, reference of instance types) and of EKS Auto Mode, which spells them with a prefix of its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cache, reduce
from operator import and_, or_
from typing import Any, NamedTuple

from webhook.ec2.instances import CLASSES, Instance, instances, network_class
from webhook.kube import Object, affinity
from webhook.kube import pod as pods

LABEL_TYPE = "node.kubernetes.io/instance-type"
_OLD_LABEL_TYPE = "beta.kubernetes.io/instance-type"
_KARPENTER = "karpenter.k8s.aws/"
LABEL_BANDWIDTH = f"{_KARPENTER}instance-network-bandwidth"
"""In Mb/s, of all network cards together."""
_PREFIXES = (_KARPENTER, "eks.amazonaws.com/")
# A pod that asks for these means some instance types. One that asks for an architecture or a number of GPUs does not.
_TELLING = ("instance-family", "instance-gpu-name", "instance-accelerator-name", "instance-network-bandwidth")
_MOST_NAMED = 3
_MOST_ASKED = 256

_Column = Mapping[str, frozenset[str]]


class Network(NamedTuple):
    """The network that a container can count on: a class in Gb/s, and where that is known from, for people."""

    gbps: int
    told: str


def network_of(pod: Object, able: int, labels: Mapping[str, Mapping[str, int]] | None) -> Network:
    """The network of the slowest instance type that the pod may land on; the least class where that is not known.

    `able` is the set of nodes that could run it now (see `webhook.inventory.nodeset`), `labels` are the nodes' labels.
    """
    asked = _asked(pod)
    if asked is not None:
        return _slowest(asked, "the pod asks for it", "that the pod asks for")
    column = (labels or {}).get(LABEL_TYPE, {})
    if able and not able & ~reduce(or_, column.values(), 0):
        seen = frozenset([name for name, mask in column.items() if mask & able])
        return _slowest(seen, "its candidates", "among its candidates")
    return Network(CLASSES[0], "the slowest network (the instance type is not known)")


def _slowest(names: frozenset[str], one: str, many: str) -> Network:
    known = instances()
    unknown = sorted(name for name in names if name not in known)
    if unknown:
        return Network(
            CLASSES[0], f"the slowest network ({_named(unknown)} {'is' if len(unknown) == 1 else 'are'} not known)"
        )
    # The first by name of those that are equally slow, so that the account is the same every time.
    slowest = min((known[name] for name in names), key=lambda each: (each.s3, each.name))
    which = one if len(names) == 1 else f"the slowest of {len(names)} {many}"
    return Network(network_class(slowest.s3), f"{slowest.name} ({which}), {slowest.s3:g} Gb/s to S3")


def _named(names: Sequence[str]) -> str:
    more = len(names) - _MOST_NAMED
    return ", ".join(names[:_MOST_NAMED]) + (f" and {more} more" if more > 0 else "")


def _asked(pod: Object) -> frozenset[str] | None:
    """The instance types that the pod's selectors leave, with those it names that are not known; None for any."""
    selector = [
        {"key": key, "operator": "In", "values": [value]}
        for key, value in pods.mapping(pods.spec(pod).get("nodeSelector")).items()
    ]
    terms = [pods.objects(term.get("matchExpressions")) for term in affinity.required_terms(pod)] or [[]]
    ways = [[*selector, *term] for term in terms]
    if sum(map(len, ways)) > _MOST_ASKED or not all(any(map(_tells, way)) for way in ways):
        return None
    return frozenset().union(*map(_left, ways)) or None


def _tells(requirement: Object) -> bool:
    key, operator = requirement.get("key"), requirement.get("operator")
    if key in (LABEL_TYPE, _OLD_LABEL_TYPE):
        return operator == "In"
    return operator in ("In", "Gt") and type(key) is str and key.endswith(_TELLING) and key in _columns()


def _left(requirements: Sequence[Object]) -> frozenset[str]:
    """The types that satisfy all these. A type that is named and not known satisfies what it cannot be held to."""
    columns, everything = _columns(), frozenset(instances())
    named: list[frozenset[str]] = []
    left = [everything]
    for requirement in requirements:
        key = requirement.get("key")
        if type(key) is not str or key not in columns:
            continue
        if key in (LABEL_TYPE, _OLD_LABEL_TYPE) and requirement.get("operator") == "In":
            values = requirement.get("values")
            named.append(frozenset([v for v in values if type(v) is str]) if type(values) is list else frozenset())
        else:
            left.append(_satisfying(requirement, columns[key], everything))
    possible = reduce(and_, left)
    if not named:
        return possible
    together = reduce(and_, named)
    return frozenset([name for name in together if name in possible or name not in everything])


def _satisfying(requirement: Object, column: _Column, everything: frozenset[str]) -> frozenset[str]:
    key = requirement["key"]
    some = [held for value, held in column.items() if affinity.holds(requirement, {key: value})]
    bare = everything - frozenset().union(*column.values()) if affinity.holds(requirement, {}) else frozenset[str]()
    return frozenset().union(bare, *some)


@cache
def _columns() -> Mapping[str, _Column]:
    """By label, by value of it, the instance types that bear it."""
    found: dict[str, dict[str, set[str]]] = {}
    for each in instances().values():
        for key, value in _labels(each):
            found.setdefault(key, {}).setdefault(value, set()).add(each.name)
    return {key: {value: frozenset(held) for value, held in column.items()} for key, column in found.items()}


def _labels(each: Instance) -> Iterable[tuple[str, Any]]:
    family, _, size = each.name.partition(".")
    kind = "gpu" if family[0] in "gp" else "accelerator"
    told = {
        "instance-category": family.rstrip("0123456789")[:1] if kind == "gpu" else family[:3].rstrip("0123456789"),
        "instance-family": family,
        "instance-size": size,
        "instance-cpu": str(each.vcpus),
        "instance-memory": str(each.memory // 2**20),
        f"instance-{kind}-name": each.accelerator.replace(" ", "-"),
        f"instance-{kind}-count": str(each.accelerators),
        "instance-network-bandwidth": str(round(each.network * 1000)),
        "instance-ebs-bandwidth": str(each.ebs_peak),
    }
    if each.store:
        told["instance-local-nvme"] = str(each.store // 10**9)
    yield LABEL_TYPE, each.name
    yield _OLD_LABEL_TYPE, each.name
    yield "kubernetes.io/arch", each.arch
    for prefix in _PREFIXES:
        for key, value in told.items():
            yield prefix + key, value
