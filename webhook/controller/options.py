"""What the command line decides of a controller."""

from __future__ import annotations

import re
import secrets
import socket
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from webhook.controller.lease import LeaseApi
from webhook.inventory.rules import Rules
from webhook.kube import names
from webhook.sources.kube_api import KubeApi
from webhook.sources.kube_api.credentials import SERVICE_ACCOUNT

if TYPE_CHECKING:
    from webhook.admission.decision import Settings

DEFAULT_NAMESPACE = names.SYSTEM_NAMESPACE


@dataclass(frozen=True, slots=True)
class Access:
    """How the API server is reached, and which Lease decides who writes to it."""

    kubeconfig: Path | None = None
    context: str | None = None
    lease_namespace: str = ""
    """Empty for the pod's own namespace, or DEFAULT_NAMESPACE outside of a pod."""
    lease_name: str = names.CONTROLLER_LEASE
    identity: str = ""
    """Must differ between processes; empty for one that does."""

    @property
    def namespace(self) -> str:
        """Where the Lease is, and all else of the installation that a namespace holds."""
        return self.lease_namespace or _own_namespace()

    def lease(self, api: KubeApi) -> LeaseApi:
        """The Lease, reached through `api`."""
        return LeaseApi(api.transport, self.namespace, self.lease_name)

    def name(self) -> str:
        """The identity of this process."""
        return self.identity or f"{socket.gethostname()}_{secrets.token_hex(4)}"


@dataclass(frozen=True, slots=True)
class Reporting:
    """What `--policy-reports` judges workloads by, and how many `seconds` it rests between two turns."""

    policies: Path
    snapshot: Path
    settings: Settings
    seconds: float = 300.0


@dataclass(frozen=True, slots=True)
class Installation:
    """What a controller does for the installation that it belongs to. Empty names turn the part off. Seconds."""

    secret: str = ""
    """Holds the certificates; empty when they are somebody else's."""
    directory: Path | None = None
    """Where the pair is for the webhook."""
    tls_names: tuple[str, ...] = ()
    """Of the certificate; empty for the Service's."""
    settle_seconds: float = 60.0
    overlap_seconds: float = 3600.0
    certificate_seconds: float = 1.0
    service: str = names.WEBHOOK_SERVICE
    configuration: str = ""
    """The MutatingWebhookConfiguration that is watched."""
    webhook_status: str = ""
    manage_webhook: bool = False
    pod_name: str = ""
    """By which the replica's Lease is named; empty for no Lease."""
    pod_uid: str = ""
    reporting: Reporting | None = None

    def served_names(self, namespace: str) -> tuple[str, ...]:
        """The names that the webhook is called by, where its Service is in `namespace`."""
        host = f"{self.service}.{namespace}.svc"
        return self.tls_names or (host, f"{host}.cluster.local")

    @property
    def leads(self) -> bool:
        """Whether an elected one has to do more than to label nodes."""
        return bool(self.secret) or self.manage_webhook or self.reporting is not None

    @property
    def replica_name(self) -> str:
        """What the replica's Lease is named by: the pod's name, made fit for an object's name."""
        return re.sub(r"[^a-z0-9.-]+", "-", self.pod_name.lower()).strip("-.")


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line decides. `label_writes_per_second` is positive."""

    snapshot: Path
    rules: Rules
    access: Access = field(default_factory=Access)
    metrics_host: str = "0.0.0.0"  # noqa: S104  the kubelet's probes and Prometheus come from outside
    metrics_port: int = 8081
    labels: bool = True
    label_writes_per_second: float = 25.0
    installation: Installation = field(default_factory=Installation)


def _own_namespace() -> str:
    try:
        return (SERVICE_ACCOUNT / "namespace").read_text(encoding="utf-8").strip() or DEFAULT_NAMESPACE
    except (OSError, ValueError):
        return DEFAULT_NAMESPACE
