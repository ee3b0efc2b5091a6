"""Replicas of the sandbox: the Deployment's two containers as processes, each pair with files of its own."""

from __future__ import annotations

import base64
import json
import socket
import ssl
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from certs.issue import load_pair
from tests.cluster import pods
from webhook import __version__
from webhook.kube import Object, names
from webhook.sandbox import ports
from webhook.sandbox.nodes import PretendNode
from webhook.sandbox.replica import Replica
from webhook.sandbox.sandbox import Sandbox

pytestmark = pytest.mark.cluster

HERE = Path(__file__).parent
LEASES = f"/apis/coordination.k8s.io/v1/namespaces/{names.SYSTEM_NAMESPACE}/leases"
SECRET = f"/api/v1/namespaces/{names.SYSTEM_NAMESPACE}/secrets/{names.TLS_SECRET}"
CONFIGURATION = f"/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/{names.WEBHOOK_CONFIGURATION}"
DEPLOYMENT = f"/apis/apps/v1/namespaces/{names.SYSTEM_NAMESPACE}/deployments/{names.DEPLOYMENT}"


@pytest.fixture(scope="module")
def stolen() -> Iterator[int]:
    """A port that somebody took between our look and the bind."""
    with socket.create_server((ports.LOOPBACK, 0)) as server:
        yield server.getsockname()[1]


@pytest.fixture(scope="module")
def pair_of_them(stolen: int, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """A sandbox of two replicas, whose first webhook was given the stolen port."""
    policies = tmp_path_factory.mktemp("policies")
    (policies / "policies.yaml").write_text((HERE / "policies.yaml").read_text())
    node = PretendNode("gpu-1", accelerators={"nvidia.com/gpu": 64}, images={pods.IMAGE: 9_000_000_000})
    given: list[int] = []

    def free(count: int) -> list[int]:
        found = really(count)
        if count == 2 and not given:  # the ports of a webhook
            found[0] = stolen
            given.append(stolen)
        return found

    really = ports.free
    box = Sandbox(policies=policies, nodes=[node], replicas=2)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ports, "free", free)
        with box:
            patch.undo()
            assert given == [stolen]
            yield box
            box.check()


def status(replica: Replica) -> dict[str, Any]:
    with urllib.request.urlopen(f"{replica.webhook.metrics_url}/status", timeout=10) as answer:
        found: dict[str, Any] = json.loads(answer.read())
    return found


def served(address: tuple[str, int], name: str, authority: bytes) -> None:
    """Shake hands as the API server does that calls this name."""
    context = ssl.create_default_context(cadata=authority.decode())
    with socket.create_connection(address, timeout=10) as plain, context.wrap_socket(plain, server_hostname=name):
        pass


def authority(box: Sandbox) -> bytes:
    return base64.b64decode(box.api.call("GET", SECRET)["data"]["ca.crt"])


def hooks(box: Sandbox) -> list[Object]:
    return [each["clientConfig"] for each in box.api.call("GET", CONFIGURATION)["webhooks"]]


def test_a_stolen_port_is_left_to_its_thief(pair_of_them: Sandbox, stolen: int) -> None:
    first = pair_of_them.replicas[0].webhook
    assert first.port != stolen
    assert [each["url"] for each in hooks(pair_of_them)] == [f"{first.url}/mutate", f"{first.url}/mutate/audit"]


def test_pods_are_warm_by_certificates_that_the_controllers_keep(pair_of_them: Sandbox) -> None:
    pods.assert_warm(pods.create(pair_of_them, "default", pods.pod("warm")), placed=False)
    trusted = authority(pair_of_them)
    assert all(base64.b64decode(each["caBundle"]) == trusted for each in hooks(pair_of_them))
    assert trusted != pair_of_them.authority_pem


def test_both_replicas_serve_the_one_pair_from_files_of_their_own(pair_of_them: Sandbox) -> None:
    first, second = pair_of_them.replicas
    assert (first.name, second.name) == ("warmpod", "warmpod-2")
    assert first.webhook.pair != second.webhook.pair
    one, other = (each.webhook.pair / "tls.crt" for each in (first, second))
    assert one.read_bytes() == other.read_bytes()
    assert status(first)["certificate"]["serial"] == status(second)["certificate"]["serial"]
    assert pair_of_them.controllers == tuple(each.controller for each in pair_of_them.replicas)
    snapshots = {each.controller.snapshot for each in pair_of_them.replicas if each.controller}
    assert snapshots == {pair_of_them.snapshot, pair_of_them.directory / "snapshot-2.json"}
    leases = {each["metadata"]["name"] for each in pair_of_them.api.call("GET", LEASES)["items"]}
    assert leases >= {names.CONTROLLER_LEASE, f"{names.REPLICA_LEASE_PREFIX}warmpod-2"}


def test_the_settings_are_those_of_the_deployment(pair_of_them: Sandbox) -> None:
    found = pair_of_them.api.call("GET", DEPLOYMENT)
    assert found["spec"]["replicas"] == 2
    assert status(pair_of_them.replicas[0])["hydratorImage"] == f"ghcr.io/warmpod/warmpod:{__version__}"
    log = pair_of_them.webhook.process.log.read_text()
    assert '"message":"waiting to serve","seconds":300.0' in log, "as the Deployment tells it to"


def test_one_more_that_a_service_could_lead_to(pair_of_them: Sandbox) -> None:
    host = own_address()
    third = pair_of_them.add_replica("third", host=host, webhook=["--drain-seconds=0.2"])
    try:
        assert third in pair_of_them.replicas
        address = (host, third.webhook.port)
        service = f"{names.WEBHOOK_SERVICE}.{names.SYSTEM_NAMESPACE}.svc"
        for name in (service, f"{service}.cluster.local"):
            served(address, name, authority(pair_of_them))
        with pytest.raises(ssl.SSLCertVerificationError):
            served(address, "somebody.else.svc", authority(pair_of_them))
        with pytest.raises(ConnectionRefusedError):
            served((ports.LOOPBACK, third.webhook.port), service, authority(pair_of_them))
    finally:
        pair_of_them.remove_replica(third)
    assert third not in pair_of_them.replicas
    assert len(pair_of_them.controllers) == 2
    assert not third.webhook.running


def own_address() -> str:
    """This machine's address in some network; no packet is sent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(("192.0.2.1", 9))
        return str(probe.getsockname()[0])


def test_a_killed_one_comes_back_on_its_ports_and_its_pair(pair_of_them: Sandbox) -> None:
    second = pair_of_them.replicas[1]
    before = (second.webhook.port, load_pair(*pem(second)).certificate.serial_number)
    second.kill()
    assert not any(each.running for each in second.processes)
    pods.assert_warm(pods.create(pair_of_them, "default", pods.pod("meanwhile")), placed=False)
    second.start()
    second.wait_until_ready()
    assert (second.webhook.port, load_pair(*pem(second)).certificate.serial_number) == before


def pem(replica: Replica) -> tuple[bytes, bytes]:
    return tuple((replica.webhook.pair / name).read_bytes() for name in ("tls.crt", "tls.key"))  # type: ignore[return-value]  # of two


def test_an_orderly_end_takes_the_replicas_lease_along(pair_of_them: Sandbox) -> None:
    second = pair_of_them.replicas[1]
    second.stop()
    leases = {each["metadata"]["name"] for each in pair_of_them.api.call("GET", LEASES)["items"]}
    assert f"{names.REPLICA_LEASE_PREFIX}warmpod-2" not in leases
    second.start()
    second.wait_until_ready()
