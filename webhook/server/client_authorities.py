"""Whom a client's certificate must come from, followed as the file changes."""

from __future__ import annotations

import ssl
from datetime import datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from certs.issue import MAX_PEM_BYTES


class ClientAuthorities:
    """A PEM file of authorities. The last content that could be used stays in force, for new handshakes.

    Authorities that were trusted have signed the identity of the API server, so a file that is gone or garbage for a
    while is no reason to turn it away; to distrust one, write a file without it. `pem` is empty before the first good
    content: then nobody's handshake succeeds. `problem` says why the file as it is now is not in force.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen: bytes | None = None
        self.pem = ""
        self.problem: str | None = f"{path}: it was not read yet"

    def refresh(self, now: datetime) -> bool:
        """Look at the file; True when other authorities are trusted from now on. Never raises."""
        try:
            with self._path.open("rb") as file:
                content = file.read(MAX_PEM_BYTES + 1)
        except OSError as error:
            self.problem = f"{self._path}: {error.strerror or error}"
            return False
        if content == self._seen and self.problem is None:
            return False
        try:
            pem = _trusted(content, now)
        except _Unusable as error:
            self.problem = f"{self._path}: {error}"
            return False
        self.problem, self._seen = None, content
        changed, self.pem = pem != self.pem, pem
        return changed


class _Unusable(ValueError):
    """Why a file's content names nobody to trust."""


def _trusted(content: bytes, now: datetime) -> str:
    if len(content) > MAX_PEM_BYTES:
        raise _Unusable(f"it is larger than {MAX_PEM_BYTES} bytes; name the authorities of the API server alone")
    try:
        found = x509.load_pem_x509_certificates(content)
    except ValueError:
        raise _Unusable("it holds no readable PEM certificates; write those of the API server's authority") from None
    if all(now >= one.not_valid_after_utc for one in found):
        raise _Unusable("every certificate in it has expired; write the authority that signs for the API server now")
    # Written anew: what stands between the certificates, a private key perhaps, goes no further.
    pem = "".join(one.public_bytes(Encoding.PEM).decode("ascii") for one in found)
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_verify_locations(cadata=pem)
    except ssl.SSLError as error:
        raise _Unusable(f"OpenSSL refuses it ({error.reason or error})") from None
    return pem
