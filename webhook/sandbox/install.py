"""The project's own manifests in the sandbox: rendered by kubectl as users render them, and created one by one.

A Service cannot lead to loopback, so each `clientConfig.service` becomes the URL of a process; and there are as many
pods as processes play them. Everything else stays as the overlay has it. kwok pretends the Deployment's pods.
"""

from __future__ import annotations

import base64
import http.client
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import webhook
from webhook.kube import Object
from webhook.sandbox import SandboxFailed
from webhook.sandbox.api import Api, RefusedRequest
from webhook.sandbox.process import wait_until
from webhook.sandbox.webhook import Webhook

OVERLAY: Final = "enforce"
"""Of manifests/overlays: what the sandbox installs."""

_PACKAGE = Path(webhook.__file__).resolve().parent
_RBAC = "/apis/rbac.authorization.k8s.io/v1"
_ADMISSION = "/apis/admissionregistration.k8s.io/v1"
COLLECTIONS = {
    "Namespace": "/api/v1/namespaces",
    "ServiceAccount": "/api/v1/namespaces/{namespace}/serviceaccounts",
    "ConfigMap": "/api/v1/namespaces/{namespace}/configmaps",
    "Service": "/api/v1/namespaces/{namespace}/services",
    "ClusterRole": f"{_RBAC}/clusterroles",
    "ClusterRoleBinding": f"{_RBAC}/clusterrolebindings",
    "Role": f"{_RBAC}/namespaces/{{namespace}}/roles",
    "RoleBinding": f"{_RBAC}/namespaces/{{namespace}}/rolebindings",
    "PriorityClass": "/apis/scheduling.k8s.io/v1/priorityclasses",
    "Deployment": "/apis/apps/v1/namespaces/{namespace}/deployments",
    "PodDisruptionBudget": "/apis/policy/v1/namespaces/{namespace}/poddisruptionbudgets",
    "NetworkPolicy": "/apis/networking.k8s.io/v1/namespaces/{namespace}/networkpolicies",
    "ValidatingAdmissionPolicy": f"{_ADMISSION}/validatingadmissionpolicies",
    "ValidatingAdmissionPolicyBinding": f"{_ADMISSION}/validatingadmissionpolicybindings",
    "MutatingWebhookConfiguration": f"{_ADMISSION}/mutatingwebhookconfigurations",
}
"""Where objects of each kind are created."""

_PROBE: Object = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"generateName": "is-the-webhook-called-"},
    "spec": {
        "containers": [{"name": "probe", "image": "probe", "resources": {"limits": {"nvidia.com/gpu": "1"}}}],
    },
}


def manifests_directory() -> Path:
    """`manifests` of the checkout, or of the installed package. Raises `SandboxFailed` where there is none."""
    for candidate in (_PACKAGE / "shipped" / "manifests", _PACKAGE.parent / "manifests"):
        if (candidate / "base" / "kustomization.yaml").is_file():
            return candidate
    raise SandboxFailed("this installation of Warmpod has no manifests; install it again from a wheel or a checkout")


def deployment() -> Object:
    """The Deployment as its file has it: for where there is no kubectl. Raises `SandboxFailed` without manifests."""
    import yaml  # noqa: PLC0415 - a tenth of a second that `--help` does not need

    found: Object = yaml.safe_load((manifests_directory() / "base" / "deployment.yaml").read_bytes())
    return found


def rendered(kubectl: Path, overlay: str = OVERLAY) -> list[Object]:
    """The documents of an overlay, as `kubectl kustomize` gives them. Raises `SandboxFailed` with its words."""
    directory = manifests_directory() / "overlays" / overlay
    done = subprocess.run([kubectl, "kustomize", directory], capture_output=True, text=True, check=False)
    if done.returncode:
        raise SandboxFailed(f"kubectl cannot render {directory}: {done.stderr.strip()}")
    import yaml  # noqa: PLC0415 - a tenth of a second that `--help` does not need

    return list(yaml.safe_load_all(done.stdout))


def apply(api: Api, documents: Iterable[Object]) -> None:
    """Create objects of `COLLECTIONS`. Raises `SandboxFailed` with the API server's words."""
    for document in documents:
        metadata = document["metadata"]
        path = COLLECTIONS[document["kind"]].format(namespace=metadata.get("namespace", ""))
        try:
            api.call("POST", path, document)
        except RefusedRequest as error:
            raise SandboxFailed(
                f"the API server refuses {document['kind']} {metadata['name']} of {manifests_directory()}: {error}"
            ) from error


def replace_hooks(api: Api, configurations: Iterable[Object]) -> None:
    """Have webhook configurations that are there lead elsewhere. Whom they trusted is forgotten."""
    for each in configurations:
        path = f"{COLLECTIONS[each['kind']]}/{each['metadata']['name']}"
        api.patch(path, {"webhooks": each["webhooks"]})


def scaled(document: Object, replicas: int) -> Object:
    """A Deployment with so many replicas; any other document as it is."""
    if document["kind"] != "Deployment":
        return document
    return {**document, "spec": {**document["spec"], "replicas": replicas}}


def pointed_at(configuration: Object, url: str, authority_pem: bytes) -> Object:
    """The webhook configuration with each service replaced by `url`, the paths kept, trusting `authority_pem`.

    Nobody when that is empty: the controller fills it in.
    """
    trusted = {"caBundle": base64.b64encode(authority_pem).decode()} if authority_pem else {}
    return {
        **configuration,
        "webhooks": [
            {**hook, "clientConfig": {"url": url + hook["clientConfig"]["service"]["path"], **trusted}}
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
