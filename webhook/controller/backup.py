"""The last registration that was in order, as a ConfigMap keeps it, and whether such a text may be registered again.

A ConfigMap is easier to write than a webhook configuration: whoever may edit this one must not get pods of the whole
cluster sent elsewhere by us, nor objects of other kinds. So what comes out of it is held to what an installation of
Warmpod is: hooks that lead to us, about the creation of pods.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from webhook.controller.verdict import Address, hooks, is_asked, is_ours, reaches
from webhook.kube import Object, names
from webhook.kube.pod import mapping
from webhook.sources.kube_api.failure import UNDECODABLE

KEY = "configuration.json"
MAX_BYTES = 256 * 1024
"""A larger configuration is not kept; ours has 6 KiB."""

_API_VERSION, _KIND = "admissionregistration.k8s.io/v1", "MutatingWebhookConfiguration"


class Unfit(ValueError):
    """A configuration that is not to be kept, or not to be made again; the text says why."""


def content(document: Object, name: str, address: Address) -> Object:
    """What of a configuration is kept: our hooks without caBundle, labels, annotations. Raises `Unfit`.

    Owners, finalizers and what the API server sets are left out; so are hooks of others.
    """
    metadata = mapping(document.get("metadata"))
    if document.get("kind", _KIND) != _KIND or metadata.get("name", name) != name:
        raise Unfit(f"it is not {_KIND} {name}")
    kept = [_without_bundle(hook) for hook in hooks(document) if is_ours(hook, address)]
    if not kept:
        raise Unfit("no webhook of it is ours")
    for hook in kept:
        if not reaches(hook, address):
            raise Unfit(f"webhook {str(hook.get('name'))[:100]} does not lead to us")
        if not is_asked(hook) or not _is_about_pods(hook):
            raise Unfit(f"webhook {str(hook.get('name'))[:100]} is not about the creation of pods alone")
    made: Object = {
        "apiVersion": _API_VERSION,
        "kind": _KIND,
        "metadata": {
            "name": name,
            **{key: texts for key in ("labels", "annotations") if (texts := _texts(metadata, key))},
        },
        "webhooks": kept,
    }
    if len(msgspec.json.encode(made)) > MAX_BYTES:
        raise Unfit(f"it has more than {MAX_BYTES} bytes")
    return made


def config_map(made: Object, namespace: str) -> Object:
    """The ConfigMap that keeps what `content` made."""
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "name": names.WEBHOOK_BACKUP,
            "namespace": namespace,
            "labels": {"app.kubernetes.io/name": "warmpod", "app.kubernetes.io/component": "backup"},
        },
        "data": {KEY: encoded(made)},
    }


def encoded(made: Object) -> str:
    """The text that stands in the ConfigMap."""
    return msgspec.json.encode(made, order="deterministic").decode()


def restored(stored: Object, name: str, address: Address) -> Object:
    """The configuration that a ConfigMap keeps, whatever people did to it. Raises `Unfit`."""
    text = mapping(stored.get("data")).get(KEY)
    if not isinstance(text, str):
        raise Unfit(f"it has no {KEY}")
    if len(text) > MAX_BYTES:
        raise Unfit(f"{KEY} has more than {MAX_BYTES} characters")
    try:
        found = msgspec.json.decode(text)
    except UNDECODABLE as error:
        raise Unfit(f"{KEY} is no JSON") from error
    if not isinstance(found, dict):
        raise Unfit(f"{KEY} is no object")
    if len(hooks(found)) != len([hook for hook in hooks(found) if is_ours(hook, address)]):
        raise Unfit("it has webhooks of others")
    return content(found, name, address)


def bundles(document: Object) -> dict[str, str]:
    """The caBundle (base64) of each hook that has one, by the hook's name."""
    found = {str(hook.get("name")): mapping(hook.get("clientConfig")).get("caBundle") for hook in hooks(document)}
    return {name: value for name, value in found.items() if isinstance(value, str) and value}


def with_bundle(hook: Object, ca_bundle: str) -> Object:
    """A hook with a caBundle (base64); without one when it is empty."""
    return {**hook, "clientConfig": {**hook["clientConfig"], "caBundle": ca_bundle}} if ca_bundle else hook


def _without_bundle(hook: Object) -> Object:
    client = mapping(hook.get("clientConfig"))
    return {**hook, "clientConfig": {key: value for key, value in client.items() if key != "caBundle"}}


def _is_about_pods(hook: Object) -> bool:
    rules = hook.get("rules")
    return isinstance(rules, list) and all(
        mapping(rule).get("apiGroups") == [""] and mapping(rule).get("resources") == ["pods"] for rule in rules
    )


def _texts(metadata: Mapping[str, Any], key: str) -> dict[str, str]:
    found = mapping(metadata.get(key))
    return {name: value for name, value in found.items() if isinstance(value, str)}
