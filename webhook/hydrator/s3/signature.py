"""Signature Version 4 of requests without a body, as S3 wants it, by the standard library: 16 us each.

Algorithm: "AWS Signature Version 4 for API requests", IAM user guide. For S3 the path is encoded once and not
normalized. S3 Express signs alike, for the service `s3express` and with another header for the token
(Zonal endpoint APIs with CreateSession, S3 user guide). The tests hold it against awscrt's signer.
"""

from __future__ import annotations

import time
from hashlib import sha256
from hmac import digest

from webhook.hydrator.s3.credentials import Credentials

_EMPTY = sha256(b"").hexdigest()


class Signer:
    """Signs for one region and service. One per thread: it keeps the day's key."""

    __slots__ = ("_credentials", "_day", "_key", "_region", "_scope", "_second", "_service", "_stamp")

    def __init__(self, region: str, service: str) -> None:
        self._region = region
        self._service = service
        self._credentials: Credentials | None = None
        self._second = -1
        self._day = self._stamp = self._scope = ""
        self._key = b""

    def head(
        self,
        credentials: Credentials,
        method: str,
        path: str,
        query: str,
        headers: list[tuple[str, str]],
        *,
        session: bool = False,
        now: float | None = None,
    ) -> str:
        """Lines of the header section, each with its CRLF: `headers` and those that signing adds.

        `path` is percent-encoded; `query` too, and sorted by name. `headers` have lower-case names, `host` among them,
        and values of printable ASCII without double blanks. `session`: the credentials are an S3 Express session's.
        """
        second = int(time.time() if now is None else now)
        if second != self._second or credentials is not self._credentials:
            self._prepare(credentials, second)
        signed = [*headers, ("x-amz-content-sha256", _EMPTY), ("x-amz-date", self._stamp)]
        if credentials.token:
            signed.append(("x-amz-s3session-token" if session else "x-amz-security-token", credentials.token))
        signed.sort()
        lines = "".join([f"{name}:{value}\n" for name, value in signed])
        names = ";".join([name for name, _ in signed])
        canonical = f"{method}\n{path}\n{query}\n{lines}\n{names}\n{_EMPTY}"
        text = f"AWS4-HMAC-SHA256\n{self._stamp}\n{self._scope}\n{sha256(canonical.encode()).hexdigest()}"
        signature = digest(self._key, text.encode(), "sha256").hex()
        return (
            lines.replace("\n", "\r\n") + f"authorization:AWS4-HMAC-SHA256 Credential={credentials.access_key}/"
            f"{self._scope}, SignedHeaders={names}, Signature={signature}\r\n"
        )

    def _prepare(self, credentials: Credentials, second: int) -> None:
        self._stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(second))
        day = self._stamp[:8]
        if day != self._day or credentials is not self._credentials:
            key = f"AWS4{credentials.secret}".encode()
            for part in (day, self._region, self._service, "aws4_request"):
                key = digest(key, part.encode(), "sha256")
            self._key = key
            self._scope = f"{day}/{self._region}/{self._service}/aws4_request"
            self._day = day
        self._second = second
        self._credentials = credentials
