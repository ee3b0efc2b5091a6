"""TLS to S3: whom to trust, and words for when that fails."""

from __future__ import annotations

import ssl

from webhook.hydrator.outcome import Exit, HydrationError

# verify_code of OpenSSL (X509_verify_cert_error_string(3)).
_NOT_YET, _EXPIRED = 9, 10
_UNKNOWN = frozenset({2, 18, 19, 20, 21, 27})
_OTHER_HOST = frozenset({62, 64})


def context(ca_bundle: str) -> ssl.SSLContext:
    """Trusts the certificates of the bundle, or without one the system's. HydrationError UNREACHABLE."""
    try:
        return ssl.create_default_context(cafile=ca_bundle or None)
    except OSError as error:
        why = "holds no certificate in PEM" if isinstance(error, ssl.SSLError) else error.strerror
        raise HydrationError(
            Exit.UNREACHABLE,
            f"the CA bundle {ca_bundle!r} cannot be used: {why}",
            "check --ca-bundle, AWS_CA_BUNDLE and SSL_CERT_FILE, and that their volume is mounted into this container",
        ) from None


def distrust(error: ssl.SSLCertVerificationError, host: str, ca_bundle: str) -> HydrationError:
    """Why the server's certificate is not accepted. Trying again does not help."""
    code = error.verify_code
    trusted = f"the CA bundle {ca_bundle!r}" if ca_bundle else "the system's certificate authorities"
    if code == _EXPIRED:
        said, hint = "has expired", "renew it, or set the clock of this node if that is wrong"
    elif code == _NOT_YET:
        said, hint = "is not valid yet", "set the clock of this node if that is wrong"
    elif code in _OTHER_HOST:
        said = "is for another host name"
        hint = "check --endpoint-url; a bucket name with dots, or a store without wildcard, needs --path-style"
    elif code in _UNKNOWN:
        said = f"is of an authority that is unknown to {trusted}"
        hint = "give the authority's certificate by --ca-bundle or AWS_CA_BUNDLE; a proxy that opens TLS has its own"
    else:
        said, hint = f"is refused: {error.verify_message}", f"it is checked against {trusted}"
    return HydrationError(Exit.UNREACHABLE, f"the TLS certificate of {host} {said}", hint)
