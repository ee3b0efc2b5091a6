"""What requests are signed with, and words for where it was found. Nothing here shows a secret, not even by repr."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import NamedTuple


class Credentials(NamedTuple):
    """Keys of one identity. `expires` is seconds since the epoch; infinite where nobody said so."""

    access_key: str
    secret: str
    token: str = ""
    expires: float = float("inf")

    def __repr__(self) -> str:
        return "Credentials(...)"

    def encode(self) -> bytes:
        """For the slot and for the broker's pipe."""
        return json.dumps(tuple(self)).encode()


def decode(data: bytes) -> Credentials:
    """What `encode` made; ValueError, which shows nothing of it."""
    try:
        access_key, secret, token, expires = json.loads(data)
        return Credentials(str(access_key), str(secret), str(token or ""), float(expires))
    except (ValueError, TypeError):
        raise ValueError("no credentials") from None


def static(environ: Mapping[str, str]) -> Credentials | None:
    """Those of the environment variables, which every AWS client looks at first.

    Blanks and line ends around them are what a Secret made from a file has; no key holds any.
    """
    access_key = environ.get("AWS_ACCESS_KEY_ID", "").strip()
    secret = environ.get("AWS_SECRET_ACCESS_KEY", "").strip()
    if not access_key or not secret:
        return None
    return Credentials(access_key, secret, environ.get("AWS_SESSION_TOKEN", "").strip())


def origin(environ: Mapping[str, str]) -> str:
    """Who asks, in words: where awscrt's default chain finds credentials in this environment."""
    if environ.get("AWS_ACCESS_KEY_ID") and environ.get("AWS_SECRET_ACCESS_KEY"):
        return "the keys in AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
    if has_profile(environ):
        return f"the profile {environ.get('AWS_PROFILE') or 'default'!r} of the AWS config files"
    if environ.get("AWS_WEB_IDENTITY_TOKEN_FILE"):
        return f"the role {environ.get('AWS_ROLE_ARN', '(AWS_ROLE_ARN is not set)')} of the service account (IRSA)"
    if environ.get("AWS_CONTAINER_CREDENTIALS_FULL_URI"):
        return "the role that EKS Pod Identity gives the service account"
    if environ.get("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"):
        return "the role of the ECS task"
    return "the role of the node (instance metadata)"


def has_token(environ: Mapping[str, str]) -> bool:
    """False where EKS Pod Identity is set up and its token cannot be read, for which awscrt would wait in vain."""
    path = environ.get("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE")
    return not path or has_profile(environ) or os.access(path, os.R_OK)


def advice(environ: Mapping[str, str]) -> str:
    """What to do where no credentials came; looks at the token file that the environment names."""
    if has_profile(environ):
        return "check AWS_PROFILE, AWS_CONFIG_FILE and AWS_SHARED_CREDENTIALS_FILE"
    if environ.get("AWS_WEB_IDENTITY_TOKEN_FILE"):
        name = "AWS_WEB_IDENTITY_TOKEN_FILE"
        kind = "the role's trust policy, AWS_ROLE_ARN, AWS_REGION and that STS can be reached"
    elif environ.get("AWS_CONTAINER_CREDENTIALS_FULL_URI"):
        name = "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"
        kind = "the pod identity association and the eks-pod-identity-agent pods of the node"
    else:
        return (
            "give the pod's service account a role (EKS Pod Identity or IRSA), or set AWS_ACCESS_KEY_ID and "
            "AWS_SECRET_ACCESS_KEY; a public bucket needs --no-sign-request"
        )
    path = environ.get(name)
    if path and not os.access(path, os.R_OK):
        missing = "cannot be read by this user" if os.path.exists(path) else "does not exist"
        return f"{name} names {path!r}, which {missing}: is its volume mounted into this container?"
    return f"check {kind}"


def has_profile(environ: Mapping[str, str]) -> bool:
    """Whether there is a profile, which comes before roles of the pod."""
    if environ.get("AWS_PROFILE"):
        return True
    path = environ.get("AWS_SHARED_CREDENTIALS_FILE") or os.path.join(environ.get("HOME") or "/", ".aws", "credentials")
    return os.path.exists(path)
