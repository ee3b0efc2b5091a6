"""`warmpod doctor` on a real installation: healthy, and broken in every way that a sandbox can be broken in."""

from __future__ import annotations

import base64
import json
import re
import shutil
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from click.testing import CliRunner

from certs.issue import issue_authority
from tests.cluster.pods import eventually
from webhook.cli.main import main
from webhook.kube import Object, names
from webhook.sandbox import credentials
from webhook.sandbox.nodes import PretendNode
from webhook.sandbox.sandbox import Sandbox
from webhook.sources import replicas

pytestmark = pytest.mark.cluster

NAMESPACE = names.SYSTEM_NAMESPACE
REGISTRATION = f"/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/{names.WEBHOOK_CONFIGURATION}"
BINDING = "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings/warmpod"
SERVICE = f"/api/v1/namespaces/{NAMESPACE}/services/{names.WEBHOOK_SERVICE}"
DEPLOYMENT = f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments/{names.DEPLOYMENT}"
PODS = f"/api/v1/namespaces/{NAMESPACE}/pods"
LEASES = f"/apis/coordination.k8s.io/v1/namespaces/{NAMESPACE}/leases"
WORKS = "Warmpod works: pods are reviewed in Enforce"
AUDITS = "Warmpod works: pods are reviewed in Audit, so none is changed"
COLD = "GPU pods start as without Warmpod, because "
PATIENCE = 90.0


class Told(NamedTuple):
    """What the command said."""

    code: int
    verdict: str
    findings: list[Mapping[str, str]]

    def of(self, name: str) -> list[Mapping[str, str]]:
        return [one for one in self.findings if one["name"] == name]


@pytest.fixture(autouse=True, scope="module")
def no_proxy() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NO_PROXY", "127.0.0.1")
        yield


@pytest.fixture(scope="module")
def policies(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("doctor")
    shutil.copy(Path(__file__).parent / "policies.yaml", directory)
    return directory


@pytest.fixture(scope="module")
def place(policies: Path) -> Iterator[Sandbox]:
    """An installation of our own, for it is broken again and again."""
    tls = ["--tls-name=127.0.0.1", f"--tls-name={names.WEBHOOK_SERVICE}.{NAMESPACE}.svc"]
    with Sandbox(policies=policies, nodes=[PretendNode("gpu-1")], controller_arguments=tls) as sandbox:
        yield sandbox


def ask(kubeconfig: Path, *flags: str) -> Told:
    done = CliRunner().invoke(main, ["doctor", f"--kubeconfig={kubeconfig}", "--output=json", *flags])
    found = json.loads(done.stdout)
    return Told(done.exit_code, found["verdict"]["text"], found["findings"])


@pytest.fixture
def told(place: Sandbox) -> Callable[[str], Told]:
    """Asks until the verdict begins as it should: API servers, replicas and controllers follow changes by and by.

    WORKS and AUDITS are asked for whole, with nothing to complain of: a replica that has just started reports by and by
    that it serves.
    """

    def until(verdict: str) -> Told:
        said: list[str] = []

        def look() -> Told | None:
            found = ask(place.kubeconfig)
            said[:] = [found.verdict]
            whole = verdict in (WORKS, AUDITS)
            holds = found.verdict == verdict if whole else found.verdict.startswith(verdict)
            return found if holds else None

        try:
            found: Told = eventually(look, verdict, PATIENCE)
        except AssertionError as error:
            raise AssertionError(f"{error}; the last one was: {said}") from None
        return found

    return until


Tell = Callable[[str], Told]


@contextmanager
def registered(place: Sandbox, change: Callable[[list[Object]], Any]) -> Iterator[None]:
    """Within the block, the registration has other webhooks."""
    before = place.api.call("GET", REGISTRATION)["webhooks"]
    hooks = json.loads(json.dumps(before))
    change(hooks)
    place.api.patch(REGISTRATION, {"webhooks": hooks})
    try:
        yield
    finally:
        place.api.patch(REGISTRATION, {"webhooks": before})


@contextmanager
def without_controller(place: Sandbox) -> Iterator[None]:
    """Within the block, nobody mends anything."""
    controller = place.controllers[0]
    controller.stop()
    try:
        yield
    finally:
        controller.start()
        controller.wait_until_ready()


def by_service(hooks: list[Object]) -> None:
    """As in a cluster."""
    for hook in hooks:
        path = "/mutate/audit" if hook["name"].startswith("audit.") else "/mutate"
        service = {"name": names.WEBHOOK_SERVICE, "namespace": NAMESPACE, "path": path, "port": 443}
        hook["clientConfig"] = {"service": service, "caBundle": hook["clientConfig"]["caBundle"]}


def test_a_healthy_installation(place: Sandbox, told: Tell) -> None:
    found = told(WORKS)
    assert [one for one in found.findings if one["state"] not in ("ok", "note")] == []
    assert found.code == 0
    assert any("a sandbox" in one["text"] for one in found.of("registration"))
    assert "answered by a replica" in found.of("probe")[0]["text"]
    assert place.api.call("GET", "/api/v1/namespaces/default/pods")["items"] == [], "it left something behind"


def test_audit(place: Sandbox, told: Tell) -> None:
    def audit(hooks: list[Object]) -> None:
        hooks[0]["clientConfig"]["url"] = place.webhook_url + "/mutate/audit"

    with registered(place, audit):
        found = told(AUDITS)
        assert found.code == 0


def test_no_registration(place: Sandbox, told: Tell) -> None:
    kept = place.api.call("GET", REGISTRATION)
    place.api.call("DELETE", REGISTRATION)
    try:
        found = told(COLD + "the registration (MutatingWebhookConfiguration warmpod) is missing")
        assert found.code == 1
        assert found.findings[0]["name"] == "registration"
        assert "kubectl apply -k" in found.findings[0]["advice"]
    finally:
        collection = REGISTRATION.rpartition("/")[0]
        metadata = {key: kept["metadata"][key] for key in ("name", "labels") if key in kept["metadata"]}
        place.api.call("POST", collection, {**kept, "metadata": metadata})
    told(WORKS)


def test_emptied_hooks(place: Sandbox, told: Tell) -> None:
    with registered(place, lambda hooks: hooks.clear()):
        found = told(COLD + "the registration (MutatingWebhookConfiguration warmpod) has no webhooks left")
        assert found.findings[0]["name"] == "registration"
    told(WORKS)


def test_a_wrong_authority(place: Sandbox, told: Tell) -> None:
    pem = issue_authority(datetime.now(UTC), common_name="somebody else").certificate_pem

    def distrust(hooks: list[Object]) -> None:
        for hook in hooks:
            hook["clientConfig"]["caBundle"] = base64.b64encode(pem).decode()

    with without_controller(place), registered(place, distrust):
        found = told(COLD + "webhook pods.warmpod.dev has a caBundle that does not verify the certificate")
        assert found.findings[0]["name"] == "trust"
        assert any("one more fail-open" in one["text"] for one in found.of("probe"))
    told(WORKS)


def test_the_network_is_closed(place: Sandbox, told: Tell) -> None:
    """The pods of a sandbox are pretended: nobody answers at their addresses, as if a firewall refused."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        one.connect(("192.0.2.1", 9))  # sends nothing; loopback would not be allowed
        address = one.getsockname()[0]
    [pod] = place.api.call("GET", PODS, labelSelector="app.kubernetes.io/component=webhook")["items"]
    status = f"{PODS}/{pod['metadata']['name']}/status"
    before = {key: pod["status"][key] for key in ("podIP", "podIPs")}
    place.api.patch(status, {"status": {"podIP": address, "podIPs": [{"ip": address}]}})
    try:
        with registered(place, by_service):
            found = told(COLD + "the API server cannot reach port 8443 of the replicas")
            assert found.findings[0]["name"] == "network"
            assert "connection refused" in found.findings[0]["text"]
            assert "the cluster security group must allow 8443" in found.findings[0]["advice"]
    finally:
        place.api.patch(status, {"status": before})
    told(WORKS)


def test_no_ready_endpoints(place: Sandbox, told: Tell) -> None:
    selector = place.api.call("GET", SERVICE)["spec"]["selector"]
    place.api.patch(SERVICE, {"spec": {"selector": {"nobody": "here"}}})
    try:
        with registered(place, by_service):
            found = told(COLD + "Service warmpod-webhook has no ready endpoint")
            assert found.findings[0]["name"] == "endpoints"
    finally:
        place.api.patch(SERVICE, {"spec": {"selector": {**selector, "nobody": None}}})
    told(WORKS)


def test_scaled_to_nothing(place: Sandbox, told: Tell) -> None:
    place.api.patch(DEPLOYMENT, {"spec": {"replicas": 0}})
    try:
        with registered(place, by_service):
            found = told(COLD + "Deployment warmpod is scaled to 0")
            assert "--replicas=2" in found.findings[0]["advice"]
    finally:
        place.api.patch(DEPLOYMENT, {"spec": {"replicas": 1}})
    told(WORKS)


def test_nobody_answers_and_pods_are_rejected(place: Sandbox, told: Tell) -> None:
    def fail(hooks: list[Object]) -> None:
        hooks[0]["failurePolicy"] = "Fail"

    place.webhook.stop()
    try:
        found = told(COLD + "nothing answers the API server at the URL of the registration")
        assert found.code == 1
        with registered(place, fail):
            found = told("GPU pods are rejected, because ")
            assert any("connection refused" in one["text"] for one in found.of("probe"))
            assert any("failurePolicy Fail" in one["text"] for one in found.of("selection"))
    finally:
        place.restart_webhook()


def test_a_broken_policy(policies: Path, told: Tell) -> None:
    broken = policies / "broken.yaml"
    broken.write_text("apiVersion: warmpod.dev/v1alpha1\nkind: WarmPolicy\nmetadata: {name: x}\nspec: {nonsense: 1}\n")
    try:
        found = told(f"{WORKS}; but the policy files are not in force as they are")
        finding = found.of("policies")[0]
        assert finding["state"] == "warning"
        assert "warmpod lint" in finding["advice"]
        assert found.code == 1
    finally:
        broken.unlink()


def test_rights_are_missing(place: Sandbox, told: Tell) -> None:
    kept = place.api.call("GET", BINDING)
    place.api.call("DELETE", BINDING)
    try:
        found = told(f"{WORKS}; but service account warmpod-system/warmpod may not: ")
        missing = found.of("rights")[0]["text"]
        assert "list namespaces" in missing
        assert found.code == 1
    finally:
        place.api.call("POST", BINDING.rpartition("/")[0], {**kept, "metadata": {"name": "warmpod"}})


def test_replicas_of_two_versions(place: Sandbox, told: Tell) -> None:
    told(WORKS)  # the replica has reported
    [lease] = place.api.call("GET", LEASES, labelSelector=replicas.SELECTOR)["items"]
    found = replicas.parse(lease)
    assert found is not None
    other = replace(found, name="other", version="9.9.9", uid="", resource_version="")
    place.api.call("POST", LEASES, replicas.document(other, NAMESPACE, datetime.now(UTC)))
    try:
        said = told(f"{WORKS}; but replicas run different versions: ")
        assert "9.9.9 (other)" in said.of("versions")[0]["text"]
    finally:
        place.api.call("DELETE", f"{LEASES}/{replicas.lease_name('other')}")


def test_a_label_that_means_nothing(place: Sandbox, told: Tell) -> None:
    place.make_namespace("doctor-typo", {names.LABEL_NAMESPACE_MODE: "audit"})
    place.make_namespace("doctor-off", {names.LABEL_NAMESPACE_MODE: "Off"})
    try:
        found = told(f"{WORKS}; but the label warmpod.dev/mode=audit of doctor-typo is none of")
        assert any("doctor-off is not reviewed" in one["text"] for one in found.of("namespaces"))
        off = ask(place.kubeconfig, "--probe-namespace=doctor-off")
        assert "does not select namespace doctor-off" in off.verdict
    finally:
        for name in ("doctor-typo", "doctor-off"):
            place.api.call("DELETE", f"/api/v1/namespaces/{name}")


def test_another_namespace_is_not_where_it_is_installed(place: Sandbox) -> None:
    found = ask(place.kubeconfig, "--namespace=nowhere")
    assert found.code == 1
    assert found.findings[0]["name"] == "namespace"
    assert "--namespace" in found.findings[0]["advice"]


@pytest.fixture(scope="module")
def nobody(place: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The kubeconfig of an account that may do what everybody may, and no more."""
    account = "/api/v1/namespaces/default/serviceaccounts/default/token"
    answer = place.api.call("POST", account, {"spec": {"expirationSeconds": 3600}})
    path = tmp_path_factory.mktemp("nobody") / "kubeconfig"
    credentials.write_private(path, place.kubeconfig_of(answer["status"]["token"]))
    return path


def test_who_may_look_at_nothing_is_told_which_rights_are_missing(nobody: Path) -> None:
    found = ask(nobody)
    assert found.code == 2
    assert found.verdict.startswith("nobody knows whether GPU pods are reviewed: a dry run of a GPU pod: you may not ")
    assert {one["state"] for one in found.findings} == {"unknown", "ok"}
    told = {one["name"]: one["text"] for one in found.findings if one["state"] == "unknown"}
    assert "you may not get deployments in namespace warmpod-system" in told["deployment"]
    assert "you may not get secrets in namespace warmpod-system" in told["certificate"]
    assert "you may not create subjectaccessreviews" in told["rights"]
    assert "you may not get the API server's /metrics" in told["fail-open"]
    assert "you may not create pods in namespace default" in told["probe"]


def test_without_an_api_server_it_could_not_run(place: Sandbox, tmp_path: Path) -> None:
    path = tmp_path / "kubeconfig"
    path.write_text(re.sub(r"https://[0-9.:]+", "https://127.0.0.1:1", place.kubeconfig.read_text()))
    done = CliRunner().invoke(main, ["doctor", f"--kubeconfig={path}"])
    assert done.exit_code == 2
    assert "cannot ask the API server for its version" in done.stderr
