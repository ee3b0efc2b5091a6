"""`warmpod lint --nodes` as people and scripts read it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from webhook.cli.main import main

POLICY = """\
apiVersion: warmpod.dev/v1alpha1
kind: NodeCache
metadata: {name: nvme}
spec: {preset: al2023-raid0, size: 10Gi}
---
apiVersion: warmpod.dev/v1alpha1
kind: WarmPolicy
metadata: {name: p}
spec:
  models:
    - {name: weights, source: {value: s3://acme-models/llama/}, cache: nvme, mountPath: /models}
"""
NODES = """\
apiVersion: karpenter.k8s.aws/v1
kind: EC2NodeClass
metadata: {name: gpu}
spec:
  amiSelectorTerms: [{alias: al2023@v20260714}]
  userData: |
    #!/bin/bash
    /etc/eks/bootstrap.sh cluster
"""
GOOD = NODES.partition("  userData")[0] + "  instanceStorePolicy: RAID0\n"


def invoke(*arguments: str, stdin: str | None = None) -> Result:
    return CliRunner().invoke(main, ["lint", *arguments], input=stdin)


@pytest.fixture(autouse=True)
def _files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "policies").mkdir()
    (tmp_path / "policies" / "p.yaml").write_text(POLICY)
    (tmp_path / "nodes.yaml").write_text(NODES)
    (tmp_path / "good").mkdir()
    (tmp_path / "good" / "nodes.yaml").write_text(GOOD)


def test_alone() -> None:
    result = invoke("--nodes", "nodes.yaml")
    assert result.exit_code == 1
    assert result.stdout.splitlines() == [
        (
            "nodes.yaml:8:5: error N009 spec.userData: "
            "Amazon Linux 2023 has no /etc/eks/bootstrap.sh: nodeadm starts the node"
        ),
        "    8 |     /etc/eks/bootstrap.sh cluster",
        "      |     ^^^^^^^^^^^^^^^^^^^^^",
        "    hint: say it in a NodeConfig (apiVersion: node.eks.aws/v1alpha1)",
    ]
    assert result.stderr == "note: 1 document of nodes and volumes: 1 error, 0 warnings\n"


def test_beside_policies() -> None:
    result = invoke("policies", "--nodes", "nodes.yaml", "--output", "json")
    report = json.loads(result.stdout)
    assert [each["code"] for each in report["problems"]] == ["N060", "N009"]
    assert (report["policies"], report["documents"]) == (1, 1)
    assert report["problems"][0]["docs"].endswith("docs/lint.md#n060")
    assert "1 policy, 1 document of nodes and volumes" in invoke("policies", "--nodes", "nodes.yaml").stderr


def test_a_directory_that_is_clean() -> None:
    result = invoke("policies", "--nodes", "good", "--strict")
    assert (result.exit_code, result.stdout) == (0, "")
    assert result.stderr == "note: 1 policy, 1 document of nodes and volumes: no problems\n"


def test_a_directory_with_both_is_read_once_for_each() -> None:
    assert invoke("policies", "--nodes", ".").exit_code == 1
    report = json.loads(invoke("policies/p.yaml", "--nodes", ".", "--output", "json").stdout)
    assert sorted(each["code"] for each in report["problems"]) == ["N009", "N060"]


def test_from_stdin() -> None:
    result = invoke("--nodes", "-", stdin=NODES)
    assert result.exit_code == 1
    assert result.stdout.startswith("<stdin>:8:5: error N009")


def test_sarif_and_github_name_the_rule_and_the_place() -> None:
    (run,) = json.loads(invoke("--nodes", "nodes.yaml", "--output", "sarif").stdout)["runs"]
    (found,) = run["results"]
    assert run["tool"]["driver"]["rules"][found["ruleIndex"]]["id"] == found["ruleId"] == "N009"
    assert found["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] == "nodes.yaml"
    command = invoke("--nodes", "nodes.yaml", "--output", "github").stdout
    assert command.startswith("::error file=nodes.yaml,line=8,col=5,title=warmpod N009::")


def test_findings_of_nodes_stay_when_policies_are_mended() -> None:
    Path("policies/p.yaml").write_text(POLICY.replace("  models:", "  failurePolicy: Fail\n  models:"))
    result = invoke("policies", "--nodes", "nodes.yaml", "--fix")
    assert "note: mended policies/p.yaml:10: W033" in result.stderr
    assert "N009" in result.stdout
    assert Path("policies/p.yaml").read_text() == POLICY
    assert Path("nodes.yaml").read_text() == NODES


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        ([], 2, "--nodes"),
        (["--nodes", "absent.yaml"], 2, "absent.yaml"),
        (["--nodes", "empty"], 2, "no *.yaml or *.yml file here"),
        (["--nodes", "policies"], 3, "note: policies: no document of nodes or volumes in these files"),
        (["--nodes", "binary.yaml"], 1, "note: 0 documents of nodes and volumes: 1 error"),
        (["--nodes", "absent.yaml"], 2, "error: absent.yaml: No such file or directory"),
        (["--nodes", "circle"], 2, "error: circle: links lead in a circle"),
        (["--nodes", "/dev/null"], 2, "error: /dev/null: neither a regular file nor a directory; - reads stdin"),
        (["empty", "--nodes", "none.yaml"], 3, "note: empty, none.yaml: no WarmPolicy in these files"),
    ],
    ids=[
        "nothing",
        "absent",
        "empty",
        "nothing of nodes",
        "no text",
        "said of a file",
        "circle",
        "device",
        "policies, too",
    ],
)
def test_what_cannot_be_looked_at(arguments: list[str], code: int, words: str) -> None:
    Path("empty").mkdir()
    Path("binary.yaml").write_bytes(b"\xff\xfe\x00")
    Path("none.yaml").write_text("kind: Thing\n")
    Path("circle").symlink_to("circle")
    result = invoke(*arguments)
    assert result.exit_code == code, result.output
    assert words in result.stderr
