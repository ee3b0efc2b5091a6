"""One download by one client, measured and checked."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

from tests.bench.hydrate import clients
from tests.bench.hydrate.clients import CLIENTS, OURS, Job
from tests.bench.hydrate.storage import checksums

_LAUNCH = Path(__file__).with_name("launch.py")
_SECONDS = 900


class Wrong(Exception):
    """A client failed, or what it left is not what was served."""


class Run(NamedTuple):
    """`gigabytes` of 10^9 bytes in `synced` seconds, sync(2) included; `rss` is the largest process's peak in bytes."""

    gigabytes: float
    files: int
    seconds: float
    synced: float
    cpu: float
    rss: int


def download(client: str, job: Job, expected: dict[str, int] | None) -> Run:
    """Download into the job's directory, which is made here; compare with `expected` when it is given."""
    job.directory.mkdir()
    os.sync()
    command = CLIENTS[client](job)
    launch = [sys.executable, "-I", "-S", str(_LAUNCH), *command.command]
    environment = {**clients.environment(job), **command.environment}
    done = subprocess.run(launch, env=environment, capture_output=True, text=True, timeout=_SECONDS, check=False)
    figures = json.loads(done.stdout.splitlines()[-1]) if done.stdout else {"code": done.returncode}
    if figures["code"] != 0:
        raise Wrong(f"{client} ended with {figures['code']}:\n{done.stderr[-2000:]}")
    tree = _tree(client, job.directory)
    sizes = [path.stat().st_size for path in tree.rglob("*") if path.is_file()]
    if len(sizes) != job.files:
        raise Wrong(f"{client} left {len(sizes)} files of {job.files}")
    if expected is not None and checksums(tree) != expected:
        raise Wrong(f"{client} left other bytes than were served")
    names = ("seconds", "synced", "cpu", "rss")
    return Run(sum(sizes) / 1e9, len(sizes), *(figures[name] for name in names))


def hits(job: Job, number: int) -> list[float]:
    """Seconds from the start to the end of each of `number` runs of ours that find the model there, sorted."""
    job.directory.mkdir()
    command = CLIENTS[OURS](job).command
    taken = []
    for _ in range(number + 1):
        started = time.perf_counter()
        subprocess.run(command, env=clients.environment(job), check=True, capture_output=True, timeout=_SECONDS)
        taken.append(time.perf_counter() - started)
    return sorted(taken[1:])  # the first one brought it


def _tree(client: str, directory: Path) -> Path:
    if client != OURS:
        return directory
    return next(directory.glob("*/current")).resolve()
