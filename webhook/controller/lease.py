"""A Lease of coordination.k8s.io/v1, read and written over HTTP.

What people and other programs put into the object (metadata, further fields of the spec) is written back as it was.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, Protocol
from urllib.parse import quote

import msgspec

from webhook.sources.kube_api.failure import ApiFailure

CALLS = frozenset(("coordination.k8s.io", "leases", verb) for verb in ("get", "create", "update"))
"""What RBAC must allow, as API group, resource and verb; `create` for every name, for RBAC cannot name what is new."""

_MAX_SECONDS = 60


class LeaseMissing(Exception):
    """There is no such lease."""


class LeaseConflict(Exception):
    """Somebody else wrote the lease first."""


@dataclass(frozen=True, slots=True)
class Lease:
    """What a lease says: its holder ("" for nobody), how long (seconds) it holds, and times for people to read."""

    holder: str
    duration: int
    acquired: str
    renewed: str
    transitions: int

    def bounded_duration(self, default: float) -> float:
        """How long to respect it, in seconds. A person's slip of a few zeros must not stop us for a day."""
        return float(self.duration) if 1 <= self.duration <= _MAX_SECONDS else default


class Found(NamedTuple):
    """A lease, and the object that it was read from."""

    lease: Lease
    document: dict[str, Any]


@dataclass(frozen=True, slots=True)
class LeaseRequest:
    """A request about a lease, with what `webhook.sources.kube_api.transport` reads of any request."""

    what: str
    method: Literal["GET", "POST", "PUT"]
    path: str
    body: Any = None
    query: Mapping[str, str] = field(default_factory=dict)
    content_type: str = "application/json"
    accept: str = "application/json"


class Caller(Protocol):
    """Who makes requests of the API server; the transport of `webhook.sources.kube_api` is one."""

    async def call(self, request: LeaseRequest) -> bytes:
        """The body of the answer. Raises ApiFailure."""
        ...


class LeaseApi:
    """One lease, by its namespace and name. Every method raises ApiFailure when there is no answer to rely on."""

    def __init__(self, api: Caller, namespace: str, name: str) -> None:
        self._api = api
        self._collection = f"/apis/coordination.k8s.io/v1/namespaces/{quote(namespace, safe='')}/leases"
        self._path = f"{self._collection}/{quote(name, safe='')}"
        self._namespace = namespace
        self._name = name

    def __str__(self) -> str:
        return f"{self._namespace}/{self._name}"

    async def read(self) -> Found:
        """The lease. LeaseMissing when there is none."""
        what = f"get lease {self}"
        try:
            data = await self._api.call(LeaseRequest(what, "GET", self._path))
        except ApiFailure as failure:
            if failure.kind == "missing":
                raise LeaseMissing from failure
            raise
        return _found(what, data)

    async def create(self, lease: Lease) -> None:
        """Make the lease. LeaseConflict when it is there."""
        what = f"create lease {self}"
        body = {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {"name": self._name, "namespace": self._namespace},
            "spec": _spec(lease),
        }
        try:
            data = await self._api.call(LeaseRequest(what, "POST", self._collection, body))
        except ApiFailure as failure:
            if failure.kind == "conflict":
                raise LeaseConflict from failure
            if failure.kind == "missing":
                text = f"{failure.text}; is there a namespace {self._namespace}? (--lease-namespace)"
                raise ApiFailure(what, "refused", text, status=failure.status) from failure
            raise
        _check(what, data, lease)

    async def replace(self, found: Found, lease: Lease) -> None:
        """Write over what was found. LeaseConflict when it changed since or is gone."""
        before = found.document.get("spec")
        spec = {**before, **_spec(lease)} if isinstance(before, dict) else _spec(lease)
        what = f"update lease {self}"
        try:
            data = await self._api.call(LeaseRequest(what, "PUT", self._path, {**found.document, "spec": spec}))
        except ApiFailure as failure:
            if failure.kind in ("conflict", "missing"):
                raise LeaseConflict from failure
            raise
        _check(what, data, lease)


def _found(what: str, data: bytes) -> Found:
    try:
        document = msgspec.json.decode(data)
    except (ValueError, RecursionError) as error:
        raise ApiFailure(what, "garbage", "the answer is no JSON") from error
    if not isinstance(document, dict) or not isinstance(document.get("metadata"), dict):
        raise ApiFailure(what, "garbage", "the answer is no Lease")
    return Found(_parse(document), document)


def _check(what: str, data: bytes, lease: Lease) -> None:
    """The API server answers a write with what it stored. Anything else (a proxy's "ok") is no reason to lead."""
    if _found(what, data).lease.holder != lease.holder:
        raise ApiFailure(what, "garbage", "the answer is another lease")


def _parse(document: dict[str, Any]) -> Lease:
    spec = document.get("spec")
    fields = spec if isinstance(spec, dict) else {}
    return Lease(
        holder=_text(fields.get("holderIdentity")),
        duration=_integer(fields.get("leaseDurationSeconds")),
        acquired=_text(fields.get("acquireTime")),
        renewed=_text(fields.get("renewTime")),
        transitions=_integer(fields.get("leaseTransitions")),
    )


def _spec(lease: Lease) -> dict[str, Any]:
    return {
        "holderIdentity": lease.holder,
        "leaseDurationSeconds": lease.duration,
        "acquireTime": lease.acquired or None,
        "renewTime": lease.renewed,
        "leaseTransitions": lease.transitions,
    }


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _integer(value: object) -> int:
    # leaseTransitions is an int32 of the API: one at its end begins anew rather than being refused for ever.
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**31 - 1 else 0
