"""Where the control plane's programs are looked for."""

from __future__ import annotations

import os
import platform
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from webhook.sandbox import SandboxFailed

KUBERNETES = ("kube-apiserver", "kube-controller-manager", "kube-scheduler")
"""One Kubernetes release must provide all three: a scheduler newer than its API server is not supported."""

OTHERS = ("etcd", "kubectl", "kwok")

HOW_TO_GET = (
    "  Build them once with Go (about 12 minutes on 2 cores, nothing else is needed):\n"
    "    warmpod sandbox build\n"
    "  or name a directory that holds them: --assets DIR, or KUBEBUILDER_ASSETS=DIR"
)


class MissingBinaries(SandboxFailed):
    """Programs were not found; `names` says which."""

    def __init__(self, message: str, names: tuple[str, ...]) -> None:
        super().__init__(message)
        self.names = names


@dataclass(frozen=True, slots=True)
class Place:
    """A directory that may hold programs, and how a person knows it."""

    label: str
    directory: Path


@dataclass(frozen=True, slots=True)
class Binaries:
    """Absolute paths of the six programs."""

    etcd: Path
    kube_apiserver: Path
    kube_controller_manager: Path
    kube_scheduler: Path
    kubectl: Path
    kwok: Path


def cache_home(environment: Mapping[str, str] = os.environ) -> Path:
    """Warmpod's directory in the user's cache (XDG_CACHE_HOME, else ~/.cache)."""
    configured = environment.get("XDG_CACHE_HOME", "")
    # The XDG specification: a relative path is invalid and to be ignored.
    root = Path(configured) if configured.startswith("/") else Path.home() / ".cache"
    return root / "warmpod"


def built(environment: Mapping[str, str] = os.environ) -> Path:
    """The directory that `warmpod sandbox build` fills."""
    return cache_home(environment) / "control-plane"


def find(assets: Path | None = None, environment: Mapping[str, str] = os.environ) -> Binaries:
    """The programs, from the first place that has them; the three of KUBERNETES always from one place.

    `assets` is taken at its word: with it, no other place is looked at. Raises `MissingBinaries` with the names, the
    places that were looked at, and how to get them.
    """
    places = [Place("--assets", assets)] if assets else list(_places(environment))
    found: dict[str, Path] = {}
    for place in places:
        trio = {name: path for name in KUBERNETES if (path := _program(place.directory, name))}
        if len(trio) == len(KUBERNETES):
            found.update(trio)
            break
    nearby = [found[KUBERNETES[0]].parent] if found else []
    for name in OTHERS:
        # kubectl and etcd beside the API server fit it best; otherwise the first place wins.
        candidates = (_program(directory, name) for directory in (*nearby, *(place.directory for place in places)))
        if path := next(filter(None, candidates), None):
            found[name] = path
    missing = tuple(name for name in (*KUBERNETES, *OTHERS) if name not in found)
    if missing:
        raise MissingBinaries(_explain(missing, places), missing)
    return Binaries(**{name.replace("-", "_"): path for name, path in found.items()})


def _places(environment: Mapping[str, str]) -> Iterator[Place]:
    if configured := environment.get("KUBEBUILDER_ASSETS"):
        yield Place("KUBEBUILDER_ASSETS", Path(configured))
    yield Place("warmpod's cache", built(environment))
    for directory in _envtest_store(environment):
        yield Place("setup-envtest's store", directory)
    for entry in dict.fromkeys(environment.get("PATH", "").split(os.pathsep)):
        if entry.startswith("/"):  # "." on PATH would run what the working directory holds
            yield Place("PATH", Path(entry))


def _envtest_store(environment: Mapping[str, str]) -> list[Path]:
    """Directories of setup-envtest (`k8s/1.36.0-linux-amd64`), newest release first."""
    configured = environment.get("XDG_DATA_HOME", "")
    root = Path(configured) if configured.startswith("/") else Path.home() / ".local" / "share"
    architecture = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
    found = (root / "kubebuilder-envtest" / "k8s").glob(f"*-linux-{architecture}")
    return sorted(found, key=_release, reverse=True)


def _release(directory: Path) -> tuple[int, ...]:
    parts = directory.name.partition("-")[0].split(".")
    return tuple(int(part) if part.isdecimal() else -1 for part in parts)


def _program(directory: Path, name: str) -> Path | None:
    # `which` checks the mode as well; given a path with a directory it looks nowhere else.
    found = shutil.which(str((directory / name).absolute()))
    return Path(found) if found else None


def _explain(missing: tuple[str, ...], places: list[Place]) -> str:
    looked = {place.label: place.directory for place in reversed(places) if place.label != "PATH"}
    lines = [f"    {label}: {directory}" for label, directory in reversed(looked.items())]
    if any(place.label == "PATH" for place in places):
        lines.append("    the directories of PATH")
    together = " (the three kube- servers must be in one directory)" if set(missing) & set(KUBERNETES) else ""
    return "\n".join([f"not found: {', '.join(missing)}{together}. Looked in:", *lines, HOW_TO_GET])
