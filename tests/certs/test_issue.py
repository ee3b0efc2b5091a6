from __future__ import annotations

import socket
import ssl
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from certs.issue import (
    MAX_PEM_BYTES,
    InvalidName,
    Pair,
    UnusablePair,
    Usage,
    check_pair,
    issue_authority,
    issue_leaf,
    load_pair,
)

NOW = datetime(2026, 11, 22, 2, 7, 52, 123456, tzinfo=UTC)
NAMES = ("warmpod.warmpod-system.svc", "127.0.0.1", "::1")


@pytest.fixture(scope="module")
def authority() -> Pair:
    return issue_authority(NOW)


@pytest.fixture(scope="module")
def leaf(authority: Pair) -> Pair:
    return issue_leaf(authority, NAMES, NOW)


def test_authority_signs_leaves_only(authority: Pair) -> None:
    certificate = authority.certificate
    constraints = certificate.extensions.get_extension_for_class(x509.BasicConstraints)
    usage = certificate.extensions.get_extension_for_class(x509.KeyUsage).value
    assert constraints.critical
    assert (constraints.value.ca, constraints.value.path_length) == (True, 0)
    assert usage.key_cert_sign
    assert certificate.not_valid_before_utc == NOW.replace(microsecond=0) - timedelta(hours=1)
    assert certificate.not_valid_after_utc == NOW.replace(microsecond=0) + timedelta(days=3650)
    assert isinstance(authority.key.curve, ec.SECP256R1)


def test_leaf_serves_names_for_a_year(authority: Pair, leaf: Pair) -> None:
    certificate = leaf.certificate
    certificate.verify_directly_issued_by(authority.certificate)
    usage = certificate.extensions.get_extension_for_class(x509.KeyUsage).value
    assert usage.digital_signature
    assert not usage.key_cert_sign
    assert list(certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value) == [
        ExtendedKeyUsageOID.SERVER_AUTH
    ]
    served = check_pair(leaf.certificate_pem, leaf.key_pem, NOW, authority_pem=authority.certificate_pem)
    assert served.names == NAMES
    assert served.not_before == NOW.replace(microsecond=0) - timedelta(hours=1)
    assert served.not_after == NOW.replace(microsecond=0) + timedelta(days=365)
    assert served.serial == format(certificate.serial_number, "x")


def test_leaf_never_outlives_its_authority() -> None:
    short = issue_authority(NOW, lifetime=timedelta(days=30))
    assert issue_leaf(short, NAMES, NOW).certificate.not_valid_after_utc == short.certificate.not_valid_after_utc


def test_client_leaf_names_user_and_groups(authority: Pair) -> None:
    client = issue_leaf(
        authority, (), NOW, common_name="admin", organizations=["system:masters"], usage=Usage.CLIENT
    ).certificate
    assert [a.value for a in client.subject.get_attributes_for_oid(NameOID.COMMON_NAME)] == ["admin"]
    assert [a.value for a in client.subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)] == ["system:masters"]
    assert list(client.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value) == [
        ExtendedKeyUsageOID.CLIENT_AUTH
    ]


@pytest.mark.parametrize(
    "name",
    ["", "a b", "-a", "a..b", "a\nb", "évil.example", "a" * 64, ".".join(["abcdefgh"] * 29), "http://a", "a.*"],
    ids=["empty", "space", "dash", "dots", "newline", "unicode", "long-label", "long-name", "url", "late-wildcard"],
)
def test_hostile_names_are_refused(authority: Pair, name: str) -> None:
    with pytest.raises(InvalidName):
        issue_leaf(authority, [name], NOW)


def test_serving_leaf_needs_a_name(authority: Pair) -> None:
    with pytest.raises(InvalidName, match="at least one"):
        issue_leaf(authority, [], NOW)


def test_time_must_be_aware() -> None:
    with pytest.raises(ValueError, match="timezone-aware"):
        issue_authority(NOW.replace(tzinfo=None))


def test_pair_survives_pem(leaf: Pair) -> None:
    again = load_pair(leaf.certificate_pem, leaf.key_pem)
    assert again.certificate == leaf.certificate
    assert again.key_pem == leaf.key_pem


@pytest.mark.parametrize(
    ("at", "reason"),
    [
        (NOW + timedelta(days=366), "expired at 2027-11-22T02:07:52"),
        (NOW - timedelta(hours=2), "not valid before 2026-11-22T01:07:52"),
    ],
    ids=["expired", "early"],
)
def test_check_refuses_wrong_times(leaf: Pair, at: datetime, reason: str) -> None:
    with pytest.raises(UnusablePair, match=reason):
        check_pair(leaf.certificate_pem, leaf.key_pem, at)


def test_check_refuses_a_mismatched_key(authority: Pair, leaf: Pair) -> None:
    with pytest.raises(UnusablePair, match="does not belong"):
        check_pair(leaf.certificate_pem, authority.key_pem, NOW)
    with pytest.raises(UnusablePair, match="does not belong"):
        load_pair(leaf.certificate_pem, authority.key_pem)


def test_check_refuses_a_strange_authority(leaf: Pair) -> None:
    other = issue_authority(NOW)
    with pytest.raises(UnusablePair, match="not signed by any"):
        check_pair(leaf.certificate_pem, leaf.key_pem, NOW, authority_pem=other.certificate_pem)


def test_check_takes_any_of_a_bundle(authority: Pair, leaf: Pair) -> None:
    bundle = issue_authority(NOW).certificate_pem + authority.certificate_pem
    assert check_pair(leaf.certificate_pem, leaf.key_pem, NOW, authority_pem=bundle).names == NAMES


@pytest.mark.parametrize(
    ("certificate", "key", "reason"),
    [
        (b"", None, "no readable PEM certificate"),
        (b"\xff\x00", None, "no readable PEM certificate"),
        (b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", None, "no readable PEM certificate"),
        (b"x" * (MAX_PEM_BYTES + 1), None, "at most 65536 are read"),
        (None, b"", "no readable PEM private key"),
        (None, b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "no readable PEM private key"),
        (None, b"x" * (MAX_PEM_BYTES + 1), "at most 65536 are read"),
    ],
    ids=["empty", "binary", "broken", "huge", "no-key", "broken-key", "huge-key"],
)
def test_check_refuses_garbage(leaf: Pair, certificate: bytes | None, key: bytes | None, reason: str) -> None:
    with pytest.raises(UnusablePair, match=reason):
        check_pair(
            leaf.certificate_pem if certificate is None else certificate, leaf.key_pem if key is None else key, NOW
        )


def test_check_refuses_an_encrypted_key(leaf: Pair) -> None:
    locked = leaf.key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.BestAvailableEncryption(b"secret")
    )
    with pytest.raises(UnusablePair, match="encrypted"):
        check_pair(leaf.certificate_pem, locked, NOW)


def _self_made(key: rsa.RSAPrivateKey, names: list[x509.GeneralName]) -> bytes:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "made elsewhere")])
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(7)
        .not_valid_before(NOW - timedelta(days=1))
        .not_valid_after(NOW + timedelta(days=1))
    )
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def test_check_takes_rsa_and_wants_names() -> None:
    key = rsa.generate_private_key(65537, 2048)
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )
    assert check_pair(_self_made(key, [x509.DNSName("a.svc")]), pem, NOW).names == ("a.svc",)
    with pytest.raises(UnusablePair, match="no subject alternative name"):
        check_pair(_self_made(key, []), pem, NOW)


@pytest.mark.parametrize("hostname", ["127.0.0.1", "warmpod.warmpod-system.svc"])
def test_tls_handshake_holds(tmp_path: Path, hostname: str) -> None:
    now = datetime.now(UTC)
    authority = issue_authority(now)
    leaf = issue_leaf(authority, NAMES, now)
    (tmp_path / "tls.crt").write_bytes(leaf.certificate_pem)
    (tmp_path / "tls.key").write_bytes(leaf.key_pem)
    serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    serving.load_cert_chain(tmp_path / "tls.crt", tmp_path / "tls.key")
    trusting = ssl.create_default_context(cadata=authority.certificate_pem.decode())
    ours, theirs = socket.socketpair()

    def serve() -> None:
        with serving.wrap_socket(ours, server_side=True) as stream:
            stream.sendall(b"warm")

    thread = threading.Thread(target=serve)
    thread.start()
    with trusting.wrap_socket(theirs, server_hostname=hostname) as stream:
        assert stream.recv(4) == b"warm"
    thread.join(5)
