"""The real process: `warmpod webhook`, over TLS, from start to SIGTERM."""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

import pytest
from cryptography import x509

from certs.issue import Pair, Usage, issue_authority, issue_leaf
from webhook import __version__
from webhook.kube import names

POLICY = """
apiVersion: warmpod.dev/v1alpha1
kind: WarmPolicy
metadata: {name: tuning}
spec:
  mode: %s
  env: [{name: NCCL_DEBUG, value: %s}]
"""


class Paths(Protocol):
    certificate: Path
    key: Path
    authority: Pair
    authority_pem: str

    def rotate(self, authority: Pair | None = None) -> Pair: ...


def review(
    *, uid: str = "u-1", dry_run: bool = False, gpu: bool = True, annotations: dict[str, str] | None = None
) -> bytes:
    limits = {"nvidia.com/gpu": "1"} if gpu else {}
    request = {
        "uid": uid,
        "operation": "CREATE",
        "namespace": "team-a",
        "dryRun": dry_run,
        "kind": {"group": "", "version": "v1", "kind": "Pod"},
        "resource": {"group": "", "version": "v1", "resource": "pods"},
        "object": {
            "metadata": {"generateName": "llm-", "annotations": annotations or {}},
            "spec": {"containers": [{"name": "a", "image": "b", "resources": {"limits": limits}}]},
        },
    }
    return json.dumps({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request}).encode()


class Process:
    """A running `warmpod webhook`."""

    def __init__(self, credentials: Paths, policies: Path, *flags: str, message: str = "started") -> None:
        """Returns once the process said `message`."""
        self._message = message
        self.credentials = credentials
        self.policies = policies
        self.lines: list[dict[str, Any]] = []
        self.strays: list[str] = []
        self._child = subprocess.Popen(
            [
                sys.executable, "-m", "webhook.cli.main", "webhook", f"--policies={policies}",
                f"--tls-cert={credentials.certificate}", f"--tls-key={credentials.key}", "--host=127.0.0.1", "--port=0",
                "--metrics-host=127.0.0.1", "--metrics-port=0", "--reload-seconds=0.1", "--drain-seconds=1", *flags,
            ],
            stderr=subprocess.PIPE,
            text=True,
        )  # fmt: skip
        self._started = threading.Event()
        self._reading = threading.Thread(target=self._read)
        self._reading.start()
        assert self._started.wait(120), self.lines
        started = self.said(message)[0]
        self.port = urlsplit(started.get("address", "")).port or 0
        self.metrics_port = urlsplit(started["metricsAddress"]).port or 0

    def _read(self) -> None:
        assert self._child.stderr is not None
        for line in self._child.stderr:
            if not line.startswith("{"):
                self.strays.append(line)
                continue
            self.lines.append(json.loads(line))
            if self.lines[-1]["message"] == self._message:
                self._started.set()
        self._started.set()

    def said(self, message: str) -> list[dict[str, Any]]:
        return [line for line in list(self.lines) if line["message"] == message]

    def trust(self) -> ssl.SSLContext:
        return ssl.create_default_context(cadata=self.credentials.authority_pem)

    def connect(self) -> http.client.HTTPSConnection:
        return http.client.HTTPSConnection("localhost", self.port, timeout=60, context=self.trust())

    def ask(self, body: bytes, path: str = "/mutate?timeout=5s") -> dict[str, Any]:
        connection = self.connect()
        try:
            status, answer = post(connection, body, path)
        finally:
            connection.close()
        assert status == 200, answer
        response: dict[str, Any] = json.loads(answer)["response"]
        return response

    def patch(self, body: bytes | None = None, path: str = "/mutate") -> str:
        return base64.b64decode(self.ask(body or review(), path).get("patch", "")).decode()

    def get(self, path: str) -> tuple[int, str]:
        connection = http.client.HTTPConnection("127.0.0.1", self.metrics_port, timeout=60)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        finally:
            connection.close()

    def metric(self, line: str) -> float:
        found = [row for row in self.get("/metrics")[1].splitlines() if row.startswith(f"{line} ")]
        return float(found[0].rpartition(" ")[2]) if found else float("nan")

    def terminate(self, sent: signal.Signals = signal.SIGTERM) -> None:
        self._child.send_signal(sent)

    def wait(self) -> int:
        status = self._child.wait(60)
        self._reading.join(60)
        assert self._child.stderr is not None
        self._child.stderr.close()
        return status

    def end(self) -> None:
        if self._child.poll() is None:
            self._child.kill()
        self.wait()


def post(connection: http.client.HTTPConnection, body: bytes, path: str = "/mutate") -> tuple[int, bytes]:
    connection.request("POST", path, body, {"content-type": "application/json"})
    answer = connection.getresponse()
    return answer.status, answer.read()


def eventually(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < deadline, "waited for 60 s"
        time.sleep(0.05)


@pytest.fixture
def policies(tmp_path: Path) -> Path:
    folder = tmp_path / "policies"
    folder.mkdir()
    (folder / "tuning.yaml").write_text(POLICY % ("Enforce", "WARN"))
    return folder


@pytest.fixture
def webhook(credentials: Paths, policies: Path) -> Iterator[Process]:
    process = Process(credentials, policies)
    yield process
    process.end()


def test_a_pod_comes_out_tuned_and_is_told_of(webhook: Process) -> None:
    assert "NCCL_DEBUG" in webhook.patch()
    assert webhook.patch(review(gpu=False)) == ""
    assert webhook.patch(path="/mutate/audit") == ""
    assert "NCCL_DEBUG" in webhook.patch(review(dry_run=True))
    assert webhook.metric('warmpod_reviews_total{outcome="patched"}') == 1
    assert webhook.metric('warmpod_reviews_total{outcome="unchanged"}') == 1
    assert webhook.metric('warmpod_reviews_total{outcome="audit"}') == 1
    assert webhook.metric('warmpod_reviews_total{outcome="dry_run"}') == 1
    assert webhook.metric('warmpod_policy_results_total{policy="tuning",result="matched"}') == 2
    assert webhook.metric("warmpod_review_duration_seconds_count") == 4
    eventually(lambda: len(webhook.said("decision")) == 2)
    assert [line["outcome"] for line in webhook.said("decision")] == ["patched", "audit"]
    assert "WARN" not in json.dumps(webhook.said("decision"))
    started = webhook.said("started")[0]
    assert started["celEngine"]
    assert started["version"]
    assert started["policies"] == 1


def test_health(webhook: Process) -> None:
    assert webhook.get("/livez") == (200, "ok\n")
    assert webhook.get("/readyz") == (200, "ok\n")
    status, text = webhook.get("/readyz?verbose")
    assert status == 200
    assert "[+] policies: 1 in force" in text
    assert "[+] certificate: serial" in text
    assert "[!] snapshot: none is configured (--snapshot)\n" in text
    assert text.endswith("\nready\n")
    assert webhook.get("/mutate")[0] == 404
    assert webhook.get("/debug/pprof")[0] == 404
    assert webhook.metric("warmpod_ready") == 1
    assert webhook.metric("warmpod_certificate_expiry_timestamp_seconds") > time.time()
    assert webhook.metric("process_resident_memory_bytes") > 0


def test_policies_are_followed_and_the_last_good_ones_win(webhook: Process) -> None:
    file = webhook.policies / "tuning.yaml"
    file.write_text(POLICY % ("Enforce", "TRACE"))
    eventually(lambda: "TRACE" in webhook.patch())
    file.write_text("apiVersion: warmpod.dev/v1alpha1\nkind: WarmPolicy\nmetadata: {name: x}\nspec: {mod: Audit}\n")
    eventually(lambda: webhook.metric('warmpod_reloads_total{result="failure",source="policies"}') > 0)
    assert "TRACE" in webhook.patch()
    status, text = webhook.get("/readyz?verbose")
    assert status == 200
    assert "tuning.yaml:4:" in text
    assert "[!] policies-as-they-are:" in text
    time.sleep(0.5)
    assert len(webhook.said("policies not usable")) == 1
    file.write_text(POLICY % ("Off", "TRACE"))
    eventually(lambda: webhook.patch() == "")
    assert "[+] policies-as-they-are: in force" in webhook.get("/readyz?verbose")[1]


def test_a_symlink_swap_is_followed(credentials: Paths, tmp_path: Path) -> None:
    """As git-sync and ConfigMap mounts do it."""
    for version, value in (("one", "ONE"), ("two", "TWO")):
        (tmp_path / version).mkdir()
        (tmp_path / version / "policy.yaml").write_text(POLICY % ("Enforce", value))
    current = tmp_path / "current"
    current.symlink_to("one")
    process = Process(credentials, current)
    try:
        assert "ONE" in process.patch()
        (tmp_path / "aside").symlink_to("two")
        (tmp_path / "aside").replace(current)
        eventually(lambda: "TWO" in process.patch())
        assert process.metric("warmpod_policies_loaded") == 1
    finally:
        process.end()


def test_an_empty_directory_is_a_policy_set(credentials: Paths, tmp_path: Path) -> None:
    (tmp_path / "none").mkdir()
    process = Process(credentials, tmp_path / "none")
    try:
        assert process.get("/readyz")[0] == 200
        assert process.patch() == ""
    finally:
        process.end()


def test_the_snapshot_is_followed(credentials: Paths, policies: Path, tmp_path: Path) -> None:
    snapshot = tmp_path / "snapshot.json"
    process = Process(credentials, policies, f"--snapshot={snapshot}")
    try:
        assert process.metric("warmpod_snapshot_usable") == 0
        assert process.get("/readyz")[0] == 200
        now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        snapshot.write_text(json.dumps({"schema": 2, "id": "s-1", "time": now}))
        eventually(lambda: process.metric("warmpod_snapshot_usable") == 1)
        assert "[+] snapshot: id s-1" in process.get("/readyz?verbose")[1]
        snapshot.write_text(json.dumps({"schema": 2, "id": "s-2", "time": "2020-01-01T00:00:00Z"}))
        eventually(lambda: process.metric("warmpod_snapshot_usable") == 0)
        assert "older than 120 s" in process.get("/readyz?verbose")[1]
        assert process.metric("warmpod_snapshot_changes_total") == 2
        assert "NCCL_DEBUG" in process.patch()
    finally:
        process.end()


def hammer(process: Process, seen: Counter[str], stop: threading.Event, *, keep_alive: bool) -> None:
    """Ask until told to stop; count answers, refused connections and whatever else happened."""
    connection = process.connect()
    while not stop.is_set():
        try:
            if connection.sock is None:
                connection.connect()
        except (ConnectionError, ssl.SSLError):
            seen["refused"] += 1
            connection.close()
            time.sleep(0.01)
            continue
        try:
            status, _ = post(connection, review())
            seen[str(status)] += 1
            if not keep_alive:
                connection.close()
        except (OSError, http.client.HTTPException) as error:
            seen[f"{type(error).__name__}: {error}"] += 1
            connection.close()
    connection.close()


def under_load(process: Process, act: Callable[[], None]) -> Counter[str]:
    seen: Counter[str] = Counter()
    stop = threading.Event()
    clients = [
        threading.Thread(target=hammer, args=(process, seen, stop), kwargs={"keep_alive": number % 2 == 0})
        for number in range(4)
    ]
    for client in clients:
        client.start()
    try:
        eventually(lambda: seen["200"] > 50)
        act()
    finally:
        stop.set()
        for client in clients:
            client.join(60)
    return seen


def test_sigterm_under_load_loses_no_request(credentials: Paths, policies: Path) -> None:
    webhook = Process(credentials, policies, "--drain-seconds=4")  # for a busy machine to look at it meanwhile
    ready: list[int] = []
    idle = webhook.connect()

    def act() -> None:
        webhook.terminate()
        eventually(lambda: bool(webhook.said("draining")))
        ready.append(webhook.get("/readyz")[0])
        ready.append(webhook.get("/livez")[0])
        assert "NCCL_DEBUG" in webhook.patch()  # unready, and serving
        assert webhook.wait() == 0

    try:
        post(idle, review())
        seen = under_load(webhook, act)
    finally:
        idle.close()
        webhook.end()
    assert ready == [503, 200]
    assert set(seen) == {"200", "refused"}, seen
    assert webhook.said("stopped")[0]["connectionsCut"] == 0


def test_certificates_rotate_under_load(webhook: Process) -> None:
    served = []

    def act() -> None:
        for _ in range(5):
            leaf = webhook.credentials.rotate()
            wanted = format(leaf.certificate.serial_number, "x")
            eventually(lambda wanted=wanted: wanted in webhook.get("/readyz?verbose")[1])  # type: ignore[misc]  # bound now
            served.append(wanted)
        webhook.credentials.key.write_text("torn")
        eventually(lambda: webhook.metric('warmpod_reloads_total{result="failure",source="certificate"}') > 0)
        assert webhook.get("/readyz")[0] == 200

    seen = under_load(webhook, act)
    assert set(seen) == {"200"}, seen
    assert len(set(served)) == 5
    with (
        socket.create_connection(("localhost", webhook.port)) as plain,
        webhook.trust().wrap_socket(plain, server_hostname="localhost") as stream,
    ):
        certificate = stream.getpeercert()
        assert certificate is not None
        assert str(certificate["serialNumber"]).lower().lstrip("0") == served[-1].lstrip("0")


def test_a_handshake_with_an_unknown_authority_harms_nobody(webhook: Process) -> None:
    stranger = issue_authority(datetime.now(UTC)).certificate_pem.decode()
    for _ in range(3):
        with (
            socket.create_connection(("localhost", webhook.port)) as plain,
            pytest.raises(ssl.SSLCertVerificationError),
        ):
            ssl.create_default_context(cadata=stranger).wrap_socket(plain, server_hostname="localhost")
    with socket.create_connection(("localhost", webhook.port)) as plain:
        plain.sendall(b"GET / HTTP/1.1\r\n\r\n")
        plain.settimeout(60)
        with contextlib.suppress(ConnectionError):
            assert b"200" not in plain.recv(100)
    assert "NCCL_DEBUG" in webhook.patch()


def test_interrupt_does_not_wait(credentials: Paths, policies: Path) -> None:
    webhook = Process(credentials, policies, "--drain-seconds=100")
    try:
        webhook.terminate(signal.SIGINT)
        assert webhook.wait() == 0
    finally:
        webhook.end()


def run(*flags: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "webhook.cli.main", "webhook", *flags],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={**os.environ, **environment},
    )


def flags(credentials: Paths, policies: Path) -> dict[str, str]:
    return {
        "--policies": str(policies),
        "--tls-cert": str(credentials.certificate),
        "--tls-key": str(credentials.key),
        "--host": "127.0.0.1",
        "--port": "0",
        "--metrics-host": "127.0.0.1",
        "--metrics-port": "0",
    }


def joined(given: dict[str, str]) -> list[str]:
    return [f"{flag}={value}" for flag, value in given.items()]


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"--tls-cert": "/no/such.crt"}, "error: --tls-cert, --tls-key: /no/such.crt: No such file or directory"),
        ({"--policies": "/no/such"}, "error: --policies: /no/such is not a directory"),
        ({"--policies": "/etc/hostname"}, "error: --policies: /etc/hostname is not a directory"),
        ({"--host": "203.0.113.7"}, "error: --port: cannot listen on 203.0.113.7:0: "),
    ],
    ids=["certificate", "policies", "file for a directory", "address"],
)
def test_what_cannot_start_says_so_in_one_sentence(
    credentials: Paths, policies: Path, change: dict[str, str], sentence: str
) -> None:
    ended = run(*joined({**flags(credentials, policies), **change}))
    assert ended.returncode == 2
    assert sentence in ended.stderr
    assert "Traceback" not in ended.stderr
    assert ended.stdout == ""


def test_a_mismatched_pair_does_not_start(credentials: Paths, policies: Path) -> None:
    certificate = credentials.certificate.read_bytes()
    credentials.rotate()
    credentials.certificate.write_bytes(certificate)
    ended = run(*joined(flags(credentials, policies)))
    assert ended.returncode == 2
    assert "does not belong to the certificate" in ended.stderr


@pytest.mark.parametrize("flag", ["--port", "--metrics-port"])
def test_a_port_in_use_is_named(credentials: Paths, policies: Path, flag: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ended = run(*joined({**flags(credentials, policies), flag: str(port)}))
    assert ended.returncode == 2
    assert f"error: {flag}: cannot listen on 127.0.0.1:{port}: " in ended.stderr
    assert "in use" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_the_first_certificate_is_waited_for(credentials: Paths, policies: Path) -> None:
    """The sidecar writes it. Meanwhile the kubelet is answered, and the API server finds the port closed."""
    certificate, key = credentials.certificate.read_bytes(), credentials.key.read_bytes()
    credentials.certificate.unlink()
    credentials.key.unlink()
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    waiting = Process(credentials, policies, "--tls-wait-seconds=60", f"--port={port}", message="waiting to serve")
    try:
        assert waiting.get("/livez")[0] == 200
        status, text = waiting.get("/readyz")
        assert status == 503
        assert "not ready: certificate: " in text
        assert "not ready: listening: " in text
        document = json.loads(waiting.get("/status")[1])
        assert document["ready"] is False
        assert document["certificate"]["serial"] is None
        assert "No such file" in document["certificate"]["problem"]
        assert waiting.metric('warmpod_source_problem{source="certificate"}') == 1
        credentials.certificate.write_bytes(certificate)
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port)).close()
        credentials.key.write_bytes(key)
        eventually(lambda: waiting.get("/readyz")[0] == 200)
        waiting.port = port
        assert "NCCL_DEBUG" in waiting.patch()
        assert waiting.metric('warmpod_source_problem{source="certificate"}') == 0
    finally:
        waiting.end()


@pytest.mark.parametrize("asked", [True, False], ids=["stopped", "in vain"])
def test_waiting_ends(credentials: Paths, policies: Path, *, asked: bool) -> None:
    credentials.key.unlink()
    seconds = "60" if asked else "1.5"
    waiting = Process(credentials, policies, f"--tls-wait-seconds={seconds}", message="waiting to serve")
    if asked:
        waiting.terminate()
    assert waiting.wait() == (0 if asked else 2)
    assert any("error: --tls-cert, --tls-key: " in line for line in waiting.strays) is not asked


def test_status_and_probe(credentials: Paths, policies: Path) -> None:
    """What the controller beside it and `warmpod doctor` read."""
    process = Process(credentials, policies, "--hydrator-image=registry.example/warmpod@sha256:0", "--snapshot=/none")
    try:
        document = json.loads(process.get("/status")[1])
        served = x509.load_pem_x509_certificate(credentials.certificate.read_bytes())
        serial = format(served.serial_number, "x")
        stamp = served.not_valid_after_utc.strftime("%Y-%m-%dT%H:%M:%SZ")
        assert document == {
            "version": __version__,
            "ready": True,
            "draining": False,
            "certificate": {
                "serial": serial,
                "notBefore": served.not_valid_before_utc.strftime("%Y-%m-%dT%H:%M:%SZ"),
                "notAfter": stamp,
                "problem": None,
            },
            "policies": {"count": 1, "digest": document["policies"]["digest"], "problems": 0, "problem": None},
            "snapshot": {
                "id": None,
                "age": None,
                "usable": False,
                "problem": "/none: No such file or directory",
            },
            "callers": {"clientCertificate": None, "bearerTokens": None},
            "hydratorImage": "registry.example/warmpod@sha256:0",
            "reviews": 0,
        }
        assert len(document["policies"]["digest"]) == 16
        for path, mode in (("/mutate", "Enforce"), ("/mutate/audit", "Audit")):
            answer = process.ask(review(dry_run=True, annotations={names.ANNOTATION_PROBE: ""}), path)
            [warning] = answer["warnings"]
            assert len(warning) <= 250
            assert json.loads(warning.removeprefix("warmpod-probe ")) == {
                "v": __version__,
                "m": mode,
                "p": document["policies"]["digest"],
                "n": 1,
                "s": serial,
                "a": None,
            }
            assert ("patch" in answer) == (mode == "Enforce")
        assert "warnings" not in process.ask(review(annotations={names.ANNOTATION_PROBE: ""}))
        assert "warnings" not in process.ask(review(dry_run=True))
        assert json.loads(process.get("/status")[1])["reviews"] == 4
    finally:
        process.end()


def test_callers_are_held_to_the_flags(credentials: Paths, policies: Path, tmp_path: Path) -> None:
    authority = issue_authority(datetime.now(UTC), common_name="identities")
    client_ca, tokens, shown = tmp_path / "client-ca.crt", tmp_path / "tokens", tmp_path / "shown.pem"
    client_ca.write_bytes(authority.certificate_pem)
    tokens.write_text("the-token-of-the-api-server\n")
    leaf = issue_leaf(authority, [], datetime.now(UTC), common_name="kube-apiserver", usage=Usage.CLIENT)
    shown.write_bytes(leaf.certificate_pem + leaf.key_pem)
    process = Process(
        credentials,
        policies,
        f"--client-ca={client_ca}",
        "--client-name=kube-apiserver",
        f"--bearer-token-file={tokens}",
    )
    try:
        trust = process.trust()
        unknown = http.client.HTTPSConnection("localhost", process.port, timeout=60, context=trust)
        with contextlib.closing(unknown), pytest.raises((ssl.SSLError, ConnectionError, http.client.HTTPException)):
            post(unknown, review())
        trust.load_cert_chain(shown)
        connection = http.client.HTTPSConnection("localhost", process.port, timeout=60, context=trust)
        assert post(connection, review())[0] == 401
        connection.request(
            "POST",
            "/mutate",
            review(),
            {"content-type": "application/json", "authorization": "Bearer the-token-of-the-api-server"},
        )
        assert b"JSONPatch" in connection.getresponse().read()
        connection.close()
        assert "[+] client-ca: in force\n[+] bearer-tokens: 1 accepted\n" in process.get("/readyz?verbose")[1]
        tokens.unlink()
        eventually(lambda: process.get("/readyz")[0] == 503)
    finally:
        process.end()


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"--client-name": "kube-apiserver"}, "--client-name: says nothing without --client-ca"),
        ({"--client-ca": "/no/such.crt"}, "--client-ca: /no/such.crt: No such file or directory"),
        ({"--bearer-token-file": "/dev/null"}, "--bearer-token-file: /dev/null: it holds no token"),
    ],
    ids=["name", "authority", "token"],
)
def test_nobody_is_let_in_by_mistake(credentials: Paths, policies: Path, given: dict[str, str], sentence: str) -> None:
    ended = run(*joined({**flags(credentials, policies), **given}))
    assert ended.returncode == 2
    assert f"error: {sentence}" in ended.stderr


def test_every_flag_has_its_twin(credentials: Paths, policies: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        given = flags(credentials, policies) | {"--port": str(taken.getsockname()[1])}
        twins = {f"WARMPOD_{flag[2:].replace('-', '_').upper()}": value for flag, value in given.items()}
        ended = run(**twins, WARMPOD_LOG_FORMAT="text", WARMPOD_ACCELERATORS="example.com/* nvidia.com/gpu")
    assert ended.returncode == 2
    assert "cannot listen" in ended.stderr
