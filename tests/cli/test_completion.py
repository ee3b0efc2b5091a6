"""What shells and kubectl are told when somebody presses Tab."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from webhook.cli.main import COMMANDS

ROOT = Path(__file__).parents[2]
HEAVY = ("rich", "pydantic", "yaml", "msgspec", "webhook.cli.lint", "webhook.cli.preview")


@pytest.fixture
def path(tmp_path: Path) -> Mapping[str, str]:
    """An environment in which `warmpod` and the kubectl plugin are this tree's."""
    for name, function in (
        ("warmpod", "start:main"),
        ("kubectl-warmpod", "start:main"),
        ("kubectl_complete-warmpod", "completion:for_kubectl"),
    ):
        module, _, attribute = function.partition(":")
        program = tmp_path / name
        program.write_text(
            f"#!{sys.executable}\nimport sys\nsys.path.insert(0, {str(ROOT)!r})\n"
            f"from webhook.cli.{module} import {attribute}\n{attribute}()\n"
        )
        program.chmod(0o755)
    return {**os.environ, "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"}


def run(environment: Mapping[str, str], *given: str) -> str:
    return subprocess.run(given, env=dict(environment), capture_output=True, text=True, check=True).stdout


def completed(path: Mapping[str, str], line: str) -> list[str]:
    """What a real bash offers after this line."""
    words = line.split(" ")
    script = (
        'source <(warmpod completion bash); COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); '
        '_warmpod_completion warmpod; printf "%s\\n" "${COMPREPLY[@]}"'
    )
    bash = shutil.which("bash")
    assert bash is not None
    return run(path, bash, "--norc", "-c", script, "bash", *words).split()


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("warmpod pre", ["preview"]),
        ("warmpod lint --outp", ["--output"]),
        ("warmpod certs ro", ["rotate"]),
        ("warmpod completion ", ["bash", "zsh", "fish"]),
        ("warmpod webhook --log-level wa", ["warning"]),
    ],
    ids=["command", "option", "subcommand", "choices", "value"],
)
def test_bash(path: Mapping[str, str], line: str, offered: list[str]) -> None:
    assert completed(path, line) == offered


def test_no_command_is_imported_to_complete_its_name() -> None:
    script = (
        "import sys\nfrom webhook.cli.main import main\nimport click\n"
        "names = [item.value for item in main.shell_complete(click.Context(main), '')]\n"
        f"print(names == {list(COMMANDS)!r}, [name for name in {HEAVY!r} if name in sys.modules])\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout == "True []\n"


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_other_shells_get_their_script(path: Mapping[str, str], shell: str) -> None:
    script = run(path, "warmpod", "completion", shell)
    assert f"_WARMPOD_COMPLETE={shell}_complete" in script
    words = {"COMP_WORDS": "warmpod im", "COMP_CWORD": "im" if shell == "fish" else "1"}
    told = run({**path, **words, "_WARMPOD_COMPLETE": f"{shell}_complete"}, "warmpod")
    assert "images" in told
    assert COMMANDS["images"][1] in told


@pytest.mark.parametrize(
    ("words", "answer"),
    [
        (["ima"], f"images\t{COMMANDS['images'][1]}\n:4\n"),
        (["preview", "--policies", ""], ":16\n"),
        (["preview", "-f", ""], ":0\n"),
        (["completion", "z"], "zsh\n:4\n"),
    ],
    ids=["command", "directory", "file", "choice"],
)
def test_kubectl(path: Mapping[str, str], words: list[str], answer: str) -> None:
    assert run(path, "kubectl_complete-warmpod", *words) == answer


def test_kubectl_is_answered_after_nonsense(path: Mapping[str, str]) -> None:
    assert run(path, "kubectl_complete-warmpod", "no-such-command", "--x=", "").endswith(":4\n")


def test_the_plugin_calls_itself_as_people_call_it(path: Mapping[str, str]) -> None:
    assert run(path, "kubectl-warmpod", "schema", "--help").startswith("Usage: kubectl warmpod schema")
