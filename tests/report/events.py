"""Events as the API server writes them to its audit log (kube-apiserver 1.34, seen in the sandbox)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from webhook.kube import Object

WEBHOOK = "pods.warmpod.dev"
AUDIT_WEBHOOK = "audit.pods.warmpod.dev"


def asked(webhook: str = WEBHOOK, *, mutated: bool = False) -> dict[str, str]:
    """What the API server notes of a webhook that it called."""
    told = {"configuration": "warmpod", "webhook": webhook, "mutated": mutated}
    return {"mutation.webhook.admission.k8s.io/round_0_index_0": json.dumps(told, separators=(",", ":"))}


def told(webhook: str = WEBHOOK, **keys: str) -> dict[str, str]:
    """Annotations of ours, and the API server's own; `_` stands for `-`."""
    return {**asked(webhook), **{f"{webhook}/{key.replace('_', '-')}": value for key, value in keys.items()}}


def event(annotations: Mapping[str, str], pod: Object | None = None, **fields: Any) -> bytes:
    """The event of a pod's creation in namespace `serving`, as a line."""
    found = {
        "kind": "Event",
        "apiVersion": "audit.k8s.io/v1",
        "level": "Metadata" if pod is None else "Request",
        "auditID": "557f272b-f1bc-49a5-8478-d04a241f49e2",
        "stage": "ResponseComplete",
        "requestURI": "/api/v1/namespaces/serving/pods",
        "verb": "create",
        "user": {"username": "system:kube-controller-manager"},
        "objectRef": {"resource": "pods", "namespace": "serving", "apiVersion": "v1"},
        "responseStatus": {"metadata": {}, "code": 201},
        "requestReceivedTimestamp": "2026-01-31T12:00:00.747675Z",
        "annotations": {"authorization.k8s.io/decision": "allow", **annotations},
        **({} if pod is None else {"requestObject": pod}),
        **fields,
    }
    return json.dumps(found, separators=(",", ":")).encode() + b"\n"
