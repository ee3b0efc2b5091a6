"""The webhooks of a registration, as checks read them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from webhook.doctor.counters import is_ours
from webhook.doctor.evidence import Evidence, Seen, within
from webhook.kube import Object, names
from webhook.kube.pod import mapping, objects
from webhook.kube.selector import InvalidSelector, LabelSelector

PODS = f"pods.{names.DOMAIN}"
AUDIT = f"audit.pods.{names.DOMAIN}"
MODES = {"/mutate": "Enforce", "/mutate/audit": "Audit"}
"""What the paths of the webhook cap every policy's mode at."""

Hook = Mapping[str, Any]


def ours(evidence: Evidence) -> list[Hook]:
    """The webhooks of Warmpod in the registration."""
    if not isinstance(evidence.registration, Seen):
        return []
    return [one for one in objects(evidence.registration.value.get("webhooks")) if is_ours(str(one.get("name")))]


def named(evidence: Evidence, name: str) -> Hook | None:
    """One of them by its name."""
    return next((one for one in ours(evidence) if one.get("name") == name), None)


def uses_service(evidence: Evidence) -> bool:
    """Whether the API server looks for the webhook behind a Service; so it is unless all of ours name URLs."""
    found = ours(evidence)
    return not found or any(not within(one, "clientConfig", "url") for one in found)


def path(hook: Hook) -> str:
    """The path that it is called at."""
    url = within(hook, "clientConfig", "url")
    if isinstance(url, str):
        return urlsplit(url).path or "/"
    return str(within(hook, "clientConfig", "service", "path") or "/")


def host(hook: Hook) -> str:
    """The name that the certificate must be for."""
    url = within(hook, "clientConfig", "url")
    if isinstance(url, str):
        return urlsplit(url).hostname or ""
    service = mapping(within(hook, "clientConfig", "service"))
    return f"{service.get('name')}.{service.get('namespace')}.svc"


def mode(hook: Hook | None) -> str:
    """What its path caps modes at; empty for a path that Warmpod does not serve."""
    return MODES.get(path(hook), "") if hook else ""


def selects_namespace(hook: Hook, namespace: Object) -> bool:
    """Whether it is called for objects of this namespace."""
    labels = {names.LABEL_NAMESPACE_NAME: str(within(namespace, "metadata", "name"))}
    labels |= {str(key): str(value) for key, value in mapping(within(namespace, "metadata", "labels")).items()}
    try:
        return LabelSelector.parse(hook.get("namespaceSelector") or {}).matches(labels)
    except InvalidSelector:
        return True  # the API server would have refused it: this one reads it wrongly


def selects_pods(hook: Hook) -> bool:
    """Whether it is called when a pod is created."""
    return any(
        {"", "*"} & set(rule.get("apiGroups") or ())
        and {"v1", "*"} & set(rule.get("apiVersions") or ())
        and {"pods", "*", "*/*"} & set(rule.get("resources") or ())
        and {"CREATE", "*"} & set(rule.get("operations") or ())
        for rule in objects(hook.get("rules"))
    )
