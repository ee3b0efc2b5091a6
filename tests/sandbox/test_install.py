"""The manifests as the sandbox installs them."""

from __future__ import annotations

import base64
import socket
from typing import Any

import pytest
import yaml

from webhook.kube import Object
from webhook.sandbox import SandboxFailed, binaries, deployment, install, ports
from webhook.sandbox.deployment import Pod


def configuration() -> dict[str, Any]:
    path = install.manifests_directory() / "base" / "mutatingwebhookconfiguration.yaml"
    found: dict[str, Any] = yaml.safe_load(path.read_text())
    return found


@pytest.mark.parametrize("pem", [b"PEM", b""], ids=["trusting", "nobody yet"])
def test_services_become_urls_and_nothing_else_changes(pem: bytes) -> None:
    before = configuration()
    after = install.pointed_at(before, "https://127.0.0.1:4443", pem)
    trusted = {"caBundle": base64.b64encode(pem).decode()} if pem else {}
    assert [hook["clientConfig"] for hook in after["webhooks"]] == [
        {"url": f"https://127.0.0.1:4443{path}", **trusted} for path in ("/mutate", "/mutate/audit")
    ]
    for old, new in zip(before["webhooks"], after["webhooks"], strict=True):
        assert {**old, "clientConfig": None} == {**new, "clientConfig": None}
    assert {**before, "webhooks": None} == {**after, "webhooks": None}
    assert before == configuration(), "the input stays"


def test_free_ports_are_distinct_and_free() -> None:
    found = ports.free(20)
    assert len(set(found)) == 20
    assert not ports.answers(found[0])
    with socket.create_server((ports.LOOPBACK, found[0])):
        assert ports.answers(found[0])


@pytest.mark.cluster
def test_every_kind_of_the_overlay_is_installed() -> None:
    rendered = install.rendered(binaries.find().kubectl)
    assert {each["kind"] for each in rendered} == set(install.COLLECTIONS)
    [found] = [each for each in rendered if each["kind"] == "Deployment"]
    assert install.scaled(found, 5) == {**found, "spec": {**found["spec"], "replicas": 5}}
    assert all(install.scaled(each, 5) == each for each in rendered if each["kind"] != "Deployment")


def test_an_overlay_that_kubectl_cannot_render_is_told_in_its_words() -> None:
    with pytest.raises(SandboxFailed, match=r"cannot render .*overlays/nowhere: .*nowhere"):
        install.rendered(binaries.find().kubectl, "nowhere")


def made(*variables: Object) -> Object:
    containers = [{"name": "webhook", "args": ["webhook", "--x"], "env": list(variables)}, {"name": "controller"}]
    return {"metadata": {"name": "warmpod"}, "spec": {"template": {"spec": {"containers": containers}}}}


def from_field(path: str) -> Object:
    return {"name": "A", "valueFrom": {"fieldRef": {"fieldPath": path}}}


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ({"name": "A", "value": "1"}, "1"),
        ({"name": "A"}, ""),
        (from_field("metadata.name"), "pod-1"),
        (from_field("metadata.namespace"), "system"),
        (from_field("metadata.uid"), "u"),
    ],
    ids=["value", "nothing", "name", "namespace", "uid"],
)
def test_variables_are_what_a_kubelet_makes_of_them(variable: Object, value: str) -> None:
    found = deployment.container(made(variable), "webhook", Pod("pod-1", "system", "u"))
    assert found.arguments == ("webhook", "--x")
    assert found.environment == {"A": value}
    assert found.with_settings({"A": "2", "B": "3"}).environment == {"A": "2", "B": "3"}


@pytest.mark.parametrize(
    "variable",
    [
        from_field("status.podIP"),
        {"name": "A", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}},
    ],
    ids=["another field", "a secret"],
)
def test_what_nobody_plays_is_refused(variable: Object) -> None:
    with pytest.raises(SandboxFailed, match=r"nobody plays what the variable A comes from"):
        deployment.container(made(variable), "webhook", Pod("pod-1", "system"))


def test_a_container_that_is_missing_is_named() -> None:
    with pytest.raises(SandboxFailed, match="the Deployment warmpod has no container sidecar"):
        deployment.container(made(), "sidecar", Pod("pod-1", "system"))


def test_the_deployment_of_the_file_is_the_one_that_is_rendered() -> None:
    for name in (deployment.WEBHOOK, deployment.CONTROLLER):
        assert deployment.container(install.deployment(), name, Pod("p", "n")).environment
