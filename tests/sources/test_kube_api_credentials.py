"""Finding a cluster and staying logged in to it: service accounts, kubeconfigs, and what is said when there is none."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import uvloop

from certs.issue import Usage, issue_authority, issue_leaf
from tests.sources.kube_api_mirror import following
from tests.sources.kube_api_server import ApiServer
from webhook.sources.kube_api import KubeApi, NoCluster, credentials, transport
from webhook.sources.kube_api.credentials import Kubeconfig, ServiceAccount, find
from webhook.sources.kube_api.failure import ApiFailure

NOW = datetime.now(UTC)
EXEC = {"apiVersion": "client.authentication.k8s.io/v1", "command": sys.executable, "interactiveMode": "Never"}


def kubeconfig(directory: Path, user: dict[str, Any], **cluster: Any) -> Path:
    path = directory / "kubeconfig"
    document = {
        "clusters": [{"name": "c", "cluster": {"server": "https://127.0.0.1:1", **cluster}}],
        "users": [{"name": "u", "user": user}],
        "contexts": [{"name": name, "context": {"cluster": "c", "user": "u"}} for name in ("one", "two")],
        "current-context": "one",
    }
    path.write_text(json.dumps(document))
    return path


def plugin(directory: Path, script: str) -> dict[str, Any]:
    path = directory / "plugin.py"
    path.write_text(script)
    return {"exec": {**EXEC, "args": [str(path)]}}


def running(script: Path) -> bool:
    for commands in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            if str(script).encode() in commands.read_bytes():
                return True
    return False


def loaded(path: Path, context: str | None = None) -> Any:
    return asyncio.run(Kubeconfig(str(path), context).load())


# --- where the cluster is


def test_service_account_where_there_is_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(credentials, "SERVICE_ACCOUNT", tmp_path)
    (tmp_path / "token").write_text("secret\n")
    pod = {"KUBERNETES_SERVICE_HOST": "fd00::1", "KUBERNETES_SERVICE_PORT": "6443", "KUBECONFIG": "/elsewhere"}
    found = find(None, None, pod)
    assert isinstance(found, ServiceAccount)
    (tmp_path / "ca.crt").write_text("-----BEGIN")
    configuration = asyncio.run(found.load()).configuration
    assert configuration.host == "https://[fd00::1]:6443"
    assert configuration.api_key == {"BearerToken": "Bearer secret"}
    assert isinstance(find(tmp_path / "mine", None, pod), Kubeconfig), "what is named comes first"
    assert isinstance(find(None, "context", pod), Kubeconfig), "contexts are a kubeconfig's"


def test_kubeconfig_of_the_environment_and_of_the_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert str(find(None, None, {"KUBECONFIG": "/a:/b"})) == "kubeconfig /a:/b"
    with pytest.raises(NoCluster, match=r"KUBERNETES_SERVICE_HOST is not set.*name one with --kubeconfig FILE"):
        find(None, None, {})
    with pytest.raises(NoCluster, match=r"token is missing.*automountServiceAccountToken: true"):
        find(None, None, {"KUBERNETES_SERVICE_HOST": "10.0.0.1"})
    (tmp_path / ".kube").mkdir()
    (tmp_path / ".kube" / "config").write_text("{}")
    assert str(find(None, "x", {})) == f"kubeconfig {tmp_path}/.kube/config, context x"


@pytest.mark.parametrize("missing", ["token", "ca.crt"])
@pytest.mark.parametrize("content", [None, "", "  \n", b"\xff\xfe"])
def test_broken_service_account_is_told(tmp_path: Path, missing: str, content: Any) -> None:
    for name in {"token", "ca.crt"} - {missing}:
        (tmp_path / name).write_text("fine")
    if content is not None:
        (tmp_path / missing).write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(NoCluster, match=f"{missing}.*kubelet writes it"):
        asyncio.run(ServiceAccount(tmp_path, "host", "443").load())


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (None, "there is no kubeconfig at"),
        ("", "cannot be used"),
        ("[]", "cannot be used"),
        ("{}", "cannot be used"),
        (": : :", "cannot be used"),
        ("\x00", "cannot be used"),
        ('{"current-context": "x"}', "Expected object with name x"),
        ('{"current-context": "x", "contexts": [{"name": "x", "context": {"cluster": "c"}}]}', "name c in"),
    ],
    ids=["missing", "empty", "list", "no context", "no yaml", "binary", "unknown context", "unknown cluster"],
)
def test_broken_kubeconfig_is_told(tmp_path: Path, text: str | None, says: str) -> None:
    path = tmp_path / "kubeconfig"
    if text is not None:
        path.write_text(text)
    with pytest.raises(NoCluster) as caught:
        loaded(path)
    assert says in str(caught.value)
    assert str(path) in str(caught.value)
    assert "kubectl get nodes" in str(caught.value) or "--kubeconfig" in str(caught.value)


def test_missing_context_is_told(tmp_path: Path) -> None:
    with pytest.raises(NoCluster, match=r"context three cannot be used.*name three"):
        loaded(kubeconfig(tmp_path, {"token": "t"}), "three")


def test_context_is_kept_when_the_current_one_changes(tmp_path: Path) -> None:
    path = kubeconfig(tmp_path, {"token": "t"})
    found = Kubeconfig(str(path), None)
    asyncio.run(found.load())
    path.write_text(path.read_text().replace('"current-context": "one"', '"current-context": "nowhere"'))
    asyncio.run(found.load())
    assert str(found).endswith("context one")


# --- exec plugins


def test_exec_plugin_gives_a_token_for_its_time(tmp_path: Path) -> None:
    script = (
        "import json, datetime\n"
        "until = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=900)\n"
        "print(json.dumps({'apiVersion': 'client.authentication.k8s.io/v1', 'kind': 'ExecCredential', 'status':"
        " {'token': 'of the plugin', 'expirationTimestamp': until.strftime('%Y-%m-%dT%H:%M:%SZ')}}))\n"
    )
    found = loaded(kubeconfig(tmp_path, plugin(tmp_path, script)))
    assert found.configuration.api_key == {"BearerToken": "Bearer of the plugin"}
    assert 800 < found.seconds <= 840, "renewed before it expires"


@pytest.mark.parametrize(
    ("script", "says"),
    [
        ("import sys; sys.exit('log in first')", "log in first"),
        ("print('not json')", "failed to decode"),
        ("print('{}')", "missing key"),
        ("import time; time.sleep(60)", "did not finish within 0.5 s"),
    ],
    ids=["fails", "no json", "no status", "hangs"],
)
def test_failing_exec_plugin_is_told(
    tmp_path: Path, script: str, says: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    if "0.5 s" in says:
        monkeypatch.setattr(credentials, "EXEC_SECONDS", 0.5)
    with pytest.raises(NoCluster) as caught:
        loaded(kubeconfig(tmp_path, plugin(tmp_path, script)))
    assert says in str(caught.value)
    assert not caplog.records, "told once"
    assert not running(tmp_path / "plugin.py"), "what hangs is ended"


def test_missing_exec_plugin_is_told(tmp_path: Path) -> None:
    with pytest.raises(NoCluster, match="no-such-program"):
        loaded(kubeconfig(tmp_path, {"exec": {**EXEC, "command": "no-such-program"}}))


# --- certificates


def tls(directory: Path, authority: Any, clients: Any = None) -> ssl.SSLContext:
    leaf = issue_leaf(authority, ["127.0.0.1"], NOW, common_name="kube-apiserver")
    (directory / "server.crt").write_bytes(leaf.certificate_pem)
    (directory / "server.key").write_bytes(leaf.key_pem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(directory / "server.crt", directory / "server.key")
    if clients:
        context.load_verify_locations(cadata=clients.certificate_pem.decode())
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def test_service_accounts_token_and_authority_are_followed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(credentials, "SERVICE_ACCOUNT", tmp_path)
    monkeypatch.setattr(credentials, "TOKEN_SECONDS", 0.0)
    monkeypatch.setattr(transport, "RENEWAL_SECONDS", 0.0)
    old, new = (issue_authority(NOW, common_name=name) for name in ("old", "new"))
    (tmp_path / "token").write_text("first\n")
    (tmp_path / "ca.crt").write_bytes(old.certificate_pem)

    async def test() -> None:
        server = ApiServer()
        server.tokens = {"first", "second"}
        server.context = tls(tmp_path, old)
        await server.start()
        monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "127.0.0.1")
        monkeypatch.setenv("KUBERNETES_SERVICE_PORT", str(server.port))
        async with KubeApi.connect(None) as api:
            await api.list("nodes")
            (tmp_path / "token").write_text("second\n")
            await api.list("nodes")
            (tmp_path / "token").write_text("")
            await api.list("nodes")
            tokens = [one.headers["authorization"] for one in server.seen]
            assert tokens == ["Bearer first", "Bearer second", "Bearer second"], "an unreadable token changes nothing"
            await server.stop()
            server.context = tls(tmp_path, new)
            await server.start()
            with pytest.raises(ApiFailure, match="certificate verify failed"):
                await api.list("nodes")
            (tmp_path / "token").write_text("second\n")
            (tmp_path / "ca.crt").write_bytes(new.certificate_pem)
            await api.list("nodes")
        await server.stop()

    asyncio.run(test())


def test_client_certificate_of_a_kubeconfig(tmp_path: Path) -> None:
    authority = issue_authority(NOW, common_name="everybody's")
    mine = issue_leaf(authority, [], NOW, common_name="me", usage=Usage.CLIENT)
    for name, content in {"ca": authority.certificate_pem, "crt": mine.certificate_pem, "key": mine.key_pem}.items():
        (tmp_path / name).write_bytes(content)

    async def test() -> None:
        server = ApiServer()
        server.context = tls(tmp_path, authority, authority)
        await server.start()
        user = {"client-certificate": "crt", "client-key": "key"}
        url = f"https://127.0.0.1:{server.port}"
        path = kubeconfig(tmp_path, user, **{"server": url, "certificate-authority": "ca"})
        async with KubeApi.connect(path) as api:
            assert api.server == url
            assert await api.list("nodes") == ([], "100")
            assert "authorization" not in server.seen[0].headers
        await server.stop()

    asyncio.run(test())


HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"


@contextmanager
def deaf(context: ssl.SSLContext, answer: bytes) -> Iterator[int]:
    """A TLS server that reads one request, sends `answer`, and never listens again; gives the port."""
    done = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            connection, _ = listener.accept()
            with context.wrap_socket(connection, server_side=True) as tls_connection:
                tls_connection.recv(65536)
                tls_connection.sendall(answer)
                done.wait(30)

        with ThreadPoolExecutor(1) as executor:
            serving = executor.submit(serve)
            try:
                yield listener.getsockname()[1]
            finally:
                done.set()
                serving.result()


@pytest.mark.parametrize("loop", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
@pytest.mark.parametrize("answer", [HEAD, b""], ids=["watching", "waiting"])
def test_no_connection_outlives_its_client(tmp_path: Path, answer: bytes, loop: Any) -> None:
    authority = issue_authority(NOW, common_name="everybody's")
    (tmp_path / "ca").write_bytes(authority.certificate_pem)

    async def test(port: int) -> None:
        url = f"https://127.0.0.1:{port}"
        path = kubeconfig(tmp_path, {"token": "t"}, **{"server": url, "certificate-authority": "ca"})
        async with KubeApi.connect(path) as api:
            sockets = api.transport._connections._sockets
            async with following(api) as one:
                await one.until(lambda: bool(sockets))
                await asyncio.sleep(0.2)  # for the answer, or none
                kept = list(sockets)
        assert [made.fileno() for made in kept] == [-1]

    with deaf(tls(tmp_path, authority), answer) as port, asyncio.Runner(loop_factory=loop) as runner:
        runner.run(test(port))


def test_certificates_that_cannot_be_used_are_told(tmp_path: Path) -> None:
    (tmp_path / "crt").write_text("no certificate")

    async def test() -> None:
        path = kubeconfig(tmp_path, {"client-certificate": "crt", "client-key": "crt"})
        with pytest.raises(NoCluster, match=r"certificates of kubeconfig .* cannot be used"):
            async with KubeApi.connect(path):
                pass

    asyncio.run(test())


def test_the_client_is_imported_when_it_is_needed() -> None:
    script = "import sys, webhook.sources.kube_api; print([m for m in sys.modules if m in ('kubernetes', 'aiohttp')])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
