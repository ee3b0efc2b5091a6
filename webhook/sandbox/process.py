"""A child process with a log file, tied to this process's life."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from webhook.sandbox import SandboxFailed

LAST_LINES = 15
"""Lines of a log that an error message shows."""

_LIFELINE = Path(__file__).with_name("lifeline.py")
_POLL_SECONDS = 0.05


def tied(program: str | Path, *arguments: str | Path) -> list[str]:
    """The command line that runs a program which dies with the thread that starts it (`lifeline`)."""
    own = [sys.executable, "-I", "-S", str(_LIFELINE), str(os.getpid())]
    return [*own, str(program), *(str(argument) for argument in arguments)]


class DeadProcess(SandboxFailed):
    """A process of the sandbox ended by itself, or did not get ready. `log` is the end of what it wrote."""

    def __init__(self, message: str, log: str) -> None:
        super().__init__(message)
        self.log = log


class Process:
    """One program of the sandbox, in its own session, with stdout and stderr appended to `log`.

    It is killed by the kernel when the *thread* that called `start` ends, even after kill -9 of this process: start it
    from a thread that lives as long as the sandbox. A signal to this process's terminal does not reach it, so that the
    sandbox can end its parts in order.
    """

    def __init__(
        self, name: str, command: Sequence[str | Path], log: Path, *, environment: Mapping[str, str] | None = None
    ) -> None:
        self.name = name
        self.log = log
        self._command = [str(part) for part in command]
        self._environment = environment
        self._child: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it. Failures to execute show up as a process that ended, with the reason in its log."""
        descriptor = os.open(self.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            self._child = subprocess.Popen(
                tied(*self._command),
                stdin=subprocess.DEVNULL,
                stdout=descriptor,
                stderr=descriptor,
                env=self._environment,
                start_new_session=True,
            )
        finally:
            os.close(descriptor)

    @property
    def pid(self) -> int | None:
        """The process id, which is its process group's too; None when it was never started."""
        return self._child.pid if self._child else None

    @property
    def running(self) -> bool:
        """Whether it was started and has not ended."""
        return self._child is not None and self._child.poll() is None

    def send(self, signal_number: int) -> None:
        """Send a signal to it and whatever it started; no error when it is gone."""
        if self._child is None or self._child.poll() is not None:
            return
        try:
            os.killpg(self._child.pid, signal_number)
        except ProcessLookupError:
            # Between fork and setsid the group does not exist yet.
            self._child.send_signal(signal_number)

    def stop(self, grace: float = 5.0) -> None:
        """End it: SIGTERM, after `grace` seconds SIGKILL. Returns when it is gone; no error when it was."""
        if self._child is None:
            return
        self.send(signal.SIGTERM)
        try:
            self._child.wait(grace)
        except subprocess.TimeoutExpired:
            self.send(signal.SIGKILL)
            self._child.wait()

    def last_lines(self, count: int = LAST_LINES) -> str:
        """The end of its log, at most 8 KiB of it."""
        try:
            with self.log.open("rb") as file:
                file.seek(max(0, self.log.stat().st_size - 8192))
                text = file.read().decode("utf-8", "replace")
        except OSError:
            return ""
        return "\n".join(text.splitlines()[-count:])

    def death(self, what: str) -> DeadProcess:
        """The error that tells `what` went wrong with it, with the end of its log and where the rest is."""
        log = self.last_lines()
        shown = "\n".join(f"    {line}" for line in log.splitlines()) or "    (it wrote nothing)"
        return DeadProcess(f"{self.name} {what}. The end of {self.log}:\n{shown}", log)

    def check(self) -> None:
        """Raise `DeadProcess` if it has ended."""
        if self._child is not None and (code := self._child.poll()) is not None:
            how = f"was killed by signal {-code}" if code < 0 else f"ended with exit code {code}"
            raise self.death(how)


def wait_until(
    ready: Callable[[], bool],
    what: str | Callable[[], str],
    *,
    processes: Sequence[Process],
    seconds: float,
    culprit: Process | None = None,
) -> None:
    """Wait until `ready()` holds.

    Raises `DeadProcess` as soon as one of `processes` has ended, and after `seconds` with the log of `culprit`
    (default: the last of `processes`). `what` finishes the sentence "kube-apiserver did not ..." in the error; a
    function is asked at the end.
    """
    deadline = time.monotonic() + seconds
    while not ready():
        for process in processes:
            process.check()
        if time.monotonic() > deadline:
            text = what if isinstance(what, str) else what()
            raise (culprit or processes[-1]).death(f"did not {text} within {seconds:g} s")
        time.sleep(_POLL_SECONDS)
