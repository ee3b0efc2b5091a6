"""Whether a handshake would verify, by what the parties hold; what was found once is remembered."""

from __future__ import annotations

import functools
from datetime import datetime

from cryptography import x509

from certs import bundle, issue
from certs.issue import UnusablePair, check_pair


@functools.lru_cache(maxsize=4096)
def _issued(certificate_pem: bytes, bundle_pem: bytes) -> bool:
    certificate = x509.load_pem_x509_certificate(certificate_pem)
    return bool(bundle.signed_by(certificate, bundle.parse(bundle_pem).certificates))


@functools.lru_cache(maxsize=4096)
def _validity(certificate_pem: bytes) -> tuple[datetime, datetime]:
    certificate = x509.load_pem_x509_certificate(certificate_pem)
    return certificate.not_valid_before_utc, certificate.not_valid_after_utc


def verify(pair: tuple[bytes, bytes], bundle_pem: bytes, now: datetime) -> str:
    """Why a client who trusts the bundle ends a handshake with who serves the pair; "" when it does not."""
    begin, end = _validity(pair[0])
    if not begin <= now < end:
        return "not valid now"
    return "" if _issued(pair[0], bundle_pem) else "signed by nobody it trusts"


def usable(pair: tuple[bytes, bytes], now: datetime) -> bool:
    try:
        check_pair(*pair, now)
    except UnusablePair:
        return False
    return True


@functools.lru_cache(maxsize=4096)
def _serial(certificate_pem: bytes) -> str:
    return issue.serial(x509.load_pem_x509_certificate(certificate_pem))


def serial(pair: tuple[bytes, bytes]) -> str:
    return _serial(pair[0])
