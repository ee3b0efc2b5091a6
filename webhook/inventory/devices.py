"""Devices of dynamic resource allocation: how many a node offers, how many are free, what classes claims ask for."""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple, TypeVar

from webhook.inventory.device_objects import ResourceClaim, ResourceClaimSpec, ResourceClaimTemplate, ResourceSlice

_Pool = tuple[str, str]
_Device = tuple[str, str, str]
_K = TypeVar("_K")


class _Slice(NamedTuple):
    pool: _Pool
    generation: int
    node: str
    devices: frozenset[str]


class _Claim(NamedTuple):
    classes: tuple[str, ...]
    devices: tuple[_Device, ...]


class Devices:
    """What ResourceSlices offer and ResourceClaims took.

    A pool's slices count in their newest generation only (resource.k8s.io, ResourcePool.generation). A slice that names
    no node is no node's own, and passed over.
    """

    def __init__(self) -> None:
        self._slices: dict[str, _Slice] = {}
        self._pools: dict[_Pool, set[str]] = {}
        self._nodes: dict[str, set[str]] = {}
        self._claims: dict[tuple[str, str], _Claim] = {}
        self._taken: Counter[_Device] = Counter()

    def put_slice(self, offered: ResourceSlice) -> set[str]:
        """Take in a slice; returns the nodes that may have other devices now."""
        spec = offered.spec
        name = offered.metadata.name
        if spec is None or not spec.driver:
            return self.remove_slice(name)
        pool = (spec.driver, spec.pool.name if spec.pool else "")
        devices = frozenset(device.name for device in spec.devices or ())
        now = _Slice(pool, spec.pool.generation if spec.pool else 0, spec.node_name or "", devices)
        before = self._slices.get(name)
        if before == now:
            return set()
        touched = self.remove_slice(name) if before is not None else set()
        self._slices[name] = now
        self._pools.setdefault(pool, set()).add(name)
        self._nodes.setdefault(now.node, set()).add(name)
        return touched | self._nodes_of(pool)

    def remove_slice(self, name: str) -> set[str]:
        """Take out a slice; returns the nodes that may have other devices now."""
        before = self._slices.get(name)
        if before is None:
            return set()
        touched = self._nodes_of(before.pool)
        del self._slices[name]
        _discard(self._pools, before.pool, name)
        _discard(self._nodes, before.node, name)
        return touched

    def slices(self) -> set[str]:
        """The names of all slices."""
        return set(self._slices)

    def put_claim(self, claim: ResourceClaim | ResourceClaimTemplate) -> tuple[set[str], bool]:
        """Take in a claim or a template; the nodes that may have other devices free, and whether `classes` changed."""
        key = _claim_key(claim)
        before = self._claims.get(key, _Claim((), ()))
        now = _condensed(claim)
        self._claims[key] = now
        return self._retake(before, now), before.classes != now.classes

    def remove_claim(self, kind: str, name: str) -> tuple[set[str], bool]:
        """Take out a claim or a template ("namespace/name"); returns what `put_claim` does."""
        before = self._claims.pop((kind, name), _Claim((), ()))
        return self._retake(before, _Claim((), ())), bool(before.classes)

    def claims(self, kind: str) -> set[str]:
        """The "namespace/name" of all claims (kind "claim") or templates ("template")."""
        return {name for kind_of, name in self._claims if kind_of == kind}

    def classes(self) -> dict[str, tuple[str, ...]]:
        """Device classes by "namespace/name". A claim and a template of one name ask for what either asks for."""
        found: dict[str, tuple[str, ...]] = {}
        for (_, name), claim in sorted(self._claims.items()):
            if claim.classes:
                found[name] = tuple(sorted({*found.get(name, ()), *claim.classes}))
        return found

    def of(self, node: str) -> dict[str, tuple[int, int]]:
        """By driver: how many devices the node offers, and how many of these are free."""
        found: dict[str, tuple[int, int]] = {}
        for name in self._nodes.get(node, ()):
            offered = self._slices[name]
            if offered.generation < max(self._slices[each].generation for each in self._pools[offered.pool]):
                continue
            free = sum(1 for device in offered.devices if not self._taken[*offered.pool, device])
            able, left = found.get(offered.pool[0], (0, 0))
            found[offered.pool[0]] = (able + len(offered.devices), left + free)
        return found

    def _nodes_of(self, pool: _Pool) -> set[str]:
        return {self._slices[name].node for name in self._pools.get(pool, ())} - {""}

    def _retake(self, before: _Claim, now: _Claim) -> set[str]:
        if before.devices == now.devices:
            return set()
        for device in before.devices:
            self._taken[device] -= 1
            if not self._taken[device]:
                del self._taken[device]
        self._taken.update(now.devices)
        changed = {device[:2] for device in (*before.devices, *now.devices)}
        return {node for pool in changed for node in self._nodes_of(pool)}


def _claim_key(claim: ResourceClaim | ResourceClaimTemplate) -> tuple[str, str]:
    kind = "claim" if isinstance(claim, ResourceClaim) else "template"
    return kind, f"{claim.metadata.namespace}/{claim.metadata.name}"


def _condensed(claim: ResourceClaim | ResourceClaimTemplate) -> _Claim:
    if isinstance(claim, ResourceClaimTemplate):
        return _Claim(_classes(claim.spec.spec if claim.spec else None), ())
    allocation = claim.status.allocation if claim.status else None
    results = (allocation.devices.results if allocation and allocation.devices else None) or ()
    return _Claim(_classes(claim.spec), tuple((each.driver, each.pool, each.device) for each in results))


def _classes(spec: ResourceClaimSpec | None) -> tuple[str, ...]:
    found: set[str] = set()
    for request in (spec.devices.requests if spec and spec.devices else None) or ():
        for exact in (request.exactly, *(request.first_available or ())):
            if exact is not None and exact.device_class_name:
                found.add(exact.device_class_name)
    return tuple(sorted(found))


def _discard(index: dict[_K, set[str]], key: _K, name: str) -> None:
    index[key].discard(name)
    if not index[key]:
        del index[key]
