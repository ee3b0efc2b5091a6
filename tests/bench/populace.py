"""Thousands of nodes and pods on a real API server, and changes to them at a steady pace.

Only etcd and kube-apiserver run: scheduler, controllers and kwok would have their own opinion of five thousand nodes
without kubelets, and their own share of two cores.
"""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import json
import ssl
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.bench import report
from webhook.sandbox import binaries
from webhook.sandbox.cluster import ControlPlane

Object = dict[str, Any]

NAMESPACES = 20
IMAGES_PER_NODE = 50
LARGE_PER_NODE = 8
WRITERS = 8
BEATERS = 4
SILENCE_SECONDS = 20.0
GIB = 2**30


class Refused(Exception):
    """The API server answered with an error; the text has it."""


class Populace:
    """A real API server and what lives on it. Calls may come from several threads."""

    def __init__(self, plane: ControlPlane) -> None:
        assert plane.files is not None
        self.kubeconfig = plane.kubeconfig
        self.server = plane.server
        self.token = plane.files.admin_token
        self.authority_pem = plane.files.authority.certificate_pem
        self._local = threading.local()
        self.nodes = 0
        self.pods = 0

    def context(self) -> ssl.SSLContext:
        """Trusts the API server."""
        return ssl.create_default_context(cadata=self.authority_pem.decode())

    def call(
        self,
        method: str,
        path: str,
        body: Object | None = None,
        kind: str = "application/json",
        accept: str = "application/json",
    ) -> Object:
        """One request over this thread's connection. Raises Refused for any status from 400 on."""
        # An API server hangs up on who is silent for long.
        used = getattr(self._local, "used", 0.0)
        self._local.used = time.monotonic()
        connection: http.client.HTTPSConnection | None = getattr(self._local, "connection", None)
        if connection is None or time.monotonic() - used > SILENCE_SECONDS:
            host, _, port = self.server.removeprefix("https://").partition(":")
            connection = http.client.HTTPSConnection(host, int(port), context=self.context(), timeout=60)
            self._local.connection = connection
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": kind, "Accept": accept}
        connection.request(method, path, None if body is None else json.dumps(body), headers)
        answer = connection.getresponse()
        content = answer.read()
        if answer.status >= 400:
            raise Refused(f"{method} {path}: {answer.status} {content.decode(errors='replace')[:500]}")
        found: Object = json.loads(content)
        return found

    def grow(self, nodes: int, pods: int) -> None:
        """Make nodes and pods until there are so many of each; the pods are bound to the nodes in turn."""
        if not self.nodes:
            self._make_namespaces()
        documents = [("/api/v1/nodes", node(number)) for number in range(self.nodes, nodes)]
        self._make(documents)
        documents = [
            (f"/api/v1/namespaces/team-{number % NAMESPACES}/pods", pod(number, number % nodes))
            for number in range(self.pods, pods)
        ]
        self._make(documents)
        self.nodes, self.pods = nodes, pods

    def heartbeat(self, number: int) -> None:
        """What a kubelet sends every five minutes at the latest: conditions with a new time."""
        body = {"status": {"conditions": _conditions(datetime.now(UTC))}}
        self.call("PATCH", f"/api/v1/nodes/{_name(number)}/status", body, "application/strategic-merge-patch+json")

    def pull(self, numbers: Iterable[int], size: int) -> str:
        """Have these nodes list another image of `size` bytes, as their biggest; gives its name."""
        name = f"registry.example/team/just-pulled:{int(time.time())}"

        def one(number: int) -> None:
            images = [{"names": [name], "sizeBytes": size}, *_images(number)][:IMAGES_PER_NODE]
            path = f"/api/v1/nodes/{_name(number)}/status"
            self.call("PATCH", path, {"status": {"images": images}}, "application/merge-patch+json")

        self._each(one, list(numbers))
        return name

    def labelled(self, label: str) -> int:
        """How many nodes carry the label, by the API server's word."""
        accept = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
        answer = self.call("GET", f"/api/v1/nodes?labelSelector={label}", accept=accept)
        return len(answer["items"])

    @contextlib.contextmanager
    def heartbeats(self, per_second: float) -> Iterator[Callable[[], int]]:
        """Heartbeats of all nodes in turn at that pace, while the block runs; called, it tells how many there were."""
        done, stop = [0] * BEATERS, threading.Event()

        def beat(which: int) -> None:
            started = time.monotonic()
            while not stop.is_set():
                self.heartbeat((done[which] * BEATERS + which) % self.nodes)
                done[which] += 1
                stop.wait(max(0.0, started + done[which] * BEATERS / per_second - time.monotonic()))

        threads = [threading.Thread(target=beat, args=(which,)) for which in range(BEATERS)]
        for thread in threads:
            thread.start()
        try:
            yield lambda: sum(done)
        finally:
            stop.set()
            for thread in threads:
                thread.join()

    def _make_namespaces(self) -> None:
        for number in range(NAMESPACES):
            name = f"team-{number}"
            labels = {"tier": "serving" if number % 2 else "batch"}
            metadata = {"name": name, "labels": labels}
            self.call("POST", "/api/v1/namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})
            account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default"}}
            path = f"/api/v1/namespaces/{name}/serviceaccounts"
            # The controller that makes it had a moment to be first.
            with contextlib.suppress(Refused):
                self.call("POST", path, account)

    def _make(self, documents: Sequence[tuple[str, Object]]) -> None:
        self._each(lambda each: self.call("POST", each[0], each[1]), documents)

    def _each(self, do: Callable[[Any], object], items: Sequence[Any]) -> None:
        with ThreadPoolExecutor(WRITERS) as pool:
            for _ in pool.map(do, items):
                pass


@contextlib.contextmanager
def api_server() -> Iterator[Populace]:
    """An API server without inhabitants, gone at the end of the block."""
    with tempfile.TemporaryDirectory(prefix="warmpod-bench-") as directory:
        plane = ControlPlane(binaries.find(), Path(directory), progress=report.progress)
        plane.start()
        try:
            for process in plane.processes:
                if process.name not in ("etcd", "kube-apiserver"):
                    process.stop(grace=0.5)
            yield Populace(plane)
        finally:
            plane.stop()


def node(number: int) -> Object:
    """A node of eight GPUs as EKS would have it: labels, conditions, 50 images of which 8 are above 1 GiB."""
    name = _name(number)
    resources = {"cpu": "192", "memory": "2048Gi", "ephemeral-storage": "28Ti", "pods": "250", "nvidia.com/gpu": "8"}
    labels = {
        "kubernetes.io/arch": "amd64",
        "kubernetes.io/os": "linux",
        "kubernetes.io/hostname": name,
        "node.kubernetes.io/instance-type": "p5.48xlarge",
        "topology.kubernetes.io/region": "us-west-2",
        "topology.kubernetes.io/zone": f"us-west-2{'abc'[number % 3]}",
        "topology.k8s.aws/zone-id": f"usw2-az{number % 3 + 1}",
        "karpenter.sh/nodepool": f"gpu-{number % 7}",
        "karpenter.sh/capacity-type": "spot" if number % 4 else "on-demand",
        "eks.amazonaws.com/nodegroup": f"gpu-{number % 7}",
        **{f"nvidia.com/gpu.fact-{fact}": "true" for fact in range(20)},
    }
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": labels},
        "status": {
            "allocatable": resources,
            "capacity": resources,
            "conditions": _conditions(datetime.now(UTC)),
            "images": _images(number),
            "nodeInfo": {
                "architecture": "amd64",
                "operatingSystem": "linux",
                "bootID": str(hashlib.md5(name.encode(), usedforsecurity=False).hexdigest()),
                "containerRuntimeVersion": "containerd://2.1.4",
                "kernelVersion": "6.12",
                "kubeletVersion": "v1.36.3",
                "kubeProxyVersion": "v1.36.3",
                "machineID": name,
                "osImage": "Amazon Linux 2023",
                "systemUUID": name,
            },
        },
    }


def pod(number: int, node_number: int) -> Object:
    """A pod of one GPU, bound to a node."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": f"worker-{number}", "labels": {"app": f"app-{number % 100}"}},
        "spec": {
            "nodeName": _name(node_number),
            "automountServiceAccountToken": False,
            "containers": [
                {
                    "name": "main",
                    "image": _large(number % 100),
                    "resources": {"limits": {"nvidia.com/gpu": "1", "cpu": "8", "memory": "64Gi"}},
                    "env": [{"name": f"SETTING_{index}", "value": "x" * 20} for index in range(10)],
                }
            ],
        },
    }


def _name(number: int) -> str:
    return f"ip-10-{number // 65536}-{number // 256 % 256}-{number % 256}.us-west-2.compute.internal"


def _large(number: int) -> str:
    return f"registry.example/models/runtime-{number}:v1"


def _images(number: int) -> list[Object]:
    """Eight of a hundred large images and small ones, biggest first as the kubelet sorts them; a digest and a tag."""
    chosen = [(number * 13 + index * 7) % 100 for index in range(LARGE_PER_NODE)]
    sizes = {_large(each): (4 + each % 20) * GIB for each in chosen}
    for index in range(IMAGES_PER_NODE - len(sizes)):
        sizes[f"registry.example/system/agent-{index}:v{number % 3}"] = (900 - 15 * index) * 2**20
    images = []
    for name, size in sorted(sizes.items(), key=lambda item: -item[1]):
        digest = hashlib.sha256(name.encode()).hexdigest()
        images.append({"names": [f"{name.rpartition(':')[0]}@sha256:{digest}", name], "sizeBytes": size})
    return images


def _conditions(now: datetime) -> list[Object]:
    stamp = now.strftime("%Y-%m-%dT%H:%M:%SZ")
    return [
        {
            "type": kind,
            "status": "True" if kind == "Ready" else "False",
            "reason": "KubeletIsWell",
            "message": "the kubelet says so",
            "lastHeartbeatTime": stamp,
            "lastTransitionTime": "2026-11-01T00:00:00Z",
        }
        for kind in ("MemoryPressure", "DiskPressure", "PIDPressure", "Ready")
    ]
