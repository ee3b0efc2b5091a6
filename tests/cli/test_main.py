"""The frame of the command: fast help, one line for every failure, exit codes, environment twins."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from webhook import __version__
from webhook.cli import main as frame
from webhook.cli.main import COMMANDS, main

HEAVY = ("rich", "pydantic", "yaml", "msgspec", "starlette", "kubernetes", "cryptography", "celpy", "cel_expr_python")


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-m", "webhook.cli.main", *arguments],
        capture_output=True,
        check=False,
        cwd=Path(__file__).parents[2],
        env={**os.environ, **environment},
    )


@pytest.mark.parametrize("arguments", [["--help"], ["preview", "--help"], ["lint", "--help"], ["demo", "--help"]])
def test_help_imports_nothing_heavy(arguments: list[str]) -> None:
    script = (
        "import sys\nfrom webhook.cli.main import main\n"
        f"try:\n    main({arguments!r})\nexcept SystemExit as end:\n    assert end.code == 0\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stderr == "[]\n"


def test_help_takes_little_longer_than_python_and_click() -> None:
    def seconds(*command: str) -> float:
        began = time.perf_counter()
        subprocess.run([sys.executable, *command], capture_output=True, check=True, cwd=Path(__file__).parents[2])
        return time.perf_counter() - began

    # A ratio within one run, the best of several: absolute times belong to idle machines.
    floor = min(seconds("-c", "import click") for _ in range(5))
    ours = min(seconds("-m", "webhook.cli.main", "preview", "--help") for _ in range(5))
    assert ours < 2.5 * floor


@pytest.mark.parametrize("name", list(COMMANDS))
def test_each_command_of_the_table_is_there_and_says_what_it_does(name: str) -> None:
    command = main.get_command(click.Context(main), name)
    assert command is not None
    assert command.help
    for parameter in command.params:
        if isinstance(parameter, click.Option):
            assert str(parameter.envvar).startswith("WARMPOD_"), f"{name} {parameter.opts}"


def test_version() -> None:
    assert CliRunner().invoke(main, ["--version"]).output.startswith(f"warmpod {__version__} (Python 3.")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["previw"], "error: there is no command 'previw'\n\nhint: did you mean `warmpod preview`?\n"),
        (["\x1b[31m"], "error: there is no command '\\x1b[31m'\n\nhint: `warmpod --help` lists the commands\n"),
    ],
    ids=["near", "hostile"],
)
def test_an_unknown_command_names_the_nearest(arguments: list[str], message: str) -> None:
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 2
    assert result.stderr == message


def test_an_unforeseen_error_is_one_line_unless_debug(monkeypatch: pytest.MonkeyPatch) -> None:
    @click.command()
    def broken() -> None:
        raise RuntimeError("first line\nsecond line")

    monkeypatch.setattr(frame.Commands, "get_command", lambda *_: broken)
    result = CliRunner().invoke(main, ["lint"])
    assert result.exit_code == 2
    assert result.stderr == (
        "error: RuntimeError: first line\n\nhint: this is a defect in Warmpod; `warmpod --debug ...` shows where\n"
    )
    assert isinstance(CliRunner().invoke(main, ["--debug", "lint"]).exception, RuntimeError)
    by_twin = CliRunner().invoke(main, ["lint"], env={"WARMPOD_DEBUG": "1"})
    assert isinstance(by_twin.exception, RuntimeError)


def test_an_error_of_the_system_names_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    @click.command()
    def broken() -> None:
        raise PermissionError(13, "Permission denied", "/etc/shadow")

    monkeypatch.setattr(frame.Commands, "get_command", lambda *_: broken)
    result = CliRunner().invoke(main, ["lint"])
    assert (result.exit_code, result.stderr) == (2, "error: /etc/shadow: Permission denied\n")


def test_an_interrupt_is_neither_a_finding_nor_a_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    @click.command()
    def interrupted() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(frame.Commands, "get_command", lambda *_: interrupted)
    result = CliRunner().invoke(main, ["demo"])
    assert (result.exit_code, result.output) == (130, "")


def test_twins_stand_in_for_options() -> None:
    done = run(
        "preview", WARMPOD_FILE="webhook/cli/examples/vllm.yaml", WARMPOD_POLICIES="policies", WARMPOD_OUTPUT="json"
    )
    assert done.returncode == 0
    assert done.stdout.startswith(b'{\n  "items": [\n')


@pytest.mark.parametrize(("variable", "coloured"), [("NO_COLOR", False), ("FORCE_COLOR", True), ("NOTHING", False)])
def test_colour_is_for_terminals_and_for_who_asks(variable: str, coloured: bool) -> None:
    done = run(
        "preview", "-f", "webhook/cli/examples/vllm.yaml", "--policies", "policies/vllm-s3-nvme", **{variable: "1"}
    )
    assert (b"\x1b[" in done.stdout) is coloured
    assert (b"\x1b[" in done.stderr) is coloured
    assert b"warmpod-hydrate" in done.stdout


def every(group: click.Group, path: str) -> Iterator[tuple[str, click.Command]]:
    for name in group.list_commands(click.Context(group)):
        command = group.get_command(click.Context(group), name)
        assert command is not None
        yield f"{path} {name}", command
        if isinstance(command, click.Group):
            yield from every(command, f"{path} {name}")


EVERY = dict(every(main, "warmpod"))


@pytest.mark.parametrize("path", EVERY)
def test_every_help_ends_with_examples_that_are_taken(path: str) -> None:
    """An example that the command would refuse is worse than none: each is parsed as it stands."""
    shown = CliRunner().invoke(main, [*path.split()[1:], "--help"]).output
    lines = [line.strip() for line in shown.splitlines() if path in line and not line.startswith("Usage:")]
    lines = [line[line.index(path) :] for line in lines if not line.startswith("#") and "`" not in line]
    assert lines, shown
    command = EVERY[path]
    for line in lines:
        words = shlex.split(re.split(r"[|)]| > ", line)[0], comments=True)
        if path == "warmpod hydrate" or isinstance(command, click.Group):
            continue  # hydrate parses by itself (tests/hydrator), and a group's examples are its commands'
        with command.make_context(path, words[len(path.split()) :], resilient_parsing=False):
            pass
