"""Policies of a Git revision: real repositories, hostile names, and the same set as a checkout's."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.git import git
from webhook.policy.legibility import MAX_FILE_BYTES
from webhook.sources import policy_files
from webhook.sources.git_files import UnknownRevision, policies_at, root_of
from webhook.sources.policy_files import UnreadablePolicies


def commit(repository: Path, files: dict[str, str | None], links: dict[str, str] | None = None) -> str:
    for name, text in files.items():
        path = repository / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink() if text is None else path.write_text(text)
    for name, target in (links or {}).items():
        path = repository / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.symlink_to(target)
    git(repository, "add", "-A")
    git(repository, "commit", "-q", "--allow-empty", "-m", "x")
    return git(repository, "rev-parse", "HEAD")


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    made = tmp_path / "re po"
    made.mkdir()
    git(made, "init", "-q", "-b", "main")
    return made


def read(repository: Path, revision: str, directory: str = "") -> dict[str, str]:
    return {one.file: one.refused or one.text for one in policies_at(repository, revision, directory)}


def test_a_revision_is_read_as_it_was(repository: Path) -> None:
    commit(repository, {"policies/a.yaml": "1", "policies/b/c d.yml": "2", "other.yaml": "3"})
    commit(repository, {"policies/a.yaml": "4", "policies/b/c d.yml": None})
    (repository / "policies" / "a.yaml").write_text("not committed")
    assert read(repository, "HEAD~1", "policies") == {"a.yaml": "1", "b/c d.yml": "2"}
    assert read(repository, "main", "./policies/") == {"a.yaml": "4"}
    assert read(repository / "policies", "main", "policies/a.yaml") == {"a.yaml": "4"}
    assert read(repository, "main", "nowhere") == {}
    assert (repository / "policies" / "a.yaml").read_text() == "not committed"


def test_it_is_the_set_that_a_checkout_gives(repository: Path) -> None:
    commit(
        repository,
        {
            "p/a.yaml": "1",
            "p/README.md": "no",
            "p/.hidden/x.yaml": "5",
            "p/.x.yaml": "no",
            "p/cases/c.yaml": "no",
            "p/b/cases/one/c.yaml": "no",
            "p/t\u00e4st/\u202e.yaml": "2",
            "outside.yaml": "no",
            "p/\x1b[31m.yaml": "3",
        },
        {
            "p/link.yaml": "a.yaml",
            "p/b/up.yaml": "../a.yaml",
            "p/astray.yaml": "../outside.yaml",
            "p/far": "/etc",
            "p/absolute.yaml": "/etc/passwd",
            "p/gone.yaml": "nothing.yaml",
            "p/chain.yaml": "link.yaml",
            "p/seen": "b",
            "p/through": ".hidden",
        },
    )
    there = {one.file: one.refused or one.text for one in policy_files.read(repository / "p")}
    # Whether a link out of the directory leads anywhere is not for a revision to know, nor is what lies there.
    there.pop("far")
    assert read(repository, "HEAD", "p") == there
    assert there["astray.yaml"] == policy_files.ASTRAY
    assert there["through/x.yaml"] == "5"


def test_a_link_as_the_directory_is_followed_within_the_repository(repository: Path) -> None:
    commit(repository, {"real/a.yaml": "1"}, {"p": "real", "out": "/etc", "gone": "nowhere"})
    assert read(repository, "HEAD", "p") == {"a.yaml": "1"}
    assert read(repository, "HEAD", "out") == read(repository, "HEAD", "gone") == {}


def test_a_submodule_is_refused_and_not_passed_over(repository: Path, tmp_path: Path) -> None:
    inner = tmp_path / "inner"
    inner.mkdir()
    git(inner, "init", "-q")
    commit(inner, {"a.yaml": "1"})
    git(repository, "-c", "protocol.file.allow=always", "submodule", "add", "-q", str(inner), "p/sub")
    commit(repository, {"p/b.yaml": "2"})
    found = read(repository, "HEAD", "p")
    assert found["b.yaml"] == "2"
    assert "submodule" in found["sub"]


@pytest.mark.parametrize(
    "revision",
    ["--output=x", "-p", "", "a\nb", "a\0b", "x" * 2000, "\x1b[2J"],
    ids=["option", "short", "empty", "line", "nul", "long", "escape"],
)
def test_hostile_revisions_are_refused_before_git_hears_of_them(revision: str, repository: Path) -> None:
    commit(repository, {"a.yaml": "1"})
    with pytest.raises(UnreadablePolicies, match="not the name of a Git revision"):
        policies_at(repository, revision)
    assert not (repository / "x").exists()


@pytest.mark.parametrize(
    "revision", ["nope", "HEAD~7", "main:a.yaml", "$(touch x)", "`touch x`", "@{u}", "a..b", "^HEAD"]
)
def test_unknown_revisions(revision: str, repository: Path) -> None:
    commit(repository, {"a.yaml": "1"})
    with pytest.raises(UnknownRevision):
        policies_at(repository, revision)
    assert not (repository / "x").exists()


def test_a_branch_that_only_the_remote_has_is_offered(repository: Path) -> None:
    identity = commit(repository, {"a.yaml": "1"})
    git(repository, "update-ref", "refs/remotes/origin/release", identity)
    with pytest.raises(UnknownRevision) as caught:
        policies_at(repository, "release")
    assert caught.value.near == "origin/release"


@pytest.mark.parametrize("path", ["..", "../x", "/etc", "a/../../x"])
def test_paths_stay_inside(path: str, repository: Path) -> None:
    commit(repository, {"a.yaml": "1"})
    with pytest.raises(UnreadablePolicies, match="not a path inside"):
        policies_at(repository, "HEAD", path)


def test_limits_are_those_of_a_directory(repository: Path) -> None:
    commit(repository, {"a.yaml": "x" * (MAX_FILE_BYTES + 1), "b.yaml": "1"})
    found = read(repository, "HEAD")
    assert "larger than" in found["a.yaml"]
    assert found["b.yaml"] == "1"


def test_a_large_file_named_itself_is_refused_too(repository: Path) -> None:
    commit(repository, {"a.yaml": "x" * (MAX_FILE_BYTES + 1)})
    assert "larger than" in read(repository, "HEAD", "a.yaml")["a.yaml"]


def test_bytes_that_are_no_text_arrive_as_the_parser_expects_them(repository: Path) -> None:
    (repository / "a.yaml").write_bytes(b"a: \xff\r\n\x00")
    commit(repository, {})
    assert policies_at(repository, "HEAD")[0].text == "a: \udcff\r\n\x00"


def test_outside_of_a_repository(tmp_path: Path) -> None:
    with pytest.raises(UnreadablePolicies, match="not a git repository"):
        policies_at(tmp_path, "HEAD")
    with pytest.raises(UnreadablePolicies, match="not a git repository"):
        root_of(tmp_path / "gone" / "further")


def test_a_bare_repository_and_a_hook_of_another(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit(repository, {"p/a.yaml": "1"})
    git(tmp_path, "clone", "-q", "--bare", str(repository), "bare.git")
    monkeypatch.setenv("GIT_DIR", "/nowhere/.git")
    monkeypatch.setenv("GIT_INDEX_FILE", "index")
    assert read(root_of(tmp_path / "bare.git"), "main", "p") == {"a.yaml": "1"}
    assert root_of(repository / "gone" / "x") == repository


def test_without_git_it_says_so(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: None)
    with pytest.raises(UnreadablePolicies, match="git is not installed"):
        policies_at(repository, "HEAD")
