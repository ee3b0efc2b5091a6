"""A registration on a server that speaks the API, and whoever looks after it; time passes when a test says so."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from certs.issue import Pair, issue_authority, issue_leaf
from tests.controller.kube_server import NAMESPACE, KubeServer
from webhook.controller.events import Events
from webhook.controller.registration import LOOK_SECONDS, Registration
from webhook.controller.restoration import Restoration
from webhook.controller.verdict import Address
from webhook.kube import names
from webhook.sources.kube_api.objects import ObjectApi

Object = dict[str, Any]
ADDRESS = Address(NAMESPACE, names.WEBHOOK_SERVICE, ("127.0.0.1", "warmpod-webhook.warmpod-system.svc"))
CONFIGURATIONS = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations"
CONFIGURATION = f"{CONFIGURATIONS}/{names.WEBHOOK_CONFIGURATION}"
OWN = f"/api/v1/namespaces/{NAMESPACE}"
DEPLOYMENT = f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments/{names.DEPLOYMENT}"
BACKUP = f"{OWN}/configmaps/{names.WEBHOOK_BACKUP}"
EVENTS = f"{OWN}/events"

AUTHORITY = issue_authority(datetime.now(UTC))
OTHER = issue_authority(datetime.now(UTC), common_name="other")
LEAF = issue_leaf(AUTHORITY, ["warmpod-webhook.warmpod-system.svc"], datetime.now(UTC))


def bundle(*authorities: Pair) -> str:
    """A caBundle."""
    return base64.b64encode(b"".join(one.certificate_pem for one in authorities)).decode()


def hook(name: str = "pods.warmpod.dev", path: str = "/mutate", **fields: Any) -> Object:
    """A hook as the manifests have it; None takes a field away."""
    service = {"namespace": NAMESPACE, "name": names.WEBHOOK_SERVICE, "path": path, "port": 443}
    made = {
        "name": name,
        "clientConfig": {"service": service, "caBundle": bundle(AUTHORITY)},
        "rules": [{"apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"], "operations": ["CREATE"]}],
        "failurePolicy": "Ignore",
        "sideEffects": "None",
        "admissionReviewVersions": ["v1"],
        **fields,
    }
    return {key: value for key, value in made.items() if value is not None}


def configuration(*hooks: Object, **metadata: Any) -> Object:
    """A configuration; without hooks, with the two of the manifests."""
    return {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "MutatingWebhookConfiguration",
        "metadata": {"name": names.WEBHOOK_CONFIGURATION, **metadata},
        "webhooks": list(hooks) or [hook(), hook("audit.pods.warmpod.dev", "/mutate/audit")],
    }


class Watcher:
    """One controller's registration, and its clock."""

    def __init__(self, world: World, api: ObjectApi, *, manages: bool = True, identity: str = "me") -> None:
        self.leading = True
        self.now = 1000.0
        self.events = Events(api, NAMESPACE, identity, self._clock)
        name = names.WEBHOOK_CONFIGURATION
        self.restoration = Restoration(api, name, ADDRESS, self.events, self._leads, clock=self._clock)
        self.registration = Registration(
            api,
            name,
            ADDRESS,
            self.events,
            self._leads,
            tls=world.directory / "tls",
            restoration=self.restoration if manages else None,
            clock=self._clock,
        )

    def _clock(self) -> float:
        return self.now

    def _leads(self) -> bool:
        return self.leading

    async def look(self, seconds: float = 0.0) -> str:
        """Look every few seconds for so long, at least once; the state that was found last."""
        end = self.now + seconds
        while True:
            await self.registration.look()
            if self.now >= end:
                return self.registration.verdict.state if self.registration.verdict else "unknown"
            self.now = min(end, self.now + LOOK_SECONDS)


class World:
    """An installation: namespace, Deployment, registration, and the pair that is served."""

    def __init__(self, server: KubeServer, api: ObjectApi, directory: Path) -> None:
        self.server = server
        self.api = api
        self.directory = directory
        (directory / "tls").mkdir()
        (directory / "tls" / "tls.crt").write_bytes(LEAF.certificate_pem)
        server.put(OWN, {"kind": "Namespace", "metadata": {}, "status": {"phase": "Active"}})
        server.put(DEPLOYMENT, {"kind": "Deployment", "metadata": {}, "spec": {"replicas": 2}})
        server.put(CONFIGURATION, configuration())
        self.me = Watcher(self, api)

    @property
    def found(self) -> Object | None:
        return self.server.objects.get(CONFIGURATION)

    def delete(self, path: str = CONFIGURATION) -> None:
        del self.server.objects[path]

    def lose(self, how: str) -> None:
        """The registration is "deleted", or "emptied"."""
        if how == "deleted":
            self.delete()
        else:
            self.edit(CONFIGURATION, webhooks=[])

    def edit(self, path: str, **fields: Any) -> None:
        """Replace members of an object; of its metadata, add some."""
        before = self.server.objects[path]
        metadata = {**before["metadata"], **fields.pop("metadata", {})}
        self.server.put(path, {**before, **fields, "metadata": metadata})

    def events(self) -> list[Object]:
        """All Events, in order."""
        return [one for path, one in self.server.objects.items() if path.startswith(EVENTS)]

    def reasons(self) -> list[str]:
        """Those of all Events, in order."""
        return [one["reason"] for one in self.events()]

    def messages(self) -> str:
        return json.dumps(self.events())

    def writes(self) -> list[str]:
        """What was written but Events, in order: method and path."""
        return [
            f"{one.method} {one.path}"
            for one in self.server.seen
            if one.method != "GET" and not one.path.startswith(EVENTS)
        ]


def play(directory: Path, scenario: Callable[[World], Awaitable[None]]) -> None:
    """Run a scenario."""

    async def act() -> None:
        server = KubeServer()
        async with asyncio.timeout(60), server.serve(directory) as api:
            await scenario(World(server, ObjectApi(api.transport), directory))

    asyncio.run(act())
