"""Git as tests call it: of no user's and no machine's configuration."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

ENVIRONMENT = {
    "PATH": os.environ["PATH"],
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_NOSYSTEM": "1",
    **{f"GIT_{who}_{what}": "a@b" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")},
}


def git(repository: Path, *arguments: str) -> str:
    """What the command prints, run in a repository. It must succeed."""
    return subprocess.run(
        ["git", *arguments], cwd=repository, env=ENVIRONMENT, check=True, capture_output=True, text=True
    ).stdout.strip()
