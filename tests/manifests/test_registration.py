"""The webhook configuration, the namespace and the admission policy of `manifests/base` say the same as the code."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from webhook.kube import names
from webhook.kube.accelerator import DEFAULT_PATTERNS
from webhook.sandbox import controller

BASE = Path(__file__).parents[2] / "manifests" / "base"
SYSTEM = names.SYSTEM_NAMESPACE
PROTECTED = {"kube-system", "kube-node-lease", SYSTEM}

Document = dict[str, Any]


def documents() -> list[Document]:
    listed = yaml.safe_load((BASE / "kustomization.yaml").read_text())["resources"]
    files = [BASE / name for name in listed if name.endswith(".yaml")]
    return [document for file in files for document in yaml.safe_load_all(file.read_text())]


def of_kind(kind: str) -> Document:
    found = [document for document in documents() if document["kind"] == kind]
    assert len(found) == 1
    return found[0]


HOOKS: dict[str, Document] = {hook["name"]: hook for hook in of_kind("MutatingWebhookConfiguration")["webhooks"]}
both = pytest.mark.parametrize("hook", HOOKS.values(), ids=HOOKS)


def selects(selector: Document, labels: dict[str, str]) -> bool:
    """A label selector of the In and NotIn operators alone, as the API server reads it."""
    assert set(selector) == {"matchExpressions"}
    for one in selector["matchExpressions"]:
        present = labels.get(one["key"]) in one["values"]
        if present != {"In": True, "NotIn": False}[one["operator"]]:
            return False
    return True


def test_the_two_webhooks() -> None:
    assert {name: hook["clientConfig"]["service"]["path"] for name, hook in HOOKS.items()} == {
        "pods.warmpod.dev": "/mutate",
        "audit.pods.warmpod.dev": "/mutate/audit",
    }


@both
def test_a_webhook_fails_open_and_soon(hook: Document) -> None:
    assert hook["failurePolicy"] == "Ignore"
    assert hook["timeoutSeconds"] == 2
    assert hook["sideEffects"] == "None"
    assert hook["reinvocationPolicy"] == "IfNeeded"
    assert hook["matchPolicy"] == "Equivalent"
    assert hook["admissionReviewVersions"] == ["v1"]


@both
def test_only_the_creation_of_pods_is_ours(hook: Document) -> None:
    assert hook["rules"] == [
        {
            "apiGroups": [""],
            "apiVersions": ["v1"],
            "resources": ["pods"],
            "operations": ["CREATE"],
            "scope": "Namespaced",
        }
    ]


@both
def test_the_service_is_in_our_namespace(hook: Document) -> None:
    service = hook["clientConfig"]["service"]
    assert (service["namespace"], service["port"]) == (of_kind("Namespace")["metadata"]["name"], 443)
    assert service["namespace"] == SYSTEM
    assert "caBundle" not in hook["clientConfig"], "a key pair belongs to an installation, not to the tree"


@pytest.mark.parametrize(
    ("namespace", "mode", "called"),
    [
        ("default", None, "pods.warmpod.dev"),
        ("default", "Enforce", "pods.warmpod.dev"),
        ("default", "enforce-typo", "pods.warmpod.dev"),
        ("default", "Audit", "audit.pods.warmpod.dev"),
        ("default", "Off", None),
        *((name, mode, None) for name in sorted(PROTECTED) for mode in (None, "Enforce", "Audit", "Off")),
    ],
)
def test_which_webhook_a_namespace_meets(namespace: str, mode: str | None, called: str | None) -> None:
    labels = {names.LABEL_NAMESPACE_NAME: namespace} | ({names.LABEL_NAMESPACE_MODE: mode} if mode else {})
    met = [name for name, hook in HOOKS.items() if selects(hook["namespaceSelector"], labels)]
    assert met == ([called] if called else [])


def test_both_webhooks_have_the_same_conditions() -> None:
    first, second = HOOKS.values()
    assert first["matchConditions"] == second["matchConditions"]


def test_the_accelerators_are_those_of_the_code() -> None:
    expression = HOOKS["pods.warmpod.dev"]["matchConditions"][0]["expression"]
    alternatives = re.search(r"limits\.exists\(resource,\s*(.*?)\)\)\)\s*$", expression, re.DOTALL)
    assert alternatives is not None
    assert re.split(r"\s*\|\|\s*", alternatives[1]) == [clause(pattern) for pattern in DEFAULT_PATTERNS]


def clause(pattern: str) -> str:
    """The CEL that a pattern with at most one `*`, at its end, stands for."""
    if pattern.endswith("*"):
        assert "*" not in pattern[:-1]
        return f"resource.startsWith('{pattern[:-1]}')"
    assert "*" not in pattern
    return f"resource == '{pattern}'"


def test_the_skip_annotation_is_that_of_the_code() -> None:
    expression = HOOKS["pods.warmpod.dev"]["matchConditions"][1]["expression"]
    assert set(re.findall(r"'([^']+)'", expression)) == {names.ANNOTATION_SKIP, "true"}


def test_our_namespace_is_restricted() -> None:
    labels = of_kind("Namespace")["metadata"]["labels"]
    assert {key: labels[key] for key in labels if key.startswith("pod-security")} == {
        "pod-security.kubernetes.io/enforce": "restricted",
        "pod-security.kubernetes.io/audit": "restricted",
        "pod-security.kubernetes.io/warn": "restricted",
    }


def test_the_account_has_a_token_only_where_one_is_mounted_on_purpose() -> None:
    assert of_kind("ServiceAccount")["automountServiceAccountToken"] is False


def test_the_policy_speaks_of_that_account_and_of_our_labels() -> None:
    policy, binding = of_kind("ValidatingAdmissionPolicy"), of_kind("ValidatingAdmissionPolicyBinding")
    user = f"system:serviceaccount:{controller.NAMESPACE}:{controller.ACCOUNT}"
    [condition] = policy["spec"]["matchConditions"]
    assert condition["expression"] == f"request.userInfo.username == '{user}'"
    variables = {one["name"]: one["expression"] for one in policy["spec"]["variables"]}
    assert variables["prefix"] == f"'{names.NODE_LABEL_PREFIX}'"
    assert f"'{names.NODE_LABEL_BOOT.removeprefix(names.NODE_LABEL_PREFIX)}'" in variables["malformed"]
    assert f"'{names.NODE_LABEL_WARM}'" in variables["malformed"]
    assert binding["spec"] == {"policyName": policy["metadata"]["name"], "validationActions": ["Deny"]}
    assert policy["spec"]["failurePolicy"] == "Fail"


@pytest.mark.parametrize(
    ("what", "text"),
    [
        ("key.*?", names.image_label("x").removeprefix(names.NODE_LABEL_PREFIX)),
        ("key.*?", names.model_label("s3://b/p/", "ns").removeprefix(names.NODE_LABEL_PREFIX)),
        ("variables.after\\[key\\]", names.digest16("a boot")),
        ("variables.after\\[key\\]", f"{names.digest16('a boot')}.1795326759"),
    ],
    ids=["image", "model", "boot", "boot and time"],
)
def test_the_policy_lets_labels_of_the_codes_form_pass(what: str, text: str) -> None:
    """Tried on a real API server in tests/cluster; here, that both are spelt alike."""
    malformed = next(
        one["expression"]
        for one in of_kind("ValidatingAdmissionPolicy")["spec"]["variables"]
        if one["name"] == "malformed"
    )
    patterns = re.findall(rf"{what}\.matches\('(\^[^']*\$)'\)", malformed)
    assert any(re.search(pattern.replace("\\\\", "\\"), text) for pattern in patterns)
