"""`warmpod controller` in the sandbox: the real process, with the settings of the Deployment's container.

It calls the API server as the service account of the manifests, by a token of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from webhook.kube import Object, names
from webhook.sandbox import ports
from webhook.sandbox.api import Api
from webhook.sandbox.deployment import Container
from webhook.sandbox.service import Service

NAMESPACE = names.SYSTEM_NAMESPACE
ACCOUNT = "warmpod"
LEASE = names.CONTROLLER_LEASE
"""As manifests/base has them; a test compares."""

KUBECONFIG = f"{ACCOUNT}.kubeconfig"
"""The file in the sandbox's `credentials` by which controllers call the API server."""

TOKEN_SECONDS = 365 * 24 * 3600
"""A sandbox may stay up for long. In a cluster the kubelet renews a token every hour."""

_FASTER = {"WARMPOD_CERTIFICATE_SECONDS": "0.2"}


@dataclass(frozen=True, slots=True)
class Settings:
    """What the process is told beyond the Deployment's own: what of it is of this machine.

    `names` are those of the certificate that it keeps. `arguments` are further flags of `warmpod controller`.
    """

    kubeconfig: Path
    names: Sequence[str]
    arguments: Sequence[str] = field(default=())


class Controller(Service):
    """One controller; several may run, of which one is elected. Each writes a snapshot and a key pair of its own."""

    def __init__(
        self, container: Container, settings: Settings, *, name: str, logs: Path, pair: Path, snapshot: Path
    ) -> None:
        """`pair` is the directory that tls.crt and tls.key go to, `snapshot` a file."""
        super().__init__(name, logs)
        self.snapshot = snapshot
        self.pair = pair
        self._container = container
        self._settings = settings
        self._webhook_status = ""

    def beside(self, webhook: Service) -> None:
        """Say which webhook it is the sidecar of, before it is started. Without one, its replica reports none."""
        self._webhook_status = f"{webhook.metrics_url}/status"

    def start(self) -> None:
        """Start it, on the port it had before if it was started before."""
        if not self.metrics_port:
            [self.metrics_port] = ports.free(1)
        self.pair.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.run(self._container.with_settings(self._swapped()), *self._settings.arguments)

    def _swapped(self) -> Mapping[str, str]:
        return {
            "WARMPOD_KUBECONFIG": str(self._settings.kubeconfig),
            "WARMPOD_SNAPSHOT": str(self.snapshot),
            "WARMPOD_METRICS_HOST": ports.LOOPBACK,
            "WARMPOD_METRICS_PORT": str(self.metrics_port),
            "WARMPOD_TLS_DIRECTORY": str(self.pair),
            "WARMPOD_TLS_NAME": " ".join(self._settings.names),
            "WARMPOD_WEBHOOK_STATUS": self._webhook_status,
            # Nobody here needs protection from the pods of others: what a pod hydrated for all is there for all.
            "WARMPOD_CLUSTER_CACHE_NAMESPACES": "*",
            **_FASTER,
        }

    def is_leader(self) -> bool:
        """Whether it says that it is the elected one. False when it does not answer."""
        try:
            return self.count("warmpod_controller_leader") == 1
        except OSError:
            return False


def token(api: Api) -> str:
    """A token of the controller's service account, as the kubelet gets it for a pod."""
    path = f"/api/v1/namespaces/{NAMESPACE}/serviceaccounts/{ACCOUNT}/token"
    request: Object = {
        "apiVersion": "authentication.k8s.io/v1",
        "kind": "TokenRequest",
        "spec": {"expirationSeconds": TOKEN_SECONDS},
    }
    return str(api.call("POST", path, request)["status"]["token"])
