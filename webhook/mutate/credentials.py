"""How the app container reaches S3, for the init container to reach it the same way.

Other webhooks give credentials to the containers they find, and may have been before us: what they gave is copied.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from webhook.kube import Object
from webhook.kube import pod as pods
from webhook.mutate import merge

# Files that hold a token; the mounts under them travel along.
TOKEN_FILES = ("AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE")
CREDENTIALS = frozenset(
    {
        *TOKEN_FILES,
        "AWS_ACCESS_KEY_ID",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_SESSION_TOKEN",
        "AWS_ROLE_ARN",
        "AWS_ROLE_SESSION_NAME",
        "AWS_CONTAINER_CREDENTIALS_FULL_URI",
        "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
        "AWS_CONTAINER_AUTHORIZATION_TOKEN",
        "AWS_REGION",
        "AWS_DEFAULT_REGION",
        "AWS_STS_REGIONAL_ENDPOINTS",
        "AWS_EC2_METADATA_DISABLED",
        "AWS_USE_DUALSTACK_ENDPOINT",
        "AWS_USE_FIPS_ENDPOINT",
        "AWS_REQUEST_PAYER",
        "HTTPS_PROXY",
        "https_proxy",
        # For stores within the cluster, which are asked without TLS. ALL_PROXY is nothing that AWS's clients read.
        "HTTP_PROXY",
        "http_proxy",
        "NO_PROXY",
        "no_proxy",
    }
)
ENDPOINTS = frozenset({"AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL_STS"})
"""Who answers for a bucket. Never copied for a cache that other tenants read: theirs could be filled by a stranger."""

AUTHORITIES = frozenset({"AWS_CA_BUNDLE", "SSL_CERT_FILE"})
"""Files that say whom to take for a bucket's server. Copied where endpoints are, with the mounts that hold them."""

_ALL = CREDENTIALS | ENDPOINTS | AUTHORITIES
_TOKEN_VOLUMES = frozenset({"eks-pod-identity-token", "aws-iam-token"})


def environment(container: Object, volumes: Mapping[str, Object], *, endpoints: bool) -> list[Object]:
    """The container's entries that an S3 client needs, in its order; endpoints and authorities only on request.

    A file of authorities that no mount holds is left out: it is one of the container's image, which is not ours.
    """
    wanted = _ALL if endpoints else CREDENTIALS
    return [
        _resolved(container, entry)
        for entry in merge.items(container, "env")
        if entry["name"] in wanted
        and (entry["name"] not in AUTHORITIES or _holder(container, volumes, entry) is not None)
    ]


def mounts(container: Object, volumes: Mapping[str, Object], *, endpoints: bool) -> list[Object]:
    """The container's mounts of the projected volumes that its token files, and on request its authorities, lie in."""
    env = merge.items(container, "env")
    files = [entry.get("value") for entry in env if entry["name"] in TOKEN_FILES]
    authorities = [_holder(container, volumes, entry) for entry in env if endpoints and entry["name"] in AUTHORITIES]
    found = []
    for mount in merge.items(container, "volumeMounts"):
        name = mount.get("name")
        if name in _TOKEN_VOLUMES or (files and any(_lies_under(file, mount["mountPath"]) for file in files)):
            volume = volumes.get(name)
            if volume is not None and "projected" in volume:
                found.append(_in_order(mount))
                continue
        if authorities and any(mount is holder for holder in authorities):
            found.append(_in_order(mount))
    return found


def _holder(container: Object, volumes: Mapping[str, Object], entry: Object) -> Object | None:
    """The mount of a ConfigMap, or of a projected volume, that the file lies in which an entry names."""
    file = pods.env_value(container, entry["name"])
    if file is None:
        return None
    around = [
        mount
        for mount in merge.items(container, "volumeMounts")
        if mount["mountPath"].rstrip("/") == file or _lies_under(file, mount["mountPath"])
    ]
    if not around:
        return None
    mount: Object = max(around, key=lambda mount: len(mount["mountPath"].rstrip("/")))
    volume = volumes.get(mount.get("name", ""), {})
    is_held = ("configMap" in volume or "projected" in volume) and "subPathExpr" not in mount
    return mount if is_held else None


def _resolved(container: Object, entry: Object) -> Object:
    value = entry.get("value")
    if not isinstance(value, str) or "$" not in value:
        return _in_order(entry)
    # It may speak of variables that the init container does not have: copied is what it comes to, not to be expanded.
    expanded = pods.env_value(container, entry["name"])
    return _in_order(entry if expanded is None else {**entry, "value": expanded.replace("$", "$$")})


def _in_order(entry: Object) -> Object:
    """A copy whose keys do not stand in the order that the review happened to have: equal reviews, equal bytes."""
    return {key: _in_order(value) if isinstance(value := entry[key], dict) else value for key in sorted(entry)}


def _lies_under(file: Any, directory: str) -> bool:
    return isinstance(file, str) and file.startswith(f"{directory.rstrip('/')}/")
