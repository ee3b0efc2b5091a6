"""`warmpod preview --diff`: the same pods under two versions of the policies, in real repositories."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from tests.git import git
from webhook.cli.main import main

POLICY = """
apiVersion: warmpod.dev/v1alpha1
kind: WarmPolicy
metadata: {name: debug-nccl}
spec:
  mode: %s
  matchConditions:
    - {name: labelled, expression: "has(object.metadata.labels) && 'app' in object.metadata.labels"}
  env: [{name: NCCL_DEBUG, value: %s}]
"""
PODS = """
apiVersion: v1
kind: Pod
metadata: {name: "%s", labels: {app: vllm}}
spec:
  containers: [{name: main, image: train, resources: {limits: {nvidia.com/gpu: "1"}}}]
---
apiVersion: v1
kind: Pod
metadata: {name: other}
spec:
  containers: [{name: main, image: train, resources: {limits: {nvidia.com/gpu: "1"}}}]
"""
TESTS = """
apiVersion: warmpod.dev/v1alpha1
kind: WarmTest
metadata: {name: debug}
spec:
  cases:
    - name: labelled
      namespace: batch
      pod:
        metadata: {name: x, labels: {app: y}}
        spec: {containers: [{name: main, image: train, resources: {limits: {nvidia.com/gpu: "1"}}}]}
      expect: {unchanged: true}
"""


@pytest.fixture
def branch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository on a branch that turned a policy from Audit to Enforce; then main went on."""
    monkeypatch.chdir(tmp_path)
    policy = tmp_path / "policies" / "p.yaml"
    policy.parent.mkdir()
    git(Path(), "init", "-q", "-b", "main")
    policy.write_text(POLICY % ("Audit", "WARN"))
    git(Path(), "add", "-A")
    git(Path(), "commit", "-q", "-m", "one")
    git(Path(), "checkout", "-q", "-b", "feature")
    policy.write_text(POLICY % ("Enforce", "WARN"))
    git(Path(), "commit", "-q", "-a", "-m", "two")
    git(Path(), "checkout", "-q", "main")
    policy.write_text(POLICY % ("Audit", "INFO"))
    git(Path(), "commit", "-q", "-a", "-m", "three")
    git(Path(), "checkout", "-q", "feature")
    return policy


def preview(*arguments: str, text: str = PODS % "train") -> Result:
    return CliRunner().invoke(main, ["preview", "--policies", "policies", *arguments], input=text)


@pytest.mark.parametrize(
    ("span", "kinds", "titles"),
    [
        ("main..feature", ["changed"], ("main", "feature")),
        ("main...feature", ["mode"], ("main at ", "feature")),
        ("main..", ["changed"], ("main", "HEAD")),
        ("..main", ["changed"], ("HEAD", "main")),
        ("HEAD~1", ["mode"], ("HEAD~1", "the files")),
        ("HEAD", [], ("HEAD", "the files")),
        ("feature..HEAD", [], ("feature", "HEAD")),
    ],
)
@pytest.mark.usefixtures("branch")
def test_only_differences_are_shown(span: str, kinds: list[str], titles: tuple[str, str]) -> None:
    result = preview("--diff", span, "-f", "-", "--output", "json")
    assert result.exit_code == 0, result.stderr
    found = json.loads(result.stdout)
    assert [one["kind"] for one in found["groups"]] == kinds
    assert found["pods"] == 2
    assert found["before"].startswith(titles[0])
    assert found["after"] == titles[1]


@pytest.mark.usefixtures("branch")
def test_the_exit_code_tells_only_when_it_is_asked_to() -> None:
    assert preview("--diff", "main..", "-f", "-").exit_code == 0
    assert preview("--diff", "main..", "-f", "-", "--exit-code").exit_code == 1
    assert preview("--diff", "HEAD", "-f", "-", "--exit-code").exit_code == 0
    assert preview("--diff", "main..", "-f", "-", text="kind: Service\napiVersion: v1\n").exit_code == 3


def test_a_table_for_reviewers_and_a_comment_for_the_pull_request(branch: Path) -> None:
    del branch
    told = preview("--diff", "main...", "-f", "-")
    assert told.stdout.splitlines()[1].split()[:3] == ["1", "default/train", "same"]
    assert "policy debug-nccl: matched (Audit) -> matched (Enforce)" in told.stdout
    assert "2 pods: 1 same change, other mode" in told.stderr
    hostile = preview("--diff", "main...", "-f", "-", "--output", "markdown", text=PODS % "<b>|@you\\n\\e[2J")
    assert hostile.stdout.startswith("### Warmpod: main at ")
    assert not set(hostile.stdout) & {"\x1b", "\x07"}
    assert "<b>" not in hostile.stdout
    assert "\\|" in hostile.stdout


def test_a_policy_that_came_or_went_is_a_difference(branch: Path) -> None:
    branch.unlink()
    assert "-> absent" in preview("--diff", "HEAD", "-f", "-").stdout
    branch.parent.rmdir()
    assert "-> absent" in preview("--diff", "HEAD", "-f", "-").stdout
    git(Path(), "commit", "-q", "-a", "-m", "gone")
    assert "absent -> matched" in preview("--diff", "HEAD..main", "-f", "-").stdout
    assert preview("--diff", "HEAD", "-f", "-").exit_code == 2


def test_the_cases_beside_the_policies_are_pods_too(branch: Path) -> None:
    case = branch.parent / "cases" / "labelled"
    case.mkdir(parents=True)
    (case / "input.yaml").write_text((PODS % "train").split("---")[0])
    (case / "facts.yaml").write_text("namespace: prod\n")
    (case / "expected.yaml").write_text("{}\n")
    (branch.parent / "p.test.yaml").write_text(TESTS)
    found = json.loads(preview("--diff", "main..", "--output", "json").stdout)
    assert (found["pods"], found["different"]) == (2, 2)
    assert {name for one in found["groups"] for name in one["namespaces"]} == {"prod", "batch"}
    (case / "input.yaml").write_text("{")
    left = preview("--diff", "main..", "--output", "json")
    assert json.loads(left.stdout)["pods"] == 1
    assert "not compared: " in left.stderr
    assert json.loads(preview("--diff", "HEAD", "--policies", str(branch), "--output", "json").stdout)["pods"] == 1


def test_problems_name_the_revision_and_count_on_the_new_side_alone(branch: Path) -> None:
    branch.write_text((POLICY % ("Enforce", "WARN")).replace("env:", "evn:"))
    git(Path(), "commit", "-q", "-a", "-m", "broken")
    worse = preview("--diff", "main..HEAD", "-f", "-")
    assert worse.exit_code == 1
    assert "error: HEAD:policies/p.yaml:9:3: spec.evn: unknown field" in worse.stderr
    assert preview("--diff", "HEAD..main", "-f", "-").exit_code == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--diff", "nope..HEAD", "-f", "-"], "there is no revision 'nope' in this repository"),
        (["--diff", "nope...HEAD", "-f", "-"], "there is no revision 'nope' in this repository"),
        (["--diff", "--output=x..HEAD", "-f", "-"], "is not the name of a Git revision"),
        (["--diff", "main..HEAD"], "nothing to compare"),
        (["--diff", "main", "--output", "yaml"], "--diff has the outputs"),
        (["-f", "-", "--output", "markdown"], "give --diff RANGE"),
        (["-f", "-", "--exit-code"], "--exit-code is about --diff"),
        ([], "name manifests with -f FILE"),
    ],
)
@pytest.mark.usefixtures("branch")
def test_what_cannot_be_compared_is_said(arguments: list[str], message: str) -> None:
    result = preview(*arguments)
    assert result.exit_code in (2, 3)
    assert message in result.stderr
    assert not Path("x").exists()


def test_outside_of_a_repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "policies").mkdir()
    result = preview("--diff", "main..HEAD", "-f", "-")
    assert result.exit_code == 2
    assert "not a git repository" in result.stderr
