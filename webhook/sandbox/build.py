"""Build the control plane's programs from Go modules whose every dependency is pinned in `modules/*/go.sum`.

Each program is built aside and renamed when it is whole; what is there already and was built from the same pins is
kept. An interrupted build is taken up again, also within a program: Go's own build cache has what was compiled.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import select
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from webhook.sandbox import Progress, SandboxFailed, toolchain
from webhook.sandbox.process import tied

MODULES = Path(__file__).with_name("modules")
"""Copies of go.mod and go.sum, verbatim; they travel in the package."""

PROGRESS_SECONDS = 10.0

_BUILT = "built.json"
_LAST_LINES = 12


@dataclass(frozen=True, slots=True)
class Program:
    """A program the sandbox runs, and the `tool` line of its module that builds it."""

    name: str
    module: str
    package: str


# Smallest first: whoever watches sees it advance, and mistakes in the set-up show before the long ones.
PROGRAMS = (
    Program("etcd", "etcd", "go.etcd.io/etcd/server/v3"),
    Program("kwok", "kwok", "sigs.k8s.io/kwok/cmd/kwok"),
    Program("kubectl", "kubernetes", "k8s.io/kubernetes/cmd/kubectl"),
    Program("kube-scheduler", "kubernetes", "k8s.io/kubernetes/cmd/kube-scheduler"),
    Program("kube-controller-manager", "kubernetes", "k8s.io/kubernetes/cmd/kube-controller-manager"),
    Program("kube-apiserver", "kubernetes", "k8s.io/kubernetes/cmd/kube-apiserver"),
)


def build(directory: Path, progress: Progress) -> list[str]:
    """Put every program of `PROGRAMS` into `directory`; returns the names of those that were built just now.

    Takes about 12 minutes on 2 cores, 3 GB of Go's caches and 430 MB. Two builds of one directory wait for each other.
    Raises `SandboxFailed` with the end of Go's output.
    """
    started = time.monotonic()
    directory.mkdir(parents=True, exist_ok=True)
    with _alone(directory, progress):
        wanted = [program for program in PROGRAMS if not _is_built(directory, program)]
        if not wanted:
            return []
        go = toolchain.find()
        progress(f"building {', '.join(program.name for program in wanted)} with {go.version} into {directory}")
        with tempfile.TemporaryDirectory(prefix=".build-", dir=directory) as aside:
            for number, program in enumerate(wanted, 1):
                _build_one(go, program, Path(aside), f"[{number}/{len(wanted)}] {program.name}", progress)
                (Path(aside) / program.name).replace(directory / program.name)
                _note(directory, program)
        progress(f"built {len(wanted)} programs in {_minutes(time.monotonic() - started)}")
        return [program.name for program in wanted]


def pins(module: str) -> str:
    """A digest of a module's go.mod and go.sum: what a program was built from."""
    content = b"".join((MODULES / module / name).read_bytes() for name in ("go.mod", "go.sum"))
    return hashlib.sha256(content).hexdigest()


def version(module: str, dependency: str) -> str:
    """The version of a dependency that a module pins, as in `v1.36.3`."""
    text = (MODULES / module / "go.mod").read_text("utf-8")
    match = re.search(rf"^\s{re.escape(dependency)} (v\S+)", text, re.MULTILINE)
    if match is None:
        raise SandboxFailed(f"{MODULES / module / 'go.mod'} does not pin {dependency}; install Warmpod again")
    return match[1]


def _build_one(go: toolchain.Toolchain, program: Program, aside: Path, label: str, progress: Progress) -> None:
    started = time.monotonic()
    progress(f"{label}: looking up its packages")

    def looked_up(lines: list[str]) -> None:
        downloads = sum(line.startswith("go: downloading") for line in lines)
        progress(f"{label}: {downloads} modules downloaded, {_minutes(time.monotonic() - started)}")

    listed = _run(go, program, ["list", "-mod=readonly", "-deps", program.package], looked_up)
    total = sum(not line.startswith("go: ") for line in listed)

    def compiled(lines: list[str]) -> None:
        # Go names a package when it starts with it; what its cache has, it does not name.
        doing = f"package {len(lines)} of at most {total}" if lines else "linking"
        progress(f"{label}: {doing}, {_minutes(time.monotonic() - started)}")

    target = ["-o", str(aside / program.name), program.package]
    _run(go, program, ["build", "-mod=readonly", "-v", "-trimpath", f"-ldflags={_flags(program)}", *target], compiled)
    progress(f"{label}: done in {_minutes(time.monotonic() - started)}")


def _flags(program: Program) -> str:
    flags = "-s -w"
    if program.module == "kubernetes":
        release = version("kubernetes", "k8s.io/kubernetes")
        major, minor, _ = release.removeprefix("v").split(".", 2)
        for name, value in (("gitVersion", release), ("gitMajor", major), ("gitMinor", minor)):
            flags += f" -X k8s.io/component-base/version.{name}={value}"
    return flags


def _run(
    go: toolchain.Toolchain, program: Program, arguments: list[str], progress: Callable[[list[str]], None]
) -> list[str]:
    """Run go in the program's module; `progress` gets all lines so far every `PROGRESS_SECONDS`. Returns the lines."""
    child = subprocess.Popen(
        tied(go.command, *arguments),
        cwd=MODULES / program.module,
        env=toolchain.environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    assert child.stdout is not None
    lines: list[str] = []
    try:
        rest, due = b"", time.monotonic() + PROGRESS_SECONDS
        while True:
            if select.select([child.stdout], [], [], max(0.0, due - time.monotonic()))[0]:
                chunk = os.read(child.stdout.fileno(), 65536)
                if not chunk:
                    break
                *whole, rest = (rest + chunk).split(b"\n")
                lines += [line.decode("utf-8", "replace") for line in whole]
            if time.monotonic() >= due:
                progress(lines)
                due = time.monotonic() + PROGRESS_SECONDS
        code = child.wait()
    except BaseException:
        # Compilers are grandchildren: the group goes as one.
        os.killpg(child.pid, signal.SIGKILL)
        child.wait()
        raise
    finally:
        child.stdout.close()
    if code:
        end = "\n".join(f"    {line}" for line in [*lines, rest.decode("utf-8", "replace")][-_LAST_LINES:])
        raise SandboxFailed(
            f"go {arguments[0]} of {program.package} failed with exit code {code}:\n{end}\n"
            "  It needs a Go module proxy (GOPROXY), 3 GB of disk for Go's caches and about 3 GB of memory.\n"
            "  Run `warmpod sandbox build` again: it goes on where it stopped"
        )
    return lines


def _is_built(directory: Path, program: Program) -> bool:
    return os.access(directory / program.name, os.X_OK) and _notes(directory).get(program.name) == pins(program.module)


def _notes(directory: Path) -> Mapping[str, str]:
    try:
        found = json.loads((directory / _BUILT).read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _note(directory: Path, program: Program) -> None:
    aside = directory / f".{_BUILT}.new"
    aside.write_text(json.dumps({**_notes(directory), program.name: pins(program.module)}, indent=1) + "\n", "utf-8")
    aside.replace(directory / _BUILT)


@contextmanager
def _alone(directory: Path, progress: Progress) -> Iterator[None]:
    with (directory / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            progress(f"waiting for another build into {directory}")
            fcntl.flock(lock, fcntl.LOCK_EX)
        for leftover in directory.glob(".build-*"):  # of a build that was killed
            shutil.rmtree(leftover, ignore_errors=True)
        yield


def _minutes(seconds: float) -> str:
    return f"{int(seconds) // 60}m{int(seconds) % 60:02}s"
