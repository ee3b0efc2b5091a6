"""`warmpod controller` in the sandbox: the real process, called by the name of the real service account."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from webhook.kube import Object
from webhook.sandbox import ports
from webhook.sandbox.api import Api
from webhook.sandbox.service import Service

NAMESPACE = "warmpod-system"
ACCOUNT = "warmpod"
LEASE = "warmpod-controller"
"""As manifests/base has them; a test compares."""

KUBECONFIG = f"{ACCOUNT}.kubeconfig"
"""The file in the sandbox's `credentials` by which controllers call the API server."""

TOKEN_SECONDS = 365 * 24 * 3600
"""A sandbox may stay up for long. In a cluster the kubelet renews a token every hour."""


class Controller(Service):
    """One controller; several may run, of which one is elected. Each writes a snapshot of its own."""

    def __init__(
        self, directory: Path, snapshot: Path, arguments: Sequence[str] = (), *, name: str = "controller"
    ) -> None:
        """`directory` is the sandbox's; `name` is its log's and its identity in the election.

        `arguments` are further flags of `warmpod controller`.
        """
        super().__init__(name, directory / "logs")
        self.snapshot = snapshot
        self._arguments = tuple(arguments)
        self._kubeconfig = directory / "credentials" / KUBECONFIG

    def start(self) -> None:
        """Start it, on the port it had before if it was started before."""
        if not self.metrics_port:
            [self.metrics_port] = ports.free(1)
        self.run(
            "controller",
            f"--snapshot={self.snapshot}",
            f"--kubeconfig={self._kubeconfig}",
            f"--metrics-host={ports.LOOPBACK}",
            f"--metrics-port={self.metrics_port}",
            f"--lease-namespace={NAMESPACE}",
            f"--lease-name={LEASE}",
            f"--identity={self.name}",
            # Nobody here needs protection from the pods of others: what a pod hydrated for all is there for all.
            "--cluster-cache-namespaces=*",
            *self._arguments,
        )

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
