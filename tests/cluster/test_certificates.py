"""A keeper and `warmpod certs` on the real API server, in a namespace and a configuration of their own."""

from __future__ import annotations

import asyncio
import base64
import copy
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from certs import bundle
from certs.issue import check_pair
from certs.rotation import Terms
from tests.controller.object_twin import Twin
from webhook.cli.main import main
from webhook.controller.keeper import Keeper, KeeperOptions
from webhook.controller.replica import Reporter, Self
from webhook.controller.trust import Configuration
from webhook.kube import names
from webhook.sandbox.sandbox import Sandbox
from webhook.server.tls import CertificateFiles
from webhook.sources import replicas
from webhook.sources.kube_api import ApiFailure, KubeApi
from webhook.sources.kube_api.objects import SECRETS, WEBHOOK_CONFIGURATIONS, ObjectApi

pytestmark = pytest.mark.cluster

NAMESPACE = "certificates-test"
HOST = f"warmpod-webhook.{NAMESPACE}.svc"
ROTATIONS = 6


def hook(name: str) -> dict[str, Any]:
    return {
        "name": f"{name}.warmpod.dev",
        "clientConfig": {"service": {"name": "warmpod-webhook", "namespace": NAMESPACE, "path": "/mutate"}},
        "rules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}],
        "objectSelector": {"matchLabels": {"nobody": "has-this"}},
        "failurePolicy": "Ignore",
        "sideEffects": "None",
        "admissionReviewVersions": ["v1"],
    }


CONFIGURATION = {
    "apiVersion": "admissionregistration.k8s.io/v1",
    "kind": "MutatingWebhookConfiguration",
    "metadata": {"name": NAMESPACE},
    "webhooks": [hook("pods"), hook("audit")],
}


@pytest.fixture(scope="module")
def installed(box: Sandbox) -> Iterator[Sandbox]:
    box.make_namespace(NAMESPACE)
    box.api.call("POST", "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations", CONFIGURATION)
    yield box
    box.api.call("DELETE", f"/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/{NAMESPACE}")
    box.api.call("DELETE", f"/api/v1/namespaces/{NAMESPACE}")


@contextmanager
def kept(box: Sandbox, directory: Path) -> Iterator[Keeper]:
    """A leading keeper in a thread, and one replica that serves what the keeper wrote for it, and says so."""
    made: list[Keeper] = []
    ended = threading.Event()
    ready = threading.Event()
    defects: list[BaseException] = []
    directory.mkdir(exist_ok=True)

    async def work() -> None:
        async with KubeApi.connect(box.kubeconfig) as kube:
            api = ObjectApi(kube.transport)
            keeper = Keeper(
                api,
                KeeperOptions(
                    namespace=NAMESPACE,
                    secret=names.TLS_SECRET,
                    configuration=NAMESPACE,
                    directory=directory,
                    terms=Terms((HOST,), settle=timedelta(seconds=0.2), overlap=timedelta(seconds=0.1)),
                    interval=0.1,
                ),
                lambda: replicas.live(api, NAMESPACE, kube.transport.clock_skew),
                lambda: True,
                lambda: kube.transport.clock_skew,
            )
            made.append(keeper)
            ready.set()
            tasks = [asyncio.create_task(keeper.run()), asyncio.create_task(report(api))]
            await asyncio.to_thread(ended.wait)
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
            defects.extend(
                defect for task in tasks if not task.cancelled() and (defect := task.exception()) is not None
            )

    async def report(api: ObjectApi) -> None:
        """As a replica does: its Lease is renewed when nothing changes, and written again after a failure."""
        served = CertificateFiles(directory / "tls.crt", directory / "tls.key")
        reporter = Reporter(api, Self(NAMESPACE, "only", "only"), "", dict)
        while True:
            served.refresh(datetime.now(UTC))
            serial = served.served.serial if served.served else None
            await reporter.report({"certificate": {"serial": serial}}, "")
            await asyncio.sleep(0.05)

    thread = threading.Thread(target=lambda: asyncio.run(work()))
    thread.start()
    try:
        assert ready.wait(60)
        yield made[0]
    finally:
        ended.set()
        thread.join()
        box.api.call("DELETE", f"/apis/coordination.k8s.io/v1/namespaces/{NAMESPACE}/leases/warmpod-replica-only")
    assert defects == []


def certs(box: Sandbox, *arguments: str) -> Result:
    place = ["--kubeconfig", str(box.kubeconfig), "--namespace", NAMESPACE, "--webhook-configuration", NAMESPACE]
    return CliRunner().invoke(main, ["certs", arguments[0], *place, *arguments[1:]])


def status(box: Sandbox) -> dict[str, Any]:
    result = certs(box, "status", "--output", "json", "--tls-settle-seconds", "0.2", "--tls-overlap-seconds", "0.1")
    found: dict[str, Any] = json.loads(result.stdout)
    assert result.exit_code == (1 if found["problems"] else 0), result.output
    return found


def until(ready: Callable[[], object], seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not ready():
        assert time.monotonic() < end, "it did not come to that"
        time.sleep(0.05)


def test_a_keeper_begins_rotates_and_comes_to_rest(installed: Sandbox, tmp_path: Path) -> None:
    missing = certs(installed, "status")
    assert missing.exit_code == 3, missing.output
    assert "there is no Secret" in missing.stderr
    assert certs(installed, "rotate").exit_code == 2

    with kept(installed, tmp_path / "tls") as keeper:
        until(lambda: keeper.condition.waiting == "nothing is due")
        serials, authorities = set(), set()
        for number in range(ROTATIONS):
            kind = ["--authority"] if number % 2 else []
            result = certs(installed, "rotate", "--wait", "--timeout", "60", *kind)
            assert result.exit_code == 0, result.output
            assert "every replica (1) serves the new leaf" in result.stdout
            secret = installed.api.call("GET", f"/api/v1/namespaces/{NAMESPACE}/secrets/{names.TLS_SECRET}")
            serials.add(secret["data"]["tls.crt"])
            authorities.add(secret["data"]["ca.crt"])
        assert (len(serials), len(authorities)) == (ROTATIONS, 1 + ROTATIONS // 2)
        until(
            lambda: status(installed)["phase"] == "steady" and status(installed)["next"]["reason"] == "nothing is due"
        )
        found = status(installed)
        assert found["problems"] == []
        assert [(one["role"], one["hooks"]) for one in found["authorities"]] == [("signing", 2)]
        assert [one["current"] for one in found["replicas"]] == [True]
        path = f"/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/{NAMESPACE}"
        for each in Configuration(installed.api.call("GET", path)).bundles:
            trusted = bundle.parse(each)
            assert len(trusted.certificates) == 1
            pair = [(tmp_path / "tls" / name).read_bytes() for name in ("tls.crt", "tls.key")]
            check_pair(pair[0], pair[1], datetime.now(UTC), authority_pem=each)

        # What people do to it.
        installed.api.call("DELETE", f"/api/v1/namespaces/{NAMESPACE}/secrets/{names.TLS_SECRET}")
        until(
            lambda: (
                keeper.condition.phase == "steady" and keeper.condition.serial not in {None, found["leaf"]["serial"]}
            )
        )
        installed.api.patch(path, {"webhooks": CONFIGURATION["webhooks"]})
        until(lambda: all(Configuration(installed.api.call("GET", path)).bundles))
        until(lambda: status(installed)["problems"] == [])
        table = certs(installed, "status")
        assert "served by 1 of 1 replicas" in table.stdout
    gone = status(installed)
    assert "no replica reports" in gone["problems"]


async def _answers(api: ObjectApi) -> list[object]:
    """What is answered to writes in an order that only preconditions keep harmless."""
    found: list[object] = []

    async def ask(call: Any) -> dict[str, Any]:
        try:
            answer: dict[str, Any] = await call
        except ApiFailure as failure:
            found.append(failure.kind)
            return {}
        found.append(sorted(answer.get("data", {})) or len(answer.get("webhooks", [])))
        return answer

    data = {"a": base64.b64encode(b"1").decode()}
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "twin", "namespace": NAMESPACE}, "data": data}
    await ask(api.read(SECRETS, NAMESPACE, "twin"))
    first = await ask(api.create(SECRETS, NAMESPACE, copy.deepcopy(secret)))
    await ask(api.create(SECRETS, NAMESPACE, copy.deepcopy(secret)))
    await ask(api.replace(SECRETS, NAMESPACE, {**first, "data": {**data, "b": data["a"]}}))
    await ask(api.replace(SECRETS, NAMESPACE, first))
    configuration = copy.deepcopy(CONFIGURATION)
    configuration["metadata"] = {"name": "twin"}
    made = await ask(api.create(WEBHOOK_CONFIGURATIONS, "", configuration))
    for _ in range(2):
        version = {"op": "replace", "path": "/metadata/resourceVersion", "value": made["metadata"]["resourceVersion"]}
        value = {"op": "add", "path": "/webhooks/1/clientConfig/caBundle", "value": data["a"]}
        await ask(api.patch(WEBHOOK_CONFIGURATIONS, "", "twin", [version, value]))
    stored = await ask(api.read(WEBHOOK_CONFIGURATIONS, "", "twin"))
    found.append([one["clientConfig"].get("caBundle") for one in stored["webhooks"]])
    await api.delete(SECRETS, NAMESPACE, "twin")
    await api.delete(WEBHOOK_CONFIGURATIONS, "", "twin")
    await ask(api.replace(SECRETS, NAMESPACE, {**first, "metadata": {**first["metadata"]}}))
    return found


def test_the_twin_of_the_laws_answers_as_the_api_server_does(installed: Sandbox) -> None:
    async def real() -> list[object]:
        async with KubeApi.connect(installed.kubeconfig) as kube:
            return await _answers(ObjectApi(kube.transport))

    said = asyncio.run(real())
    assert said == asyncio.run(_answers(ObjectApi(Twin())))
    assert said[2] == "conflict"
    assert said.count("conflict") >= 3
