from __future__ import annotations

import socket
import ssl
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Protocol

import pytest

from certs.issue import Pair, issue_authority, issue_leaf
from webhook.server.tls import CertificateFiles


class Paths(Protocol):
    certificate: Path
    key: Path
    authority: Pair
    authority_pem: str

    def rotate(self, authority: Pair | None = None) -> Pair: ...


def now() -> datetime:
    return datetime.now(UTC)


@pytest.fixture
def files(credentials: Paths) -> CertificateFiles:
    made = CertificateFiles(credentials.certificate, credentials.key)
    assert made.refresh(now())
    return made


def serial_served(context: ssl.SSLContext, trust: ssl.SSLContext, name: str | None = "localhost") -> str:
    """Shake hands through `context`; the serial number a client sees."""
    ours, theirs = socket.socketpair()
    ours.settimeout(60)
    theirs.settimeout(60)

    def serve() -> None:
        try:
            with context.wrap_socket(ours, server_side=True) as stream:
                stream.recv(1)
        except OSError:
            ours.close()

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        with trust.wrap_socket(theirs, server_hostname=name) as stream:
            certificate = stream.getpeercert()
            assert certificate is not None
            stream.sendall(b".")
            return str(certificate["serialNumber"]).lower().lstrip("0")
    finally:
        theirs.close()
        thread.join(5)


def trusting(credentials: Paths) -> ssl.SSLContext:
    return ssl.create_default_context(cadata=credentials.authority_pem)


def test_new_pairs_are_served_at_once(credentials: Paths, files: CertificateFiles) -> None:
    for _ in range(3):
        leaf = credentials.rotate()
        assert files.refresh(now())
        assert serial_served(files.context, trusting(credentials)) == format(leaf.certificate.serial_number, "x")
        assert files.served is not None
        assert files.served.serial == format(leaf.certificate.serial_number, "x")
        assert files.served.not_after == leaf.certificate.not_valid_after_utc
    assert not files.refresh(now())


def test_clients_without_sni_are_served(credentials: Paths, files: CertificateFiles) -> None:
    trust = trusting(credentials)
    trust.check_hostname = False
    assert serial_served(files.context, trust, None)


def test_only_tls_12_and_later_and_http_11(credentials: Paths, files: CertificateFiles) -> None:
    assert files.context.minimum_version is ssl.TLSVersion.TLSv1_2
    trust = trusting(credentials)
    trust.set_alpn_protocols(["h2", "http/1.1"])
    ours, theirs = socket.socketpair()
    thread = threading.Thread(target=lambda: files.context.wrap_socket(ours, server_side=True).close())
    thread.start()
    with trust.wrap_socket(theirs, server_hostname="localhost") as stream:
        assert stream.selected_alpn_protocol() == "http/1.1"
    thread.join(5)


def _torn(credentials: Paths) -> None:
    other = issue_leaf(credentials.authority, ["localhost"], now())
    credentials.certificate.write_bytes(other.certificate_pem)


def _expired(credentials: Paths) -> None:
    old = now() - timedelta(days=400)
    leaf = issue_leaf(issue_authority(old), ["localhost"], old)
    credentials.certificate.write_bytes(leaf.certificate_pem)
    credentials.key.write_bytes(leaf.key_pem)


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (_torn, "does not belong"),
        (_expired, "expired"),
        (lambda c: c.certificate.write_bytes(b""), "no readable PEM certificate"),
        (lambda c: c.key.write_bytes(b"\0" * 100), "no readable PEM private key"),
        (lambda c: c.certificate.write_bytes(b"x" * 100_000), "at most 65536"),
        (lambda c: c.key.unlink(), "No such file"),
    ],
    ids=["torn", "expired", "empty", "binary", "huge", "gone"],
)
def test_a_bad_pair_changes_nothing(credentials: Paths, files: CertificateFiles, spoil: object, reason: str) -> None:
    before = serial_served(files.context, trusting(credentials))
    first, key = credentials.certificate.read_bytes(), credentials.key.read_bytes()
    assert callable(spoil)
    spoil(credentials)
    assert not files.refresh(now())
    problem = str(files.problem)
    assert reason in problem
    assert str(credentials.certificate.parent) in problem
    assert serial_served(files.context, trusting(credentials)) == before
    credentials.certificate.write_bytes(first)
    credentials.key.write_bytes(key)
    assert not files.refresh(now())  # the same pair is served all along
    assert files.problem is None
    credentials.rotate()
    assert files.refresh(now())
    assert serial_served(files.context, trusting(credentials)) != before


def test_before_the_first_pair_a_handshake_fails_cleanly(tmp_path: Path, credentials: Paths) -> None:
    missing = CertificateFiles(tmp_path / "no.crt", tmp_path / "no.key")
    assert not missing.refresh(now())
    assert missing.served is None
    assert missing.problem == f"{tmp_path / 'no.crt'}: No such file or directory"
    with pytest.raises((ssl.SSLError, OSError)):
        serial_served(missing.context, trusting(credentials))


def test_a_mounted_secret_is_read_as_one_version(tmp_path: Path, credentials: Paths) -> None:
    """Kubernetes swaps `..data`; the names in the mount are links through it."""
    mount = tmp_path / "mount"
    mount.mkdir()

    def publish(version: str) -> Pair:
        leaf = credentials.rotate()
        folder = mount / f"..{version}"
        folder.mkdir()
        (folder / "tls.crt").write_bytes(leaf.certificate_pem)
        (folder / "tls.key").write_bytes(leaf.key_pem)
        (mount / "..tmp").symlink_to(folder.name)
        (mount / "..tmp").replace(mount / "..data")
        return leaf

    publish("one")
    for name in ("tls.crt", "tls.key"):
        (mount / name).symlink_to(f"..data/{name}")
    files = CertificateFiles(mount / "tls.crt", mount / "tls.key")
    assert files.refresh(now())
    leaf = publish("two")
    assert files.refresh(now())
    assert serial_served(files.context, trusting(credentials)) == format(leaf.certificate.serial_number, "x")
