"""The real kubectl, as a user of the sandbox's cluster runs it."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

from webhook.sandbox import state


def run(
    program: Path, directory: Path, arguments: Sequence[str | Path], *, stdin: str | None, check: bool
) -> subprocess.CompletedProcess[str]:
    """Run it against the sandbox in `directory`. With `check`, CalledProcessError for a non-zero exit."""
    done = subprocess.run(
        [program, *arguments],
        env={**os.environ, **state.kubectl_environment(directory), "KUBERC": "off"},
        input=stdin,
        capture_output=True,
        text=True,
        check=False,
    )
    if check and done.returncode:
        error = subprocess.CalledProcessError(done.returncode, done.args, done.stdout, done.stderr)
        error.add_note(f"kubectl said: {done.stderr.strip()}")
        raise error
    return done
