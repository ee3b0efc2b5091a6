from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.image import bases
from tests.image.containers import Image
from webhook import __version__

PROJECT = Path(__file__).parents[2]
NAME = f"ghcr.io/warmpod/warmpod:{__version__}"
REVISION = "0123456789abcdef0123456789abcdef01234567"
FAKE_SECRET = "warmpod-fake-secret-of-a-careless-person"
CARELESS = (
    ".git/config", ".env", "id_rsa", "kubeconfig", "webhook/tls.key", "webhook/server/.env.production", "certs/ca.pem",
    "policies/token.p12", "manifests/kubeconfig.yaml", "requirements/.netrc", "image/.gitconfig",
    "webhook/__pycache__/stale.pyc", "tests/test_secret.py", "dist/old.whl",
)  # fmt: skip
"""Where people leave what is nobody's business."""


@pytest.fixture(scope="session")
def image(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Image]:
    """Built as docs/image.md says, from a copy of the project with secrets lying about."""
    bases.need()
    work = tmp_path_factory.mktemp("image")
    store = work / "store"
    # Not shutil: it would read the devices of the builder's /dev to their end.
    subprocess.run(["cp", "--archive", bases.store(), store], check=True)
    context = work / "context"
    unneeded = shutil.ignore_patterns(".git", ".venv", ".hypothesis", "*_cache", "__pycache__", "*.whl")
    shutil.copytree(PROJECT, context, ignore=unneeded, symlinks=True)
    sources = frozenset(str(path.relative_to(context)) for path in context.rglob("*"))
    for name in CARELESS:
        (context / name).parent.mkdir(parents=True, exist_ok=True)
        (context / name).write_text(f"{FAKE_SECRET}\n", encoding="utf-8")
    arguments = {"VERSION": __version__, "REVISION": REVISION, "SOURCE_DATE_EPOCH": "1700000000", **_index()}
    bases.buildah(
        store,
        "build",
        "--pull=never",
        "--platform=linux/amd64" if os.uname().machine == "x86_64" else "--platform=linux/arm64",
        *(f"--build-arg={name}={value}" for name, value in arguments.items()),
        # The machine's own authorities, should its way to the index lead past them.
        *(f"--volume={path}:{path}:ro" for path in ("/etc/ssl/certs", "/etc/pip.conf") if Path(path).exists()),
        f"--tag={NAME}",
        str(context),
    )
    shutil.rmtree(context)
    layers = work / "layers"
    bases.buildah(store, "push", "--quiet", "--disable-compression", NAME, f"dir:{layers}")
    manifest = json.loads((layers / "manifest.json").read_bytes())
    config = json.loads((layers / manifest["config"]["digest"].removeprefix("sha256:")).read_bytes())
    container = bases.buildah(store, "from", "--pull-never", NAME).strip()
    yield Image(
        root=Path(bases.buildah(store, "mount", container).strip()),
        layers=tuple(layers / layer["digest"].removeprefix("sha256:") for layer in manifest["layers"]),
        sources=sources,
        settings=config["config"],
    )
    shutil.rmtree(work)  # more than anybody wants to find in /tmp


def _index() -> dict[str, str]:
    """The index of packages that pip is told of on this machine."""
    told = os.environ.get("PIP_INDEX_URL", "")
    if not told and (pip := shutil.which("pip")):
        command = [pip, "config", "get", "global.index-url"]
        told = subprocess.run(command, check=False, capture_output=True, text=True).stdout.strip()
    return {"PIP_INDEX_URL": told} if told else {}
