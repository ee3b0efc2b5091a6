"""What every replica says of itself, in a Lease of its own: the document, and who is there.

A replica is a webhook and the controller beside it. The controller writes the Lease, `warmpod-replica-<pod>`, every ten
seconds and whenever something changed; the annotation `warmpod.dev/status` holds what it says, as JSON:

    {"version": "1.2.3", "webhook": {...}, "problem": "", "controller": {"snapshotAge": 1.5, "leading": true,
     "problems": ["..."]}}

`webhook` is what `GET /status` of the webhook answered, or null, and then `problem` says why there is none.

Anybody who may write Leases of the namespace can forge one. By that they can keep an old authority trusted for as long
as they go on, and mislead who reads; nothing is deleted, issued or no longer trusted because of what a Lease says.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import msgspec

from webhook.kube import Object, names
from webhook.kube.pod import mapping
from webhook.sources.kube_api.failure import UNDECODABLE, ApiFailure, shown
from webhook.sources.kube_api.objects import LEASES, ObjectApi

LEASE_SECONDS = 40
"""`leaseDurationSeconds`: a replica that was not heard of for so long does not count."""

LABELS = {"app.kubernetes.io/name": "warmpod", "app.kubernetes.io/component": "replica"}
SELECTOR = ",".join(f"{key}={value}" for key, value in LABELS.items())

MAX_BYTES = 32 * 1024
"""A longer status is neither written nor read. A usual one is under one KiB."""

_MAX_DURATION = 120.0
_NAME_BYTES = 253


@dataclass(frozen=True, slots=True)
class Replica:
    """One replica, as its Lease has it. `name` is that of its pod; the texts of others are not to be trusted."""

    name: str
    identity: str = ""
    renewed: datetime | None = None
    """When its Lease was last written, by the API server's clock (`metadata.managedFields`) where that says so."""
    duration: float = float(LEASE_SECONDS)
    version: str = ""
    webhook: Object | None = None
    problem: str = ""
    """Why `webhook` is None, or why the status cannot be read; else empty."""
    controller: Object | None = None
    uid: str = ""
    resource_version: str = ""

    @property
    def serial(self) -> str | None:
        """Of the certificate that its webhook serves, hexadecimal; None when it does not say so."""
        certificate = (self.webhook or {}).get("certificate")
        serial = certificate.get("serial") if isinstance(certificate, dict) else None
        return serial if isinstance(serial, str) and serial else None

    def silent_for(self, now: datetime) -> float:
        """Seconds since it was last heard of, at `now` by the API server's clock; infinite when it never was."""
        return float("inf") if self.renewed is None else (now - self.renewed).total_seconds()

    def is_live(self, now: datetime) -> bool:
        """Whether it was heard of within its Lease's duration. `now` is by the API server's clock."""
        return self.silent_for(now) <= self.duration


class Replicas(NamedTuple):
    """The live replicas: serial served by name, None for one that does not say. Not `known`: nobody could be asked."""

    serials: Mapping[str, str | None]
    known: bool


async def live(api: ObjectApi, namespace: str, ahead: float | None = None) -> Replicas:
    """Who is there now; never raises ApiFailure. Our clock is `ahead` of the API server's by so many seconds.

    For one look at a time. A process that goes on looking knows better by its own clock:
    `webhook.controller.replica.Roster`.
    """
    try:
        found = await read(api, namespace)
    except ApiFailure:
        return Replicas({}, known=False)
    now = server_time(ahead)
    return Replicas({one.name: one.serial for one in found if one.is_live(now)}, known=True)


async def read(api: ObjectApi, namespace: str) -> list[Replica]:
    """Every replica that has a Lease, live or not, by name. Raises ApiFailure."""
    parsed = [parse(document) for document in await api.list(LEASES, namespace, SELECTOR)]
    return sorted((one for one in parsed if one is not None), key=lambda one: one.name)


def server_time(ahead: float | None) -> datetime:
    """The time by the API server's clock, when ours is `ahead` of it by so many seconds (None: unknown, so not)."""
    return datetime.now(UTC) - timedelta(seconds=ahead or 0.0)


def parse(document: Object) -> Replica | None:
    """A replica from its Lease, whatever people did to it; None when the name is not a replica's."""
    metadata, spec = mapping(document.get("metadata")), mapping(document.get("spec"))
    name = _text(metadata.get("name"))
    if not name.startswith(names.REPLICA_LEASE_PREFIX):
        return None
    duration = spec.get("leaseDurationSeconds")
    usual = isinstance(duration, int) and not isinstance(duration, bool) and 1 <= duration <= _MAX_DURATION
    said, problem = _status(mapping(metadata.get("annotations")).get(names.ANNOTATION_STATUS))
    webhook, controller = said.get("webhook"), said.get("controller")
    return Replica(
        name=name.removeprefix(names.REPLICA_LEASE_PREFIX),
        identity=_text(spec.get("holderIdentity")),
        renewed=_written(metadata) or _moment(spec.get("renewTime")),
        duration=float(duration) if usual and duration else float(LEASE_SECONDS),
        version=shown(_text(said.get("version"))),
        webhook=webhook if isinstance(webhook, dict) else None,
        problem=problem or shown(_text(said.get("problem"))),
        controller=controller if isinstance(controller, dict) else None,
        uid=_text(metadata.get("uid")),
        resource_version=_text(metadata.get("resourceVersion")),
    )


def document(replica: Replica, namespace: str, now: datetime, pod_uid: str = "") -> Object:
    """The Lease of a replica at `now`; with `pod_uid` it is the pod's, and goes with it."""
    owner = {"apiVersion": "v1", "kind": "Pod", "name": replica.name, "uid": pod_uid}
    return {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {
            "name": lease_name(replica.name),
            "namespace": namespace,
            "labels": dict(LABELS),
            "annotations": {names.ANNOTATION_STATUS: status(replica)},
            **({"ownerReferences": [owner]} if pod_uid else {}),
            **({"resourceVersion": replica.resource_version} if replica.resource_version else {}),
        },
        "spec": {
            "holderIdentity": replica.identity,
            "leaseDurationSeconds": round(replica.duration),
            "renewTime": now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        },
    }


def status(replica: Replica) -> str:
    """The annotation's JSON. What is too long is left out, and said to be."""
    said = {
        "version": replica.version,
        "webhook": replica.webhook,
        "problem": replica.problem,
        "controller": replica.controller,
    }
    text = msgspec.json.encode(said).decode()
    if len(text) <= MAX_BYTES:
        return text
    said |= {"webhook": None, "problem": f"its status has {len(text)} bytes, and at most {MAX_BYTES} are kept"}
    return msgspec.json.encode({**said, "controller": None}).decode()


def lease_name(replica: str) -> str:
    """The name of a replica's Lease."""
    return f"{names.REPLICA_LEASE_PREFIX}{replica}"[:_NAME_BYTES].rstrip("-.")


def _status(value: object) -> tuple[Object, str]:
    """What the annotation holds, and what is wrong with it."""
    if not isinstance(value, str) or not value:
        return {}, f"its Lease has no annotation {names.ANNOTATION_STATUS}"
    if len(value) > MAX_BYTES:
        return {}, f"its status has {len(value)} characters, and at most {MAX_BYTES} are read"
    try:
        found = msgspec.json.decode(value)
    except UNDECODABLE:
        return {}, "its status is no JSON"
    return (found, "") if isinstance(found, dict) else ({}, "its status is no JSON object")


def _written(metadata: Mapping[str, Any]) -> datetime | None:
    """When the API server last stored another value of the object's, whoever sent it."""
    fields = metadata.get("managedFields")
    times = [_moment(mapping(one).get("time")) for one in fields] if isinstance(fields, list) else []
    return max((one for one in times if one is not None), default=None)


def _moment(value: object) -> datetime | None:
    try:
        found = datetime.fromisoformat(_text(value))
    except ValueError:
        return None
    return found if found.tzinfo else None


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
