"""The role of a service account by its web identity token (IRSA): AssumeRoleWithWebIdentity (AWS STS API reference).

awscrt's chain knows it too, but takes AWS_ENDPOINT_URL for a bare host name and no proxy (0.38.1), and costs a process.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import NamedTuple

from webhook import __version__
from webhook.hydrator.outcome import Exit, HydrationError, Transient
from webhook.hydrator.s3 import address
from webhook.hydrator.s3.connection import Connection
from webhook.hydrator.s3.credentials import Credentials, advice, has_profile, origin
from webhook.hydrator.s3.refusal import MAX_ERROR, problem_of
from webhook.hydrator.s3.route import Route
from webhook.hydrator.s3.session import parse_session
from webhook.hydrator.s3.settings import Settings

_MAX_TOKEN = 64 << 10
_RETRIED = frozenset({"IDPCommunicationError", "RequestTimeout", "Throttling", "ThrottlingException"})


class WebIdentity(NamedTuple):
    """Role and token as EKS gives them to a pod; `fetch` exchanges them."""

    role: str
    token_file: str
    name: str
    environ: Mapping[str, str]
    settings: Settings

    def fetch(self) -> Credentials:
        """Credentials of the role, for an hour or so. Transient, HydrationError DENIED or UNREACHABLE."""
        try:
            with open(self.token_file, encoding="ascii") as file:  # again each time: the kubelet renews it
                token = file.read(_MAX_TOKEN).strip()
        except (OSError, ValueError):
            raise self._none("its token file cannot be read") from None
        endpoint = _endpoint(self.environ, self.settings)
        fields = {
            "Action": "AssumeRoleWithWebIdentity",
            "RoleArn": self.role,
            "RoleSessionName": self.name,
            "Version": "2011-06-15",
            "WebIdentityToken": token,
        }
        form = "&".join(f"{name}={address.encoded(value)}" for name, value in fields.items())
        route = Route(endpoint, self.settings, self.environ)
        start = endpoint.url if route.proxy and not endpoint.tls else ""
        head = (
            f"POST {start}{endpoint.base}/ HTTP/1.1\r\nhost:{endpoint.authority}\r\naccept:application/xml\r\n"
            f"user-agent:warmpod-hydrate/{__version__}\r\ncontent-type:application/x-www-form-urlencoded\r\n"
            f"content-length:{len(form)}\r\n{route.proxy.authorization if start and route.proxy else ''}\r\n"
        )
        connection = Connection(route)
        try:
            answer = connection.exchange(f"{head}{form}".encode())
            body = connection.rest(MAX_ERROR)
        finally:
            connection.drop()
        if answer.status == 200:
            return parse_session(body, "AssumeRoleWithWebIdentity")
        code, message, _ = problem_of(body, (token,))
        said = (
            f"{endpoint.authority} answers status {answer.status}"
            + f" {code}" * bool(code)
            + f": {message}" * bool(message)
        )
        if answer.status >= 500 or answer.status == 429 or code in _RETRIED:
            raise Transient(said, answer.delay)
        raise self._none(said)

    def _none(self, why: str) -> HydrationError:
        whose = origin(self.environ)
        return HydrationError(Exit.DENIED, f"no AWS credentials from {whose}: {why}", advice(self.environ))


def web_identity(environ: Mapping[str, str], settings: Settings) -> WebIdentity | None:
    """Where the environment holds one, and no profile, which comes before it."""
    role, file = environ.get("AWS_ROLE_ARN"), environ.get("AWS_WEB_IDENTITY_TOKEN_FILE")
    if not role or not file or has_profile(environ):
        return None
    name = environ.get("AWS_ROLE_SESSION_NAME") or f"warmpod-hydrate-{os.getpid()}"
    return WebIdentity(role, file, name, environ, settings)


def _endpoint(environ: Mapping[str, str], settings: Settings) -> address.Endpoint:
    """STS of the region. AWS_ENDPOINT_URL is not for it here: those who set it for a pod mean the store."""
    region = settings.region
    if url := environ.get("AWS_ENDPOINT_URL_STS"):
        return address.named(url, "AWS_ENDPOINT_URL_STS", region, "sts")
    if not region:
        host = "sts.amazonaws.com"
    else:
        host = f"sts{'-fips' * settings.fips}.{region}.{address.partition_of(region)[1]}"
    return address.Endpoint(True, host, 443, host, "", region, "sts", address.partition_of(region)[0], False)
