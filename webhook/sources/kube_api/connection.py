"""The Kubernetes API that this process talks to."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from webhook.inventory.objects import Resource, Watched
from webhook.sources.kube_api import credentials, listing, writes
from webhook.sources.kube_api.backoff import Pace
from webhook.sources.kube_api.failure import UNDECODABLE, ApiFailure
from webhook.sources.kube_api.request import Get

if TYPE_CHECKING:
    from kubernetes.aio.client import ApiClient

    from webhook.sources.kube_api.transport import Transport


class _Version(msgspec.Struct, rename="camel"):
    """What `/version` answers."""

    git_version: str = ""


class KubeApi:
    """`async with KubeApi.connect(None) as api:`. Use it from the event loop that it was made in."""

    def __init__(self, transport: Transport) -> None:
        self.transport = transport

    @classmethod
    @asynccontextmanager
    async def connect(cls, kubeconfig: Path | None, context: str | None = None) -> AsyncIterator[KubeApi]:
        """Find the cluster and our credentials; `credentials.find` says where. Raises `NoCluster`.

        Makes no request: an API server that is down is waited for, not refused.
        """
        # The client takes more than a second to import.
        from webhook.sources.kube_api.transport import Transport  # noqa: PLC0415

        transport = await Transport.open(credentials.find(kubeconfig, context))
        try:
            yield cls(transport)
        finally:
            await transport.close()

    @property
    def client(self) -> ApiClient:
        """The library's client, for calls that are not made here. Its credentials renew themselves."""
        return self.transport.client

    @property
    def server(self) -> str:
        """The API server's URL."""
        return str(self.client.configuration.host)

    async def list(self, resource: Resource) -> tuple[list[Watched], str]:
        """All objects of a resource and the list's resource version. Raises `ApiFailure`."""
        found = await listing.read(self.transport, resource, Pace())
        return found.objects, found.version

    async def version(self) -> str:
        """The API server's version, such as `v1.36.2`; empty where it does not say. Raises `ApiFailure`."""
        request = Get("ask the API server for its version", "/version")
        try:
            return msgspec.json.decode(await self.transport.call(request), type=_Version).git_version
        except UNDECODABLE as error:
            raise ApiFailure(request.what, "garbage", "the answer is no version") from error

    async def apply_labels(self, node: str, uid: str, labels: Mapping[str, str]) -> Mapping[str, str]:
        """Make `labels` all of ours on the node; returns those that it then bears. See `writes.apply_labels`."""
        return await writes.apply_labels(self.transport, node, uid, labels)

    async def strip_labels(self, node: str, keys: Iterable[str], *, uid: str = "") -> Mapping[str, str]:
        """Take labels of ours off a node; returns those that are left. See `writes.strip_labels`."""
        return await writes.strip_labels(self.transport, node, keys, uid)
