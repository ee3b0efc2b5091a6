"""The API server shows who it is, and the webhook asks: the real kube-apiserver with an identity for webhooks.

It always shows the same certificate and token. What changes is whom the webhook lets in.
"""

from __future__ import annotations

import json
import re
import socket
import ssl
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from certs.issue import Pair, Usage, issue_authority, issue_leaf
from tests.cluster import pods
from tests.cluster.drills import registration
from tests.cluster.drills.fleet import own_address
from webhook.kube import names
from webhook.sandbox import install
from webhook.sandbox.sandbox import Sandbox

pytestmark = pytest.mark.cluster

HERE = Path(__file__).parent
NAMESPACE = "identity"
TOKEN = "the-token-of-this-api-server"
BY_SERVICE = "the-token-for-the-service"
OTHER = "the-token-of-another-api-server"
SERVICE_HOST = f"{names.WEBHOOK_SERVICE}.{names.SYSTEM_NAMESPACE}.svc"
SERVICE = f"/api/v1/namespaces/{names.SYSTEM_NAMESPACE}/services/{names.WEBHOOK_SERVICE}"
SLICES = f"/apis/discovery.k8s.io/v1/namespaces/{names.SYSTEM_NAMESPACE}/endpointslices"
FAIL_OPEN = re.compile(r"^apiserver_admission_webhook_fail_open_count\{([^}]*)\} (\S+)$", re.MULTILINE)
ADMISSION = """
apiVersion: apiserver.config.k8s.io/v1
kind: AdmissionConfiguration
plugins:
- name: MutatingAdmissionWebhook
  configuration:
    apiVersion: apiserver.config.k8s.io/v1
    kind: WebhookAdmissionConfiguration
    kubeConfigFile: {kubeconfig}
"""


def now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True)
class House:
    """A sandbox whose API server has an identity, and the files by which its webhook knows it."""

    box: Sandbox
    authority: Pair
    client_ca: Path
    tokens: Path

    def create(self, name: str, **query: str) -> dict[str, object]:
        return pods.create(self.box, NAMESPACE, pods.pod(name, **pods.NOBODY), **query)

    def fail_opens(self) -> float:
        """How often the API server went on without us, by its own count."""
        text = self.box.kubectl("get", "--raw", "/metrics").stdout
        ours = f"pods.{names.DOMAIN}"
        return sum(float(value) for labels, value in FAIL_OPEN.findall(text) if f'name="{ours}"' in labels)

    def metric(self, line: str) -> float:
        [found] = [row for row in self.box.webhook.metrics().splitlines() if row.startswith(f"{line} ")]
        return float(found.rpartition(" ")[2])

    def trust(self, authority: Pair) -> None:
        """From now on whoever comes from this authority."""
        self.client_ca.write_bytes(authority.certificate_pem)
        self.box.restart_webhook()  # else the API server's connection, which was let in, lives on

    def accept(self, token: str) -> None:
        """From now on whoever has this token."""
        line = 'warmpod_reloads_total{result="success",source="bearer-tokens"}'
        before = self.metric(line)
        self.tokens.write_text(f"{token}\n")
        pods.eventually(lambda: self.metric(line) > before, "look at the tokens")


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    root = tmp_path_factory.mktemp("identity")
    authority = issue_authority(now(), common_name="identities")
    leaf = issue_leaf(authority, [], now(), common_name="kube-apiserver-of-webhooks", usage=Usage.CLIENT)
    (root / "client.crt").write_bytes(leaf.certificate_pem)
    (root / "client.key").write_bytes(leaf.key_pem)
    client_ca, tokens = root / "client-ca.crt", root / "tokens"
    client_ca.write_bytes(authority.certificate_pem)
    tokens.write_text(f"{TOKEN}\n")
    user = {
        "client-certificate": str(root / "client.crt"),
        "client-key": str(root / "client.key"),
        "token": TOKEN,
    }
    # JSON is YAML. A user's name is the host that it is shown to; `*` is any other.
    users = [{"name": "*", "user": user}, {"name": SERVICE_HOST, "user": {**user, "token": BY_SERVICE}}]
    kubeconfig = {"apiVersion": "v1", "kind": "Config", "users": users}
    (root / "kubeconfig").write_text(json.dumps(kubeconfig))
    (root / "admission.yaml").write_text(ADMISSION.format(kubeconfig=root / "kubeconfig"))
    policies = root / "policies"
    policies.mkdir()
    (policies / "policies.yaml").write_bytes((HERE / "policies.yaml").read_bytes())
    with Sandbox(
        policies=policies,
        controllers=0,
        api_server_arguments=[f"--admission-control-config-file={root / 'admission.yaml'}"],
        webhook_arguments=[
            "--host=0.0.0.0",  # a Service cannot lead to loopback
            f"--client-ca={client_ca}",
            "--client-name=kube-apiserver-of-webhooks",
            f"--bearer-token-file={tokens}",
        ],
    ) as box:
        box.make_namespace(NAMESPACE)
        yield House(box, authority, client_ca, tokens)


def test_the_api_server_is_let_in(house: House) -> None:
    before = house.fail_opens()
    for number in range(3):
        pods.assert_warm(house.create(f"right-{number}"), placed=False)
    assert house.fail_opens() == before
    assert house.metric('warmpod_reviews_total{outcome="patched"}') >= 3


def test_a_stranger_on_the_pod_network_learns_nothing(house: House) -> None:
    """Without a certificate there is no HTTP at all: neither an answer, nor which paths there are."""
    address = urlsplit(house.box.webhook_url)
    trust = ssl.create_default_context(cadata=house.box.webhook.pair.joinpath("tls.crt").read_text())
    trust.check_hostname = False
    trust.verify_mode = ssl.CERT_NONE
    before = house.metric('warmpod_handshakes_failed_total{reason="no-client-certificate"}')
    said = b""
    with (
        suppress(ssl.SSLError, ConnectionError),
        socket.create_connection((str(address.hostname), address.port or 0)) as plain,
        trust.wrap_socket(plain) as stream,
    ):
        stream.sendall(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
        said = stream.recv(1000)
    assert said == b""
    pods.eventually(
        lambda: house.metric('warmpod_handshakes_failed_total{reason="no-client-certificate"}') > before, "count"
    )


def test_another_token_fails_open_and_is_told_of(house: House) -> None:
    house.accept(OTHER)
    fail_opens = house.fail_opens()
    strangers = house.metric('warmpod_strangers_total{reason="token-unknown"}')
    pods.assert_untouched(house.create("other-token"))
    assert house.fail_opens() == fail_opens + 1
    assert house.metric('warmpod_strangers_total{reason="token-unknown"}') == strangers + 1
    house.accept(TOKEN)
    pods.assert_warm(house.create("right-token"), placed=False)
    assert house.fail_opens() == fail_opens + 1


def test_another_authority_fails_open_and_is_told_of(house: House) -> None:
    house.trust(issue_authority(now(), common_name="identities"))
    fail_opens = house.fail_opens()
    refused = 'warmpod_handshakes_failed_total{reason="client-certificate"}'
    before = house.metric(refused)
    pods.assert_untouched(house.create("other-authority"))
    assert house.fail_opens() == fail_opens + 1
    pods.eventually(lambda: house.metric(refused) > before, "count")
    log = house.box.webhook.process.log  # written by a thread of its own
    pods.eventually(lambda: "handshake failed: client-certificate" in log.read_text(), "line of the log")
    said = log.read_text()
    assert TOKEN not in said
    house.trust(house.authority)
    pods.assert_warm(house.create("right-authority"), placed=False)
    assert house.fail_opens() == fail_opens + 1


@pytest.fixture
def by_service(house: House) -> Iterator[House]:
    """The registration of the manifests, by the Service, which leads to the same webhook."""
    box, port = house.box, urlsplit(house.box.webhook_url).port
    service = box.api.patch(SERVICE, {"spec": {"selector": None}})  # else the cluster's controller fills its slices
    for one in box.api.call("GET", SLICES)["items"]:
        box.api.call("DELETE", f"{SLICES}/{one['metadata']['name']}")
    box.api.call(
        "POST",
        SLICES,
        {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {"name": "identity", "labels": {"kubernetes.io/service-name": names.WEBHOOK_SERVICE}},
            "addressType": "IPv4",
            "endpoints": [{"addresses": [own_address()], "conditions": {"ready": True}}],
            "ports": [{"name": service["spec"]["ports"][0]["name"], "port": port, "protocol": "TCP"}],
        },
    )
    before = registration.read(box)["webhooks"]
    [hooks] = [each["webhooks"] for each in install.rendered(box.binaries.kubectl) if "webhooks" in each]
    registration.lead_to_the_service(box, hooks)
    yield house
    registration.write_hooks(box, before)
    house.accept(TOKEN)


def test_a_service_is_shown_the_identity_of_its_name(by_service: House) -> None:
    """As kubeconfigs of real clusters have it: `warmpod-webhook.warmpod-system.svc`."""
    by_service.accept(BY_SERVICE)

    def warm() -> bool:
        return bool(pods.hydrators(by_service.create("called", dryRun="All")))

    pods.eventually(warm, "call by the Service")
    fail_opens = by_service.fail_opens()
    pods.assert_warm(by_service.create("by-service"), placed=False)
    assert by_service.fail_opens() == fail_opens
