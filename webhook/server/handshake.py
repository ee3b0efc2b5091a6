"""Handshakes that fail, counted by why: the event loops drop them without a word.

The API server fails open on a failed handshake, so this is where an installation learns that the caBundle is not the
authority of what it serves, or that a client certificate is missing.
"""

from __future__ import annotations

import logging
import ssl
from collections.abc import Callable
from contextlib import suppress

from cryptography import x509
from cryptography.x509.oid import NameOID

from webhook.daemon.logs import LOGGER

FAILURES = ("no-client-certificate", "client-certificate", "certificate-refused", "protocol")
"""Nobody's certificate came; one came and was not trusted; the client does not trust ours; it is not our TLS."""

_OF_OUR_CERTIFICATE = frozenset(
    {
        "BAD_CERTIFICATE",
        "CERTIFICATE_EXPIRED",
        "CERTIFICATE_REVOKED",
        "CERTIFICATE_UNKNOWN",
        "UNKNOWN_CA",
        "UNSUPPORTED_CERTIFICATE",
    }
)


class Handshake(ssl.SSLObject):
    """One connection's TLS, which knows the names in the client's certificate."""

    _names: frozenset[str] | None = None

    @property
    def names(self) -> frozenset[str]:
        """The common name and the DNS names of the client's certificate; empty where none was asked for."""
        if self._names is None:
            self._names = _names(self)
        return self._names


def counted(count: Callable[[str], None]) -> type[Handshake]:
    """A class for `SSLContext.sslobject_class` whose failed handshakes are counted, with a line in the log."""

    class Counted(Handshake):
        def do_handshake(self) -> None:
            try:
                super().do_handshake()
            except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
                raise
            except ssl.SSLError as error:
                reason = _reason(error)
                count(reason)
                detail = getattr(error, "verify_message", "") or error.reason or ""
                fields = {"reason": reason, "detail": detail}
                LOGGER.log(
                    logging.INFO if reason == "protocol" else logging.WARNING,
                    f"handshake failed: {reason}",  # each reason has its own share of the log
                    extra={"fields": fields, "throttled": True},
                )
                raise

    return Counted


def _reason(error: ssl.SSLError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return "client-certificate"
    said = error.reason or ""
    if said == "PEER_DID_NOT_RETURN_A_CERTIFICATE":
        return "no-client-certificate"
    _, alert, what = said.partition("_ALERT_")
    return "certificate-refused" if alert and what in _OF_OUR_CERTIFICATE else "protocol"


def _names(connection: ssl.SSLObject) -> frozenset[str]:
    der = connection.getpeercert(binary_form=True)
    if not der:
        return frozenset()
    try:
        certificate = x509.load_der_x509_certificate(der)
        common = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
        extensions = certificate.extensions
    except ValueError:  # a trusted authority signed it, and it is no X.509 all the same
        return frozenset()
    # Programs disagree about which of several common names counts; so none of them does.
    found = [str(common[0].value)] if len(common) == 1 else []
    with suppress(x509.ExtensionNotFound):
        found += extensions.get_extension_for_class(x509.SubjectAlternativeName).value.get_values_for_type(x509.DNSName)
    return frozenset(found)
