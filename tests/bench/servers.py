"""The measured processes: started alone, asked for nothing but what an API server asks, and read through /proc.

Linux only. Every process started here is ended here, also when the benchmark fails.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from certs.issue import Pair, issue_authority, issue_leaf
from tests.bench import situation

ROOT = Path(__file__).parents[2]
START_SECONDS = 30.0
INVENTORY = "inventory.json"
RELOAD_SECONDS = 2.0
TICKS = os.sysconf("SC_CLK_TCK")


class NotStarted(Exception):
    """A server ended or did not listen in time; the text has its last words."""


@dataclass(frozen=True, slots=True)
class Server:
    """A running server, and the port its TLS listener has on loopback."""

    name: str
    port: int
    pid: int
    log: Path

    def cpu_seconds(self) -> float:
        """User and system CPU that all threads of the process have used so far, in steps of 1/SC_CLK_TCK."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

    def resident_megabytes(self) -> tuple[float, float]:
        """What is in memory now, and the most there ever was, in MB of 10^6 bytes."""
        status = dict(
            line.split(":", 1) for line in Path(f"/proc/{self.pid}/status").read_text().splitlines() if ":" in line
        )
        return _megabytes(status["VmRSS"]), _megabytes(status["VmHWM"])


@dataclass(frozen=True, slots=True)
class Workplace:
    """A directory of one benchmark run: certificates, and files that servers read."""

    root: Path
    authority: Pair

    @property
    def certificate(self) -> Path:
        """The leaf for loopback."""
        return self.root / "tls.crt"

    @property
    def key(self) -> Path:
        """Its private key."""
        return self.root / "tls.key"


@contextlib.contextmanager
def workplace() -> Iterator[Workplace]:
    """A temporary directory with a fresh authority and a leaf for loopback; gone at the end."""
    with tempfile.TemporaryDirectory(prefix="warmpod-bench-") as directory:
        now = datetime.now(UTC)
        authority = issue_authority(now)
        leaf = issue_leaf(authority, ["localhost", "127.0.0.1"], now)
        place = Workplace(Path(directory), authority)
        place.certificate.write_bytes(leaf.certificate_pem)
        place.key.touch(mode=0o600)
        place.key.write_bytes(leaf.key_pem)
        yield place


@contextlib.contextmanager
def floor(place: Workplace, patch: Sequence[Any]) -> Iterator[Server]:
    """The floor server, with this ready-made JSON Patch."""
    ready = place.root / "patch.json"
    ready.write_text(json.dumps(patch, separators=(",", ":")))
    port = free_port()
    command = [sys.executable, str(Path(__file__).with_name("floor.py")), f"--port={port}", f"--patch={ready}"]
    with _running("floor", [*command, f"--certificate={place.certificate}", f"--key={place.key}"], port, place) as it:
        yield it


@contextlib.contextmanager
def warmpod(
    place: Workplace,
    name: str,
    *,
    policies: int = 1,
    snapshot: bytes | None = None,
    reload_seconds: float = RELOAD_SECONDS,
) -> Iterator[Server]:
    """`warmpod webhook` with one worker, as installed, on so many policies and a snapshot, by default a small one."""
    home = place.root / name
    rules = situation.write_policies(home / "policies", count=policies)
    inventory = home / INVENTORY
    inventory.write_bytes(situation.snapshot() if snapshot is None else snapshot)
    port, metrics_port = free_port(), free_port()
    options = {
        "policies": rules,
        "snapshot": inventory,
        # Nobody renews the snapshot here.
        "snapshot-max-age": 3600,
        "tls-cert": place.certificate,
        "tls-key": place.key,
        "host": "127.0.0.1",
        "port": port,
        "metrics-host": "127.0.0.1",
        "metrics-port": metrics_port,
        "hydrator-image": situation.HYDRATOR,
        "reload-seconds": reload_seconds,
        "drain-seconds": 0,
    }
    command = [str(Path(sys.executable).with_name("warmpod")), "webhook"]
    command += [f"--{name}={value}" for name, value in options.items()]
    with _running(name, command, port, place) as it:
        yield it


def free_port() -> int:
    """A port of loopback that nobody listened on a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def _running(name: str, command: Sequence[str], port: int, place: Workplace) -> Iterator[Server]:
    log = place.root / f"{name}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(command, cwd=ROOT, stdout=output, stderr=output)
    try:
        _await_listener(process, port, log)
        yield Server(name, port, process.pid, log)
    finally:
        process.terminate()
        try:
            process.wait(timeout=15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _await_listener(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            break
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1) as plain:
            context.wrap_socket(plain).close()
            return
        time.sleep(0.05)
    words = log.read_text(errors="replace")[-2000:]
    raise NotStarted(f"{log.stem}: not listening on port {port} after {START_SECONDS:.0f} s\n{words}")


def _megabytes(kibibytes: str) -> float:
    return int(kibibytes.split(maxsplit=1)[0]) * 1024 / 1e6
