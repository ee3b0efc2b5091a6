"""Where `warmpod` begins: the hydrator without the frame, all other commands with it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from webhook import __version__

ROOT = Path(__file__).parents[2]


def run(*given: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "webhook.cli.start", *given]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_the_hydrator_starts_without_what_the_other_commands_share() -> None:
    script = (
        "import sys\nfrom webhook.cli.start import main\nsys.argv[1:] = ['hydrate', '--help']\n"
        "try:\n    main()\nexcept SystemExit as end:\n    assert end.code == 0\n"
        "print([name for name in ('click', 'webhook.cli.main', 'webhook.hydrator.cache') if name in sys.modules])\n"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize("before", [[], ["--debug"]], ids=["straight", "by-the-frame"])
def test_help_is_that_of_the_hydrator(before: list[str]) -> None:
    done = run(*before, "hydrate", "--help")
    assert done.returncode == 0
    assert done.stdout.startswith("usage: warmpod hydrate SOURCE --cache DIR")
    assert "warmpod hydrate --verify /mnt/nvme/models" in done.stdout
    assert done.stderr == ""


@pytest.mark.parametrize("before", [[], ["--debug"]], ids=["straight", "by-the-frame"])
def test_its_exit_code_is_that_of_the_hydrator(before: list[str], tmp_path: Path) -> None:
    done = run(*before, "hydrate", f"file://{tmp_path}/none/", f"--cache={tmp_path}", "--termination-log=")
    assert done.returncode == 5
    assert done.stderr.startswith("error: ")
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        (["--version"], f"warmpod {__version__} "),
        (["--help"], "Usage: warmpod "),
        (["schema", "--help"], "Usage: warmpod"),
    ],
    ids=["version", "help", "command"],
)
def test_other_commands_have_the_frame(given: list[str], shown: str) -> None:
    done = run(*given)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(shown)
