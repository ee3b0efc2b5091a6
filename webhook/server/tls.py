"""The serving certificate, followed as its files change.

`load_cert_chain` on a live context with a pair that does not match raises and leaves the context unable to serve. So a
fresh context is made for every pair that passed its checks, and the handshake's SNI callback (which OpenSSL calls for
clients without SNI too) swaps it in. A bad pair changes nothing.

Where clients must show a certificate, their authorities are part of that fresh context. OpenSSL takes the store of
authorities from the context that was swapped in, but whether a certificate is asked for from the first one: so the
listener's context asks, and trusts nobody.
"""

from __future__ import annotations

import os
import ssl
from collections.abc import Callable
from datetime import datetime
from hashlib import sha256
from pathlib import Path

from certs.issue import MAX_PEM_BYTES, Served, UnusablePair, check_pair
from webhook.server.client_authorities import ClientAuthorities
from webhook.server.handshake import counted


class CertificateFiles:
    """A PEM certificate (chain) and key on disk; the last pair that passed its checks serves.

    `context` is for the listener, for life. `served` is what clients get now, None before the first good pair.
    `problem` says why the files as they are now are not served, or is None. With `authorities` only clients shake hands
    whose certificate they signed; what fails is told to `count`.
    """

    def __init__(
        self,
        certificate: Path,
        key: Path,
        authorities: ClientAuthorities | None = None,
        count: Callable[[str], None] = lambda _reason: None,
    ) -> None:
        self._certificate = certificate
        self._key = key
        self._seen: bytes | None = None
        self._current: ssl.SSLContext | None = None
        self.served: Served | None = None
        self.problem: str | None = None
        self.authorities = authorities
        self._trusted = ""
        self._pair = (b"", b"")
        self.context = self._fresh()
        self.context.sni_callback = self._choose
        self.context.sslobject_class = counted(count)

    def refresh(self, now: datetime) -> bool:
        """Look at the files; True when a new pair serves from now on. Never raises: see `problem`."""
        if self._current is not None and self.authorities is not None and self.authorities.pem != self._trusted:
            self._current = self._serving(*self._pair)  # whatever the files hold by now, it serves
        try:
            certificate, key = self._read()
            digest = sha256(certificate + b"\0" + key).digest()
            if digest == self._seen and self.problem is None:
                return False
            served = check_pair(certificate, key, now)
            if digest == self._seen:  # a pair that serves, and was hidden for a while by a bad one
                self.problem = None
                return False
            fresh = self._serving(certificate, key)
        except UnusablePair as error:
            self.problem = f"{self._certificate} and {self._key}: {error}"
            return False
        except ssl.SSLError as error:
            self.problem = f"{self._certificate} and {self._key}: OpenSSL refuses them ({error.reason or error})"
            return False
        except OSError as error:
            self.problem = f"{error.filename or self._certificate}: {error.strerror or error}"
            return False
        self._current, self._seen, self.served, self.problem = fresh, digest, served, None
        self._pair = (certificate, key)
        return True

    def _serving(self, certificate: bytes, key: bytes) -> ssl.SSLContext:
        context = self._fresh()
        _load(context, certificate, key)
        if self.authorities is not None and self.authorities.pem:
            context.load_verify_locations(cadata=self.authorities.pem)
        self._trusted = self.authorities.pem if self.authorities is not None else ""
        return context

    def _fresh(self) -> ssl.SSLContext:
        context = _fresh_context()
        if self.authorities is not None:
            context.verify_mode = ssl.CERT_REQUIRED
            # A session of TLS 1.2 can be taken up again without a certificate, after its authority was distrusted, and
            # `ssl` has no switch for OpenSSL's store of sessions. Every kube-apiserver since 2019 has TLS 1.3.
            context.minimum_version = ssl.TLSVersion.TLSv1_3
            # As Go has it, and the API server's own --client-ca-file: what stands in the file is trusted as it is, also
            # an authority in the middle of a chain.
            context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        return context

    def _read(self) -> tuple[bytes, bytes]:
        # Kubernetes swaps a mounted Secret by one link, `..data`. Resolving it once reads both files of one version.
        certificate, key = self._certificate, self._key
        if certificate.parent == key.parent:
            version = Path(os.path.realpath(certificate.parent / "..data"))
            if (version / certificate.name).is_file() and (version / key.name).is_file():
                certificate, key = version / certificate.name, version / key.name
        return _read_capped(certificate), _read_capped(key)

    def _choose(self, sslobject: ssl.SSLObject | ssl.SSLSocket, _name: str | None, _base: ssl.SSLContext) -> int | None:
        if self._current is None:
            return ssl.ALERT_DESCRIPTION_INTERNAL_ERROR
        sslobject.context = self._current
        return None


def _fresh_context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])  # what the API server forces (kubernetes#75791)
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_TICKET
    context.num_tickets = 0  # a resumed session would keep an old certificate alive, and the API server resumes none
    return context


def _load(context: ssl.SSLContext, certificate: bytes, key: bytes) -> None:
    """Load exactly the checked bytes. OpenSSL wants a path, so they go through a file that lives in memory."""
    content = certificate.rstrip() + b"\n" + key
    descriptor = os.memfd_create("serving-pair")
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        context.load_cert_chain(f"/proc/self/fd/{descriptor}")


def _read_capped(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(MAX_PEM_BYTES + 1)
