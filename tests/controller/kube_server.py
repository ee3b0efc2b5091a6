"""A server that speaks, over real TCP, the calls that the controller makes: a Lease, labels of nodes, lists, watches.

Server-side apply and optimistic concurrency as in https://kubernetes.io/docs/reference/using-api/. Lists come in pages
of all, watches bring nodes only, and streaming lists and dynamic resource allocation are not served.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import jsonpatch

from tests.scripted_http import STREAM_HEAD, Answer, HttpRequest, HttpServer, reply
from webhook.kube import names
from webhook.sources.kube_api import KubeApi

Object = dict[str, Any]
NAMESPACE = "warmpod-system"
LEASE = "warmpod-controller"
LEASES = f"/apis/coordination.k8s.io/v1/namespaces/{NAMESPACE}/leases"


async def until(ready: Callable[[], object], seconds: float = 60.0) -> float:
    """Wait for something to come true; how long it took, in seconds. A busy machine takes ten times as long."""
    began = time.monotonic()
    while not ready():
        assert time.monotonic() < began + seconds, "it did not come to that"
        await asyncio.sleep(0.005)
    return time.monotonic() - began


@dataclass(frozen=True)
class Trouble:
    """`hang`: no answer; `cut`: the connection is reset before the call is done; `lost`: after it is done."""

    what: Literal["hang", "cut", "lost"]


Fault = Answer | Trouble
HTML = Answer(200, b"<html>Please log in</html>", content_type="text/html")


@dataclass
class Node:
    """A node: its labels, who manages which of them, and the names of its images, which are of 10 GiB each."""

    uid: str
    labels: dict[str, str] = field(default_factory=dict)
    managers: dict[str, str] = field(default_factory=dict)
    images: list[str] = field(default_factory=list)
    changed: int = 0


@dataclass
class Seen:
    """A request."""

    method: str
    path: str
    query: dict[str, str]
    at: float
    body: Any


class KubeServer(HttpServer):
    """`async with KubeServer().serve(path) as api:` gives a client of it."""

    def __init__(self) -> None:
        super().__init__()
        self.lease: Object | None = None
        self.namespace_exists = True
        self.nodes: dict[str, Node] = {}
        self.objects: dict[str, Object] = {}
        """What an installation consists of, and replicas' Leases, by path."""
        self.faults: deque[Fault | None] = deque()
        """One for each request to come; None for the right answer."""
        self.fault: Callable[[str, str], Fault | None] = lambda _method, _path: None
        """Asked when `faults` is empty."""
        self.seen: list[Seen] = []
        self.busy = 0
        self.most_busy = 0
        self.slow = 0.0
        self._version = 1

    # --- what people do

    def hold(self, holder: str, **spec: Any) -> None:
        """Edit the lease as a person would, or another controller."""
        self.put_lease({**(self.lease or {}).get("spec", {}), "holderIdentity": holder, **spec})

    def put_lease(self, spec: Any, **metadata: Any) -> None:
        self._version += 1
        before = (self.lease or {}).get("metadata", {})
        self.lease = {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {"name": LEASE, "namespace": NAMESPACE, **before, **metadata, "resourceVersion": self.version},
            "spec": spec,
        }

    @property
    def version(self) -> str:
        return str(self._version)

    @property
    def holder(self) -> str | None:
        return None if self.lease is None else self.lease["spec"].get("holderIdentity")

    def label(self, node: str, key: str, value: str | None, manager: str = "kubectl-label") -> None:
        """Set or take away a label as an update by `manager` does."""
        found = self.nodes[node]
        self.touch(node)
        found.managers.pop(key, None)
        if value is None:
            found.labels.pop(key, None)
        else:
            found.labels[key] = value
            found.managers[key] = manager

    def touch(self, node: str) -> None:
        """Let the watches tell of a node."""
        self._version += 1
        self.nodes[node].changed = self._version

    def patches(self) -> list[Seen]:
        return [one for one in self.seen if one.method == "PATCH"]

    # --- the server

    @asynccontextmanager
    async def serve(self, directory: Path) -> AsyncIterator[KubeApi]:
        await self.start()
        try:
            async with KubeApi.connect(self.kubeconfig(directory)) as api:
                yield api
        finally:
            await self.stop()

    def kubeconfig(self, directory: Path) -> Path:
        return self.write_kubeconfig(directory, {"token": "t"})

    async def handle(self, request: HttpRequest, writer: asyncio.StreamWriter) -> bool:
        document = json.loads(request.body) if request.body else None
        now = asyncio.get_running_loop().time()
        self.seen.append(Seen(request.method, request.path, request.query, now, document))
        return await self._respond(self.seen[-1], writer)

    async def _respond(self, seen: Seen, writer: asyncio.StreamWriter) -> bool:
        """Answer one request; False when the connection is to be reset."""
        fault = self.faults.popleft() if self.faults else self.fault(seen.method, seen.path)
        if isinstance(fault, Answer):
            await reply(writer, fault)
            return True
        if isinstance(fault, Trouble):
            if fault.what == "hang":
                await asyncio.Event().wait()
            if fault.what == "lost":
                self._do(seen)
            return False
        if "watch" in seen.query and "sendInitialEvents" not in seen.query:
            await self._watch(seen, writer)
            return False
        self.busy += 1
        self.most_busy = max(self.most_busy, self.busy)
        try:
            await asyncio.sleep(self.slow)
        finally:
            self.busy -= 1
        await reply(writer, self._do(seen))
        return True

    def _do(self, seen: Seen) -> Answer:
        if self._is_an_installations(seen.path):
            return self._object(seen)
        if "sendInitialEvents" in seen.query:
            return _status(400, "Invalid", "sendInitialEvents is forbidden for watch")
        if seen.method == "PATCH":
            return self._patch(seen.path.rpartition("/")[2], seen.body)
        if seen.path.startswith("/api/v1/"):
            nodes = self.nodes if seen.path.endswith("/nodes") else ()
            items = [self._document(name) for name in nodes]
            return _object({"metadata": {"resourceVersion": self.version}, "items": items})
        if seen.path.startswith("/apis/resource.k8s.io"):
            return Answer(404, b"404 page not found", content_type="text/plain")
        if seen.method == "GET" and seen.path == LEASES:
            items = [each for path, each in self.objects.items() if path.startswith(LEASES)]
            return _object({"metadata": {"resourceVersion": self.version}, "items": items})
        if not self.namespace_exists and seen.method == "POST":
            return _status(404, "NotFound", f'namespaces "{NAMESPACE}" not found')
        if seen.method == "POST" and seen.body["metadata"]["name"] != LEASE:
            return self._object(seen)
        if seen.method == "POST":
            if self.lease is not None:
                return _status(409, "AlreadyExists", f'leases "{LEASE}" already exists')
            self.put_lease(seen.body["spec"])
            return _object(self.lease, 201)
        if self.lease is None:
            return _status(404, "NotFound", f'leases.coordination.k8s.io "{LEASE}" not found')
        if seen.method == "PUT":
            if seen.body["metadata"].get("resourceVersion") != self.lease["metadata"]["resourceVersion"]:
                return _status(409, "Conflict", "the object has been modified")
            self.lease["metadata"] = seen.body["metadata"]
            self.put_lease(seen.body["spec"])
        return _object(self.lease)

    def _is_an_installations(self, path: str) -> bool:
        """Whatever is neither of the inventory's kinds nor the Lease of the election."""
        name = path.removeprefix(LEASES)
        if path.startswith(LEASES):
            return bool(name) and name != f"/{LEASE}"
        inventory = path.startswith("/api/v1/") and path.count("/") < 5 and not path.startswith("/api/v1/namespaces/")
        return not inventory and not path.startswith(("/apis/resource.k8s.io", "/api/v1/nodes/"))

    def put(self, path: str, document: Object) -> None:
        """Store an object, as the API server does."""
        self._version += 1
        before = self.objects.get(path, {}).get("metadata", {})
        kept = {"uid": before.get("uid", f"uid-{self._version}"), "name": path.rpartition("/")[2]}
        metadata = {**document.get("metadata", {}), **kept, "resourceVersion": self.version}
        self.objects[path] = {**document, "metadata": metadata}

    def _object(self, seen: Seen) -> Answer:
        """Create, read, replace, patch or delete an object of an installation."""
        path = seen.path
        if seen.method == "POST":
            path = f"{path}/{seen.body['metadata']['name']}"
            if path in self.objects:
                return _status(409, "AlreadyExists", f"{path} already exists")
            self.put(path, seen.body)
            return _object(self.objects[path], 201)
        found = self.objects.get(path)
        if found is None:
            return _status(404, "NotFound", f"{path} not found")
        if seen.method == "GET":
            return _object(found)
        if seen.method == "DELETE":
            del self.objects[path]
            return _object({"kind": "Status"})
        body = seen.body
        if seen.method == "PATCH":
            body = jsonpatch.apply_patch(found, seen.body)
        if body["metadata"]["resourceVersion"] != found["metadata"]["resourceVersion"]:
            return _status(409, "Conflict", "the object has been modified")
        self.put(path, body)
        return _object(self.objects[path])

    async def _watch(self, seen: Seen, writer: asyncio.StreamWriter) -> None:
        writer.write(STREAM_HEAD)
        last = int(seen.query["resourceVersion"])
        while True:
            if seen.path != "/api/v1/nodes":
                await asyncio.sleep(3600)
            for name, node in sorted(self.nodes.items(), key=lambda item: item[1].changed):
                if node.changed > last:
                    last = node.changed
                    line = json.dumps({"type": "MODIFIED", "object": self._document(name)}).encode() + b"\n"
                    writer.write(b"%x\r\n%s\r\n" % (len(line), line))
            await asyncio.sleep(0.02)

    def _document(self, name: str) -> Object:
        node = self.nodes[name]
        return {
            "metadata": {
                "name": name,
                "uid": node.uid,
                "labels": node.labels,
                "resourceVersion": str(node.changed or 1),
            },
            "status": {
                "allocatable": {"nvidia.com/gpu": "8"},
                "conditions": [{"type": "Ready", "status": "True"}],
                "images": [{"names": [image], "sizeBytes": 10 * 2**30} for image in node.images],
                "nodeInfo": {"bootID": "boot"},
            },
        }

    def _patch(self, name: str, body: Object) -> Answer:
        node = self.nodes.get(name)
        if node is None:
            return _status(404, "NotFound", f'nodes "{name}" not found')
        wanted = body["metadata"]["labels"]
        if "apiVersion" not in body:  # a merge patch
            for key, value in wanted.items():
                self.label(name, key, value, names.FIELD_MANAGER)
            return self._node(name)
        if body["metadata"]["uid"] != node.uid:
            return _status(409, "Conflict", "Precondition failed: UID in precondition does not match")
        others = {
            key: node.managers[key]
            for key, value in wanted.items()
            if node.managers.get(key, names.FIELD_MANAGER) != names.FIELD_MANAGER and node.labels[key] != value
        }
        if others:
            causes = [
                {
                    "reason": "FieldManagerConflict",
                    "message": f'conflict with "{manager}" using v1',
                    "field": f".metadata.labels.{key}",
                }
                for key, manager in others.items()
            ]
            return _status(409, "Conflict", "Apply failed with conflicts", causes=causes)
        for key in [key for key, manager in node.managers.items() if manager == names.FIELD_MANAGER]:
            del node.managers[key], node.labels[key]
        for key, value in wanted.items():
            node.labels[key] = value
            node.managers.setdefault(key, names.FIELD_MANAGER)
        self.touch(name)
        return self._node(name)

    def _node(self, name: str) -> Answer:
        node = self.nodes[name]
        metadata = {"name": name, "uid": node.uid, "labels": node.labels, "resourceVersion": self.version}
        return _object({"kind": "PartialObjectMetadata", "metadata": metadata})


def _object(found: Any, code: int = 200) -> Answer:
    return Answer(code, json.dumps(found).encode())


def _status(code: int, reason: str, message: str, **details: Any) -> Answer:
    body = {"kind": "Status", "apiVersion": "v1", "code": code, "reason": reason, "message": message}
    return Answer(code, json.dumps({**body, "details": details}).encode())
