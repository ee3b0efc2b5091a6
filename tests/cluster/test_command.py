"""`warmpod sandbox` as a person runs it: up, kubectl, down, and what is left after kill -9."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

pytestmark = pytest.mark.cluster

ROOT = Path(__file__).parents[2]
WARMPOD = [sys.executable, "-m", "webhook.cli.main", "sandbox"]
EXAMPLE = ROOT / "webhook" / "cli" / "examples" / "vllm.yaml"
START_SECONDS = 90
PROGRAMS = {"etcd", "kube-apiserver", "kube-controller", "kube-scheduler", "kwok"}


def warmpod(directory: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [*WARMPOD, arguments[0], "--dir", str(directory), *arguments[1:]]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=200, check=False)


@contextmanager
def up(directory: Path, *flags: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A running `warmpod sandbox up`, and the line it printed."""
    command = [*WARMPOD, "up", "--dir", str(directory), *flags]
    errors = directory.with_suffix(".stderr")
    with errors.open("w") as stderr, subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=stderr, text=True
    ) as process:  # fmt: skip
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            assert line, errors.read_text()
            yield process, line
        finally:
            process.kill()


def children(pid: int) -> dict[int, str]:
    """Processes that `pid` started, by id, with their names."""
    found = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                name, fields = re.fullmatch(
                    r"\d+ \((.*)\) (.*)", (entry / "stat").read_text().strip(), re.DOTALL
                ).groups()  # type: ignore[union-attr]  # the kernel's format
            except (FileNotFoundError, ProcessLookupError):
                continue
            state, parent, *_ = fields.split()
            if int(parent) == pid and state != "Z":
                found[int(entry.name)] = name
    return found


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_up_kubectl_down(tmp_path: Path) -> None:
    directory = tmp_path / "box"
    with up(directory, "--nodes", "3", "--warm", "1") as (process, line):
        assert line == f"export KUBECONFIG={directory}/kubeconfig\n"
        nodes = warmpod(directory, "kubectl", "get", "nodes", "-o", "name")
        assert nodes.stdout.split() == ["node/gpu-1", "node/gpu-2", "node/gpu-3"]
        assert warmpod(directory, "kubectl", "--", "get", "nothing").returncode == 1, "the exit code is kubectl's"
        applied = warmpod(directory, "kubectl", "apply", "-f", str(EXAMPLE), "--dry-run=server", "-o", "name")
        assert applied.stdout == "deployment.apps/vllm-llama\n", applied.stderr
        second = warmpod(directory, "up")
        assert second.returncode == 2
        assert "a sandbox already runs in" in second.stderr
        mine = children(process.pid)
        assert set(mine.values()) >= PROGRAMS
        down = warmpod(directory, "down")
        assert down.returncode == 0, down.stderr
        assert process.wait(60) == 0
        assert not [pid for pid in mine if is_alive(pid)]
    assert {path.name for path in directory.iterdir()} == {"lock", "logs"}
    assert "ended" in directory.with_suffix(".stderr").read_text()
    again = warmpod(directory, "kubectl", "get", "nodes")
    assert again.returncode == 2
    assert "`warmpod sandbox up` starts one" in again.stderr


def test_nothing_survives_kill_9(tmp_path: Path) -> None:
    directory = tmp_path / "box"
    with up(directory, "--nodes", "1", "--warm", "1", "--mode", "Audit") as (process, _):
        shown = warmpod(directory, "kubectl", "get", "namespace", "default", "-o", "yaml").stdout
        assert "warmpod.dev/mode: Audit" in shown
        mine = children(process.pid)
        assert len(mine) == len(PROGRAMS) + 2, "the webhook and the controller beside them"
        os.kill(process.pid, signal.SIGKILL)
        deadline = time.monotonic() + 60
        while left := [name for pid, name in mine.items() if is_alive(pid)]:
            assert time.monotonic() < deadline, left
            time.sleep(0.05)
    gone = warmpod(directory, "down")
    assert gone.returncode == 2
    assert "no sandbox runs in" in gone.stderr


def test_a_control_plane_that_cannot_start_says_why(tmp_path: Path) -> None:
    """The last lines of what died, where its log is, and no traceback."""
    assets = tmp_path / "assets"
    assets.mkdir()
    for name in ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubectl", "kwok"):
        (assets / name).write_text("#!/bin/sh\necho 'etcd: this disk is full' >&2\nexit 7\n")
        (assets / name).chmod(0o755)
    done = warmpod(tmp_path / "box", "up", "--assets", str(assets))
    assert done.returncode == 2
    assert "etcd ended with exit code 7" in done.stderr
    assert "etcd: this disk is full" in done.stderr
    assert f"{tmp_path}/box/logs/etcd.log" in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
