"""Single objects of the API, read and written as plain documents: what an installation itself consists of.

The inventory's many objects are listed and watched elsewhere; these few are read by name, every few seconds at most.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, Protocol
from urllib.parse import quote

import msgspec

from webhook.kube import Object, names
from webhook.sources.kube_api.failure import UNDECODABLE, ApiFailure

Verb = Literal["get", "list", "create", "update", "patch", "delete"]

_METHODS: Mapping[Verb, str] = {
    "get": "GET",
    "list": "GET",
    "create": "POST",
    "update": "PUT",
    "patch": "PATCH",
    "delete": "DELETE",
}


class Kind(NamedTuple):
    """A kind of object: API group ("" is the core group), version, plural name, and whether namespaces hold it."""

    group: str
    version: str
    resource: str
    namespaced: bool = True

    def collection(self, namespace: str) -> str:
        """Where its objects of one namespace are ("" for those of all)."""
        root = f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"
        within = f"/namespaces/{quote(namespace, safe='')}" if namespace else ""
        return f"{root}{within}/{self.resource}"


SECRETS = Kind("", "v1", "secrets")
CONFIG_MAPS = Kind("", "v1", "configmaps")
EVENTS = Kind("", "v1", "events")
PODS = Kind("", "v1", "pods")
SERVICES = Kind("", "v1", "services")
NAMESPACES = Kind("", "v1", "namespaces", namespaced=False)
ENDPOINT_SLICES = Kind("discovery.k8s.io", "v1", "endpointslices")
LEASES = Kind("coordination.k8s.io", "v1", "leases")
DEPLOYMENTS = Kind("apps", "v1", "deployments")
WEBHOOK_CONFIGURATIONS = Kind("admissionregistration.k8s.io", "v1", "mutatingwebhookconfigurations", namespaced=False)


@dataclass(frozen=True, slots=True)
class ObjectRequest:
    """A request about single objects, with what the transport reads of any request."""

    verb: Verb
    kind: Kind
    namespace: str = ""
    name: str = ""
    body: Any = None
    query: Mapping[str, str] = field(default_factory=dict)
    content_type: str = "application/json"
    accept: str = "application/json"

    @property
    def what(self) -> str:
        """What it is for, to follow after "cannot"."""
        where = "/".join(filter(None, (self.namespace, self.name)))
        return f"{self.verb} {self.kind.resource}" + (f" {where}" if where else "")

    @property
    def method(self) -> str:
        """HTTP's method."""
        return _METHODS[self.verb]

    @property
    def path(self) -> str:
        """The URL's path."""
        return self.kind.collection(self.namespace) + (f"/{quote(self.name, safe='')}" if self.name else "")


class Caller(Protocol):
    """Who makes requests of the API server; `Transport` is one."""

    async def call(self, request: ObjectRequest) -> bytes:
        """The body of the answer. Raises ApiFailure."""
        ...


class ObjectApi:
    """Documents by kind, namespace ("" for kinds without) and name. Every method raises ApiFailure.

    Its `kind` says what happened: "missing" when there is none, "conflict" when somebody wrote first or it is there
    already, "forbidden" when RBAC does not allow it.
    """

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    async def read(self, kind: Kind, namespace: str, name: str) -> Object:
        """The object as it is stored."""
        return await self._one(ObjectRequest("get", kind, namespace, name))

    async def find(self, kind: Kind, namespace: str, name: str) -> Object | None:
        """The object as it is stored; None when there is none."""
        try:
            return await self.read(kind, namespace, name)
        except ApiFailure as failure:
            if failure.kind == "missing":
                return None
            raise

    async def list(self, kind: Kind, namespace: str, labels: str = "") -> list[Object]:
        """The objects of a namespace that a label selector chooses, in one answer: for kinds of which there are few."""
        query = {"labelSelector": labels} if labels else {}
        request = ObjectRequest("list", kind, namespace, query=query)
        found = document_of(request, await self._caller.call(request)).get("items")
        if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
            raise ApiFailure(request.what, "garbage", "the answer is no list")
        return found

    async def create(self, kind: Kind, namespace: str, document: Object) -> Object:
        """Make an object; what was stored."""
        query = {"fieldManager": names.FIELD_MANAGER}
        return await self._one(ObjectRequest("create", kind, namespace, body=document, query=query))

    async def replace(self, kind: Kind, namespace: str, document: Object) -> Object:
        """Write a whole object, over the version that its `metadata.resourceVersion` names; what was stored."""
        query = {"fieldManager": names.FIELD_MANAGER}
        name = str(document["metadata"]["name"])
        return await self._one(ObjectRequest("update", kind, namespace, name, document, query))

    async def patch(self, kind: Kind, namespace: str, name: str, operations: Sequence[Object]) -> Object:
        """Change an object by JSON patch; what was stored. Begin with a `test` of what you decided by.

        A test that fails is answered with status 422 and kind "refused".
        """
        query = {"fieldManager": names.FIELD_MANAGER}
        content_type = "application/json-patch+json"
        return await self._one(
            ObjectRequest("patch", kind, namespace, name, list(operations), query, content_type=content_type)
        )

    async def delete(self, kind: Kind, namespace: str, name: str, *, uid: str = "") -> None:
        """Delete an object, the one with this `uid` where one is given."""
        body = {"apiVersion": "v1", "kind": "DeleteOptions", **({"preconditions": {"uid": uid}} if uid else {})}
        await self._caller.call(ObjectRequest("delete", kind, namespace, name, body))

    async def _one(self, request: ObjectRequest) -> Object:
        found = document_of(request, await self._caller.call(request))
        if not isinstance(found.get("metadata"), dict):
            raise ApiFailure(request.what, "garbage", "the answer is no object")
        return found


def decoded(value: object) -> bytes:
    """What a field of bytes holds (a `caBundle`, the `data` of a Secret), which JSON has in base64; b"" for no such."""
    try:
        return base64.b64decode(value, validate=True) if isinstance(value, str) else b""
    except ValueError:
        return b""


def document_of(request: ObjectRequest, data: bytes) -> Object:
    """The JSON object that an answer is. Raises ApiFailure for anything else."""
    try:
        found = msgspec.json.decode(data)
    except UNDECODABLE as error:
        raise ApiFailure(request.what, "garbage", "the answer is no JSON") from error
    if not isinstance(found, dict):
        raise ApiFailure(request.what, "garbage", "the answer is no object")
    return found
