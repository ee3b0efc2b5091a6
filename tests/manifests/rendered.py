"""Kustomizations as the kubectl at hand renders them, each once."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from webhook.sandbox import binaries

ROOT = Path(__file__).parents[2]
MANIFESTS = ROOT / "manifests"
BASE = MANIFESTS / "base"
COMPONENT = MANIFESTS / "components"
OVERLAYS = sorted(path.name for path in (MANIFESTS / "overlays").iterdir())
COMPONENTS = sorted(path.name for path in COMPONENT.iterdir())

Document = dict[str, Any]

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # the same, slower, where libyaml is not built in


def render(directory: Path) -> list[Document]:
    """The documents of one kustomization."""
    done = subprocess.run(
        [binaries.find().kubectl, "kustomize", directory], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert not done.stderr, "kubectl warns of something deprecated or ignored"
    return list(yaml.load_all(done.stdout, Loader=_LOADER))


@cache
def overlay(name: str) -> list[Document]:
    """One of manifests/overlays."""
    return render(MANIFESTS / "overlays" / name)


@cache
def composed(*components: str) -> list[Document]:
    """A kustomization of a user, of the base and these components."""
    with tempfile.TemporaryDirectory() as directory:
        return render(
            written(Path(directory), {"resources": [BASE], "components": [COMPONENT / c for c in components]})
        )


def written(directory: Path, kustomization: Mapping[str, Any]) -> Path:
    """A directory with this kustomization, whose paths are made relative to it: kubectl takes no absolute ones."""
    text = json.dumps(kustomization, default=lambda path: os.path.relpath(path, directory.resolve()))
    (directory / "kustomization.yaml").write_text(text)
    return directory


@cache
def removal() -> list[Document]:
    """manifests/removal."""
    return render(MANIFESTS / "removal")


def named(documents: Sequence[Document], kind: str, name: str = "warmpod") -> Document:
    """The one object of this kind and name."""
    found = [each for each in documents if (each["kind"], each["metadata"]["name"]) == (kind, name)]
    assert len(found) == 1, (kind, name, len(found))
    return found[0]


def pod_spec(documents: Sequence[Document]) -> Document:
    """The spec of the Deployment's pods."""
    found: Document = named(documents, "Deployment")["spec"]["template"]["spec"]
    return found


def container(documents: Sequence[Document], name: str) -> Document:
    """A container of the Deployment, started before or with it."""
    spec = pod_spec(documents)
    found = [each for each in spec["containers"] + spec.get("initContainers", []) if each["name"] == name]
    assert len(found) == 1, name
    return dict(found[0])


def variables(found: Document) -> dict[str, str]:
    """A container's variables; of those that come from elsewhere, the path of the pod's field."""
    return {
        each["name"]: each["value"] if "value" in each else each["valueFrom"].get("fieldRef", {}).get("fieldPath", "")
        for each in found.get("env", ())
    }


def key(document: Document) -> tuple[str, str, str]:
    """What tells an object from all others of a kustomization."""
    metadata = document["metadata"]
    return document["kind"], metadata.get("namespace", ""), metadata["name"]
