"""Policies and manifests are found in a checkout, in an installed wheel, and missed in words."""

from __future__ import annotations

from pathlib import Path

import pytest

import webhook
from webhook.cli import shipped
from webhook.cli.errors import CouldNotRun

ROOT = Path(__file__).parents[2]


def test_in_a_checkout() -> None:
    assert shipped.policies() == ROOT / "policies"
    assert shipped.manifests() == ROOT / "manifests"


def test_in_an_installed_wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inside = tmp_path / "webhook" / "shipped" / "policies"
    inside.mkdir(parents=True)
    (tmp_path / "policies").mkdir()  # somebody else's, beside the package in site-packages
    monkeypatch.setattr(webhook, "__file__", str(tmp_path / "webhook" / "__init__.py"))
    assert shipped.policies() == inside
    with pytest.raises(CouldNotRun, match="this installation of Warmpod has no manifests"):
        shipped.manifests()
