"""The kubelet and the endpoint controller, as far as a Service is concerned: who is ready gets reviews.

There is no kubelet here, and the API server leads a Service to the addresses of its EndpointSlices by itself. So a loop
asks every replica for its readiness, as probes do, and writes what it hears into a slice for each: their ports differ.
"""

from __future__ import annotations

import http.client
import threading
from contextlib import suppress
from types import TracebackType
from typing import Self

from tests.cluster import pods
from webhook.kube import Object, names
from webhook.sandbox import ports
from webhook.sandbox.api import RefusedRequest
from webhook.sandbox.replica import Replica
from webhook.sandbox.sandbox import Sandbox

PERIOD_SECONDS = 0.2
"""Ten times as fast as the probe of manifests/base, and of one mind after one failure."""

TIMEOUT_SECONDS = 3.0
"""Longer than a busy machine keeps a replica waiting that is in order: its endpoint must not go for that."""

_SERVICE = f"/api/v1/namespaces/{names.SYSTEM_NAMESPACE}/services/{names.WEBHOOK_SERVICE}"
_ENDPOINTS = f"/api/v1/namespaces/{names.SYSTEM_NAMESPACE}/endpoints/{names.WEBHOOK_SERVICE}"
_SLICES = f"/apis/discovery.k8s.io/v1/namespaces/{names.SYSTEM_NAMESPACE}/endpointslices"


class Kubelet:
    """`with Kubelet(box, address):` takes the Service from the cluster's controller, for replicas that it is given."""

    def __init__(self, box: Sandbox, address: str) -> None:
        """`address` is where the replicas are; not loopback, which the API refuses as an endpoint."""
        self._box = box
        self._address = address
        self._lock = threading.Lock()
        self._written: dict[str, bool] = {}
        self._replicas: dict[str, Replica] = {}
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._follow)

    def __enter__(self) -> Self:
        """Take the Service and begin."""
        # Without a selector its slices are ours: kwok's pretended pods have addresses, too, where nobody answers.
        service = self._box.api.patch(_SERVICE, {"spec": {"selector": None}})
        [self._port_name] = [port["name"] for port in service["spec"]["ports"]]
        pods.eventually(lambda: not self._sweep(), "end of the endpoints of kwok's pods")
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """End."""
        self._over.set()
        self._thread.join()

    def watch(self, replica: Replica) -> None:
        """Lead the Service to this replica from when it gets ready."""
        with self._lock:
            self._replicas[replica.name] = replica

    def neglect(self, replica: Replica) -> None:
        """Probe it no more, so that its endpoint stays as it is."""
        with self._lock:
            self._replicas.pop(replica.name, None)

    def forget(self, replica: Replica) -> None:
        """Take it out of the Service at once, as the endpoint controller does with a pod that is being deleted."""
        with self._lock:
            self._replicas.pop(replica.name, None)
            if self._written.pop(replica.name, None) is not None:
                self._box.api.call("DELETE", f"{_SLICES}/{_slice(replica)}")

    def leads_to(self, replica: Replica) -> bool:
        """Whether the Service leads there."""
        return self._written.get(replica.name, False)

    def _sweep(self) -> list[Object]:
        """Delete the endpoints that controllers wrote before, which stay without a selector; what was still there."""
        found: list[Object] = self._box.api.call("GET", _SLICES)["items"]
        # Slices are mirrored from Endpoints as long as those are there.
        for path in (_ENDPOINTS, *(f"{_SLICES}/{each['metadata']['name']}" for each in found)):
            with suppress(RefusedRequest):  # it is gone already
                self._box.api.call("DELETE", path)
        return found

    def _follow(self) -> None:
        while not self._over.wait(PERIOD_SECONDS):
            for replica in list(self._replicas.values()):
                ready = _probe(replica)
                with self._lock, suppress(OSError):  # no API server: the next round tells it
                    if replica.name in self._replicas and self._written.get(replica.name) is not ready:
                        self._write(replica, ready=ready)

    def _write(self, replica: Replica, *, ready: bool) -> None:
        document: Object = {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {
                "name": _slice(replica),
                "labels": {
                    "kubernetes.io/service-name": names.WEBHOOK_SERVICE,
                    "endpointslice.kubernetes.io/managed-by": "drills",
                },
            },
            "addressType": "IPv4",
            "ports": [{"name": self._port_name, "port": replica.webhook.port, "protocol": "TCP"}],
            "endpoints": [
                {"addresses": [self._address], "conditions": {"ready": ready, "serving": ready, "terminating": False}}
            ],
        }
        try:
            self._box.api.call("PUT", f"{_SLICES}/{_slice(replica)}", document)
        except RefusedRequest as error:
            if error.status != http.HTTPStatus.NOT_FOUND:
                raise
            self._box.api.call("POST", _SLICES, document)
        self._written[replica.name] = ready


def _slice(replica: Replica) -> str:
    return f"{names.WEBHOOK_SERVICE}-{replica.name}"


def _probe(replica: Replica) -> bool:
    connection = http.client.HTTPConnection(ports.LOOPBACK, replica.webhook.metrics_port, timeout=TIMEOUT_SECONDS)
    try:
        connection.request("GET", "/readyz")
        return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
