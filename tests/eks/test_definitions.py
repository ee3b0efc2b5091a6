"""Karpenter's definitions are those that are pinned, or there are none."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import yaml

from tests.eks.definitions import KINDS, PINS, definitions
from webhook.sandbox import SandboxFailed

pytestmark = pytest.mark.cluster  # the only tests for which a Go toolchain is at hand


def test_each_file_is_the_definition_it_is_called_by_and_has_rules(tmp_path: Path) -> None:
    for name, file in zip(KINDS, definitions(tmp_path), strict=True):
        text = file.read_text()
        assert yaml.safe_load(text)["metadata"]["name"] == name
        assert "x-kubernetes-validations" in text
        assert file.is_relative_to(tmp_path)


def test_a_module_with_another_digest_is_refused_and_nothing_is_kept(tmp_path: Path) -> None:
    pins = tmp_path / "pins"
    shutil.copytree(PINS, pins)
    sums = pins / "go.sum"
    sums.write_text(sums.read_text().replace("h1:W", "h1:A"))
    with pytest.raises(SandboxFailed, match="SECURITY ERROR"):
        definitions(tmp_path, pins)
    assert not list((tmp_path).rglob("*_nodepools.yaml"))


def test_what_is_kept_is_not_fetched_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = definitions(tmp_path)
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr("sys.executable", "/nowhere/python")
    assert definitions(tmp_path) == first
