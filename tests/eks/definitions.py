"""Karpenter's CRDs, out of the Go module that `karpenter/go.mod` pins, once into the user's cache.

The provider's module holds them all, also those of Karpenter itself: as its Helm chart installs them, with the rules on
labels of the AWS provider. Go compares what it fetches with `karpenter/go.sum`; nothing is compiled.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from webhook.sandbox import SandboxFailed, binaries, toolchain

PINS = Path(__file__).with_name("karpenter")
MODULE = "github.com/aws/karpenter-provider-aws"
KINDS = ("ec2nodeclasses.karpenter.k8s.aws", "nodepools.karpenter.sh")
"""The definitions that recipes need, by the names of their CRDs."""


def definitions(cache: Path | None = None, pins: Path = PINS) -> list[Path]:
    """The files of `KINDS`, one for each. Raises `SandboxFailed` with what Go said."""
    content = b"".join((pins / name).read_bytes() for name in ("go.mod", "go.sum"))
    kept = (cache or binaries.cache_home()) / "karpenter" / hashlib.sha256(content).hexdigest()[:16]
    if not kept.is_dir():
        source = _fetched(pins) / "pkg" / "apis" / "crds"
        kept.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".fetched-", dir=kept.parent) as aside:
            whole = Path(aside) / "whole"
            whole.mkdir()
            for file in map(_file, KINDS):
                shutil.copy(source / file, whole)
            try:
                whole.rename(kept)
            except OSError:  # another process was as quick: it has the same
                if not kept.is_dir():
                    raise
    return [kept / _file(name) for name in KINDS]


def _file(name: str) -> str:
    plural, _, group = name.partition(".")
    return f"{group}_{plural}.yaml"


def _fetched(pins: Path) -> Path:
    """Where Go keeps the module, whose digest it has compared."""
    # The toolchain's search takes any Go 1.26; the module wants a later patch of it, which PyPI's has.
    candidates = dict.fromkeys([toolchain.find().command, Path(sys.executable).with_name("go")])
    said = []
    for go in filter(Path.is_file, candidates):
        done = subprocess.run(
            [go, "mod", "download", "-json", MODULE],
            cwd=pins,
            env=toolchain.environment(),
            capture_output=True,
            text=True,
            check=False,
        )
        told = json.loads(done.stdout or "{}")
        if done.returncode == 0 and "Dir" in told:
            return Path(told["Dir"])
        said.append(f"    {go}: {told.get('Error', '')}{done.stderr.strip()}")
    raise SandboxFailed(
        "\n".join([f"go mod download {MODULE} failed:", *said])
        + "\n  It needs a Go module proxy (GOPROXY) and 30 MB of disk for Go's cache"
    )
