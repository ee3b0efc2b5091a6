"""What was found out about an installation, before anybody judges it.

Documents are those of the API server, as they came. Nothing here is secret: of the Secret only what a TLS client sees
is kept.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Generic, TypeVar

from webhook.kube import Object, names
from webhook.kube.pod import mapping
from webhook.sources.replicas import Replica

Found = TypeVar("Found")

NODE_POLICY = f"nodes.{names.DOMAIN}"
"""The ValidatingAdmissionPolicy that limits what the controller's account may do to nodes, and its binding."""


@dataclass(frozen=True, slots=True)
class Seen(Generic[Found]):
    """It was looked at."""

    value: Found


@dataclass(frozen=True, slots=True)
class Absent:
    """The API server says that there is none."""


@dataclass(frozen=True, slots=True)
class Barred:
    """We may not look: `right` is what the caller lacks, as "get secrets in namespace warmpod-system"."""

    right: str


@dataclass(frozen=True, slots=True)
class Failed:
    """There was no answer to rely on; `text` is a sentence."""

    text: str


Look = Seen[Found] | Absent | Barred | Failed

NOT_ASKED = Failed("it was not asked for")


@dataclass(frozen=True, slots=True)
class Certificates:
    """The certificates of the Secret, without their keys. Texts are PEM."""

    leaf: bytes = b""
    authority: bytes = b""
    names: tuple[str, ...] = ()
    serial: str = ""
    not_after: datetime | None = None
    problem: str = ""
    """Why the pair cannot serve, or empty."""
    next_authority: bool = False
    old_authority: bool = False
    asked: str = ""
    """What rotation a person asked for, that was not yet carried out."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What a replica said of itself in the answer to the probe; None for what it did not say."""

    version: str | None
    mode: str
    digest: str | None
    policies: int | None
    serial: str | None
    snapshot_age: float | None


@dataclass(frozen=True, slots=True)
class Probe:
    """What the API server answered to the dry run of a GPU pod.

    `reply` is None when nobody of ours had a word in it. `message` is the API server's where it refused the pod.
    """

    status: int
    message: str = ""
    reply: Reply | None = None


@dataclass(frozen=True, slots=True)
class Passage:
    """What came of the API server's own attempt to reach a replica through the Service.

    `status` is that of the answer that we got. `reached` is True when the webhook answered, False when the API server
    could not reach it, None when the answer tells neither.
    """

    status: int
    text: str
    reached: bool | None


@dataclass(frozen=True, slots=True)
class Counters:
    """What the API server that we talk to counted of our webhooks since it started, over all of them."""

    fail_open: int = 0
    rejections: int = 0
    calls: int = 0


@dataclass(frozen=True, slots=True)
class Right:
    """A call that the controller makes, as RBAC names it; no `namespace` for those of the whole cluster."""

    group: str
    resource: str
    verb: str
    namespace: str = ""
    name: str = ""

    def __str__(self) -> str:
        kind = f"{self.resource}.{self.group}" if self.group else self.resource
        what = f"{self.verb} {kind}" + (f" {self.name}" if self.name else "")
        return f"{what} in namespace {self.namespace}" if self.namespace else what


@dataclass(frozen=True, slots=True)
class Evidence:
    """All that was found. What nobody looked for is a `Failed`, as it tells as little."""

    server: str
    version: str
    now: datetime
    """By the API server's clock."""
    skew: float | None = None
    """How many seconds our clock is ahead of the API server's."""
    our_version: str = ""
    namespace: str = names.SYSTEM_NAMESPACE
    probe_namespace: str = "default"
    conditions: Mapping[str, str] = field(default_factory=dict)
    """The matchConditions as they are shipped, by name."""
    system: Look[Object] = NOT_ASKED
    deployment: Look[Object] = NOT_ASKED
    pods: Look[list[Object]] = NOT_ASKED
    service: Look[Object] = NOT_ASKED
    slices: Look[list[Object]] = NOT_ASKED
    registration: Look[Object] = NOT_ASKED
    mutating: Look[list[Object]] = NOT_ASKED
    validating: Look[list[Object]] = NOT_ASKED
    certificates: Look[Certificates] = NOT_ASKED
    replicas: Look[list[Replica]] = NOT_ASKED
    lease: Look[Object] = NOT_ASKED
    policy: Look[Object] = NOT_ASKED
    binding: Look[Object] = NOT_ASKED
    rights: Mapping[Right, Look[bool]] = field(default_factory=dict)
    namespaces: Look[list[Object]] = NOT_ASKED
    """Those with a label that lowers modes."""
    probed: Look[Object] = NOT_ASKED
    """The namespace of the probe."""
    probe: Look[Probe] = NOT_ASKED
    passage: Look[Passage] = NOT_ASKED
    before: Look[Counters] = NOT_ASKED
    """The counters before the probe."""
    after: Look[Counters] = NOT_ASKED


def within(document: Any, *path: str) -> Any:
    """What stands at a path of keys; None where there is nothing."""
    for key in path:
        document = mapping(document).get(key)
    return document
