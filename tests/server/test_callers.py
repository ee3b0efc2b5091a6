"""Who may ask: client certificates and bearer tokens over real handshakes, and everyone who has neither."""

from __future__ import annotations

import asyncio
import http.client
import logging
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.x509.oid import NameOID

from certs.issue import Pair, Usage, issue_authority, issue_leaf
from tests.server.serving import LOOPS, Paths, Server, identity, metric, post, serving, showing, trusting
from webhook.daemon.protocol import Limits
from webhook.server.bearer_tokens import MAX_TOKENS

TOKEN, NEXT = "first-token.of-the_api~server", "second+token/of-the-api-server=="
STRANGE = (ssl.SSLError, ConnectionError, http.client.HTTPException)


def now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True)
class House:
    """A serving pair, the authority of the clients that may ask, and the file that names it."""

    root: Path
    credentials: Paths
    authority: Pair
    client_ca: Path

    def identity(self, common_name: str = "kube-apiserver", names: tuple[str, ...] = ()) -> ssl.SSLContext:
        return identity(self.root, self.credentials, self.authority, common_name, names)


@pytest.fixture
def house(tmp_path: Path, credentials: Paths) -> House:
    made = House(tmp_path, credentials, issue_authority(now(), common_name="identities"), tmp_path / "client-ca.crt")
    made.client_ca.write_bytes(made.authority.certificate_pem)
    return made


@pytest.fixture(params=list(LOOPS.values()), ids=list(LOOPS))
def guarded(house: House, request: pytest.FixtureRequest) -> Iterator[Server]:
    with serving(house.root, house.credentials, client_ca=house.client_ca, loop=request.param) as server:
        yield server


def failed(server: Server, reason: str) -> float:
    return metric(server.metrics, f'warmpod_handshakes_failed_total{{reason="{reason}"}}')


def eventually(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_client_of_the_authority_is_answered(guarded: Server, house: House) -> None:
    assert guarded.ask(house.identity())[0] == 200
    assert guarded.metrics.handshakes.total() == 0


def nobody(house: House) -> ssl.SSLContext:
    return trusting(house.credentials)


def of_another_authority(house: House) -> ssl.SSLContext:
    return identity(house.root, house.credentials, issue_authority(now(), common_name="identities"))  # the same name


def self_signed(house: House) -> ssl.SSLContext:
    return showing(house.root, house.credentials, issue_authority(now(), common_name="kube-apiserver"))


def for_servers_only(house: House) -> ssl.SSLContext:
    return showing(house.root, house.credentials, issue_leaf(house.authority, ["localhost"], now(), usage=Usage.SERVER))


def expired(house: House) -> ssl.SSLContext:
    leaf = issue_leaf(house.authority, [], now() - timedelta(days=2), usage=Usage.CLIENT, lifetime=timedelta(days=1))
    return showing(house.root, house.credentials, leaf)


def of_our_own(house: House) -> ssl.SSLContext:
    """A serving pair, as one replica could steal it from another: its authority is not the clients'."""
    return showing(
        house.root, house.credentials, issue_leaf(house.credentials.authority, ["localhost"], now(), usage=Usage.BOTH)
    )


@pytest.mark.parametrize(
    ("stranger", "reason"),
    [
        (nobody, "no-client-certificate"),
        (of_another_authority, "client-certificate"),
        (self_signed, "client-certificate"),
        (for_servers_only, "client-certificate"),
        (expired, "client-certificate"),
        (of_our_own, "client-certificate"),
    ],
    ids=["nobody", "another authority", "self-signed", "for servers only", "expired", "ours"],
)
def test_a_stranger_sends_no_byte_of_http(
    guarded: Server,
    house: House,
    stranger: Callable[[House], ssl.SSLContext],
    reason: str,
) -> None:
    with pytest.raises(STRANGE):
        guarded.ask(stranger(house))
    eventually(lambda: failed(guarded, reason) == 1)
    assert guarded.metrics.handshakes.total() == 1
    assert guarded.metrics.reviews.total() == guarded.metrics.refused.total() == 0


def test_a_client_that_does_not_trust_us_is_counted(guarded: Server, house: House) -> None:
    """What a wrong caBundle looks like from here."""
    trust = house.identity()
    other = ssl.create_default_context(cadata=issue_authority(now()).certificate_pem.decode())
    with pytest.raises(ssl.SSLCertVerificationError):
        guarded.ask(other)
    eventually(lambda: failed(guarded, "certificate-refused") == 1)
    with socket.create_connection(("localhost", guarded.port)) as plain:
        plain.sendall(b"GET / HTTP/1.1\r\n\r\n")
        plain.settimeout(5)
        eventually(lambda: failed(guarded, "protocol") == 1)
    assert guarded.ask(trust)[0] == 200


def test_authorities_are_followed_and_a_bad_file_changes_nothing(guarded: Server, house: House) -> None:
    tmp_path, credentials, client_ca = house.root, house.credentials, house.client_ca
    first, second = house.authority, issue_authority(now(), common_name="next")
    old, new = identity(tmp_path, credentials, first), identity(tmp_path, credentials, second)
    kept = guarded.connect(old)
    assert post(kept)[0] == 200
    client_ca.write_bytes(first.certificate_pem + second.certificate_pem)
    guarded.refresh()
    assert guarded.ask(old)[0] == guarded.ask(new)[0] == 200
    old_now = now() - timedelta(days=3)
    past = issue_authority(old_now, lifetime=timedelta(days=1)).certificate_pem
    for content in (
        past,
        second.certificate_pem * 200,
        b"",
        b"garbage",
        b"x" * 70_000,
        second.key_pem,
        b"-----BEGIN CERTIFICATE-----\nAAAA\n",
    ):
        client_ca.write_bytes(content)
        guarded.refresh()
        assert guarded.status.gauges().source_problems["client-ca"]
        assert guarded.ask(old)[0] == guarded.ask(new)[0] == 200
    client_ca.unlink()
    credentials.rotate()  # a new pair serves with the authorities that were last good
    guarded.refresh()
    assert guarded.ask(old)[0] == guarded.ask(new)[0] == 200
    client_ca.write_bytes(second.certificate_pem)
    credentials.key.write_bytes(b"torn")  # and new authorities with the pair that was
    guarded.refresh()
    assert not guarded.status.gauges().source_problems["client-ca"]
    assert guarded.status.gauges().source_problems["certificate"]
    assert guarded.ask(new)[0] == 200
    with pytest.raises(STRANGE):
        guarded.ask(old)
    assert post(kept)[0] == 200  # connections that stand are not touched
    kept.close()


def test_no_session_outlives_the_trust_in_its_authority(guarded: Server, house: House) -> None:
    """A session taken up again shows no certificate. TLS 1.2 would allow it, so it is not spoken."""
    trust = house.identity()

    def shake(session: ssl.SSLSession | None) -> ssl.SSLSession | None:
        with (
            socket.create_connection(("localhost", guarded.port)) as plain,
            trust.wrap_socket(plain, server_hostname="localhost", session=session) as stream,
        ):
            stream.sendall(b"POST /mutate HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\n\r\n")
            answer = stream.recv(100)
            if not answer:
                raise ConnectionError("closed")
            assert b"415" in answer
            assert not stream.session_reused
            found = stream.session
            with suppress(OSError):
                stream.unwrap()  # a session is kept only if its connection ends in good order
            return found

    session = shake(None)
    shake(session)
    house.client_ca.write_bytes(issue_authority(now()).certificate_pem)
    guarded.refresh()
    with pytest.raises(STRANGE):
        shake(session)
    trust.maximum_version = ssl.TLSVersion.TLSv1_2
    with pytest.raises(STRANGE):
        shake(None)
    assert failed(guarded, "protocol") == 1


def test_a_certificate_may_be_trusted_for_itself_alone(house: House) -> None:
    """One issuer of a large organisation, or one client of it, and not all."""
    tmp_path, credentials, authority = house.root, house.credentials, house.authority
    pinned = tmp_path / "pinned.crt"
    leaf = issue_leaf(authority, [], now(), common_name="kube-apiserver", usage=Usage.CLIENT)
    pinned.write_bytes(leaf.certificate_pem)
    with serving(tmp_path, credentials, client_ca=pinned) as server:
        assert server.ask(showing(tmp_path, credentials, leaf))[0] == 200
        with pytest.raises(STRANGE):
            server.ask(identity(tmp_path, credentials, authority, common_name="another"))


NAMED = ("kube-apiserver", "control-plane.example")


@pytest.mark.parametrize(
    ("common_name", "names", "status"),
    [
        ("kube-apiserver", (), 200),
        ("anything", ("control-plane.example",), 200),
        ("kube-scheduler", (), 403),
        ("kube-apiserver ", (), 403),
        ("KUBE-APISERVER", (), 403),
        ("kube-apiserver\x00", (), 403),
        ("anything", ("x.control-plane.example",), 403),
        ("anything", ("*.example",), 403),
    ],
    ids=["common name", "DNS name", "another", "space", "capitals", "NUL", "below", "wildcard"],
)
def test_names_are_held_to_the_letter(house: House, common_name: str, names: tuple[str, ...], status: int) -> None:
    with serving(house.root, house.credentials, client_ca=house.client_ca, names=NAMED) as server:
        assert server.ask(house.identity(common_name, names))[0] == status
        assert metric(server.metrics, 'warmpod_strangers_total{reason="client-name"}') == (status == 403)
        assert metric(server.metrics, 'warmpod_refused_requests_total{status="403"}') == (status == 403)


def test_of_two_common_names_none_counts(house: House) -> None:
    """Go takes the last, others the first: an authority that lets people choose one must not give them the other."""
    names = [x509.NameAttribute(NameOID.COMMON_NAME, name) for name in ("kube-apiserver", "mallory")]
    for subject in (names, names[::-1]):
        leaf = issue_leaf(house.authority, [], now(), usage=Usage.CLIENT)
        builder = (
            x509.CertificateBuilder()
            .subject_name(x509.Name(subject))
            .issuer_name(house.authority.certificate.subject)
            .public_key(leaf.key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now() - timedelta(hours=1))
            .not_valid_after(now() + timedelta(hours=1))
        )
        double = Pair(builder.sign(house.authority.key, hashes.SHA256()), leaf.key)
        with serving(house.root, house.credentials, client_ca=house.client_ca, names=NAMED) as server:
            assert server.ask(showing(house.root, house.credentials, double))[0] == 403


@pytest.fixture
def tokens(tmp_path: Path) -> Path:
    file = tmp_path / "tokens"
    file.write_text(f"{TOKEN}\n")
    return file


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


@pytest.mark.parametrize(
    ("headers", "reason"),
    [
        ({}, "token-missing"),
        (bearer(""), "token-unknown"),
        (bearer(TOKEN[:-1]), "token-unknown"),
        (bearer(f"{TOKEN}x"), "token-unknown"),
        (bearer(TOKEN.upper()), "token-unknown"),
        (bearer(f"{TOKEN} {TOKEN}"), "token-unknown"),
        ({"Authorization": TOKEN}, "token-unknown"),
        ({"Authorization": f"Basic {TOKEN}"}, "token-unknown"),
        ({"Proxy-Authorization": f"Bearer {TOKEN}"}, "token-missing"),
        (bearer("x" * 60_000), "token-unknown"),
    ],
    ids=["none", "empty", "short", "long", "capitals", "twice", "bare", "basic", "proxy", "huge"],
)
def test_without_the_token_nobody_asks(
    tmp_path: Path, credentials: Paths, tokens: Path, headers: dict[str, str], reason: str
) -> None:
    with serving(tmp_path, credentials, tokens=tokens) as server:
        trust = trusting(credentials)
        for path in ("/mutate", "/mutate/audit", "/nowhere"):  # not even which paths there are
            status, text = server.ask(trust, headers, path=path)
            assert status == 401
            assert TOKEN not in text
        assert metric(server.metrics, f'warmpod_strangers_total{{reason="{reason}"}}') == 3
        assert metric(server.metrics, 'warmpod_refused_requests_total{status="401"}') == 3
        assert server.metrics.reviews.total() == 0
        assert server.ask(trust, bearer(TOKEN))[0] == 200
        assert server.ask(trust, {"authorization": f"bearer  {TOKEN}"})[0] == 200


@pytest.mark.parametrize("order", [1, -1], ids=["wrong first", "right first"])
def test_two_headers_are_none(tmp_path: Path, credentials: Paths, tokens: Path, order: int) -> None:
    with serving(tmp_path, credentials, tokens=tokens) as server:
        connection = server.connect(trusting(credentials))
        connection.putrequest("POST", "/mutate")
        for token in ("wrong-token-of-nobody", TOKEN)[::order]:
            connection.putheader("authorization", f"Bearer {token}")
        connection.putheader("content-length", "0")
        connection.endheaders()
        answer = connection.getresponse()
        assert answer.status == 401
        assert answer.getheader("www-authenticate") == "Bearer"
        assert answer.getheader("connection") == "close"
        connection.close()


def test_a_stranger_is_refused_before_the_body_comes(tmp_path: Path, credentials: Paths, tokens: Path) -> None:
    with (
        serving(tmp_path, credentials, tokens=tokens) as server,
        socket.create_connection(("localhost", server.port)) as plain,
        trusting(credentials).wrap_socket(plain, server_hostname="localhost") as stream,
    ):
        stream.settimeout(10)
        # The client waits to be told to go on, and is told why not.
        stream.sendall(
            b"POST /mutate HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\n"
            b"expect: 100-continue\r\ncontent-length: 5000000\r\n\r\n"
        )
        assert stream.recv(1000).startswith(b"HTTP/1.1 401 ")


@pytest.mark.parametrize("loop", LOOPS.values(), ids=LOOPS)
def test_a_stranger_that_goes_on_sending_is_cut(
    tmp_path: Path, credentials: Paths, tokens: Path, loop: Callable[[], asyncio.AbstractEventLoop]
) -> None:
    """TLS closes in two steps, and reads between them what the other side sends."""
    deadline = time.monotonic() + 30
    with serving(
        tmp_path, credentials, tokens=tokens, loop=loop, limits=Limits(linger_seconds=0.1, close_seconds=60)
    ) as server:
        with (
            suppress(OSError),
            socket.create_connection(("localhost", server.port)) as plain,
            trusting(credentials).wrap_socket(plain, server_hostname="localhost") as stream,
        ):
            stream.settimeout(10)
            stream.sendall(b"POST /mutate HTTP/1.1\r\nhost: a\r\ncontent-length: 900000000000\r\n\r\n")
            while time.monotonic() < deadline:
                stream.sendall(b"x" * 100_000)
        assert time.monotonic() < deadline


def test_tokens_rotate_and_a_file_without_any_lets_nobody_pass(
    tmp_path: Path, credentials: Paths, tokens: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "warmpod")
    with serving(tmp_path, credentials, tokens=tokens) as server:
        kept = server.connect(trusting(credentials))

        def asked(token: str) -> int:
            server.refresh()
            return post(kept, bearer(token))[0]

        assert (asked(TOKEN), asked(NEXT)) == (200, 401)
        tokens.write_text(f"{NEXT}\r\n\n  {TOKEN}  \n")
        assert (asked(TOKEN), asked(NEXT)) == (200, 200)
        tokens.write_text(NEXT)
        assert (asked(TOKEN), asked(NEXT)) == (401, 200)  # on a connection that stands, too
        tokens.write_text(f"{NEXT}\nshort\n{TOKEN} and more\n")
        assert (asked("short"), asked(TOKEN), asked(NEXT)) == (401, 401, 200)
        assert "line 2 is shorter than 16 characters" in str(server.world.problem("bearer-tokens"))
        assert server.status.gauges().ready
        many = "".join(f"token-number-{number:010}\n" for number in range(MAX_TOKENS + 1))
        for content in ("", "\n \n", many, f"{NEXT}\n" + "x" * 70_000, f"\ufeff{NEXT}"):
            tokens.write_text(content)
            assert asked(NEXT) == 401
            gauges = server.status.gauges()
            assert not gauges.ready
            assert gauges.source_problems["bearer-tokens"]
            assert server.status.document()["callers"]["bearerTokens"]["problem"]
        tokens.write_text(NEXT)
        assert asked(NEXT) == 200
        tokens.unlink()
        assert asked(NEXT) == 401
        tokens.write_text(NEXT)
        assert asked(NEXT) == 200
        assert server.status.gauges().ready
        kept.close()
    said = " ".join(f"{record.getMessage()} {getattr(record, 'fields', '')}" for record in caplog.records)
    assert "every caller is refused" in said
    assert "caller refused: token-unknown" in said
    for secret in (TOKEN, NEXT, "short\n", "token-number-0000000000"):
        assert secret not in said
        assert secret not in server.metrics.exposition().decode()
        assert secret not in str(server.status.document()) + str(server.status.checks())


def test_a_certificate_and_a_token_are_both_needed_where_both_are_asked_for(house: House, tokens: Path) -> None:
    with serving(house.root, house.credentials, client_ca=house.client_ca, names=NAMED, tokens=tokens) as server:
        right = house.identity()
        assert server.ask(right, bearer(TOKEN))[0] == 200
        assert server.ask(right)[0] == 401
        wrong = house.identity("another")
        assert server.ask(wrong, bearer(TOKEN))[0] == 403
        with pytest.raises(STRANGE):
            server.ask(trusting(house.credentials), bearer(TOKEN))


def test_everybody_may_ask_where_nobody_is_asked_for(tmp_path: Path, credentials: Paths) -> None:
    with serving(tmp_path, credentials) as server:
        assert server.ask(trusting(credentials))[0] == 200
        assert server.ask(trusting(credentials), bearer("whatever"))[0] == 200
        assert set(server.status.gauges().source_problems) == {"policies", "certificate"}
