"""Programs of Debian's packages that some tests need, installed where a machine lacks them."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path

import pytest

_SECONDS = 240


def need(*packages: str, programs: tuple[str, ...]) -> None:
    """Have these programs. Skips the test, in plain words, where they are not there and cannot be installed."""
    if all(map(shutil.which, programs)):
        return
    with Path(tempfile.gettempdir(), "warmpod-tests-apt.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # another process of this test run may be at it
        reason = _install(packages)
    if reason:
        pytest.skip(f"{' and '.join(programs)} cannot be had: {reason}")


@cache
def _install(packages: tuple[str, ...]) -> str:
    """Why not; "" when they are there."""
    if shutil.which("apt-get") is None:
        return "there is no apt"
    if os.geteuid() != 0:
        return "installing packages takes root"
    # The machine may be updating itself.
    options = ("-q", "-o", f"DPkg::Lock::Timeout={_SECONDS}", "-o", "Acquire::Retries=2")
    install = ("install", "-y", "--no-install-recommends", *packages)
    for command in (("update",), install):
        try:
            done = subprocess.run(
                ["apt-get", *options, *command],
                env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"},
                check=False,
                capture_output=True,
                text=True,
                timeout=_SECONDS,
            )
        except subprocess.TimeoutExpired:
            return f"apt-get {command[0]} did not end"
        if done.returncode and command == install:
            return f"apt-get {command[0]}: {done.stderr.strip()[-500:]}"
    return ""
