"""Warmpod in the sandbox: the real webhook process, and the project's own manifests pointed at it.

A Service cannot lead to loopback, so each `clientConfig.service` becomes the URL of the process; everything else stays
as `manifests/base` has it. What would run in the cluster (Deployments and what belongs to them) is left out.
"""

from __future__ import annotations

import base64
import http.client
import subprocess
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import webhook
from certs.issue import Pair, issue_leaf
from webhook.kube import Object
from webhook.sandbox import SandboxFailed, ports
from webhook.sandbox.api import Api, RefusedRequest
from webhook.sandbox.credentials import write_private
from webhook.sandbox.process import wait_until
from webhook.sandbox.service import Service

HYDRATOR_IMAGE = "warmpod.dev/hydrator:sandbox"
"""What the init containers name. Nothing pulls it: no container runs here."""

_PACKAGE = Path(webhook.__file__).resolve().parent
_RBAC = "/apis/rbac.authorization.k8s.io/v1"
_ADMISSION = "/apis/admissionregistration.k8s.io/v1"
COLLECTIONS = {
    "Namespace": "/api/v1/namespaces",
    "ServiceAccount": "/api/v1/namespaces/{namespace}/serviceaccounts",
    "ClusterRole": f"{_RBAC}/clusterroles",
    "ClusterRoleBinding": f"{_RBAC}/clusterrolebindings",
    "Role": f"{_RBAC}/namespaces/{{namespace}}/roles",
    "RoleBinding": f"{_RBAC}/namespaces/{{namespace}}/rolebindings",
    "ValidatingAdmissionPolicy": f"{_ADMISSION}/validatingadmissionpolicies",
    "ValidatingAdmissionPolicyBinding": f"{_ADMISSION}/validatingadmissionpolicybindings",
    "MutatingWebhookConfiguration": f"{_ADMISSION}/mutatingwebhookconfigurations",
}
"""Where objects of each kind are created; other kinds are left out."""

_PROBE: Object = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"generateName": "is-the-webhook-called-"},
    "spec": {
        "containers": [{"name": "probe", "image": "probe", "resources": {"limits": {"nvidia.com/gpu": "1"}}}],
    },
}


@dataclass(frozen=True, slots=True)
class Settings:
    """What the webhook process is told beyond where its files are.

    `arguments` are further flags of `warmpod webhook`.
    """

    policies: Path
    hydrator_image: str = HYDRATOR_IMAGE
    arguments: tuple[str, ...] = ()


class Webhook(Service):
    """`warmpod webhook` as a process of its own, on two free ports of loopback."""

    def __init__(self, directory: Path, snapshot: Path, settings: Settings) -> None:
        super().__init__("webhook", directory / "logs")
        self._snapshot = snapshot
        self._settings = settings
        self._certificate = directory / "credentials" / "webhook.crt"
        self._key = directory / "credentials" / "webhook.key"
        self.port = 0

    @property
    def url(self) -> str:
        """Where the API server finds `/mutate`; without the path."""
        return f"https://{ports.LOOPBACK}:{self.port}"

    def start(self, authority: Pair) -> None:
        """Start it with a certificate of `authority`, on the ports it had before if it was started before."""
        if not self.port:
            self.port, self.metrics_port = ports.free(2)
            leaf = issue_leaf(
                authority, [ports.LOOPBACK, "localhost"], datetime.now(UTC), common_name="warmpod-webhook"
            )
            write_private(self._certificate, leaf.certificate_pem)
            write_private(self._key, leaf.key_pem)
        settings = self._settings
        self.run(
            "webhook",
            f"--policies={settings.policies}",
            f"--snapshot={self._snapshot}",
            f"--tls-cert={self._certificate}",
            f"--tls-key={self._key}",
            f"--host={ports.LOOPBACK}",
            f"--port={self.port}",
            f"--metrics-host={ports.LOOPBACK}",
            f"--metrics-port={self.metrics_port}",
            f"--hydrator-image={settings.hydrator_image}",
            # What the API server's own PodSecurity admission assumes of a namespace without the label.
            "--default-pod-security-level=privileged",
            "--reload-seconds=0.5",
            "--drain-seconds=0",
            *settings.arguments,
        )

    def reviews(self) -> int:
        """How many reviews it has answered since it started. Raises OSError when it does not answer."""
        return int(self.count("warmpod_reviews_total"))

    def has_read(self, snapshot_id: str) -> bool:
        """Whether it decides by this snapshot."""
        try:
            return f"snapshot: id {snapshot_id} " in self.details()
        except OSError:
            return False


def manifests_directory() -> Path:
    """`manifests/base` of the checkout, or of the installed package. Raises `SandboxFailed` where there is none."""
    for candidate in (_PACKAGE / "shipped" / "manifests" / "base", _PACKAGE.parent / "manifests" / "base"):
        if (candidate / "kustomization.yaml").is_file():
            return candidate
    raise SandboxFailed("this installation of Warmpod has no manifests; install it again from a wheel or a checkout")


def rendered(kubectl: Path) -> list[Object]:
    """The documents of the manifests, as `kubectl kustomize` gives them. Raises `SandboxFailed` with its words."""
    directory = manifests_directory()
    done = subprocess.run([kubectl, "kustomize", directory], capture_output=True, text=True, check=False)
    if done.returncode:
        raise SandboxFailed(f"kubectl cannot render {directory}: {done.stderr.strip()}")
    import yaml  # noqa: PLC0415 - a tenth of a second that `--help` does not need

    return list(yaml.safe_load_all(done.stdout))


def apply(api: Api, documents: list[Object]) -> None:
    """Create what of the manifests belongs here. Raises `SandboxFailed` with the API server's words."""
    for document in documents:
        if collection := COLLECTIONS.get(document["kind"]):
            metadata = document["metadata"]
            try:
                api.call("POST", collection.format(namespace=metadata.get("namespace", "")), document)
            except RefusedRequest as error:
                raise SandboxFailed(
                    f"the API server refuses {document['kind']} {metadata['name']} of {manifests_directory()}: {error}"
                ) from error


def pointed_at(configuration: Object, url: str, authority_pem: bytes) -> Object:
    """The webhook configuration with each service replaced by `url`, the paths kept, trusting `authority_pem`."""
    bundle = base64.b64encode(authority_pem).decode()
    return {
        **configuration,
        "webhooks": [
            {**hook, "clientConfig": {"url": url + hook["clientConfig"]["service"]["path"], "caBundle": bundle}}
            for hook in configuration["webhooks"]
        ],
    }


def wait_until_called(api: Api, webhook_process: Webhook, seconds: float) -> None:
    """Return when the API server sends pods of namespace `default` to the webhook: it reads registrations with a delay.

    Asks by creating a pod as a dry run. Raises `DeadProcess` with the webhook's log after `seconds`.
    """
    before = webhook_process.reviews()

    def called() -> bool:
        try:
            api.call("POST", "/api/v1/namespaces/default/pods", _PROBE, dryRun="All")
        except RefusedRequest as error:
            if error.status != http.HTTPStatus.FORBIDDEN:  # the service account is not there yet
                raise
        return webhook_process.reviews() > before

    wait_until(called, "get a review from the API server", processes=[webhook_process.process], seconds=seconds)
