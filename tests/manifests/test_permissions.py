"""RBAC: every right of every overlay is one that the code asks for, and it asks for no other."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from tests.manifests import rendered
from tests.manifests.rendered import Document
from webhook.controller import permissions as installation
from webhook.kube import names
from webhook.sandbox import controller
from webhook.sources.kube_api import permissions as inventory

pytestmark = pytest.mark.cluster

Right = tuple[str, str, str, str, str]
"""Namespace ("" is all of the cluster), group, resource, verb, name ("" is any)."""


def rights(documents: Iterable[Document]) -> set[Right]:
    """Everything that the roles allow."""
    return {
        (role["metadata"].get("namespace", ""), group, resource, verb, name)
        for role in documents
        if role["kind"] in ("Role", "ClusterRole")
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
        for name in rule.get("resourceNames", [""])
    }


CLUSTER_WIDE = {"mutatingwebhookconfigurations", "namespaces"}


def asked(calls: Iterable[installation.Call]) -> set[Right]:
    """What the calls of the installation need."""
    return {("" if each.resource in CLUSTER_WIDE else names.SYSTEM_NAMESPACE, *each) for each in calls}


INVENTORY: set[Right] = {("", *call, "") for call in inventory.CALLS}
ALWAYS = INVENTORY | asked(installation.LEASES | installation.REGISTRATION)


@pytest.mark.parametrize("overlay", rendered.OVERLAYS)
def test_an_overlay_allows_what_its_controller_asks_for_and_nothing_else(overlay: str) -> None:
    documents = rendered.overlay(overlay)
    keeps = "WARMPOD_TLS_SECRET" in rendered.variables(rendered.container(documents, "controller"))
    assert keeps == (overlay != "cert-manager")
    assert rights(documents) == ALWAYS | (asked(installation.CERTIFICATES) if keeps else set())


def test_managing_the_configuration_costs_what_the_code_says_it_does() -> None:
    documents = rendered.composed("manage-webhook")
    assert rendered.variables(rendered.container(documents, "controller"))["WARMPOD_MANAGE_WEBHOOK"] == "true"
    assert rights(documents) == ALWAYS | asked(installation.CERTIFICATES | installation.RESTORATION)


def test_reports_cost_what_the_code_says_they_do() -> None:
    documents = rendered.composed("policy-reports")
    assert rendered.variables(rendered.container(documents, "controller"))["WARMPOD_POLICY_REPORTS"] == "true"
    everywhere = {("", *call) for call in installation.POLICY_REPORTS}
    assert rights(documents) == ALWAYS | asked(installation.CERTIFICATES) | everywhere


def test_it_can_be_managed_beside_cert_manager() -> None:
    documents = rendered.composed("cert-manager", "manage-webhook")
    assert rights(documents) == ALWAYS | asked(installation.RESTORATION)


@pytest.mark.parametrize(
    "components",
    [(), ("manage-webhook",), ("policy-reports",)],
    ids=["base", "manage-webhook", "policy-reports"],
)
def test_every_role_is_bound_to_the_one_account(components: tuple[str, ...]) -> None:
    documents = rendered.composed(*components)
    [account] = [each for each in documents if each["kind"] == "ServiceAccount"]
    subject = {"kind": "ServiceAccount", "name": controller.ACCOUNT, "namespace": controller.NAMESPACE}
    assert (account["metadata"]["name"], account["metadata"]["namespace"]) == (subject["name"], subject["namespace"])
    assert rendered.pod_spec(documents)["serviceAccountName"] == subject["name"]
    roles = {rendered.key(each) for each in documents if each["kind"] in ("Role", "ClusterRole")}
    bindings = [each for each in documents if each["kind"] in ("RoleBinding", "ClusterRoleBinding")]
    bound = {
        (each["roleRef"]["kind"], each["metadata"].get("namespace", ""), each["roleRef"]["name"]) for each in bindings
    }
    assert bound == roles
    assert all(each["subjects"] == [subject] for each in bindings)
    assert all(each["kind"] == f"{each['roleRef']['kind']}Binding" for each in bindings)


@pytest.mark.parametrize("overlay", rendered.OVERLAYS)
def test_no_right_is_a_wildcard_or_reaches_a_secret_by_no_name(overlay: str) -> None:
    for namespace, group, resource, verb, name in rights(rendered.overlay(overlay)):
        assert "*" not in (namespace, group, resource, verb, name)
        assert resource != "secrets" or (namespace == names.SYSTEM_NAMESPACE and (name or verb == "create"))
        assert verb not in ("escalate", "bind", "impersonate", "deletecollection")
