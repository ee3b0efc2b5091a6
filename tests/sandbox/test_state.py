"""Who holds a sandbox's directory, what may be removed from it, and how another process ends it."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from webhook.sandbox import SandboxFailed, state
from webhook.sandbox.state import NotRunning, StateDirectory

ROOT = Path(__file__).parents[2]

HOLDER = """
import signal, sys, time
from pathlib import Path
from webhook.sandbox.state import StateDirectory
if sys.argv[2] == "stubborn":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
held = StateDirectory(Path(sys.argv[1]))
held.announce({"server": "https://127.0.0.1:1"})
print("held", flush=True)
time.sleep(600)
"""


def test_a_directory_has_one_sandbox(tmp_path: Path) -> None:
    held = StateDirectory(tmp_path / "box")
    with pytest.raises(SandboxFailed, match=r"a sandbox already runs in .*/box\. `warmpod sandbox down` ends it"):
        StateDirectory(tmp_path / "box")
    held.release(keep_logs=True)
    StateDirectory(tmp_path / "box").release(keep_logs=False)


def test_what_somebody_else_wrote_is_never_removed(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(SandboxFailed, match="not empty and not a sandbox's directory"):
        StateDirectory(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_leftovers_of_a_killed_sandbox_go(tmp_path: Path) -> None:
    held = StateDirectory(tmp_path)
    (tmp_path / "etcd-1234" / "member").mkdir(parents=True)
    (tmp_path / "kubeconfig").write_text("secret")
    outside = tmp_path.with_name("outside")
    outside.mkdir()
    (tmp_path / "link").symlink_to(outside)
    held.release(keep_logs=False)
    assert [path.name for path in tmp_path.iterdir()] == ["lock"]
    assert outside.is_dir()


@pytest.mark.parametrize(("keep_logs", "left"), [(True, {"lock", "logs"}), (False, {"lock"})])
def test_release_keeps_logs_on_demand(tmp_path: Path, keep_logs: bool, left: set[str]) -> None:
    held = StateDirectory(tmp_path)
    held.announce({"server": "https://127.0.0.1:1"})
    held.release(keep_logs=keep_logs)
    assert {path.name for path in tmp_path.iterdir()} == left


def test_the_announcement_is_private_and_readable(tmp_path: Path) -> None:
    held = StateDirectory(tmp_path)
    with pytest.raises(NotRunning, match="still starting"):
        state.read(tmp_path)
    held.announce({"server": "https://127.0.0.1:1"})
    assert state.read(tmp_path)["server"] == "https://127.0.0.1:1"
    assert (tmp_path / "sandbox.json").stat().st_mode & 0o077 == 0
    held.release(keep_logs=False)
    with pytest.raises(NotRunning, match="no sandbox runs in"):
        state.read(tmp_path)


def test_a_directory_that_is_not_there_runs_nothing(tmp_path: Path) -> None:
    with pytest.raises(NotRunning):
        state.end(tmp_path / "none")


@pytest.mark.parametrize(("kind", "code"), [("polite", -signal.SIGTERM), ("stubborn", -signal.SIGKILL)])
def test_end_ends_the_process_that_holds_it(tmp_path: Path, kind: str, code: int) -> None:
    command = [sys.executable, "-c", HOLDER, str(tmp_path), kind]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        state.end(tmp_path, seconds=0.5)
        assert holder.wait(60) == code
    StateDirectory(tmp_path).release(keep_logs=False)
