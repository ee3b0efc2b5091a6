"""Where the policies and manifests that come with Warmpod are: in a checkout, or inside the installed wheel."""

from __future__ import annotations

from pathlib import Path

import webhook
from webhook.cli.errors import CouldNotRun


def policies() -> Path:
    """The directory of shipped policies. Raises CouldNotRun where the installation lacks it."""
    return _shipped("policies")


def manifests() -> Path:
    """The directory of shipped Kubernetes manifests. Raises CouldNotRun where the installation lacks it."""
    return _shipped("manifests")


def _shipped(name: str) -> Path:
    package = Path(webhook.__file__).resolve().parent
    # The wheel carries both folders in webhook/shipped (pyproject.toml); an editable install has them beside webhook/.
    for candidate in (package / "shipped" / name, package.parent / name):
        if candidate.is_dir():
            return candidate
    raise CouldNotRun(f"this installation of Warmpod has no {name}", hint="install it again from a wheel or a checkout")
