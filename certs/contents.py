"""What the Secret of a rotation holds, as far as it can be used. Anything may stand in it: a person can edit it.

| keys | |
|---|---|
| `ca.crt` `ca.key` | the authority that signs now |
| `tls.crt` `tls.key` | the leaf that is served |
| `next-ca.crt` `next-ca.key` | the authority that is trusted already, and signs later |
| `old-ca.crt` | the authority that signed before, trusted until nobody serves a leaf of it |
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from cryptography import x509

from certs.bundle import check_readable, is_authority, signed_by
from certs.issue import BACKDATE, MAX_PEM_BYTES, UNPARSABLE, Pair, Served, UnusablePair, check_pair, load_pair, serial

AUTHORITY: Final = ("ca.crt", "ca.key")
LEAF: Final = ("tls.crt", "tls.key")
NEXT: Final = ("next-ca.crt", "next-ca.key")
OLD: Final = "old-ca.crt"
KEYS: Final = (*AUTHORITY, *LEAF, *NEXT, OLD)


@dataclass(frozen=True, slots=True)
class Leaf:
    """The leaf, as it would be served."""

    certificate: x509.Certificate
    served: Served

    @property
    def issued_at(self) -> datetime:
        """When it was made, in whole seconds."""
        return self.served.not_before + BACKDATE


@dataclass(frozen=True, slots=True)
class Contents:
    """The parts that can be used, None for those that cannot, and why not."""

    trusted: tuple[x509.Certificate, ...]
    """The authorities among `ca.crt`, `next-ca.crt`, `old-ca.crt` that have not expired, in this order."""
    authority: Pair | None
    """Signs now, if it is not None."""
    successor: Pair | None
    retiring: x509.Certificate | None
    leaf: Leaf | None
    leaf_problem: str
    """Why there is no leaf; "" when there is."""
    expired: str
    """Serial of a leaf whose time is over; "" for any other."""
    authority_problem: str
    unusable: tuple[str, ...]
    """Keys whose content is good for nothing and can go: of the next authority, and of the old one."""

    def serves(self, names: Collection[str], authorities: Collection[x509.Certificate]) -> str:
        """Why the leaf is no good for these names, or for clients who trust `authorities`; "" when it is good."""
        if self.leaf is None:
            return self.leaf_problem
        missing = set(names) - set(self.leaf.served.names)
        if missing:
            return f"it is not for {', '.join(sorted(missing))}"
        if not signed_by(self.leaf.certificate, authorities):
            return "no authority that is known signed it"
        return ""


def read(secret: Mapping[str, bytes], now: datetime) -> Contents:
    """Look at every part as it is at `now`. Never raises."""
    authority, authority_problem = _pair(secret, AUTHORITY, now)
    successor, _ = _pair(secret, NEXT, now)
    certificates = {key: _certificate(secret.get(key), now) for key in (AUTHORITY[0], NEXT[0], OLD)}
    if successor is None:
        certificates[NEXT[0]] = None  # without its key it can never sign
    leaf, leaf_problem = _leaf(secret, now)
    unusable = [OLD] if OLD in secret and certificates[OLD] is None else []
    if successor is None:
        unusable += [key for key in NEXT if key in secret]
    distinct = dict.fromkeys(one for one in certificates.values() if one is not None)
    return Contents(
        trusted=tuple(distinct),
        authority=authority,
        successor=successor,
        retiring=certificates[OLD],
        leaf=leaf,
        leaf_problem=leaf_problem,
        expired=_expired(secret, now) if leaf is None else "",
        authority_problem=authority_problem,
        unusable=tuple(unusable),
    )


def _pair(secret: Mapping[str, bytes], keys: tuple[str, str], now: datetime) -> tuple[Pair | None, str]:
    """An authority that can sign at `now`, or why there is none."""
    if missing := _missing(secret, keys):
        return None, missing
    try:
        pair = load_pair(secret[keys[0]], secret[keys[1]])
        check_readable(pair.certificate)
        pair.certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier)  # leaves name it
    except UnusablePair as error:
        return None, f"{keys[0]}: {error}"
    except UNPARSABLE as error:
        return None, f"{keys[0]}: {str(error) or type(error).__name__}"
    if not is_authority(pair.certificate):
        return None, f"{keys[0]} is not the certificate of an authority"
    if not pair.certificate.not_valid_before_utc <= now < pair.certificate.not_valid_after_utc:
        return None, f"{keys[0]} is valid {_period(pair.certificate)}"
    return pair, ""


def _leaf(secret: Mapping[str, bytes], now: datetime) -> tuple[Leaf | None, str]:
    if missing := _missing(secret, LEAF):
        return None, missing
    try:
        served = check_pair(secret[LEAF[0]], secret[LEAF[1]], now)
        certificate = x509.load_pem_x509_certificates(secret[LEAF[0]])[0]
        check_readable(certificate)
    except UnusablePair as error:
        return None, str(error)
    except UNPARSABLE as error:
        return None, f"tls.crt: {str(error) or type(error).__name__}"
    return Leaf(certificate, served), ""


def _missing(secret: Mapping[str, bytes], keys: tuple[str, str]) -> str:
    """Which half of a pair there is none of, or both; "" when it is whole."""
    missing = [key for key in keys if key not in secret]
    return f"{' and '.join(missing)} {'is' if len(missing) == 1 else 'are'} missing" if missing else ""


def _expired(secret: Mapping[str, bytes], now: datetime) -> str:
    pem = secret.get(LEAF[0], b"")
    try:
        certificate = x509.load_pem_x509_certificate(pem[:MAX_PEM_BYTES])
        return serial(certificate) if now >= certificate.not_valid_after_utc else ""
    except UNPARSABLE:
        return ""


def _certificate(pem: bytes | None, now: datetime) -> x509.Certificate | None:
    """An authority to trust: the first certificate of a PEM text, unless it is none or has expired."""
    if pem is None or len(pem) > MAX_PEM_BYTES:
        return None
    try:
        certificate = x509.load_pem_x509_certificates(pem)[0]
        check_readable(certificate)
        expired = now >= certificate.not_valid_after_utc
    except UNPARSABLE:
        return None
    return certificate if is_authority(certificate) and not expired else None


def _period(certificate: x509.Certificate) -> str:
    begin, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    return f"from {begin:%Y-%m-%d %H:%M} to {end:%Y-%m-%d %H:%M} UTC"
