"""On which nodes a pod could run: its accelerators, selectors and tolerations against what is known of the nodes.

The rules are the scheduler's (k8s.io/component-helpers/scheduling/corev1, plugins NodeAffinity, TaintToleration,
NodeResourcesFit, VolumeBinding), but for what a snapshot does not hold: CPU, memory, claims that are not bound, ports,
affinity to other pods. So these are the nodes among which warmth may make a difference, not a promise.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping, Sequence
from functools import reduce
from operator import or_
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from webhook.inventory import nodeset
from webhook.kube import Object, affinity, footprint
from webhook.kube import pod as pods
from webhook.kube.names import NODE_LABEL_PREFIX, NODE_LABEL_WARM
from webhook.kube.quantity import Quantity
from webhook.kube.toleration import tolerates

if TYPE_CHECKING:
    from webhook.inventory.model import NodeRoom, Taint

# What one pod may make us look at. Real pods name some dozens of values; a hostile one must not hold up the others.
_MOST_ASKED = 4096
_LONGEST_KEPT = 16384
# A label with more values than this is no number that means something (a time, an id): comparing it rules out no node
# that bears it, and costs no memory.
_MOST_VALUES = 2048

_json = msgspec.json.Encoder().encode
_REPELLING = frozenset({"NoSchedule", "NoExecute"})


class Candidates(NamedTuple):
    """Sets of nodes (see `webhook.inventory.nodeset`): `able` could run the pod, `roomy` have the devices free now."""

    able: int
    roomy: int


class Demand:
    """What of a pod decides where it can run. Equal demands have equal candidates.

    `amounts` are accelerators and how many of each; a name without a slash is a device class of dynamic resource
    allocation. `selector` is the pod's nodeSelector, `terms` its required node affinity as
    `affinity.required_terms` gives it, `tolerations` its tolerations. `volumes` are the terms of each bound volume that
    it claims, as far as a volume has any.
    """

    __slots__ = ("_hash", "_key", "amounts", "selector", "terms", "tolerations", "volumes")

    def __init__(
        self,
        amounts: Mapping[str, Quantity],
        selector: Object,
        terms: Sequence[Object],
        tolerations: Sequence[Object],
        volumes: Sequence[Sequence[Object]] = (),
    ) -> None:
        self.amounts = tuple(sorted(amounts.items()))
        self.selector = selector
        self.terms = terms
        self.tolerations = tolerations
        self.volumes = volumes
        asked = (selector, terms, tolerations, volumes)
        self._key = (self.amounts, _text(asked) if any(asked) else b"")
        self._hash = hash(self._key)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Demand) and self._key == other._key

    def __hash__(self) -> int:
        return self._hash

    @property
    def is_short(self) -> bool:
        """Whether it is worth to be remembered: what a stranger can make as long as he likes is not."""
        return len(self._key[1]) <= _LONGEST_KEPT

    @property
    def is_modest(self) -> bool:
        """Whether it asks for no more than one review can look at; our own labels do not count."""
        asked = len(self.selector) + len(self.tolerations) + len(self.terms)
        for term in (*self.terms, *(term for volume in self.volumes for term in volume)):
            for field in ("matchExpressions", "matchFields"):
                for requirement in pods.objects(term.get(field)):
                    if not _is_ours(requirement.get("key")):
                        values = requirement.get("values")
                        asked += 1 + (len(values) if type(values) is list else 0)
        return asked <= _MOST_ASKED


def demand_of(pod: Object, resources: frozenset[str], volumes: Sequence[Sequence[Object]] = ()) -> Demand:
    """The demand of a pod, as far as these accelerators and device classes go. Never fails, whatever the pod holds.

    `volumes` is what `terms_of_claims` says of it.
    """
    asked = footprint.effective_requests(pod, resources) if resources else {}
    # A claim names devices by properties, so how many of a class it takes is not known; one is the least.
    amounts = {name: asked.get(name, 1) for name in resources}
    spec = pods.spec(pod)
    return Demand(
        amounts,
        pods.mapping(spec.get("nodeSelector")),
        affinity.required_terms(pod),
        pods.objects(spec.get("tolerations")),
        volumes,
    )


def claims_of(pod: Object) -> list[str]:
    """The names of the claims that a pod's volumes name, each once. Those of a StatefulSet are among them.

    A generic ephemeral volume is not: its claim is made after the pod, and bound where the pod may run.
    """
    found: dict[str, None] = {}
    for volume in pods.objects(pods.spec(pod).get("volumes")):
        name = pods.mapping(volume.get("persistentVolumeClaim")).get("claimName")
        if type(name) is str and name:
            found[name] = None
    return list(found)


def terms_of_claims(
    claims: Iterable[str], namespace: str, volumes: Mapping[str, Sequence[Object]]
) -> list[Sequence[Object]]:
    """The terms of each volume that these claims of a namespace are bound to, each once, in one order.

    `volumes` is `Inventory.volumes`; a claim that it does not know restricts nothing.
    """
    found = {_text(terms): terms for claim in claims if (terms := volumes.get(f"{namespace}/{claim}"))}
    return [found[text] for text in sorted(found)]


def _text(asked: object) -> bytes:
    """Text that two demands share only when they ask the same; the order of keys means nothing, but may make two."""
    try:
        return _json(asked)
    except (TypeError, ValueError, OverflowError, RecursionError):  # what JSON cannot say, a test's pod may hold
        return repr(asked).encode("utf-8", "surrogatepass")


class Columns:
    """The nodes by what demands ask of them: for each amount, label and taint the set of nodes that have it.

    `ours` are sets of the nodes that bear labels of our own, by key. `labels` None: selectors rule out no node.
    """

    __slots__ = ("_all", "_bearing", "_names", "_nodes", "_numbers", "_ours", "_rooms", "_taints", "labels")

    def __init__(
        self,
        nodes: Sequence[NodeRoom],
        labels: Mapping[str, Mapping[str, int]] | None,
        taints: Sequence[Taint],
        ours: Mapping[str, int],
    ) -> None:
        self.labels = labels
        self._all = nodeset.all_of(len(nodes))
        self._nodes = nodes
        self._names: dict[str, int] | None = None
        self._taints = tuple(taint for taint in taints if taint.effect in _REPELLING)
        self._ours = ours
        self._bearing: dict[str, int] = {}
        self._numbers: dict[str, _Running] = {}
        self._rooms = _rooms(nodes)

    def candidates(self, demand: Demand) -> Candidates:
        """The nodes that this demand leaves. One that asks for more than can be looked at has its amounts only."""
        able = roomy = self._all
        for name, amount in demand.amounts:
            rooms = self._rooms.get(name)
            if rooms is not None:
                able &= _with_at_least(rooms, 0, amount)
                roomy &= _with_at_least(rooms, 1, amount)
            elif "/" in name:
                return Candidates(0, 0)
        if able and demand.is_modest:
            able &= self._selected(demand) & ~self._repelling(demand.tolerations)
        return Candidates(able, able & roomy)

    def _selected(self, demand: Demand) -> int:
        selected = self._all
        if self.labels is None:
            return selected
        for key, value in demand.selector.items():
            selected &= self._value(key, value)
        if demand.terms and selected:
            selected &= reduce(or_, map(self._term, demand.terms))
        for terms in demand.volumes:
            selected &= reduce(or_, map(self._term, terms)) if selected else 0
        return selected

    def _term(self, term: Object) -> int:
        expressions, fields = term.get("matchExpressions") or [], term.get("matchFields") or []
        if type(expressions) is not list or type(fields) is not list or not (expressions or fields):
            return 0
        selected = self._all
        for requirement in expressions:
            if not selected:
                return 0
            selected &= self._requirement(requirement) if type(requirement) is dict else 0
        for requirement in fields:
            selected &= self._field(requirement) if type(requirement) is dict else 0
        return selected

    def _requirement(self, requirement: Object) -> int:
        key, operator = requirement.get("key"), requirement.get("operator")
        values = requirement.get("values") or []
        if type(key) is not str or type(values) is not list:
            return 0
        if operator == "In":
            return self._values(key, values)
        if operator == "NotIn":
            return self._all & ~self._values(key, values) if values else 0
        if operator == "Exists":
            return 0 if values else self._bears(key)
        if operator == "DoesNotExist":
            return 0 if values else self._all & ~self._bears(key)
        if operator in ("Gt", "Lt") and len(values) == 1:
            return self._beyond(key, values[0], above=operator == "Gt")
        return 0

    def _value(self, key: Any, value: Any) -> int:
        if type(key) is not str or type(value) is not str:
            return 0
        if _is_ours(key):
            return self._ours.get(key, 0) if value == NODE_LABEL_WARM else 0
        column = (self.labels or {}).get(key)
        return 0 if column is None else column.get(value, 0)

    def _values(self, key: str, values: Sequence[Any]) -> int:
        return reduce(or_, [self._value(key, value) for value in values], 0)

    def _bears(self, key: str) -> int:
        if _is_ours(key):
            return self._ours.get(key, 0)
        column = (self.labels or {}).get(key)
        if column is None:
            return 0
        if key not in self._bearing:
            self._bearing[key] = reduce(or_, column.values(), 0)
        return self._bearing[key]

    def _beyond(self, key: str, bound: Any, *, above: bool) -> int:
        number = affinity.integer(bound)
        column = (self.labels or {}).get(key)
        if number is None or column is None:
            return 0
        if len(column) > _MOST_VALUES:
            return self._bears(key)
        if key not in self._numbers:
            self._numbers[key] = _running(column)
        numbers, running = self._numbers[key]
        if above:
            return running[-1] & ~running[bisect_right(numbers, number)]
        return running[bisect_left(numbers, number)]

    def _field(self, requirement: Object) -> int:
        """`metadata.name` is the only field there is, and it takes exactly one value."""
        values = requirement.get("values")
        if requirement.get("key") != "metadata.name" or type(values) is not list or len(values) != 1:
            return 0
        operator, name = requirement.get("operator"), values[0]
        if self._names is None:
            self._names = {node.name: 1 << index for index, node in enumerate(self._nodes)}
        named = self._names.get(name, 0) if type(name) is str else 0
        if operator == "In":
            return named
        return self._all & ~named if operator == "NotIn" else 0

    def _repelling(self, tolerations: Sequence[Object]) -> int:
        """The nodes with a taint that none of these tolerates."""
        repelling = 0
        for taint in self._taints:
            if not any(tolerates(toleration, taint.key, taint.value, taint.effect) for toleration in tolerations):
                repelling |= taint.mask
        return repelling


def _is_ours(key: Any) -> bool:
    return type(key) is str and key.startswith(NODE_LABEL_PREFIX)


_Running = tuple[list[int], list[int]]


def _running(column: Mapping[str, int]) -> _Running:
    """The numbers among a label's values, ascending, and by count of them the nodes that bear the first so many."""
    # `007` and `7` are one number. A node bears one value of a label, so what is below a number is not above it.
    read = sorted((number, value) for value in column if (number := affinity.integer(value)) is not None)
    running = [0]
    for _, value in read:
        running.append(running[-1] | column[value])
    return [number for number, _ in read], running


_Rooms = dict[tuple[int, int], int]


def _rooms(nodes: Sequence[NodeRoom]) -> dict[str, _Rooms]:
    """By resource, and by how much of it nodes can give and have free, the nodes."""
    found: dict[str, dict[tuple[int, int], list[int]]] = {}
    for index, node in enumerate(nodes):
        for name, room in node.accelerators.items():
            found.setdefault(name, {}).setdefault(room, []).append(index)
    return {name: {room: nodeset.mask(held) for room, held in rooms.items()} for name, rooms in found.items()}


def _with_at_least(rooms: _Rooms, which: int, amount: Quantity) -> int:
    return reduce(or_, [held for room, held in rooms.items() if room[which] >= amount], 0)
