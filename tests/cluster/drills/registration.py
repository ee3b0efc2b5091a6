"""The MutatingWebhookConfiguration in the cluster: read, and damaged as people and other programs do it."""

from __future__ import annotations

import base64
import http.client

from webhook.kube import Object, names
from webhook.sandbox.api import RefusedRequest
from webhook.sandbox.sandbox import Sandbox

_COLLECTION = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations"
PATH = f"{_COLLECTION}/{names.WEBHOOK_CONFIGURATION}"


def read(box: Sandbox) -> Object:
    """As it is. Raises `RefusedRequest` when there is none."""
    return box.api.call("GET", PATH)


def find(box: Sandbox) -> Object | None:
    """The same, None when there is none."""
    try:
        return read(box)
    except RefusedRequest as error:
        if error.status != http.HTTPStatus.NOT_FOUND:
            raise
        return None


def bundle(configuration: Object) -> bytes:
    """The PEM of the authorities that the first hook's `caBundle` holds."""
    return base64.b64decode(configuration["webhooks"][0]["clientConfig"].get("caBundle", ""))


def write_hooks(box: Sandbox, hooks: list[Object]) -> None:
    """Put these hooks in place of what is there."""
    box.api.patch(PATH, {"webhooks": hooks})


def write_bundle(box: Sandbox, pem: bytes) -> None:
    """Have every hook trust these authorities alone."""
    text = base64.b64encode(pem).decode()
    hooks = read(box)["webhooks"]
    write_hooks(box, [{**hook, "clientConfig": {**hook["clientConfig"], "caBundle": text}} for hook in hooks])


def lead_to_the_service(box: Sandbox, hooks: list[Object]) -> None:
    """Lead each hook to the Service that `hooks`, those of the manifests, name; its bundle stays as it is.

    The sandbox registers a URL of loopback, where no Service can lead.
    """
    services = {hook["name"]: hook["clientConfig"]["service"] for hook in hooks}
    current = read(box)["webhooks"]
    write_hooks(
        box,
        [
            {**hook, "clientConfig": {"service": services[hook["name"]], **_trust(hook["clientConfig"])}}
            for hook in current
        ],
    )


def _trust(client: Object) -> Object:
    return {"caBundle": client["caBundle"]} if "caBundle" in client else {}


def delete(box: Sandbox) -> None:
    """Delete it."""
    box.api.call("DELETE", PATH)


def create(box: Sandbox, configuration: Object) -> None:
    """Make it anew from what was read."""
    kept = {"name": configuration["metadata"]["name"], "labels": configuration["metadata"].get("labels", {})}
    box.api.call("POST", _COLLECTION, {**configuration, "metadata": kept})
