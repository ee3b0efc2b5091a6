"""The import contracts of pyproject.toml, so that `pytest` alone catches an import that points up."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def lint_imports() -> subprocess.CompletedProcess[str]:
    script = Path(sys.executable).with_name("lint-imports")
    return subprocess.run([script, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False)


def test_imports_point_down_and_the_core_is_pure() -> None:
    run = lint_imports()
    assert run.returncode == 0, run.stdout + run.stderr
    assert "0 broken" in run.stdout


def test_ruff_and_mypy_are_clean() -> None:
    tools = Path(sys.executable).parent
    for command in (["ruff", "check"], ["ruff", "format", "--check"], ["mypy"]):
        run = subprocess.run([tools / command[0], *command[1:]], cwd=ROOT, capture_output=True, text=True, check=False)
        assert run.returncode == 0, f"{' '.join(command)}\n{run.stdout}{run.stderr}"
