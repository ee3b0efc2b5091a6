"""Children die with their parent, and tell why they died."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from webhook.sandbox import lifeline, process
from webhook.sandbox.process import DeadProcess, Process, tied, wait_until

SLEEP = "/bin/sleep"
ROOT = Path(__file__).parents[2]


def eventually(holds: Callable[[], bool], seconds: float = 60.0) -> bool:
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def is_alive(pid: int) -> bool:
    """Whether a process runs; a zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_a_child_dies_when_its_parent_is_killed(tmp_path: Path) -> None:
    script = f"""
import sys, time
from pathlib import Path
from webhook.sandbox.process import Process
child = Process("sleeper", ["{SLEEP}", "600"], Path({str(tmp_path / "log")!r}))
child.start()
while Path(f"/proc/{{child.pid}}/comm").read_text() != "sleep\\n":
    time.sleep(0.01)
print(child.pid, flush=True)
time.sleep(600)
"""
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, cwd=ROOT) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        assert is_alive(child)
        assert os.getsid(child) == child, "it must not share our terminal's session"
        parent.send_signal(signal.SIGKILL)
        assert eventually(lambda: not is_alive(child))


def test_a_child_whose_parent_died_first_does_not_start(tmp_path: Path) -> None:
    marker = tmp_path / "ran"
    command = [sys.executable, "-I", "-S", lifeline.__file__, "1", "/bin/touch", str(marker)]
    assert subprocess.run(command, check=False).returncode == lifeline.COULD_NOT_START
    assert not marker.exists()


def test_a_program_that_cannot_run_says_so(tmp_path: Path) -> None:
    missing = Process("etcd", [tmp_path / "etcd"], tmp_path / "log")
    missing.start()
    with pytest.raises(DeadProcess, match=r"etcd ended with exit code 127(.|\n)*cannot run .*No such file"):
        wait_until(lambda: False, "listen", processes=[missing], seconds=60)


def test_the_error_of_a_dead_process_has_its_last_lines(tmp_path: Path) -> None:
    command = ["/bin/sh", "-c", "for n in $(seq 100); do echo line $n; done; echo 'address already in use' >&2; exit 3"]
    child = Process("etcd", command, tmp_path / "etcd.log")
    child.start()
    with pytest.raises(DeadProcess) as caught:
        wait_until(lambda: False, "listen", processes=[child], seconds=60)
    text = str(caught.value)
    assert text.startswith(f"etcd ended with exit code 3. The end of {tmp_path / 'etcd.log'}:\n")
    assert "    line 100\n    address already in use" in text
    assert "line 85\n" not in text
    assert "address already in use" in caught.value.log


def test_a_killed_process_names_the_signal(tmp_path: Path) -> None:
    child = Process("kwok", [SLEEP, "600"], tmp_path / "log")
    child.start()
    child.send(signal.SIGKILL)
    with pytest.raises(DeadProcess, match=r"kwok was killed by signal 9.*\n    \(it wrote nothing\)"):
        wait_until(lambda: False, "run", processes=[child], seconds=60)


def test_a_process_that_does_not_get_ready_is_named(tmp_path: Path) -> None:
    child = Process("kube-apiserver", [SLEEP, "600"], tmp_path / "log")
    child.start()
    try:
        with pytest.raises(DeadProcess, match=r"kube-apiserver did not get ready within 0\.2 s"):
            wait_until(lambda: False, "get ready", processes=[child], seconds=0.2)
    finally:
        child.stop()


def test_stop_kills_what_does_not_end_and_what_it_started(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    stubborn = f"trap '' TERM; {SLEEP} 600 & echo $! > {pids}; wait; {SLEEP} 600"
    child = Process("stubborn", ["/bin/sh", "-c", stubborn], tmp_path / "log")
    child.start()
    assert eventually(lambda: pids.exists() and pids.read_text().strip() != "")
    grandchild = int(pids.read_text())
    started = time.monotonic()
    child.stop(grace=0.2)
    assert time.monotonic() - started < 60
    assert not child.running
    assert eventually(lambda: not is_alive(grandchild))
    child.stop()


def test_stop_before_start_is_harmless(tmp_path: Path) -> None:
    child = Process("never", [SLEEP, "1"], tmp_path / "log")
    child.stop()
    child.send(signal.SIGTERM)
    assert child.pid is None
    assert not child.running


def test_logs_are_private(tmp_path: Path) -> None:
    child = Process("quick", ["/bin/true"], tmp_path / "log")
    child.start()
    child.stop()
    assert (tmp_path / "log").stat().st_mode & 0o077 == 0


def test_parent_means_the_thread_that_started_it() -> None:
    """The kernel's rule, and why `Sandbox` must be entered from a thread that lives as long."""
    found: list[subprocess.Popen[bytes]] = []
    ended = threading.Event()

    def start() -> None:
        found.append(subprocess.Popen(tied(SLEEP, "600")))
        comm = Path(f"/proc/{found[0].pid}/comm")
        assert eventually(lambda: comm.read_text() == "sleep\n")
        ended.set()

    threading.Thread(target=start).start()
    assert ended.wait(60)
    assert found[0].wait(60) == -signal.SIGKILL


def test_only_the_end_of_a_long_log_is_read(tmp_path: Path) -> None:
    child = Process("chatty", ["/bin/true"], tmp_path / "log")
    (tmp_path / "log").write_bytes(b"\xff" * 100_000 + b"\nthe end")
    assert child.last_lines() == "\ufffd" * (8192 - 8) + "\nthe end"
    assert len(child.last_lines(1).splitlines()) == 1
    assert process.LAST_LINES == 15
