"""Certificates, tokens and kubeconfigs of one sandbox: made new at each start, readable by their owner alone."""

from __future__ import annotations

import base64
import json
import os
import secrets
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from certs.issue import Pair, issue_authority, issue_leaf
from webhook.sandbox.ports import LOOPBACK

USERS = {
    "admin": ("warmpod-sandbox", "system:masters"),
    "scheduler": ("system:kube-scheduler", ""),
    # One identity runs every controller here; a cluster gives each its own service account.
    "controller-manager": ("system:kube-controller-manager", "system:masters"),
    "kwok": ("warmpod-sandbox-kubelets", "system:masters"),
}
"""Who calls the API server: user name and group."""


@dataclass(frozen=True, slots=True)
class Files:
    """Paths within the sandbox's directory, and the authority that the webhook's certificate comes from too."""

    authority: Pair
    authority_pem: Path
    server_certificate: Path
    server_key: Path
    service_account_certificate: Path
    service_account_key: Path
    tokens: Path
    admin_token: str


def write_private(path: Path, content: bytes) -> None:
    """Write a file that only its owner can read, also in the moment of writing."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)


def create(directory: Path, now: datetime) -> tuple[Files, dict[str, str]]:
    """Make the files of a new control plane in `directory`, and the token of each of `USERS`."""
    directory.mkdir(mode=0o700, exist_ok=True)
    authority = issue_authority(now, common_name="warmpod-sandbox-ca")
    server = issue_leaf(
        authority, [LOOPBACK, "localhost", "kubernetes.default.svc", "10.96.0.1"], now, common_name="kube-apiserver"
    )
    # Any P-256 key signs service account tokens. The API server reads the public half from a certificate only.
    service_accounts = issue_authority(now, common_name="service-accounts")
    tokens = {user: secrets.token_urlsafe(32) for user in USERS}
    files = Files(
        authority=authority,
        authority_pem=directory / "ca.crt",
        server_certificate=directory / "apiserver.crt",
        server_key=directory / "apiserver.key",
        service_account_certificate=directory / "service-accounts.crt",
        service_account_key=directory / "service-accounts.key",
        tokens=directory / "tokens.csv",
        admin_token=tokens["admin"],
    )
    rows = "".join(f'{tokens[user]},{name},{name},"{group}"\n' for user, (name, group) in USERS.items())
    for path, content in (
        (files.authority_pem, authority.certificate_pem),
        (files.server_certificate, server.certificate_pem),
        (files.server_key, server.key_pem),
        (files.service_account_certificate, service_accounts.certificate_pem),
        (files.service_account_key, service_accounts.key_pem),
        (files.tokens, rows.encode()),
    ):
        write_private(path, content)
    return files, tokens


def kubeconfig(server: str, authority: Pair, token: str) -> bytes:
    """A kubeconfig for one user, as JSON (which is YAML, too)."""
    name = "warmpod-sandbox"
    encoded = base64.b64encode(authority.certificate_pem).decode()
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": name, "cluster": {"server": server, "certificate-authority-data": encoded}}],
        "users": [{"name": name, "user": {"token": token}}],
        "contexts": [{"name": name, "context": {"cluster": name, "user": name}}],
        "current-context": name,
    }
    return json.dumps(document, indent=1).encode()
