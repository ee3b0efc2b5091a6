"""Which policies are for a pod, and the one line that says why."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from webhook.cel import Activation, Bindings
from webhook.kube import Object, review
from webhook.kube.accelerator import Accelerators
from webhook.policy.match import Match, Subject, match
from webhook.policy.model import Policy
from webhook.policy.parse import parse
from webhook.policy.problem import Source

CACHE = (
    "---\napiVersion: warmpod.dev/v1alpha1\nkind: NodeCache\nmetadata: {name: nvme}\nspec: {volume: {emptyDir: {}}}\n"
)


def policy(spec: str) -> Policy:
    header = "apiVersion: warmpod.dev/v1alpha1\nkind: WarmPolicy\nmetadata: {name: p}\n"
    found = parse([Source("p.yaml", f"{header}spec:\n{spec}{CACHE}")])
    assert found.problems == ()
    return found.policies[0]


def subject(
    labels: Mapping[str, str] | None = None,
    namespace_labels: Mapping[str, str] | None = None,
    resource: str = "nvidia.com/gpu",
    claims: Mapping[str, tuple[str, ...]] | None = None,
    **container: Any,
) -> Subject:
    pod: Object = {
        "metadata": {"name": "a", "namespace": "team-a", "labels": dict(labels or {})},
        "spec": {"containers": [{"name": "c", "resources": {"limits": {resource: "1"}}, **container}]},
    }
    if claims:
        pod["spec"]["resourceClaims"] = [{"name": "gpu", "resourceClaimTemplateName": name} for name in claims]
    request = review.for_pod(pod, namespace="team-a")
    bindings = Bindings(object=pod, request=request.raw)
    return Subject(pod, request, namespace_labels, Accelerators(), claims or {}, Activation(bindings))


def condition(*expressions: str, more: str = "") -> Policy:
    lines = "".join(f"    - {{name: c{index}, expression: {text!r}}}\n" for index, text in enumerate(expressions))
    return policy(f"  matchConditions:\n{lines}{more}")


TRUE, FALSE, ERROR = "true", "object.metadata.name == 'b'", "object.spec.nope == 1"


def test_a_policy_without_a_match_is_for_every_pod_with_an_accelerator() -> None:
    assert match(policy("  mode: Audit\n"), subject()) == Match("matched", "matched")


@pytest.mark.parametrize(
    ("spec", "given", "reason"),
    [
        ("  mode: Audit\n", subject(resource="cpu"), "no container requests an accelerator"),
        (
            "  match: {accelerators: [amd.com/gpu, google.com/tpu]}\n",
            subject(),
            "no container requests amd.com/gpu or google.com/tpu",
        ),
        (
            "  match: {objectSelector: {matchLabels: {app: vllm}}}\n",
            subject({"app": "x"}),
            "objectSelector does not match the pod's labels",
        ),
        (
            "  match: {namespaceSelector: {matchLabels: {tier: serving}}}\n",
            subject(namespace_labels={"tier": "batch"}),
            "namespaceSelector does not match the namespace's labels",
        ),
        (
            "  match: {namespaceSelector: {matchLabels: {tier: serving}}}\n",
            subject(namespace_labels=None),
            "namespaceSelector: the namespace's labels are not known yet",
        ),
    ],
    ids=["accelerator", "own-accelerators", "labels", "namespace", "namespace-unknown"],
)
def test_skipped_by_match(spec: str, given: Subject, reason: str) -> None:
    assert match(policy(spec), given) == Match("skipped", reason)


@pytest.mark.parametrize(
    ("spec", "given"),
    [
        ("  match: {accelerators: ['nvidia.com/*']}\n", subject(resource="nvidia.com/mig-1g.5gb")),
        ("  match: {accelerators: [example.com/npu]}\n", subject(resource="example.com/npu")),
        ("  match: {objectSelector: {matchLabels: {app: vllm}}}\n", subject({"app": "vllm"})),
        ("  match: {namespaceSelector: {matchLabels: {t: s}}}\n", subject(namespace_labels={"t": "s"})),
        ("  match: {namespaceSelector: {}}\n", subject(namespace_labels=None)),
        (
            "  match: {accelerators: [gpu.nvidia.com]}\n",
            subject(resource="cpu", claims={"one-gpu": ("gpu.nvidia.com",)}),
        ),
    ],
    ids=["pattern", "unheard-of", "labels", "namespace", "empty-selector-needs-no-labels", "device-class"],
)
def test_matched(spec: str, given: Subject) -> None:
    if given.claims:
        given.pod["spec"]["containers"][0]["resources"]["claims"] = [{"name": "gpu"}]
    assert match(policy(spec), given).result == "matched"


@pytest.mark.parametrize(
    ("expressions", "result", "reason"),
    [
        ((TRUE, TRUE), "matched", "matched"),
        ((TRUE, FALSE), "skipped", "condition c1 is false"),
        ((FALSE, FALSE), "skipped", "condition c0 is false"),
        ((ERROR, FALSE), "skipped", "condition c1 is false"),
        ((FALSE, ERROR), "skipped", "condition c0 is false"),
        ((ERROR, TRUE), "errored", "condition c0: "),
        ((TRUE, "object.metadata.name"), "errored", "condition c1: "),
    ],
    ids=[
        "all-true",
        "one-false",
        "first-false-is-named",
        "false-beats-error",
        "false-before-error",
        "error",
        "not-a-bool",
    ],
)
def test_conditions(expressions: tuple[str, ...], result: str, reason: str) -> None:
    got = match(condition(*expressions), subject())
    assert got.result == result
    assert got.reason == reason if not reason.endswith(": ") else got.reason.startswith(reason)
    assert "\n" not in got.reason


VARIABLES = """  variables:
    - {name: bucket, expression: "'s3://acme-' + request.namespace"}
    - {name: path, expression: "variables.bucket + '/x'"}
    - {name: broken, expression: object.spec.nope}
    - {name: behind, expression: variables.broken + 1}
"""


def test_variables_are_evaluated_when_read_and_only_then() -> None:
    got = match(condition("variables.path == 's3://acme-team-a/x'", more=VARIABLES), subject())
    assert (got.result, got.variables) == ("matched", {"bucket": "s3://acme-team-a", "path": "s3://acme-team-a/x"})
    assert match(condition("true", more=VARIABLES), subject()).variables == {}


def test_a_variable_that_fails_is_an_error_of_the_condition_that_reads_it() -> None:
    got = match(condition("variables.behind == 2", more=VARIABLES), subject())
    assert got.result == "errored"
    assert got.reason.startswith("condition c0: variables.broken: ")
    assert match(condition("variables.behind == 2", FALSE, more=VARIABLES), subject()).result == "skipped"


@pytest.mark.parametrize(("name", "result"), [("bucket", "matched"), ("broken", "errored")])
def test_variables_of_sources_are_there_for_them(name: str, result: str) -> None:
    model = f"""  models:
    - {{name: w, source: {{expression: variables.{name}}}, allow: ["s3://acme/*"], cache: nvme, mountPath: /m}}
"""
    got = match(policy(VARIABLES + model), subject())
    assert got.result == result
    if result == "errored":
        assert got.reason.startswith("source of model w: variables.broken: ")
    else:
        assert got.variables == {"bucket": "s3://acme-team-a"}


def test_errors_quote_strangers_safely() -> None:
    got = match(condition("int(object.metadata.labels.app) == 1"), subject({"app": "\x1b[31m\n" + "x" * 9999}))
    assert got.result == "errored"
    assert got.reason.isprintable()
    assert len(got.reason) < 300


@pytest.mark.parametrize(
    "pod", [{}, {"spec": None}, {"metadata": [], "spec": {"containers": "x"}}], ids=["empty", "null", "odd"]
)
def test_malformed_pods_are_skipped(pod: Object) -> None:
    given = subject()
    given.pod = pod
    assert match(policy("  match: {objectSelector: {matchLabels: {a: b}}}\n"), given).result == "skipped"
