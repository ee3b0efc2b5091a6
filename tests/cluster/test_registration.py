"""The registration's watch, its restoration and a replica's Lease on a real API server, with its garbage collector.

The installation is one of the test's own: a namespace, a Deployment, a configuration that matches no pod.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from certs.issue import issue_authority, issue_leaf
from tests.cluster.pods import eventually
from tests.controller.registrations import bundle, hook
from webhook.controller.events import Events
from webhook.controller.registration import LOOK_SECONDS, Registration
from webhook.controller.replica import Reporter, Roster, Self
from webhook.controller.restoration import AFTER_SECONDS, Restoration
from webhook.controller.verdict import Address
from webhook.kube import names
from webhook.sandbox.api import RefusedRequest
from webhook.sandbox.sandbox import Sandbox
from webhook.sources import replicas
from webhook.sources.kube_api import ApiFailure, KubeApi
from webhook.sources.kube_api.objects import WEBHOOK_CONFIGURATIONS, ObjectApi

pytestmark = pytest.mark.cluster

Object = dict[str, Any]
NAME = "warmpod-registration-test"
CONFIGURATIONS = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations"
CONFIGURATION = f"{CONFIGURATIONS}/{NAME}"
AUTHORITY = issue_authority(datetime.now(UTC))
LEAF = issue_leaf(AUTHORITY, ["warmpod-webhook.x.svc"], datetime.now(UTC))
PATIENCE = 90.0


class Place:
    """An installation in a namespace of its own, and one that looks after it; time passes when a test says so."""

    def __init__(self, box: Sandbox, api: KubeApi, namespace: str, directory: Path) -> None:
        self.box = box
        self.namespace = namespace
        self.objects = ObjectApi(api.transport)
        self.transport = api.transport
        self.now = 0.0
        address = Address(namespace, names.WEBHOOK_SERVICE)
        self.events = Events(self.objects, namespace, "test", self._clock)
        self.restoration = Restoration(self.objects, NAME, address, self.events, lambda: True, clock=self._clock)
        (directory / "tls.crt").write_bytes(LEAF.certificate_pem)
        self.registration = Registration(
            self.objects,
            NAME,
            address,
            self.events,
            lambda: True,
            tls=directory,
            restoration=self.restoration,
            clock=self._clock,
        )

    def _clock(self) -> float:
        return self.now

    def install(self) -> Object:
        labels = {"app": "registration-test"}
        container = {"name": "a", "image": "registry.example/a:1"}
        deployment = {
            "metadata": {"name": names.DEPLOYMENT},
            "spec": {
                "replicas": 1,
                "selector": {"matchLabels": labels},
                "template": {"metadata": {"labels": labels}, "spec": {"containers": [container]}},
            },
        }
        self.box.api.call("POST", f"/apis/apps/v1/namespaces/{self.namespace}/deployments", deployment)
        return self.box.api.call("POST", CONFIGURATIONS, self.configuration())

    def configuration(self) -> Object:
        service = {"namespace": self.namespace, "name": names.WEBHOOK_SERVICE, "path": "/mutate"}
        client = {"service": service, "caBundle": bundle(AUTHORITY)}
        nobody = {"matchLabels": {"registration-test": "nobody"}}
        return {"metadata": {"name": NAME}, "webhooks": [hook(clientConfig=client, namespaceSelector=nobody)]}

    def found(self) -> Object | None:
        try:
            return self.box.api.call("GET", CONFIGURATION)
        except RefusedRequest as error:
            if error.status != 404:
                raise
            return None

    async def look(self, seconds: float = 0.0) -> str:
        end = self.now + seconds
        while True:
            await self.registration.look()
            if self.now >= end:
                assert self.registration.failure is None
                return self.registration.verdict.state if self.registration.verdict else "unknown"
            self.now = min(end, self.now + LOOK_SECONDS)


def play(box: Sandbox, namespace: str, directory: Path, scenario: Callable[[Place], Awaitable[None]]) -> None:
    @asynccontextmanager
    async def installed() -> AsyncIterator[Place]:
        async with KubeApi.connect(box.kubeconfig) as api:
            yield Place(box, api, namespace, directory)

    async def act() -> None:
        async with asyncio.timeout(200), installed() as place:
            try:
                await scenario(place)
            finally:
                with suppress(RefusedRequest):
                    box.api.call("DELETE", CONFIGURATION)

    asyncio.run(act())


def test_deleted_and_emptied_it_comes_back_and_goes_with_its_namespace(box: Sandbox, tmp_path: Path) -> None:
    namespace = "registration-whole"
    box.make_namespace(namespace)

    async def scenario(place: Place) -> None:
        before = place.install()
        assert await place.look() == "ok"
        backup = box.api.call("GET", f"/api/v1/namespaces/{namespace}/configmaps/{names.WEBHOOK_BACKUP}")
        assert bundle(AUTHORITY) not in json.dumps(backup)

        box.api.call("DELETE", CONFIGURATION)
        assert await place.look() == "missing"
        assert await place.look(AFTER_SECONDS + LOOK_SECONDS) == "ok"
        after = place.found()
        assert after is not None
        assert after["webhooks"] == before["webhooks"], "what the API server filled in, and the bundle, are there again"
        (owner,) = after["metadata"]["ownerReferences"]
        assert owner["kind"] == "Namespace"

        box.api.patch(CONFIGURATION, {"webhooks": []})
        assert await place.look() == "empty"
        assert await place.look(3 * AFTER_SECONDS) == "ok"
        after = place.found()
        assert after is not None
        assert after["webhooks"] == before["webhooks"]
        assert place.restoration.restored == 2

        described = box.kubectl("describe", "deployment", names.DEPLOYMENT, "-n", namespace).stdout
        assert "WebhookConfigurationMissing" in described
        assert "WebhookConfigurationRestored" in described

        box.api.call("DELETE", f"/api/v1/namespaces/{namespace}")
        with suppress(RefusedRequest):  # the garbage collector may be faster
            box.api.call("DELETE", CONFIGURATION)
        for _ in range(5):
            await place.look(AFTER_SECONDS)
            assert place.restoration.restored == 2, "what goes does not come back"
        assert place.found() is None

    play(box, namespace, tmp_path, scenario)


def test_the_garbage_collector_takes_what_was_restored_with_the_namespace(box: Sandbox, tmp_path: Path) -> None:
    """As when the namespace goes right after we looked: our write comes last, and still nothing is left."""
    namespace = "registration-late"
    box.make_namespace(namespace)

    async def scenario(place: Place) -> None:
        place.install()
        await place.look()
        box.api.call("DELETE", CONFIGURATION)
        await place.look(AFTER_SECONDS + LOOK_SECONDS)
        assert place.found() is not None
        box.api.call("DELETE", f"/api/v1/namespaces/{namespace}")
        await asyncio.to_thread(eventually, lambda: place.found() is None, "end of the configuration", PATIENCE)

    play(box, namespace, tmp_path, scenario)


def test_a_write_over_another_version_is_a_conflict(box: Sandbox, namespace: str, tmp_path: Path) -> None:
    """What restoring an emptied configuration relies on, and the server of the unit tests imitates."""

    async def scenario(place: Place) -> None:
        stale = box.api.call("POST", CONFIGURATIONS, place.configuration())["metadata"]["resourceVersion"]
        box.api.patch(CONFIGURATION, {"metadata": {"labels": {"a": "b"}}})
        operations: list[Object] = [
            {"op": "replace", "path": "/metadata/resourceVersion", "value": stale},
            {"op": "add", "path": "/webhooks", "value": []},
        ]
        with pytest.raises(ApiFailure) as caught:
            await place.objects.patch(WEBHOOK_CONFIGURATIONS, "", NAME, operations)
        assert caught.value.kind == "conflict"
        with pytest.raises(ApiFailure) as caught:
            await place.objects.create(WEBHOOK_CONFIGURATIONS, "", place.configuration())
        assert caught.value.kind == "conflict"

    play(box, namespace, tmp_path, scenario)


def test_a_replicas_lease_comes_changes_and_goes_with_its_pod(box: Sandbox, namespace: str, tmp_path: Path) -> None:
    pods = f"/api/v1/namespaces/{namespace}/pods"
    containers = [{"name": "a", "image": "registry.example/a:1"}]
    pod = box.api.call("POST", pods, {"metadata": {"name": "pod-a"}, "spec": {"containers": containers}})

    async def scenario(place: Place) -> None:
        own = {"leading": True, "snapshotAge": 1.0, "problems": []}
        who = [
            Self(namespace, "pod-a", "a", pod["metadata"]["uid"]),
            Self(namespace, "pod-b", "b"),
        ]
        reporters = [Reporter(place.objects, one, "", lambda: own) for one in who]
        for reporter in reporters:
            await reporter.report({"ready": True, "certificate": {"serial": "a1"}}, "")
            await reporter.report({"ready": True, "certificate": {"serial": "b2"}}, "")
            assert reporter.problem is None
        found = await replicas.live(place.objects, namespace, place.transport.clock_skew)
        assert found == replicas.Replicas({"pod-a": "b2", "pod-b": "b2"}, known=True)
        assert await Roster(place.objects, namespace).live() == found
        now = replicas.server_time(place.transport.clock_skew)
        assert all(abs(one.silent_for(now)) < 30 for one in await replicas.read(place.objects, namespace))
        await reporters[1].leave()
        assert (await replicas.live(place.objects, namespace)).serials.keys() == {"pod-a"}
        box.api.call("DELETE", f"{pods}/pod-a", gracePeriodSeconds="0")
        leases = f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases"
        await asyncio.to_thread(
            eventually, lambda: not box.api.call("GET", leases)["items"], "end of its Lease", PATIENCE
        )

    play(box, namespace, tmp_path, scenario)
