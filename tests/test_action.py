"""The GitHub Action and the hooks for pre-commit, run as a runner would run them, on a real repository."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from tests.git import git
from webhook.cli.main import main

ROOT = Path(__file__).parents[1]
ACTION: dict[str, Any] = yaml.safe_load((ROOT / "action" / "action.yml").read_text())
HOOKS: list[dict[str, Any]] = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text())
INSTALL, CHECK = ACTION["runs"]["steps"]
_INPUT = re.compile(r"\$\{\{ inputs\.([a-z-]+) \}\}")


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository whose branch sets another value than main."""
    made = tmp_path / "repository"
    shutil.copytree(ROOT / "policies" / "vllm-s3-nvme", made / "policies")
    git(made.parent, "init", "-q", "-b", "main", str(made))
    git(made, "add", "-A")
    git(made, "commit", "-q", "-m", "one")
    git(made, "checkout", "-q", "-b", "change")
    return made


class Ran:
    """What a step left behind."""

    def __init__(self, done: subprocess.CompletedProcess[str], runner: Path) -> None:
        self.code = done.returncode
        self.shown = done.stdout + done.stderr
        self.summary = (runner / "summary").read_text()
        self.outputs = dict(line.split("=", 1) for line in (runner / "output").read_text().splitlines())


def check(repository: Path, **inputs: str) -> Ran:
    """Run the step as a runner does: inputs, or their defaults, in its environment, its text given to bash."""
    known = ACTION["inputs"]
    given = {name: inputs.pop(name.replace("-", "_"), known[name]["default"]) for name in known}
    assert not inputs
    runner = repository.parent / "runner"
    (runner / "warmpod" / "bin").mkdir(parents=True, exist_ok=True)
    program = runner / "warmpod" / "bin" / "warmpod"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m webhook.cli.start "$@"\n')
    program.chmod(0o755)
    (runner / "summary").write_text("")
    (runner / "output").write_text("")
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "RUNNER_TEMP": str(runner),
        "GITHUB_ACTION_PATH": str(ROOT / "action"),
        "GITHUB_STEP_SUMMARY": str(runner / "summary"),
        "GITHUB_OUTPUT": str(runner / "output"),
        **{name: _INPUT.sub(lambda found: given[found[1]], value) for name, value in CHECK["env"].items()},
    }
    done = subprocess.run(
        ["bash", "-e", "-o", "pipefail", "-c", CHECK["run"]],
        cwd=repository,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    return Ran(done, runner)


def edit(repository: Path, old: str, new: str) -> None:
    file = repository / "policies" / "policy.yaml"
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))


def test_sound_policies_pass(repository: Path) -> None:
    ran = check(repository)
    assert (ran.code, ran.summary) == (0, ""), ran.shown
    assert set(ran.outputs) == {"junit"}
    assert "<testsuite" in Path(ran.outputs["junit"]).read_text()


def test_a_finding_stands_beside_its_line_and_all_else_is_run_too(repository: Path) -> None:
    edit(repository, "mountPath: /models", "mountPth: /models")
    ran = check(repository, against="main")
    assert ran.code == 1
    assert re.search(r"::error file=policies/policy.yaml,line=\d+,.*mountPth", ran.shown), ran.shown
    assert "junit" in ran.outputs
    assert ran.outputs["report"]


def test_what_a_branch_changes_is_the_summary(repository: Path) -> None:
    edit(repository, "AWS_RETRY_MODE: standard", "AWS_RETRY_MODE: adaptive")
    ran = check(repository, against="main")
    assert "another value of AWS\\_RETRY\\_MODE" in ran.summary, ran.shown
    assert Path(ran.outputs["report"]).read_text() == ran.summary


def test_pods_of_manifests_may_be_compared(repository: Path) -> None:
    edit(repository, "AWS_RETRY_MODE: standard", "AWS_RETRY_MODE: adaptive")
    case = repository / "policies" / "cases" / "annotated" / "input.yaml"
    ran = check(repository, against="main", manifests=str(case))
    assert "1 pod: 1 " in ran.summary, ran.shown


@pytest.mark.parametrize("name", ["$(touch harm);", "--output=harm"])
def test_a_hostile_branch_is_a_name_and_no_more(repository: Path, name: str) -> None:
    ran = check(repository, against=name)
    assert ran.code == 2, ran.shown
    assert "error: " in ran.shown
    assert not list(repository.rglob("harm"))


def test_inputs_are_never_part_of_a_script() -> None:
    for step in ACTION["runs"]["steps"]:
        assert "${{" not in step["run"]
    used = {name for value in CHECK["env"].values() for name in _INPUT.findall(value)}
    assert used == set(ACTION["inputs"])


def test_what_is_installed_is_pinned_by_hash() -> None:
    assert "--require-hashes -r" in INSTALL["run"]
    for place in re.findall(r"GITHUB_ACTION_PATH/\.\./([\w./]+)", INSTALL["run"]):
        assert (ROOT / place).is_file()


def options(entry: str, arguments: list[str]) -> Mapping[str, Any]:
    program, name, *rest = entry.split()
    assert program == "warmpod"
    command = main.get_command(click.Context(main), name)
    assert command is not None
    with command.make_context(name, [*rest, *arguments]) as context:
        return context.params


@pytest.mark.parametrize("hook", HOOKS, ids=lambda hook: str(hook["id"]))
def test_the_hooks_of_pre_commit_are_command_lines(hook: dict[str, Any]) -> None:
    assert (hook["language"], hook["pass_filenames"]) == ("python", False)
    assert options(hook["entry"], hook["args"])
    assert re.search(hook["files"], "policies/vllm/policy.yaml")
