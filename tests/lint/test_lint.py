"""What lint points at, and what it leaves alone."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from webhook.lint.lint import CODES, lint
from webhook.policy.parse import parse
from webhook.policy.problem import Problem, Source

HERE = Path(__file__).parent
GOOD = (HERE.with_name("policy") / "good.yaml").read_text()
HEAD = "apiVersion: warmpod.dev/v1alpha1\n"


def findings(text: str) -> list[Problem]:
    found = parse([Source("p.yaml", text)])
    assert found.problems == ()
    # The good file has a variable that nothing reads: W029.
    return [each for each in lint(found) if each.severity != "info" and each.code != "W029"]


def edited(*edits: tuple[str, str]) -> str:
    text = GOOD
    for old, new in edits:
        assert old in text
        text = text.replace(old, new, 1)
    return text


def pair(first: str, second: str) -> str:
    return "---\n".join(
        f"{HEAD}kind: WarmPolicy\nmetadata: {{name: {name}}}\nspec: {{{spec}}}\n"
        for name, spec in (("a", first), ("b", second))
    )


SHM = "volumes: [{volume: {name: shm, emptyDir: {}}, mountPath: /dev/shm%s}]"
ENV = "env: [{name: A, value: %s}]"

ACCEPTED = "RequireBlocksScaleFromZero"
SOURCE_VOLUME = "{volume: {name: f, emptyDir: {}}, mountPath: /f}"
# What lint says of each stands in lint_findings.json, whole.
CASES = {
    "require": edited(("{placement: Prefer}", "{placement: Require}")),
    "require-of-a-model": edited(("      redirect: true", "      placement: Require")),
    "acknowledged": edited(
        ("{placement: Prefer}", "{placement: Require}\n  acknowledge: [RequireBlocksScaleFromZero]")
    ),
    "acknowledged-for-nothing": edited(("  images:", f"  acknowledge: [{ACCEPTED}]\n  images:")),
    "redirect-continue": edited(("      redirect: true", "      redirect: true\n      onFailure: Continue")),
    "wide-bucket": edited(("s3://acme-models/*", "s3://acme-*")),
    "everything": edited(("s3://acme-models/*", "s3://*")),
    "unused-profile": edited(("  clientProfiles: [s3-fast]\n", "")),
    "nothing": f"{HEAD}kind: WarmPolicy\nmetadata: {{name: a}}\nspec: {{mode: Audit}}\n",
    "secret-looking": edited(("name: NCCL_DEBUG", "name: HF_TOKEN")),
    "host-path-alone": edited(("  fallbackVolume: {emptyDir: {}}\n", "")),
    "private-cache": edited(("volume: {hostPath: {path: /mnt/warmpod}}", "volume: {emptyDir: {}}")),
    "source-volume-unused": edited(("      cache: nvme", f"      sourceVolume: {SOURCE_VOLUME}\n      cache: nvme")),
    "trusted-by-strangers": edited(("tenancy: Namespace", "tenancy: Cluster\n  trustCache: true")),
    "trusted-by-its-own": edited(("tenancy: Namespace", "tenancy: Namespace\n  trustCache: true")),
    "mounts-clash": pair(SHM % "", SHM.replace("name: shm", "name: own") % ""),
    "volume-names-clash": pair(SHM % "", SHM.replace("{}}", "{medium: Memory}}").replace("/dev/shm", "/x") % ""),
    "env-clash": pair(ENV % "x", ENV % "y"),
}
EXPECTED: dict[str, list[str]] = json.loads((HERE / "lint_findings.json").read_text())


@pytest.mark.parametrize("case", CASES)
def test_finding(case: str) -> None:
    assert [f"{each.code} {each}" for each in findings(CASES[case])] == EXPECTED[case]


def test_the_good_file_has_none() -> None:
    assert findings(GOOD) == []


def test_profiles_that_differ() -> None:
    other = f"---\n{HEAD}kind: ClientProfile\nmetadata: {{name: slow}}\nspec: {{env: {{AWS_MAX_ATTEMPTS: '3'}}}}\n"
    text = edited(("[s3-fast]", "[s3-fast, slow]")) + other
    (finding,) = findings(text)
    assert (finding.code, finding.path) == ("W009", "spec.clientProfiles[1]")
    assert finding.message == 'AWS_MAX_ATTEMPTS is "10" in s3-fast and "3" in slow: the first wins'
    settled = text.replace("{name: NCCL_DEBUG, value: WARN}", "{name: AWS_MAX_ATTEMPTS, value: '5'}")
    assert findings(settled) == []


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (
            f"match: {{accelerators: [amd.com/gpu]}}, {ENV % 'x'}",
            f"match: {{accelerators: [nvidia.com/gpu]}}, {ENV % 'y'}",
        ),
        (
            f"match: {{accelerators: [amd.com/gpu]}}, {ENV % 'x'}",
            f"match: {{accelerators: ['nvidia.com/*']}}, {ENV % 'y'}",
        ),
        (
            f"match: {{objectSelector: {{matchLabels: {{app: a}}}}}}, {ENV % 'x'}",
            f"match: {{objectSelector: {{matchLabels: {{app: b}}}}}}, {ENV % 'y'}",
        ),
        (
            f"match: {{namespaceSelector: {{matchLabels: {{t: a}}}}}}, {ENV % 'x'}",
            f"match: {{namespaceSelector: {{matchLabels: {{t: b}}}}}}, {ENV % 'y'}",
        ),
        (f"mode: 'Off', {ENV % 'x'}", ENV % "y"),
        (ENV % "x", ENV % "x"),
        (SHM % "", SHM % ""),
        (SHM % ", containers: [x]", SHM.replace("name: shm", "name: own") % ", containers: [y]"),
    ],
    ids=["accelerators", "patterns", "labels", "namespaces", "off", "same-value", "same-volume", "containers"],
)
def test_policies_that_never_meet_do_not_clash(first: str, second: str) -> None:
    assert findings(pair(first, second)) == []


@pytest.mark.parametrize(
    "accelerators",
    [("nvidia.com/gpu", "'nvidia.com/*'"), ("'nvidia.com/*'", "'*gpu'"), ("'nvidia.com/mig-*'", "'nvidia.com/*'")],
)
def test_patterns_that_overlap_clash(accelerators: tuple[str, str]) -> None:
    a, b = (f"match: {{accelerators: [{pattern}]}}" for pattern in accelerators)
    assert [each.code for each in findings(pair(f"{a}, {ENV % 'x'}", f"{b}, {ENV % 'y'}"))] == ["W004"]


def test_a_cache_is_not_called_unused_while_a_policy_was_left_out() -> None:
    found = parse([Source("p.yaml", edited(("mode: Audit", "mode: x")))])
    assert found.policies == ()
    assert "W006" not in {each.code for each in lint(found)}


def test_severities_are_those_of_the_table() -> None:
    for text in CASES.values():
        for each in findings(text):
            assert each.severity == CODES[each.code][0]


def condition(expression: str) -> list[Problem]:
    return findings(edited(("'has(object.spec)'", json.dumps(expression))))


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("object.spec.containers.exists(c, object.spec.containers.exists(d, c.name != d.name))", ["W014"]),
        ("object.spec.containers.exists(c, c.name == 'x')", []),
        ("object.metadata.name == 'x'", ["W015"]),
        ("has(object.metadata.name) && object.metadata.name == 'x'", []),
        ("object.metadata.labels.team == 'x'", ["W015"]),
        ("object.metadata.labels['team'] == 'x'", ["W015"]),
        ("has(object.metadata.labels) && object.metadata.labels.team == 'x'", ["W015"]),
        ("has(object.metadata.labels.team) && object.metadata.labels.team == 'x'", ["W015"]),
        ("has(object.metadata.labels) && has(object.metadata.labels.team) && object.metadata.labels.team == 'x'", []),
        ("has(object.metadata.labels) && 'team' in object.metadata.labels && object.metadata.labels.team == 'x'", []),
        ("has(object.spec.volumes) && object.spec.volumes.exists(v, v.name == 'x')", []),
        ("object.spec.containers.exists(c, c.args.exists(a, a == 'x'))", ["W015"]),
        ("has(object.metadata.labels) && 'a/b' in object.metadata.labels && object.metadata.labels['a/b'] == 'x'", []),
        ("object.spec.containers.exists(c, c.resources.limits['nvidia.com/gpu'] == '8')", ["W015"]),
        ("object.spec.containers.all(c, has(c.resources.limits) && 'nvidia.com/gpu' in c.resources.limits)", []),
        ("object.spec.restartPolicy == 'Always'", []),
        ("object.spec.nodeSelectors.zone == 'x'", ["W016"]),
        ("object.spec.containers.exists(c, c.comand == 'x')", ["W016"]),
        ("object['spec']['nope'] == 1", ["W016"]),
        ("object.spec.?nodeName.orValue('') == ''", ["W017"]),
        ("request.userInfo.username == 'x'", []),
    ],
)
def test_expressions(expression: str, expected: list[str]) -> None:
    assert [each.code for each in condition(expression)] == expected


def test_a_name_that_is_not_made_yet_is_said_so() -> None:
    (finding,) = condition("!object.metadata.name.startsWith('jupyter-')")
    assert finding.message.startswith("object.metadata.name is missing from the pod of a vLLM Deployment, where this")
    assert "generateName" in finding.hint
    assert (finding.line, finding.path) == (9, "spec.matchConditions[0].expression")


def test_a_misspelt_field_of_a_pod_is_suggested() -> None:
    (finding,) = condition("has(object.spec.nodeSelectr)")
    assert (finding.code, finding.hint) == ("W016", 'did you mean "nodeSelector"?')


def test_variables_and_sources_are_looked_at_too() -> None:
    text = edited(
        ("\"'s3://acme-' + request.namespace\"", "object.metadata.labels.bucket"),
        ("{annotation: warmpod.dev/model}", "{expression: object.metadata.labels.model}"),
    )
    assert [each.path for each in findings(text)] == [
        "spec.variables[0].expression",
        "spec.models[0].source.expression",
    ]


def test_every_code_has_a_case() -> None:
    bad = "".join(path.read_text() for path in sorted((HERE / "bad").rglob("*.yaml")))
    assert [code for code in CODES if f"{code} " not in bad] == []
