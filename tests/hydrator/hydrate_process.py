"""`warmpod hydrate` as the kubelet runs it: a process with an environment of its own and a termination log."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from webhook.inventory.report import Report, read

ROOT = Path(__file__).parents[2]
COMMAND = (sys.executable, "-m", "webhook.cli.start", "hydrate")


class Ended(NamedTuple):
    """A run that is over."""

    code: int
    stdout: str
    stderr: str
    message: dict[str, Any]
    report: Report


class Node:
    """A node's directory: a cache, a source, and logs of the pods that run there."""

    def __init__(self, path: Path) -> None:
        self.cache = path / "cache"
        self.source = path / "source"
        self.log = path / "termination-log"

    def fill(self, files: Mapping[str, bytes]) -> str:
        """Write a model to the source; its name."""
        for name, body in files.items():
            path = self.source / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(body)
        return f"file://{self.source}/"

    def model(self, source: str, **changes: Any) -> str:
        """The argument by which the webhook asks for a model in this cache, however full the machine's disk is."""
        asked = {"cache": str(self.cache), "source": source, "tenant": "team-a", "keepFree": "0", **changes}
        return f"--model={json.dumps(asked)}"

    def start(
        self, *given: str, env: Mapping[str, str] | None = None, command: Sequence[str] = COMMAND, **options: Any
    ) -> subprocess.Popen[str]:
        """A run, in a session of its own."""
        self.log.unlink(missing_ok=True)
        options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
        return subprocess.Popen(
            [*command, *given, f"--termination-log={self.log}"],
            cwd=ROOT,
            env={
                "PATH": os.environ["PATH"],
                "HOSTNAME": "pod-a",
                "HOME": "/nonexistent",
                "WARMPOD_KEEP_FREE": "0",
                **(env or {}),
            },
            text=True,
            start_new_session=True,
            **options,
        )

    def ended(self, process: subprocess.Popen[str], timeout: float = 60) -> Ended:
        """Wait for a run."""
        stdout, stderr = process.communicate(timeout=timeout)
        text = self.log.read_text()
        report = read(text)
        assert isinstance(report, Report), text
        return Ended(process.returncode, stdout, stderr, json.loads(text), report)

    def run(self, *given: str, env: Mapping[str, str] | None = None) -> Ended:
        """A run from its beginning to its end."""
        return self.ended(self.start(*given, env=env))

    def tree(self, directory: str) -> dict[str, bytes]:
        """What a pod that mounts a model's `current` sees."""
        top = self.cache / directory / "current"
        return {str(path.relative_to(top)): path.read_bytes() for path in top.rglob("*") if path.is_file()}
