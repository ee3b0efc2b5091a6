"""The manifests as the sandbox installs them."""

from __future__ import annotations

import base64
import socket
from typing import Any

import yaml

from webhook.sandbox import install, ports


def configuration() -> dict[str, Any]:
    path = install.manifests_directory() / "mutatingwebhookconfiguration.yaml"
    found: dict[str, Any] = yaml.safe_load(path.read_text())
    return found


def test_services_become_urls_and_nothing_else_changes() -> None:
    before = configuration()
    after = install.pointed_at(before, "https://127.0.0.1:4443", b"PEM")
    assert [hook["clientConfig"] for hook in after["webhooks"]] == [
        {"url": f"https://127.0.0.1:4443{path}", "caBundle": base64.b64encode(b"PEM").decode()}
        for path in ("/mutate", "/mutate/audit")
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


def test_every_kind_of_the_manifests_is_installed_or_left_out_on_purpose() -> None:
    """What would run in the cluster is left out: its processes run beside it."""
    left_out = {"Deployment", "Service", "PodDisruptionBudget", "NetworkPolicy", "Kustomization"}
    for path in install.manifests_directory().glob("*.yaml"):
        for document in yaml.safe_load_all(path.read_text()):
            assert (document["kind"] in install.COLLECTIONS) != (document["kind"] in left_out), document["kind"]
