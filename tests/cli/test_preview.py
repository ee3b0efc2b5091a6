"""`warmpod preview` as people and scripts use it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result

from webhook.cli.main import main
from webhook.kube import patch

POLICY = """
apiVersion: warmpod.dev/v1alpha1
kind: WarmPolicy
metadata: {name: debug-nccl}
spec:
  mode: %s
  match:
    namespaceSelector: {matchLabels: {tier: serving}}
  env: [{name: NCCL_DEBUG, value: WARN}]
"""
FAILING = """
apiVersion: warmpod.dev/v1alpha1
kind: WarmPolicy
metadata: {name: failing}
spec:
  mode: Enforce
  failurePolicy: %s
  matchConditions: [{name: owner, expression: object.metadata.labels.owner == 'me'}]
"""
POD = """
apiVersion: v1
kind: Pod
metadata: {name: train}
spec:
  containers:
    - {name: main, image: train, resources: {limits: {nvidia.com/gpu: "1"}}}
"""
LIST = """
apiVersion: v1
kind: List
items:
  - apiVersion: v1
    kind: Namespace
    metadata: {name: research, labels: {tier: serving}}
  - apiVersion: apps/v1
    kind: Deployment
    metadata: {name: server, namespace: research}
    spec:
      template:
        spec:
          containers:
            - {name: main, image: server, resources: {limits: {nvidia.com/gpu: "1"}}}
"""


@pytest.fixture
def policies(tmp_path: Path) -> Path:
    (tmp_path / "policies").mkdir()
    (tmp_path / "policies" / "policy.yaml").write_text(POLICY % "Enforce")
    return tmp_path / "policies"


def preview(text: str, policies: Path, *arguments: str) -> Result:
    return CliRunner().invoke(main, ["preview", "-f", "-", "--policies", str(policies), *arguments], input=text)


def items(result: Result) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(result.stdout)["items"]
    return found


def test_json_is_what_scripts_were_promised(policies: Path) -> None:
    result = preview(POD, policies, "--namespace-labels", "tier=serving", "--output", "json")
    assert result.exit_code == 0
    (item,) = items(result)
    assert list(item) == ["source", "kind", "namespace", "name", "decision", "pod"]
    assert [item[key] for key in ("source", "kind", "namespace", "name")] == ["<stdin>:2", "Pod", "default", "train"]
    decision = item["decision"]
    assert list(decision) == [
        "allowed",
        "policies",
        "patch",
        "wouldPatch",
        "warnings",
        "secondsSaved",
        "wouldSecondsSaved",
    ]
    assert decision["policies"] == [
        {"name": "debug-nccl", "mode": "Enforce", "result": "matched", "reason": "sets 1 env on 1 container"}
    ]
    sent = yaml.safe_load(POD)
    assert patch.apply(sent, decision["patch"]) == item["pod"]
    assert item["pod"]["spec"]["containers"][0]["env"] == [{"name": "NCCL_DEBUG", "value": "WARN"}]


def test_audit_withholds(policies: Path) -> None:
    (policies / "policy.yaml").write_text(POLICY % "Audit")
    (item,) = items(preview(POD, policies, "--namespace-labels", "tier=serving", "--output", "json"))
    assert item["decision"]["patch"] == []
    assert item["decision"]["wouldPatch"]
    assert item["pod"] == yaml.safe_load(POD)
    told = preview(POD, policies, "--namespace-labels", "tier=serving").stdout
    assert "  in Audit, so withheld:\n--- as sent\n+++ would be\n" in told


def test_diff_reads_as_people_read_diffs(policies: Path) -> None:
    result = preview(POD, policies, "--namespace-labels", "tier=serving")
    assert result.stdout.startswith(
        "<stdin>:2: Pod default/train\n"
        "  matched  debug-nccl (Enforce): sets 1 env on 1 container\n"
        "--- as sent\n+++ warm\n@@"
    )
    assert "+        - name: NCCL_DEBUG\n+          value: WARN\n" in result.stdout
    assert result.stderr == "note: without --inventory nothing is known of the nodes, so no placement is shown\n"


def test_yaml_is_the_pods_as_they_would_be_stored(policies: Path) -> None:
    result = preview(f"{POD}---{POD}", policies, "--namespace-labels", "tier=serving", "--output", "yaml")
    pods = list(yaml.safe_load_all(result.stdout))
    assert [pod["kind"] for pod in pods] == ["Pod", "Pod"]
    assert all(pod["spec"]["containers"][0]["env"] for pod in pods)
    assert "&id" not in result.stdout


@pytest.mark.parametrize(
    ("text", "arguments", "matched"),
    [
        (POD, [], False),
        (POD, ["--namespace-labels", "tier=serving"], True),
        (POD, ["--namespace-labels", "team=a", "--namespace-labels", "tier=serving"], True),
        (POD, ["--namespace", "research"], False),
        (f"{POD}---{LIST}", ["--namespace", "research"], True),
        (LIST, [], True),
        (LIST, ["--namespace-labels", "tier=batch"], False),
    ],
    ids=["none", "given", "given-twice", "other", "of-a-document", "of-a-list", "given-over-document"],
)
def test_namespace_labels(text: str, arguments: list[str], matched: bool, policies: Path) -> None:
    first = items(preview(text, policies, "--output", "json", *arguments))[0]
    assert (first["decision"]["policies"][0]["result"] == "matched") is matched


def test_namespace_labels_of_the_inventory(policies: Path, tmp_path: Path) -> None:
    snapshot = {"schema": 2, "id": "x", "time": "2026-11-22T02:07:52Z", "namespaces": {"default": {"tier": "serving"}}}
    (tmp_path / "snapshot.json").write_text(json.dumps(snapshot))
    result = preview(POD, policies, "--inventory", str(tmp_path / "snapshot.json"), "--output", "json")
    assert items(result)[0]["decision"]["policies"][0]["result"] == "matched"


def test_source_says_where_the_pod_stands(policies: Path) -> None:
    (item,) = items(preview(LIST, policies, "--output", "json"))
    assert item["source"] == "<stdin>:2 items[1].spec.template"
    assert (item["kind"], item["namespace"], item["name"]) == ("Deployment", "research", "server")


@pytest.mark.parametrize("text", ["", "kind: Service\napiVersion: v1\n", "[]", "--- \n"])
def test_nothing_to_do(text: str, policies: Path) -> None:
    result = preview(text, policies, "--output", "json")
    assert result.exit_code == 3
    assert items(result) == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("hello", "error: <stdin>:1: not a Kubernetes object but text\n"),
        ("a: {", "error: <stdin>:2:1: not YAML: did not find expected node content\n"),
        ("a: \x1b[31m", "error: <stdin>:1: not YAML: control characters are not allowed\n"),
    ],
    ids=["text", "broken", "control"],
)
def test_bad_input_is_one_line_with_its_place(text: str, message: str, policies: Path) -> None:
    result = preview(text, policies)
    assert result.exit_code == 2
    assert result.stderr.startswith(message)
    assert "Traceback" not in result.output


@pytest.mark.parametrize(("failure_policy", "allowed"), [("Fail", False), ("Ignore", True)], ids=["denied", "warned"])
def test_a_policy_whose_cel_fails_is_a_finding(failure_policy: str, allowed: bool, policies: Path) -> None:
    (policies / "policy.yaml").write_text(FAILING % failure_policy)
    result = preview(POD, policies, "--output", "json")
    assert result.exit_code == 1
    assert items(result)[0]["decision"]["allowed"] is allowed
    assert ("denied: " in preview(POD, policies).stdout) is not allowed


def test_a_broken_policy_is_a_finding_and_the_others_serve(policies: Path) -> None:
    (policies / "broken.yaml").write_text(
        (POLICY % "Enforce").replace("name: debug-nccl", "name: x").replace("env:", "evn:")
    )
    result = preview(POD, policies, "--namespace-labels", "tier=serving", "--output", "json")
    assert result.exit_code == 1
    assert f"error: {policies / 'broken.yaml'}:9:3: spec.evn: unknown field" in result.stderr
    assert items(result)[0]["decision"]["patch"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--policies", "/nonexistent"], "error: /nonexistent: "),
        (["--inventory", "/nonexistent"], "error: /nonexistent: No such file or directory\n"),
        (["--namespace-labels", "tier"], "error: --namespace-labels: 'tier' is not key=value\n"),
    ],
    ids=["policies", "inventory", "labels"],
)
def test_could_not_run(arguments: list[str], message: str, policies: Path) -> None:
    result = preview(POD, policies, *arguments)
    assert result.exit_code == 2
    assert result.stderr.startswith(message)


def test_hostile_names_do_not_reach_the_terminal(policies: Path) -> None:
    hostile = POD.replace("train}", '"\\e[2J\\u202ex", annotations: {"\\e[31m": "\\a"}}')
    for output in ("diff", "yaml", "json"):
        result = preview(hostile, policies, "--namespace-labels", "tier=serving", "--output", output)
        assert result.exit_code == 0
        assert not set(result.stdout) & {"\x1b", "\x07", "\u202e"}


def test_works_in_a_pipe_of_a_terminal_without_unicode(policies: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "webhook.cli.main", "preview", "-f", "-", "--policies", policies],
        input=POD.replace("train}", '"tr\u00e4in"}').encode(),
        capture_output=True,
        check=False,
        cwd=Path(__file__).parents[2],
        env={**os.environ, "LC_ALL": "C", "PYTHONIOENCODING": "ascii"},
    )
    assert done.returncode == 0
    assert done.stdout.startswith(b"<stdin>:2: Pod default/tr\\xe4in\n")
