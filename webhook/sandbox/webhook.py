"""`warmpod webhook` in the sandbox: the real process, with the settings of the Deployment's container."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from certs.issue import Pair, issue_leaf
from webhook import __version__
from webhook.kube import names
from webhook.sandbox import ports
from webhook.sandbox.credentials import write_private
from webhook.sandbox.deployment import Container
from webhook.sandbox.service import Service

_SERVED: Final = f"{names.WEBHOOK_SERVICE}.{names.SYSTEM_NAMESPACE}.svc"

NAMES: Final = (ports.LOOPBACK, "localhost", _SERVED, f"{_SERVED}.cluster.local")
"""What the serving certificate is for: the URL that the sandbox registers, and the Service for whoever leads to it."""

HYDRATOR_IMAGE: Final = f"ghcr.io/warmpod/warmpod:{__version__}"
"""What init containers name, as the manifests have it; a test compares. Nothing pulls it: no container runs here."""

POD_SECURITY_LEVEL: Final = "privileged"
"""What the sandbox's API server assumes of a namespace without the label."""

_FASTER: Final = {"WARMPOD_RELOAD_SECONDS": "0.5", "WARMPOD_DRAIN_SECONDS": "0"}


@dataclass(frozen=True, slots=True)
class Settings:
    """What the process is told beyond the Deployment's own: what of it is of this machine.

    `arguments` are further flags of `warmpod webhook`.
    """

    policies: Path
    hydrator_image: str = HYDRATOR_IMAGE
    arguments: Sequence[str] = ()
    host: str = ports.LOOPBACK


class Webhook(Service):
    """One webhook on two free ports, which it keeps when it is started again."""

    def __init__(
        self, container: Container, settings: Settings, *, name: str, logs: Path, pair: Path, snapshot: Path
    ) -> None:
        """`pair` is the directory of tls.crt and tls.key, which need not be there yet; `snapshot` a file."""
        super().__init__(name, logs)
        self.pair = pair
        self.port = 0
        self._container = container
        self._settings = settings
        self._snapshot = snapshot

    @property
    def url(self) -> str:
        """Where the API server finds `/mutate`; without the path."""
        return f"https://{self._settings.host}:{self.port}"

    def issue(self, authority: Pair) -> None:
        """Give it a certificate of this authority: for where no controller looks after certificates."""
        leaf = issue_leaf(authority, NAMES, datetime.now(UTC), common_name=names.WEBHOOK_SERVICE)
        self.pair.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_private(self.pair / "tls.key", leaf.key_pem)
        write_private(self.pair / "tls.crt", leaf.certificate_pem)

    def choose_ports(self) -> None:
        """Take free ports, others than before."""
        self.port, self.metrics_port = ports.free(2)

    def start(self) -> None:
        """Start it, on the ports it had before if it was started before."""
        if not self.port:
            self.choose_ports()
        settings = {
            "WARMPOD_POLICIES": str(self._settings.policies),
            "WARMPOD_SNAPSHOT": str(self._snapshot),
            "WARMPOD_TLS_CERT": str(self.pair / "tls.crt"),
            "WARMPOD_TLS_KEY": str(self.pair / "tls.key"),
            "WARMPOD_HOST": self._settings.host,
            "WARMPOD_PORT": str(self.port),
            "WARMPOD_METRICS_HOST": ports.LOOPBACK,
            "WARMPOD_METRICS_PORT": str(self.metrics_port),
            "WARMPOD_DEFAULT_POD_SECURITY_LEVEL": POD_SECURITY_LEVEL,
            "WARMPOD_HYDRATOR_IMAGE": self._settings.hydrator_image,
            **_FASTER,
        }
        self.run(self._container.with_settings(settings), *self._settings.arguments)

    def reviews(self) -> int:
        """How many reviews it has answered since it started. Raises OSError when it does not answer."""
        return int(self.count("warmpod_reviews_total"))

    def has_read(self, snapshot_id: str) -> bool:
        """Whether it decides by this snapshot."""
        try:
            return f"snapshot: id {snapshot_id} " in self.details()
        except OSError:
            return False
