"""Bundles of authorities: what a webhook configuration's `caBundle` holds, whoever wrote it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization

from certs.issue import MAX_PEM_BYTES, UNPARSABLE, is_signed_by

MAX_CERTIFICATES = 32
"""A bundle of more is nobody's work of a rotation: it is replaced, not merged."""

_BLOCK = re.compile(rb"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)
_ANY = re.compile(rb"-----BEGIN ")


@dataclass(frozen=True, slots=True)
class Bundle:
    """The certificates of a PEM text in their order, each once; `clean` when the text holds nothing else."""

    certificates: tuple[x509.Certificate, ...]
    clean: bool


def parse(pem: bytes) -> Bundle:
    """Read what can be read, as the API server does: a block that is none does not spoil the others. Never raises.

    Of more than 64 KiB or MAX_CERTIFICATES certificates nothing is read.
    """
    if len(pem) > MAX_PEM_BYTES or len(blocks := _BLOCK.findall(pem)) > MAX_CERTIFICATES:
        return Bundle((), clean=False)
    found: dict[str, x509.Certificate] = {}
    for block in blocks:
        try:
            certificate = x509.load_pem_x509_certificate(block)
            check_readable(certificate)
        except UNPARSABLE:
            continue
        found[fingerprint(certificate)] = certificate
    return Bundle(tuple(found.values()), clean=len(found) == len(_ANY.findall(pem)))


def check_readable(certificate: x509.Certificate) -> None:
    """Decode the parts that are decoded late. Raises one of UNPARSABLE."""
    _ = (certificate.not_valid_before_utc, certificate.not_valid_after_utc, certificate.subject, certificate.issuer)
    _ = (certificate.public_key(), list(certificate.extensions))


def render(certificates: Iterable[x509.Certificate]) -> bytes:
    """The PEM text of certificates, in their order."""
    return b"".join(one.public_bytes(serialization.Encoding.PEM) for one in certificates)


def fingerprint(certificate: x509.Certificate) -> str:
    """SHA-256 of the certificate in hex, as `openssl x509 -fingerprint -sha256` tells it without colons."""
    return certificate.fingerprint(hashes.SHA256()).hex()


def fingerprints(certificates: Iterable[x509.Certificate]) -> frozenset[str]:
    """Those of several."""
    return frozenset(map(fingerprint, certificates))


def is_authority(certificate: x509.Certificate) -> bool:
    """Whether it may sign others."""
    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except UNPARSABLE:
        return False


def signed_by(certificate: x509.Certificate, authorities: Iterable[x509.Certificate]) -> tuple[x509.Certificate, ...]:
    """Which of `authorities` issued the certificate."""
    return tuple(one for one in authorities if is_signed_by(certificate, one))


def unexpired(certificates: Iterable[x509.Certificate], now: datetime) -> tuple[x509.Certificate, ...]:
    """Those whose end has not come."""
    return tuple(one for one in certificates if now < one.not_valid_after_utc)
