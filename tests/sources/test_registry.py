"""What is asked of registries and believed of their answers, over real TCP."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.request import Request

import pytest

from certs.issue import issue_authority, issue_leaf
from tests.registry_server import MANIFEST, RegistryServer, digest_of, layer, served
from tests.scripted_http import Answer
from webhook.report.bake import Layer
from webhook.sources import registry_http
from webhook.sources.registry import Platform, Registries, RegistryFailure
from webhook.sources.registry_credentials import Credentials, Login, UnreadableCredentials
from webhook.sources.registry_http import Http, is_loopback

AMD64 = Platform("linux", "amd64")
SECRET = "hunter2-is-secret"


@pytest.fixture
def registry() -> Iterator[RegistryServer]:
    server = RegistryServer()
    with served(server):
        yield server


def document(registry: str, **entry: str) -> dict[str, Any]:
    return {"auths": {registry: entry}}


def asked(server: RegistryServer, path: str, credentials: Credentials | None = None, seconds: float = 20.0) -> Any:
    return Registries(credentials or Credentials(), Http(seconds)).contents(f"{server.host}/{path}", AMD64)


def refused(
    server: RegistryServer, path: str = "acme/vllm:v1", credentials: Credentials | None = None
) -> RegistryFailure:
    with pytest.raises(RegistryFailure) as caught:
        asked(server, path, credentials, seconds=2.0)
    assert f"{server.host}/{path}" in str(caught.value)
    assert SECRET not in str(caught.value)
    return caught.value


def test_an_index_comes_to_the_layers_of_one_platform(registry: RegistryServer) -> None:
    digest = registry.push("acme/vllm", "v1", {"base": 700, "own": 50})
    found = asked(registry, "acme/vllm:v1")
    assert found.digest == digest
    assert found.platform_digest != digest
    assert found.layers == (Layer(digest_of(b"base"), 700), Layer(digest_of(b"own"), 50))
    assert asked(registry, f"acme/vllm@{digest}") == found
    assert [one.headers["accept"].count("index") for one in registry.seen] == [1] * 4


def test_a_manifest_without_an_index_is_its_own_platform(registry: RegistryServer) -> None:
    digest = registry.push("acme/vllm", "v1", {"own": 50}, platforms=0)
    found = asked(registry, "acme/vllm:v1")
    assert (found.digest, found.platform_digest) == (digest, digest)


@pytest.mark.parametrize("login", ["", base64.b64encode(f"u:{SECRET}".encode()).decode()], ids=["anybody", "user"])
def test_a_token_is_fetched_once_for_a_repository(login: str, registry: RegistryServer) -> None:
    registry.push("acme/vllm", "v1", {"own": 50})
    registry.private.add("acme/vllm")
    registry.login = login
    credentials = Credentials(document(registry.host, auth=login)) if login else None
    assert asked(registry, "acme/vllm:v1", credentials).layers
    assert [one.path for one in registry.seen].count("/token") == 1
    token = next(one for one in registry.seen if one.path == "/token")
    assert token.query == {"service": "tests", "scope": "repository:acme/vllm:pull"}, "never more than to pull"


def test_an_identity_token_is_exchanged(registry: RegistryServer) -> None:
    registry.push("acme/vllm", "v1", {"own": 50})
    registry.private.add("acme/vllm")
    registry.login = SECRET
    assert asked(registry, "acme/vllm:v1", Credentials(document(registry.host, identitytoken=SECRET))).layers


@pytest.mark.parametrize(
    "challenge",
    [
        "",
        "Negotiate",
        'Bearer realm="http://tokens.example/x"',
        "Bearer realm=http://[",
        "Bearer realm=",
        "Basic realm=x",
        'Bearer "',
        "Bearer",
    ],
    ids=["none", "other", "in-the-clear", "no-url", "empty", "basic-without-login", "torn", "bare"],
)
def test_what_cannot_be_proven_is_refused_and_sends_no_password(challenge: str, registry: RegistryServer) -> None:
    registry.push("acme/vllm", "v1", {"own": 50})
    registry.private.add("acme/vllm")
    registry.challenge = challenge
    credentials = Credentials(document("other.example", auth=base64.b64encode(f"u:{SECRET}".encode()).decode()))
    assert refused(registry, credentials=credentials).why in ("denied", "unsupported")
    assert not any("authorization" in one.headers for one in registry.seen)


def test_a_login_stays_with_its_host(registry: RegistryServer) -> None:
    other = RegistryServer()
    with served(other):
        data = json.dumps({"mediaType": MANIFEST, "layers": [layer("a", 1)]}).encode()
        other.faults["/moved"] = Answer(200, data)
        registry.private.add("acme/vllm")
        registry.challenge = "Basic realm=x"
        path = "/v2/acme/vllm/manifests/v1"
        credentials = Credentials(document(registry.host, username="u", password=SECRET))
        refused(registry, credentials=credentials)
        assert any(SECRET in base64.b64decode(one.headers["authorization"][6:]).decode() for one in registry.seen[1:])
        # From now on it sends everybody elsewhere.
        registries = Registries(credentials, Http(2.0))
        with pytest.raises(RegistryFailure):
            registries.contents(f"{registry.host}/acme/vllm:v1", AMD64)
        registry.faults[path] = Answer(307, b"", {"Location": f"http://{other.host}/moved"})
        assert registries.contents(f"{registry.host}/acme/vllm:v1", AMD64).layers == (Layer(digest_of(b"a"), 1),)
        assert "authorization" in registry.seen[-1].headers
        assert other.seen
        assert not any("authorization" in one.headers for one in other.seen)


@pytest.mark.parametrize(
    ("before", "after", "followed"),
    [
        ("https://a.example/x", "http://a.example/x", False),
        ("https://a.example/x", "https://b.example/x", True),
        ("http://127.0.0.1/x", "http://127.0.0.1/y", True),
    ],
    ids=["into-the-clear", "to-another", "on-this-machine"],
)
def test_redirects_never_leave_tls(before: str, after: str, followed: bool) -> None:
    handler = registry_http._Redirects()
    found = handler.redirect_request(Request(before), None, 302, "Found", {}, after)
    assert (found is not None) is followed


def test_this_machine_is_asked_past_any_proxy(registry: RegistryServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("no_proxy", "")
    registry.push("acme/vllm", "v1", {"own": 50})
    assert asked(registry, "acme/vllm:v1").layers


@pytest.fixture
def far(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[RegistryServer]:
    """A registry over TLS whose name is none of this machine's; SSL_CERT_FILE says whom to trust."""
    now = datetime.now(UTC)
    authority = issue_authority(now)
    leaf = issue_leaf(authority, ("registry.test",), now, lifetime=timedelta(days=1))
    for name, data in (("ca", authority.certificate_pem), ("crt", leaf.certificate_pem), ("key", leaf.key_pem)):
        (tmp_path / name).write_bytes(data)
    server = RegistryServer()
    server.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.context.load_cert_chain(tmp_path / "crt", tmp_path / "key")
    known = socket.getaddrinfo
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(
        socket,
        "getaddrinfo",
        lambda host, *rest, **more: known("127.0.0.1" if host == "registry.test" else host, *rest, **more),
    )
    with served(server):
        yield server


@pytest.mark.parametrize("trusted", [True, False], ids=["trusted", "stranger"])
def test_registries_elsewhere_speak_tls(
    *, trusted: bool, far: RegistryServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if trusted:
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca"))
    far.push("acme/vllm", "v1", {"own": 50})
    far.private.add("acme/vllm")
    far.login = base64.b64encode(f"u:{SECRET}".encode()).decode()
    host = f"registry.test:{far.port}"
    far.challenge = f'Bearer realm="https://{host}/token",service="tests"'
    registries = Registries(Credentials(document(host, auth=far.login)), Http(5.0))
    if trusted:
        assert registries.contents(f"{host}/acme/vllm:v1", AMD64).layers == (Layer(digest_of(b"own"), 50),)
        far.challenge = f'Bearer realm="http://{host}/token",service="tests"'
        with pytest.raises(RegistryFailure, match="no https:// address"):
            Registries(Credentials(document(host, auth=far.login))).contents(f"{host}/acme/vllm:v1", AMD64)
    else:
        with pytest.raises(RegistryFailure, match="CERTIFICATE_VERIFY_FAILED"):
            registries.contents(f"{host}/acme/vllm:v1", AMD64)
        assert not far.seen


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (Answer(404), "missing"),
        (Answer(403), "denied"),
        (Answer(429), "throttled"),
        (Answer(500), "unreachable"),
        (Answer(302, b"", {"Location": "file:///etc/passwd"}), "unreachable"),
        (Answer(200, b"x" * (4 * 2**20 + 1)), "unsupported"),
        (Answer(200, b"not json"), "unsupported"),
        (Answer(200, b"[]"), "unsupported"),
        (Answer(200, b"{}"), "unsupported"),
        (Answer(200, b"[" * 100_000), "unsupported"),
        (Answer(200, b'{"layers": [{}]}'), "unsupported"),
        (Answer(200, b'{"layers": [{"digest": "sha256:%s", "size": -1}]}' % (b"0" * 64)), "unsupported"),
        (Answer(200, b'{"layers": [{"digest": "sha256:%s", "size": true}]}' % (b"0" * 64)), "unsupported"),
        (Answer(200, b'{"layers": [{"digest": "sha256:../../x", "size": 1}]}'), "unsupported"),
        (Answer(200, b'{"manifests": [{"digest": "../x", "platform": {}}, 3, null]}'), "unsupported"),
        (Answer(200, b'{"manifests": 3}'), "unsupported"),
        (Answer(200, b'{"layers": []}', {"Docker-Content-Digest": "sha256:" + "0" * 64}), "unsupported"),
        (Answer(200, b'{"schemaVersion": 1, "fsLayers": []}'), "unsupported"),
        (Answer(200, b"{}", {"Content-Length": "nonsense"}), "unsupported"),
    ],
    ids=[
        "gone", "forbidden", "throttled", "broken", "to-a-file", "endless", "text", "list", "empty", "deep",
        "no-digest", "negative", "boolean", "path", "no-platform", "no-manifests", "other-bytes", "schema-1", "length",
    ],
)  # fmt: skip
def test_answers_that_are_none(answer: Answer, why: str, registry: RegistryServer) -> None:
    registry.faults["/v2/acme/vllm/manifests/v1"] = answer
    assert refused(registry).why == why


def test_pinned_bytes_are_compared_with_their_digest(registry: RegistryServer) -> None:
    wanted = "sha256:" + "0" * 64
    registry.faults[f"/v2/acme/vllm/manifests/{wanted}"] = Answer(200, b'{"layers": []}')
    assert "other bytes" in str(refused(registry, f"acme/vllm@{wanted}"))


def test_another_platform_is_named_with_those_there_are(registry: RegistryServer) -> None:
    registry.push("acme/vllm", "v1", {"own": 50})
    with pytest.raises(RegistryFailure, match=r"not for linux/s390x; there is linux/amd64, linux/arm64/v8"):
        Registries(Credentials()).contents(f"{registry.host}/acme/vllm:v1", Platform("linux", "s390x"))


def test_what_a_registry_says_is_one_line_without_control_characters(registry: RegistryServer) -> None:
    entry = {"digest": "sha256:" + "0" * 64, "platform": {"os": "a\nerror: b\x1b[31m" * 50, "architecture": "x"}}
    registry.faults["/v2/acme/vllm/manifests/v1"] = Answer(200, json.dumps({"manifests": [entry]}).encode())
    text = str(refused(registry))
    assert text.isprintable()
    assert len(text) < 200


def test_an_answer_that_never_gets_to_its_end_is_not_waited_for() -> None:
    body = b'{"layers": []}'
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def drip() -> None:
            connection, _ = listening.accept()
            with connection, contextlib.suppress(OSError):
                connection.recv(65536)
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nX-Slow: " % len(body))
                for _ in range(40):
                    connection.sendall(b"x")
                    time.sleep(0.1)
                connection.sendall(b"\r\n\r\n" + body)

        server = threading.Thread(target=drip)
        server.start()
        host = f"127.0.0.1:{listening.getsockname()[1]}"
        with pytest.raises(RegistryFailure, match="does not answer in time") as caught:
            Registries(Credentials(), Http(1.0)).contents(f"{host}/acme/vllm:v1", AMD64)
        server.join()
    assert caught.value.why == "unreachable"


def test_nobody_there_is_asked_once() -> None:
    registries = Registries(Credentials(), Http(2.0))
    for said in (r"127\.0\.0\.1:9 cannot be reached", r"127\.0\.0\.1:9 did not answer before"):
        with pytest.raises(RegistryFailure, match=said) as caught:
            registries.contents("127.0.0.1:9/x:v1", AMD64)
        assert caught.value.why == "unreachable"


def test_a_registry_that_is_broken_once_is_asked_again(registry: RegistryServer) -> None:
    registries = Registries(Credentials())
    registry.push("acme/vllm", "v1", {"own": 50})
    registry.faults["/v2/acme/vllm/manifests/v1"] = Answer(500)
    with pytest.raises(RegistryFailure):
        registries.contents(f"{registry.host}/acme/vllm:v1", AMD64)
    registry.faults.clear()
    assert registries.contents(f"{registry.host}/acme/vllm:v1", AMD64).layers


@pytest.mark.parametrize(
    ("host", "near"),
    [
        ("localhost", True), ("localhost:5000", True), ("127.0.0.1:1", True), ("[::1]:5000", True),
        ("localhost.example", False), ("127.0.0.1.example", False), ("ghcr.io", False), ("10.0.0.1:80", False),
    ],
)  # fmt: skip
def test_only_this_machine_is_asked_in_the_clear(host: str, near: bool) -> None:
    assert is_loopback(host) is near


@pytest.mark.parametrize("text", ["linux", "linux/amd64/v1/x", "linux/", "Linux/amd64", "linux/$(x)", ""])
def test_no_platform(text: str) -> None:
    with pytest.raises(ValueError, match="is not OS/ARCHITECTURE"):
        Platform.of(text)


AUTH = base64.b64encode(b"u:p:q").decode()


@pytest.mark.parametrize(
    ("config", "registry", "login"),
    [
        ({}, "ghcr.io", None),
        (document("ghcr.io", auth=AUTH), "ghcr.io", Login("u", "p:q")),
        (document("ghcr.io", auth=AUTH), "ghcr.io.example", None),
        (document("https://ghcr.io", auth=AUTH), "ghcr.io", Login("u", "p:q")),
        (document("https://ghcr.io/v2/", auth=AUTH), "ghcr.io", Login("u", "p:q")),
        (document("https://index.docker.io/v1/", auth=AUTH), "docker.io", Login("u", "p:q")),
        (document("ghcr.io", identitytoken="t"), "ghcr.io", Login("", "t")),
        (document("ghcr.io"), "ghcr.io", None),
        ({"auths": [], "credHelpers": 3, "credsStore": {}}, "ghcr.io", None),
        ({"auths": {"ghcr.io": "x"}}, "ghcr.io", None),
    ],
    ids=["empty", "auth", "other", "url", "path", "hub", "token", "nothing", "types", "entry"],
)  # fmt: skip
def test_logins_of_the_file(config: dict[str, Any], registry: str, login: Login | None) -> None:
    assert Credentials(config).of(registry) == login
    assert "p:q" not in repr(login)


def helper(directory: Path, name: str, script: str) -> None:
    program = directory / f"docker-credential-{name}"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)


def test_programs_are_asked_by_their_protocol(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    helper(
        tmp_path, "works", 'read r; [ "$1" = get ] && echo "{\\"Username\\": \\"AWS\\", \\"Secret\\": \\"for $r\\"}"'
    )
    helper(tmp_path, "token", 'echo \'{"Username": "<token>", "Secret": "t"}\'')
    helper(tmp_path, "nobody", "echo credentials not found in native keychain; exit 1")
    helper(tmp_path, "fails", f"echo {SECRET} >&2; exit 3")
    helper(tmp_path, "babbles", f"echo {SECRET}")
    config = {"credHelpers": {f"{name}.example": name for name in ("works", "token", "nobody", "fails", "babbles")}}
    config["credHelpers"] |= {"absent.example": "absent", "hostile.example": "../works"}
    credentials = Credentials({**config, "credsStore": "works"}, "config.json")
    assert credentials.of("works.example") == Login("AWS", "for works.example")
    assert credentials.of("token.example") == Login("", "t")
    assert credentials.of("nobody.example") is None
    assert credentials.of("docker.io") == Login("AWS", "for https://index.docker.io/v1/")
    for name in ("fails", "babbles", "absent", "hostile"):
        with pytest.raises(UnreadableCredentials) as caught:
            credentials.of(f"{name}.example")
        assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    "data", [b"", b"[]", b"{", b"\xff", b"[" * 100_000, None], ids=["empty", "list", "torn", "bytes", "deep", "absent"]
)
def test_a_file_that_is_none(data: bytes | None, tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    if data is not None:
        path.write_bytes(data)
    with pytest.raises(UnreadableCredentials, match=r"config\.json"):
        Credentials.read(path)
