"""A sandbox's directory: who owns it, what runs in it, what is left when it ends."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import signal
import time
from collections.abc import Mapping
from pathlib import Path

from webhook.sandbox import SandboxFailed, binaries
from webhook.sandbox.credentials import write_private

KUBECONFIG = "kubeconfig"
LOGS = "logs"
_STATE = "sandbox.json"
_LOCK = "lock"


class NotRunning(SandboxFailed):
    """No sandbox runs in the directory."""


def default_directory() -> Path:
    """Where `warmpod sandbox up` keeps its state when nobody says otherwise."""
    return binaries.cache_home() / "sandbox"


class StateDirectory:
    """Exclusive hold of a directory, until `release` or this process's end, however it ends."""

    def __init__(self, path: Path) -> None:
        """Take the directory and clear what an earlier sandbox left in it.

        Raises `SandboxFailed` when another sandbox runs in it, and when it holds anything that no sandbox wrote.
        """
        self.path = path.absolute()
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not (self.path / _LOCK).exists() and any(self.path.iterdir()):
            raise SandboxFailed(
                f"{self.path} is not empty and not a sandbox's directory; name a new one with --dir DIR"
            )
        self._lock = os.open(self.path / _LOCK, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._lock)
            raise SandboxFailed(
                f"a sandbox already runs in {self.path}. `warmpod sandbox down` ends it; --dir DIR starts another one"
            ) from None
        self._clear(keep_logs=False)
        (self.path / LOGS).mkdir(mode=0o700)

    def announce(self, facts: Mapping[str, str]) -> None:
        """Tell `read` what runs here."""
        write_private(self.path / _STATE, json.dumps({"pid": os.getpid(), **facts}, indent=1).encode())

    def release(self, *, keep_logs: bool) -> None:
        """Remove everything but, if wished, the logs; and let others have the directory."""
        self._clear(keep_logs=keep_logs)
        os.close(self._lock)

    def _clear(self, *, keep_logs: bool) -> None:
        for entry in self.path.iterdir():
            if entry.name == _LOCK or (keep_logs and entry.name == LOGS):
                continue
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry, ignore_errors=True)
            else:
                entry.unlink(missing_ok=True)


def kubectl_environment(directory: Path) -> dict[str, str]:
    """What points kubectl at the sandbox of a directory, and keeps its caches out of the user's home."""
    return {"KUBECONFIG": str(directory / KUBECONFIG), "KUBECACHEDIR": str(directory / "kubectl-cache")}


def read(directory: Path) -> dict[str, str]:
    """What `announce` told about the sandbox that runs in `directory`. Raises `NotRunning`."""
    if not _held(directory):
        raise NotRunning(f"no sandbox runs in {directory}; `warmpod sandbox up` starts one")
    try:
        found = json.loads((directory / _STATE).read_bytes())
    except (OSError, ValueError):
        raise NotRunning(f"the sandbox in {directory} is still starting; try again in a few seconds") from None
    return {str(key): str(value) for key, value in found.items()}


def end(directory: Path, *, seconds: float = 20.0) -> None:
    """End the sandbox that runs in `directory`: SIGTERM, then SIGKILL after `seconds`. Raises `NotRunning`.

    Its parts die with it either way.
    """
    pid = int(read(directory)["pid"])
    for signal_number, patience in ((signal.SIGTERM, seconds), (signal.SIGKILL, 5.0)):
        try:
            os.kill(pid, signal_number)
        except ProcessLookupError:
            return
        deadline = time.monotonic() + patience
        while time.monotonic() < deadline:
            # The lock tells more than the pid: it is gone with the process, and no other process can have it.
            if not _held(directory):
                return
            time.sleep(0.1)
    raise SandboxFailed(f"process {pid}, which runs the sandbox in {directory}, does not end")


def _held(directory: Path) -> bool:
    try:
        lock = os.open(directory / _LOCK, os.O_RDWR)
    except OSError:
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(lock)
    return False
