"""Every request that the controller makes for the installation it belongs to, as RBAC names them.

What it asks for its inventory is in `webhook.sources.kube_api.permissions`; the Lease of the election is in `LEASES`
here, too. Objects that a namespace holds are those of our own namespace.
"""

from __future__ import annotations

from typing import NamedTuple

from webhook.kube import names


class Call(NamedTuple):
    """API group ("" is the core group), plural name of the resource, RBAC verb, and the name it is about.

    No name: RBAC cannot name what is created or listed, and the Leases of replicas are called by their pods.
    """

    group: str
    resource: str
    verb: str
    name: str = ""


_CONFIGURATIONS = ("admissionregistration.k8s.io", "mutatingwebhookconfigurations")

LEASES = frozenset(
    Call("coordination.k8s.io", "leases", verb) for verb in ("get", "list", "create", "update", "delete")
)
"""The election, what each replica says of itself, and the end of what replicas that are long gone said."""

REGISTRATION = frozenset(
    {
        Call(*_CONFIGURATIONS, "get", names.WEBHOOK_CONFIGURATION),
        Call("apps", "deployments", "get", names.DEPLOYMENT),
        Call("", "events", "create"),
    }
)
"""Watching the registration, and telling of it in Events of the Deployment."""

CERTIFICATES = frozenset(
    {
        Call("", "secrets", "create"),
        Call("", "secrets", "get", names.TLS_SECRET),
        Call("", "secrets", "update", names.TLS_SECRET),
        Call(*_CONFIGURATIONS, "patch", names.WEBHOOK_CONFIGURATION),
    }
)
"""With `--tls-secret`: the pair, and who trusts it."""

RESTORATION = frozenset(
    {
        Call(*_CONFIGURATIONS, "create"),
        Call(*_CONFIGURATIONS, "patch", names.WEBHOOK_CONFIGURATION),
        Call("", "namespaces", "get", names.SYSTEM_NAMESPACE),
        Call("", "configmaps", "create"),
        Call("", "configmaps", "get", names.WEBHOOK_BACKUP),
        Call("", "configmaps", "update", names.WEBHOOK_BACKUP),
    }
)
"""With `--manage-webhook`, beside those above."""

POLICY_REPORTS = frozenset(
    {
        *(Call("apps", kind, "list") for kind in ("deployments", "replicasets", "statefulsets", "daemonsets")),
        *(Call("batch", kind, "list") for kind in ("jobs", "cronjobs")),
        *(
            Call(*kind, verb)
            for kind in (("wgpolicyk8s.io", "policyreports"), ("openreports.io", "reports"))
            for verb in ("get", "list", "create", "update", "delete")
        ),
        Call("", "namespaces", "get", names.SYSTEM_NAMESPACE),
    }
)
"""With `--policy-reports`, in all namespaces; pods are listed for the inventory as it is.

A report is called by one name, but RBAC cannot name what is created or listed.
"""
