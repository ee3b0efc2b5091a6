"""Every request that Warmpod makes of the Kubernetes API for its inventory, as RBAC names them.

The Lease of the election is not here: whoever holds the election asks for it. Nor is the API server's version, which
Kubernetes' own role `system:public-info-viewer` lets everyone read.
"""

from __future__ import annotations

from webhook.inventory.objects import Resource

Call = tuple[str, str, str]
"""API group ("" is the core group), plural name of the resource, RBAC verb."""

DRA_GROUP = "resource.k8s.io"

COLLECTIONS: dict[Resource, str] = {
    "nodes": "/api/v1/nodes",
    "pods": "/api/v1/pods",
    "namespaces": "/api/v1/namespaces",
    "persistentvolumes": "/api/v1/persistentvolumes",
    "resourceslices": f"/apis/{DRA_GROUP}/v1/resourceslices",
    "resourceclaims": f"/apis/{DRA_GROUP}/v1/resourceclaims",
    "resourceclaimtemplates": f"/apis/{DRA_GROUP}/v1/resourceclaimtemplates",
}
"""Where the objects of all namespaces are listed and watched."""


def group(resource: Resource) -> str:
    """The API group of a resource."""
    return DRA_GROUP if COLLECTIONS[resource].startswith("/apis/") else ""


CALLS: frozenset[Call] = frozenset(
    (group(resource), resource, verb) for resource in COLLECTIONS for verb in ("list", "watch")
) | {("", "nodes", "patch")}
"""What RBAC must allow. Never `get`, `create`, `update` or `delete`; a request that is not listed is not made."""
