"""A twin in memory of the API server's way with single objects: versions, preconditions, JSON patch.

It stands in for `Transport` where thousands of orders of events are tried. `tests/cluster/test_certificates.py` holds
it to the real one.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Awaitable, Callable
from typing import Any

from webhook.sources.kube_api.failure import ApiFailure
from webhook.sources.kube_api.objects import Kind, ObjectRequest

Object = dict[str, Any]
Place = tuple[str, str, str]


async def _at_once(_request: ObjectRequest) -> None:
    return


class Twin:
    """A `Caller`. `before` and `after` are awaited around what a request does: time passes there."""

    def __init__(self) -> None:
        self.objects: dict[Place, Object] = {}
        self.version = 100
        self.before: Callable[[ObjectRequest], Awaitable[None]] = _at_once
        self.after: Callable[[ObjectRequest], Awaitable[None]] = _at_once
        self.seen: list[ObjectRequest] = []

    async def call(self, request: ObjectRequest) -> bytes:
        self.seen.append(request)
        await self.before(request)
        answer = json.dumps(self._do(request)).encode()
        await self.after(request)
        return answer

    def put(self, kind: Kind, namespace: str, document: Object) -> Object:
        """Store an object as somebody else's write would."""
        self.version += 1
        stored = copy.deepcopy(document)
        stored["metadata"]["resourceVersion"] = str(self.version)
        self.objects[kind.resource, namespace, stored["metadata"]["name"]] = stored
        return stored

    def get(self, kind: Kind, namespace: str, name: str) -> Object | None:
        return self.objects.get((kind.resource, namespace, name))

    def remove(self, kind: Kind, namespace: str, name: str) -> None:
        self.objects.pop((kind.resource, namespace, name), None)

    def _do(self, request: ObjectRequest) -> Object:
        kind, namespace = request.kind, request.namespace
        name = request.name or (request.body or {}).get("metadata", {}).get("name", "")
        stored = self.get(kind, namespace, name)
        if request.verb == "create":
            if stored is not None:
                raise ApiFailure(request.what, "conflict", "it is there", status=409)
            return self.put(kind, namespace, request.body)
        if stored is None:
            raise ApiFailure(request.what, "missing", "there is none", status=404)
        if request.verb == "get":
            return stored
        if request.verb == "delete":
            self.remove(kind, namespace, name)
            return {"kind": "Status", "metadata": {}}
        wanted = request.body if request.verb == "update" else _patched(stored, request.body)
        if wanted["metadata"].get("resourceVersion") not in (None, stored["metadata"]["resourceVersion"]):
            raise ApiFailure(request.what, "conflict", "the object has been modified", status=409)
        return self.put(kind, namespace, wanted)


def _patched(document: Object, operations: list[Object]) -> Object:
    made = copy.deepcopy(document)
    for operation in operations:
        *path, last = [part.replace("~1", "/").replace("~0", "~") for part in operation["path"].split("/")[1:]]
        target: Any = made
        for part in path:
            target = target[int(part)] if isinstance(target, list) else target[part]
        target[last] = operation["value"]
    return made
