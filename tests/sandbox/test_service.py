"""What the sandbox reads of a process of Warmpod's own."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from webhook.sandbox import SandboxFailed
from webhook.sandbox.deployment import Container
from webhook.sandbox.service import Service

METRICS = b"""# HELP warmpod_writes_total Writes.
# TYPE warmpod_writes_total counter
warmpod_writes_total{result="applied",resource="nodes"} 3.0
warmpod_writes_total{result="conflict",resource="a\\"b, c=d"} 2.0
warmpod_writes_totally_other 100.0
warmpod_leader 1.0
warmpod_big 1.5e+06
"""

NEEDED = {"WARMPOD_POLICIES": "p", "WARMPOD_TLS_CERT": "c", "WARMPOD_TLS_KEY": "k"}


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    """A service whose port answers with the metrics above, and is not ready."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if self.path == "/metrics" else 503)
            self.end_headers()
            self.wfile.write(METRICS if self.path == "/metrics" else b"[-] snapshot: none")

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        found = Service("some", tmp_path)
        found.metrics_port = server.server_address[1]
        yield found
        server.shutdown()


@pytest.mark.parametrize(
    ("metric", "labels", "value"),
    [
        ("warmpod_writes_total", {}, 5.0),
        ("warmpod_writes_total", {"result": "applied"}, 3.0),
        ("warmpod_writes_total", {"result": "applied", "resource": "pods"}, 0.0),
        ("warmpod_writes_total", {"resource": 'a\\"b, c=d'}, 2.0),
        ("warmpod_leader", {}, 1.0),
        ("warmpod_leader", {"a": "b"}, 0.0),
        ("warmpod_big", {}, 1_500_000.0),
        ("warmpod_absent", {}, 0.0),
    ],
)
def test_samples_are_summed_by_their_labels(
    service: Service, metric: str, labels: dict[str, str], value: float
) -> None:
    assert service.count(metric, **labels) == value


def test_readiness_is_what_it_says(service: Service) -> None:
    assert not service.is_ready()
    assert service.details() == "[-] snapshot: none"


def test_what_does_not_answer_is_not_ready(tmp_path: Path) -> None:
    gone = Service("gone", tmp_path)
    gone.metrics_port = 1
    assert not gone.is_ready()
    with pytest.raises(OSError, match=r"."):
        gone.metrics()


def test_what_was_not_started_says_so(tmp_path: Path) -> None:
    service = Service("webhook", tmp_path)
    assert not service.running
    service.stop()
    with pytest.raises(SandboxFailed, match="the webhook was not started"):
        _ = service.process


def test_a_process_that_ends_says_why_in_its_log(tmp_path: Path) -> None:
    service = Service("broken", tmp_path)
    service.metrics_port = 1
    service.run(Container(("no-such-command",), {}))
    with pytest.raises(SandboxFailed, match="no-such-command"):
        service.wait_until_ready()


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"WARMPOD_TLS_CERT": "c", "WARMPOD_TLS_KEY": "k"}, "Missing option '--policies'"),
        ({**NEEDED, "WARMPOD_PORT": "of-the-manifest"}, "'of-the-manifest' is not a valid integer"),
    ],
    ids=["what the user set is no setting of a part", "what the container sets is"],
)
def test_a_part_gets_its_containers_settings_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: dict[str, str], complaint: str
) -> None:
    monkeypatch.setenv("WARMPOD_POLICIES", "/of/the/user")
    service = Service("told", tmp_path)
    service.metrics_port = 1
    service.run(Container(("webhook",), settings))
    with pytest.raises(SandboxFailed, match=complaint):
        service.wait_until_ready()


def test_a_flag_wins_over_a_setting(tmp_path: Path) -> None:
    service = Service("told", tmp_path)
    service.metrics_port = 1
    service.run(Container(("webhook",), {**NEEDED, "WARMPOD_PORT": "of-the-manifest"}), "--port=of-the-flag")
    with pytest.raises(SandboxFailed, match="'of-the-flag' is not a valid integer"):
        service.wait_until_ready()


def test_a_killed_one_is_gone(tmp_path: Path) -> None:
    service = Service("told", tmp_path)
    service.kill()
    service.run(Container(("webhook",), {}))
    service.kill()
    assert not service.running
