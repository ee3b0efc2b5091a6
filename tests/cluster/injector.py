"""A second mutating webhook: real HTTPS on loopback, registered at the real API server, patching as others do."""

from __future__ import annotations

import base64
import http.server
import json
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from certs.issue import issue_authority, issue_leaf
from tests.cluster.pods import create, eventually, pod
from webhook.kube import Object
from webhook.sandbox.sandbox import Sandbox

Patch = Callable[[Object], list[Object]]
"""The operations for a pod; none when there is nothing to do."""

_COLLECTION = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations"


class Injector:
    """Counts what it was asked and answers with `patch`."""

    def __init__(self, patch: Patch) -> None:
        self.patch = patch
        self.calls = 0

    def answer(self, review: Object) -> Object:
        """The AdmissionReview that answers `review`."""
        self.calls += 1
        response: Object = {"uid": review["request"]["uid"], "allowed": True}
        if operations := self.patch(review["request"]["object"]):
            encoded = base64.b64encode(json.dumps(operations).encode()).decode()
            response |= {"patchType": "JSONPatch", "patch": encoded}
        return {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response}


@contextmanager
def injecting(box: Sandbox, namespace: str, name: str, patch: Patch, directory: Path) -> Iterator[Injector]:
    """Serve and register an injector for one namespace; the API server calls it when the block begins.

    Configurations are called in the order of their names: "aa" before "warmpod", "zz" after it.
    """
    injector = Injector(patch)

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            answer = json.dumps(injector.answer(json.loads(body))).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_arguments: object) -> None:
            """Say nothing: the test's output is not the place."""

    authority = issue_authority(datetime.now(UTC))
    leaf = issue_leaf(authority, ["127.0.0.1"], datetime.now(UTC))
    (directory / "tls.pem").write_bytes(leaf.key_pem + leaf.certificate_pem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(directory / "tls.pem")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        bundle = base64.b64encode(authority.certificate_pem).decode()
        box.api.call("POST", _COLLECTION, _registration(name, namespace, server.server_address[1], bundle))
        try:
            # A registration takes effect when the API server has seen it; dry runs of a bare pod tell.
            eventually(lambda: _is_called(box, namespace, injector), "call of the injector")
            injector.calls = 0
            yield injector
        finally:
            box.api.call("DELETE", f"{_COLLECTION}/{name}")
            server.shutdown()


def _is_called(box: Sandbox, namespace: str, injector: Injector) -> bool:
    create(box, namespace, pod("is-it-called"), dryRun="All")
    return injector.calls > 0


def _registration(name: str, namespace: str, port: int, bundle: str) -> Object:
    return {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "MutatingWebhookConfiguration",
        "metadata": {"name": name},
        "webhooks": [
            {
                "name": f"{name}.injector.test",
                "clientConfig": {"url": f"https://127.0.0.1:{port}/", "caBundle": bundle},
                "rules": [{"apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"], "operations": ["CREATE"]}],
                "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}},
                "failurePolicy": "Fail",
                "reinvocationPolicy": "IfNeeded",
                "sideEffects": "None",
                "admissionReviewVersions": ["v1"],
            }
        ],
    }
