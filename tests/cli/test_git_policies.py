"""Policies by the name of a directory or of a Git revision, as commands take them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.git import git
from webhook.cli.errors import CouldNotRun
from webhook.cli.world import NoPolicies, read_policies_at

POLICY = """
apiVersion: warmpod.dev/v1alpha1
kind: WarmPolicy
metadata: {name: %s}
spec: {mode: Audit, env: [{name: NCCL_DEBUG, value: WARN}]}
"""


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two directories of policies at `main`; the files have changed since."""
    monkeypatch.chdir(tmp_path)
    git(Path(), "init", "-q", "-b", "main")
    for directory in ("a", "b"):
        (tmp_path / directory).mkdir()
        (tmp_path / directory / "p.yaml").write_text(POLICY % f"old-{directory}")
    git(Path(), "add", "-A")
    git(Path(), "commit", "-q", "-m", "x")
    for directory in ("a", "b"):
        (tmp_path / directory / "p.yaml").write_text(POLICY % f"new-{directory}")
    return tmp_path


@pytest.mark.parametrize(
    ("text", "around", "names"),
    [
        ("a", ".", ["new-a"]),
        ("a/p.yaml", ".", ["new-a"]),
        ("main", "a", ["old-a"]),
        ("main:b", "a", ["old-b"]),
        ("main:b/p.yaml", "a", ["old-b"]),
        ("main:./b", "a", ["old-b"]),
        ("HEAD", "b/p.yaml", ["old-b"]),
        ("main", ".", ["old-a", "old-b"]),
    ],
)
@pytest.mark.usefixtures("repository")
def test_a_name_of_policies(text: str, around: str, names: list[str]) -> None:
    assert [one.name for one in read_policies_at(text, around).policies] == names


def test_a_directory_goes_before_a_revision_of_its_name(repository: Path) -> None:
    (repository / "main").mkdir()
    (repository / "main" / "p.yaml").write_text(POLICY % "directory")
    assert [one.name for one in read_policies_at("main", "a").policies] == ["directory"]
    assert [one.name for one in read_policies_at("main", "a", is_revision=True).policies] == ["old-a"]


def test_problems_name_revision_and_file(repository: Path) -> None:
    (repository / "a" / "p.yaml").write_text("kind: Nothing\n")
    git(Path(), "commit", "-q", "-a", "-m", "broken")
    for text, around, file in (("HEAD", "a", "HEAD:a/p.yaml"), ("HEAD:a/p.yaml", ".", "HEAD:a/p.yaml")):
        assert read_policies_at(text, around).problems[0].file == file


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("nope", "there is no revision 'nope'", "there is no file nope either"),
        ("main:nowhere", "main:nowhere: no policy file", ""),
        ("main:../x", "not a path inside", ""),
        ("--output=x", "is not the name of a Git revision", ""),
        ("", "is not the name of a Git revision", ""),
    ],
)
@pytest.mark.usefixtures("repository")
def test_what_is_neither(text: str, message: str, hint: str) -> None:
    if not text:
        text = ":a"
    with pytest.raises(CouldNotRun) as caught:
        read_policies_at(text, "a")
    assert message in caught.value.message
    assert hint in caught.value.hint


@pytest.mark.usefixtures("repository")
def test_a_revision_without_policies_may_be_meant() -> None:
    assert read_policies_at("main:nowhere", may_be_empty=True).policies == ()
    with pytest.raises(NoPolicies):
        read_policies_at("main:nowhere")
