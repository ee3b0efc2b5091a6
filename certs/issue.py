"""Issue a certificate authority and the leaves it signs, and say whether a pair on disk can serve.

Time is an argument: nothing here reads a clock. Only keys and serial numbers are random.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

AUTHORITY_LIFETIME = timedelta(days=3650)
LEAF_LIFETIME = timedelta(days=365)
BACKDATE = timedelta(hours=1)
"""How long before `now` a certificate becomes valid: clocks of nodes differ."""

MAX_PEM_BYTES = 64 * 1024
"""Larger PEM files are refused unparsed (CVE-2024-12401); a chain of ten certificates is under 20 KiB."""

UNPARSABLE = (
    *(ValueError, TypeError, OverflowError, UnsupportedAlgorithm),
    *(x509.InvalidVersion, x509.DuplicateExtension, x509.ExtensionNotFound, x509.UnsupportedGeneralNameType),
)
"""What reading a certificate of unknown origin may raise."""

_DNS_NAME = re.compile(
    r"(?=.{1,253}\Z)(\*\.)?[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*\Z"
)


class Usage(Enum):
    """What a leaf may be used for."""

    SERVER = (ExtendedKeyUsageOID.SERVER_AUTH,)
    CLIENT = (ExtendedKeyUsageOID.CLIENT_AUTH,)
    BOTH = (ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH)


class InvalidName(ValueError):
    """A subject alternative name is neither a DNS name nor an IP address."""


class UnusablePair(ValueError):
    """A certificate and key cannot serve; the text says why and what to do."""


@dataclass(frozen=True, slots=True)
class Pair:
    """A certificate and its private key."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @property
    def certificate_pem(self) -> bytes:
        """The certificate as PEM, what `tls.crt`, `ca.crt` and a caBundle hold."""
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    @property
    def key_pem(self) -> bytes:
        """The private key as unencrypted PKCS#8 PEM, what `tls.key` holds. Write it with mode 0600."""
        return self.key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )


@dataclass(frozen=True, slots=True)
class Served:
    """What a checked pair will serve."""

    serial: str
    not_before: datetime
    not_after: datetime
    names: tuple[str, ...]


def issue_authority(
    now: datetime, *, common_name: str = "warmpod-ca", lifetime: timedelta = AUTHORITY_LIFETIME
) -> Pair:
    """Make a self-signed certificate authority on P-256, valid from an hour before `now`.

    `now` must be timezone-aware.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    subject = _subject(common_name, ())
    key_identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    builder = (
        _builder(now, now + lifetime, subject, subject, key)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(authority=True), critical=True)
        .add_extension(key_identifier, critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(key_identifier), critical=False)
    )
    return Pair(builder.sign(key, hashes.SHA256()), key)


def issue_leaf(
    authority: Pair,
    names: Sequence[str],
    now: datetime,
    *,
    common_name: str = "warmpod",
    organizations: Sequence[str] = (),
    usage: Usage = Usage.SERVER,
    lifetime: timedelta = LEAF_LIFETIME,
) -> Pair:
    """Make a leaf on P-256 for `names` (DNS names and IP addresses), signed by `authority`.

    It never outlives its authority. A server leaf needs a name, for clients ignore the common name; a client leaf
    (Kubernetes reads user and groups from `common_name` and `organizations`) may have none. Raises `InvalidName`.
    """
    if not names and usage is not Usage.CLIENT:
        raise InvalidName(
            "a serving certificate needs at least one DNS name or IP address; clients ignore common names"
        )
    key = ec.generate_private_key(ec.SECP256R1())
    expiry = min(now + lifetime, authority.certificate.not_valid_after_utc)
    issuer_identifier = authority.certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    builder = (
        _builder(now, expiry, _subject(common_name, organizations), authority.certificate.subject, key)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(authority=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage(list(usage.value)), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(issuer_identifier), critical=False
        )
    )
    if names:
        unique = dict.fromkeys(names)
        builder = builder.add_extension(x509.SubjectAlternativeName([_general_name(n) for n in unique]), critical=False)
    return Pair(builder.sign(authority.key, hashes.SHA256()), key)


def load_pair(certificate_pem: bytes, key_pem: bytes) -> Pair:
    """Read back a pair this module made. Raises `UnusablePair` when it is not PEM, not P-256, or does not match."""
    certificate = _certificates(certificate_pem)[0]
    key = _private_key(key_pem)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise UnusablePair("the private key is not an elliptic curve key; issue the pair again")
    _must_match(certificate, key)
    return Pair(certificate, key)


def check_pair(certificate_pem: bytes, key_pem: bytes, now: datetime, *, authority_pem: bytes | None = None) -> Served:
    """Say what a pair would serve at `now`, or raise `UnusablePair`.

    Refused: files over 64 KiB, not PEM, an encrypted key, a key that is not the certificate's, a certificate that is
    expired, not valid yet, or without a subject alternative name; and, when `authority_pem` is given, one that none of
    those authorities signed. Keys of any algorithm are taken: cert-manager may issue RSA.
    """
    try:
        return _check(certificate_pem, key_pem, now, authority_pem)
    except UnusablePair:
        raise
    except UNPARSABLE as error:  # of a part that is decoded late
        raise UnusablePair(f"the certificate cannot be read: {type(error).__name__}") from error


def _check(certificate_pem: bytes, key_pem: bytes, now: datetime, authority_pem: bytes | None) -> Served:
    certificate = _certificates(certificate_pem)[0]
    _must_match(certificate, _private_key(key_pem))
    if now >= certificate.not_valid_after_utc:
        raise UnusablePair(f"the certificate expired at {certificate.not_valid_after_utc.isoformat()}; issue a new one")
    if now < certificate.not_valid_before_utc:
        raise UnusablePair(
            f"the certificate is not valid before {certificate.not_valid_before_utc.isoformat()};"
            " check this machine's clock"
        )
    names = _names(certificate)
    if not names:
        raise UnusablePair("the certificate has no subject alternative name; clients ignore the common name")
    if authority_pem is not None and not any(is_signed_by(certificate, one) for one in _certificates(authority_pem)):
        raise UnusablePair("the certificate is not signed by any of the given authorities")
    return Served(
        serial=serial(certificate),
        not_before=certificate.not_valid_before_utc,
        not_after=certificate.not_valid_after_utc,
        names=names,
    )


def _builder(
    now: datetime, expiry: datetime, subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey
) -> x509.CertificateBuilder:
    if now.tzinfo is None:
        raise ValueError("`now` must be timezone-aware, for certificates hold UTC")
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before((now - BACKDATE).replace(microsecond=0))
        .not_valid_after(expiry.replace(microsecond=0))
    )


def _subject(common_name: str, organizations: Sequence[str]) -> x509.Name:
    attributes = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, one) for one in organizations]
    return x509.Name([*attributes, x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _key_usage(*, authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        key_cert_sign=authority,
        crl_sign=authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def serial(certificate: x509.Certificate) -> str:
    """The serial number as statuses and reports spell it: lower-case hexadecimal."""
    return format(certificate.serial_number, "x")


def check_name(name: str) -> None:
    """Raise `InvalidName` for what is neither a DNS name nor an IP address."""
    _general_name(name)


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        lowered = name.lower()
        if _DNS_NAME.match(lowered):
            return x509.DNSName(lowered)
        raise InvalidName(f"{name!r} is neither a DNS name nor an IP address") from None


def _names(certificate: x509.Certificate) -> tuple[str, ...]:
    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except UNPARSABLE:
        return ()
    return tuple(str(one.value) for one in found if isinstance(one, x509.DNSName | x509.IPAddress))


def _certificates(pem: bytes) -> list[x509.Certificate]:
    _must_be_small(pem, "certificate")
    try:
        return x509.load_pem_x509_certificates(pem)
    except ValueError as error:
        raise UnusablePair("the certificate file holds no readable PEM certificate") from error


def _private_key(pem: bytes) -> object:
    _must_be_small(pem, "private key")
    try:
        return serialization.load_pem_private_key(pem, password=None)
    except TypeError as error:
        raise UnusablePair(
            "the private key is encrypted; a server that restarts by itself needs a plain one"
        ) from error
    except (ValueError, UnsupportedAlgorithm) as error:
        raise UnusablePair("the private key file holds no readable PEM private key") from error


def _must_be_small(pem: bytes, what: str) -> None:
    if len(pem) > MAX_PEM_BYTES:
        raise UnusablePair(f"the {what} file has {len(pem)} bytes; at most {MAX_PEM_BYTES} are read")


def _must_match(certificate: x509.Certificate, key: object) -> None:
    public = getattr(key, "public_key", None)
    if public is None or public() != certificate.public_key():
        raise UnusablePair("the private key does not belong to the certificate; were the two files written together?")


def is_signed_by(certificate: x509.Certificate, authority: x509.Certificate) -> bool:
    """Whether `authority` issued the certificate. Never raises."""
    try:
        certificate.verify_directly_issued_by(authority)
    except (*UNPARSABLE, InvalidSignature):
        return False
    return True
