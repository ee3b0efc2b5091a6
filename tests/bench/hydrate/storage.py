"""What is downloaded, and the server that it comes from."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from awscrt.checksums import crc64nvme

from certs.issue import issue_authority, issue_leaf
from tests.bench import report

BUCKET = "bench"
BIG_FILES = 8
BIG_BYTES = 512 << 20
SMALL_FILES = 10_000
SMALL_BYTES = 16 << 10
SMALL_PER_DIRECTORY = 100
SLOW_BYTES_PER_SECOND = 24 << 20

_SOURCES = [Path(__file__).with_name(name) for name in ("server.go", "limited.go")]
_BLOCK = 8 << 20


class Served(NamedTuple):
    """A running server: `urls` by `http`, `https`, `slow-http`, `slow-https`; the files it serves, by prefix."""

    urls: dict[str, str]
    authority: Path
    root: Path

    def checksums(self, prefix: str) -> dict[str, int]:
        """CRC64NVME by path of the files below a prefix."""
        return checksums(self.root / BUCKET / prefix)


def checksums(directory: Path) -> dict[str, int]:
    """CRC64NVME by relative path of all files of a tree."""
    found = {}
    for folder, _, names in os.walk(directory):
        for name in names:
            path = Path(folder, name)
            value = 0
            with path.open("rb") as file:
                while block := file.read(_BLOCK):
                    value = crc64nvme(block, value)
            found[str(path.relative_to(directory))] = value
    return found


def fill(root: Path, scale: float) -> None:
    """Make the files: `big`, `small` and `hit`, of random bytes, at `scale` of their full size or number."""
    sizes = {
        f"big/model-{number:05}-of-{BIG_FILES:05}.safetensors": int(BIG_BYTES * scale) for number in range(BIG_FILES)
    }
    for number in range(int(SMALL_FILES * scale)):
        sizes[f"small/{number // SMALL_PER_DIRECTORY:03}/{number:05}.json"] = SMALL_BYTES
    sizes |= {f"hit/{number:02}.json": SMALL_BYTES for number in range(20)}
    for name, size in sizes.items():
        path = root / BUCKET / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file:
            for at in range(0, size, _BLOCK):
                file.write(os.urandom(min(_BLOCK, size - at)))


@contextmanager
def serving(place: Path, scale: float) -> Iterator[Served]:
    """Make files and server below `place`. Building the server takes half a minute once."""
    root = place / "source"
    report.progress(f"making the files ({scale:g} of full size)")
    fill(root, scale)
    report.progress("building and starting the server")
    program = place / "server"
    go = Path(sys.executable).with_name("go")
    subprocess.run([go, "build", "-o", program, *_SOURCES], check=True, cwd=place)
    now = datetime.now(UTC)
    authority = issue_authority(now)
    leaf = issue_leaf(authority, ["localhost", "127.0.0.1"], now)
    files = {"ca.crt": authority.certificate_pem, "tls.crt": leaf.certificate_pem, "tls.key": leaf.key_pem}
    for name, text in files.items():
        (place / name).write_bytes(text)
    options = {"root": root, "certificate": place / "tls.crt", "key": place / "tls.key", "rate": SLOW_BYTES_PER_SECOND}
    command = [str(program), *(f"-{name}={value}" for name, value in options.items())]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as server:
        assert server.stdout is not None
        ports = json.loads(server.stdout.readline())
        urls = {name: f"{name.rpartition('-')[2]}://127.0.0.1:{port}" for name, port in ports.items()}
        try:
            yield Served(urls, place / "ca.crt", root)
        finally:
            server.kill()
