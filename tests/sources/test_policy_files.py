"""A directory of policies, read and followed: links, swaps, limits, and which set is in force."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from webhook.policy.parse import MAX_FILES
from webhook.sources.policy_files import PolicyFiles, UnreadablePolicies, read

NOW = 4e9  # long after every file of these tests was written, so that no look is a second look for safety


def text(name: str = "a", rest: str = "") -> str:
    return f"apiVersion: warmpod.dev/v1alpha1\nkind: WarmPolicy\nmetadata: {{name: {name}}}\nspec: {{{rest}}}\n"


def write(path: Path, content: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    return path


def config_map(root: Path, version: str, files: dict[str, str]) -> None:
    """Write as the kubelet does: a directory of its own, `..data` renamed over, a link for each file beside it."""
    for name, content in files.items():
        write(root / f"..{version}" / name, content)
    (root / "..data_tmp").symlink_to(f"..{version}")
    (root / "..data_tmp").rename(root / "..data")
    for top in {name.split("/")[0] for name in files}:
        if not (root / top).is_symlink():
            (root / top).symlink_to(f"..data/{top}")


def names(policies: PolicyFiles) -> list[str]:
    return [each.name for each in policies.current.policies]


def test_reads_yaml_at_any_depth_by_name(tmp_path: Path) -> None:
    for name in (
        "z.yaml",
        "b/policy.yml",
        "b/c/x.yaml",
        "README.md",
        "b/cases/one/input.yaml",
        ".git/x.yaml",
        ".x.yaml",
    ):
        write(tmp_path / name, f"# {name}\n")
    assert [(each.file, each.text) for each in read(tmp_path)] == [
        (name, f"# {name}\n") for name in ("b/c/x.yaml", "b/policy.yml", "z.yaml")
    ]


def test_an_empty_directory_is_an_empty_set(tmp_path: Path) -> None:
    policies = PolicyFiles(tmp_path)
    assert policies.refresh(NOW).error is None
    assert names(policies) == []


def test_a_config_map_is_read_once_through_its_links(tmp_path: Path) -> None:
    config_map(tmp_path, "2026_1", {"x.yaml": text(), "dir/y.yaml": text("b")})
    assert [each.file for each in read(tmp_path)] == ["dir/y.yaml", "x.yaml"]
    assert not any(each.refused for each in read(tmp_path))


def test_the_root_may_be_a_link_that_is_swapped(tmp_path: Path) -> None:
    write(tmp_path / "one" / "x.yaml", text("a"))
    write(tmp_path / "two" / "x.yaml", text("b"))
    (tmp_path / "current").symlink_to("one")
    policies = PolicyFiles(tmp_path / "current")
    policies.refresh(NOW)
    assert names(policies) == ["a"]
    (tmp_path / "next").symlink_to("two")
    (tmp_path / "next").rename(tmp_path / "current")
    assert policies.refresh(NOW).changed
    assert names(policies) == ["b"]


@pytest.mark.parametrize(
    ("target", "reason"),
    [
        ("../outside.yaml", "leads out of"),
        ("/etc/hosts", "leads out of"),
        ("nowhere.yaml", "leads nowhere"),
        ("x.yaml", "leads nowhere"),
    ],
    ids=["parent", "absolute", "dangling", "to-itself"],
)
def test_links_that_lead_astray_are_refused_and_the_rest_is_read(tmp_path: Path, target: str, reason: str) -> None:
    write(tmp_path / "outside.yaml", text("outside"))
    write(tmp_path / "root" / "a.yaml", text())
    (tmp_path / "root" / "x.yaml").symlink_to(target)
    policies = PolicyFiles(tmp_path / "root")
    reload = policies.refresh(NOW)
    assert names(policies) == ["a"]
    (problem,) = reload.problems
    assert (problem.code, problem.file) == ("P007", "x.yaml")
    assert reason in problem.message


def test_a_link_to_a_directory_outside_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "outside" / "b.yaml", text("b"))
    write(tmp_path / "root" / "a.yaml", text())
    (tmp_path / "root" / "more").symlink_to("../outside")
    assert [(each.file, bool(each.refused)) for each in read(tmp_path / "root")] == [("a.yaml", False), ("more", True)]


def test_links_in_a_circle_end(tmp_path: Path) -> None:
    write(tmp_path / "d" / "a.yaml", text())
    (tmp_path / "d" / "again").symlink_to("..")
    assert [each.file for each in read(tmp_path)] == ["d/a.yaml"]


def test_a_pipe_is_refused_and_nobody_waits(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "x.yaml")
    (source,) = read(tmp_path)
    assert "not a regular file" in source.refused


def test_a_file_too_large_is_refused_unread(tmp_path: Path) -> None:
    write(tmp_path / "x.yaml", "#" * ((1 << 20) + 1))
    (source,) = read(tmp_path)
    assert (source.text, source.refused) == ("", "the file is larger than 1 MiB; split it")


def test_bytes_that_are_not_text_become_a_problem(tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_bytes(b"a: \xff\n")
    (problem,) = PolicyFiles(tmp_path).refresh(NOW).problems
    assert str(problem) == "x.yaml:1:4: byte 0xff is not UTF-8; save the file as UTF-8"


def test_too_many_files(tmp_path: Path) -> None:
    for index in range(MAX_FILES + 1):
        (tmp_path / f"{index}.yaml").touch()
    with pytest.raises(UnreadablePolicies, match="more than 2000 policy files"):
        read(tmp_path)


def test_too_much_in_all(tmp_path: Path) -> None:
    for index in range(17):
        write(tmp_path / f"{index}.yaml", "#" * (1 << 20))
    with pytest.raises(UnreadablePolicies, match="more than 16 MiB"):
        read(tmp_path)


@pytest.mark.parametrize("kind", ["missing", "file", "circle"])
def test_a_root_that_is_no_directory(tmp_path: Path, kind: str) -> None:
    root = tmp_path / "root"
    if kind == "file":
        root.touch()
    elif kind == "circle":
        root.symlink_to("root")
    policies = PolicyFiles(root)
    reload = policies.refresh(NOW)
    assert not reload.changed
    assert reload.error is not None
    assert str(root) in reload.error
    assert names(policies) == []


def test_the_first_load_takes_what_is_good(tmp_path: Path) -> None:
    write(tmp_path / "a.yaml", text())
    write(tmp_path / "b.yaml", text("b", "mod: x"))
    policies = PolicyFiles(tmp_path)
    reload = policies.refresh(NOW)
    assert (reload.changed, reload.error) == (True, None)
    assert names(policies) == ["a"]
    assert [each.code for each in policies.current.problems] == ["P010"]


def test_a_change_is_taken_and_no_change_is_none(tmp_path: Path) -> None:
    write(tmp_path / "a.yaml", text())
    policies = PolicyFiles(tmp_path)
    assert policies.refresh(NOW).changed
    before = policies.current
    assert not policies.refresh(NOW).changed
    assert policies.current is before
    write(tmp_path / "b.yaml", text("b"))
    assert policies.refresh(NOW).changed
    assert names(policies) == ["a", "b"]
    (tmp_path / "a.yaml").unlink()
    assert policies.refresh(NOW).changed
    assert names(policies) == ["b"]


def test_a_touch_is_no_change(tmp_path: Path) -> None:
    path = write(tmp_path / "a.yaml", text())
    policies = PolicyFiles(tmp_path)
    policies.refresh(NOW)
    before = policies.current
    os.utime(path, (1, 1))
    assert not policies.refresh(NOW).changed
    assert policies.current is before


def test_a_change_within_the_clocks_grain_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "a.yaml", text("a"))
    policies = PolicyFiles(tmp_path)
    policies.refresh(path.stat().st_mtime)
    unchanged = policies._entries
    monkeypatch.setattr(
        "webhook.sources.policy_files._entries", lambda _root: unchanged
    )  # a file system that saw nothing
    write(path, text("b"))
    assert policies.refresh(path.stat().st_mtime + 0.1).changed
    assert names(policies) == ["b"]


@pytest.mark.parametrize(
    "bad", ["spec: [\n", text("b", "mod: x"), text("a"), "\x00"], ids=["yaml", "field", "twice", "nul"]
)
def test_a_change_with_an_error_leaves_the_last_good_set(tmp_path: Path, bad: str) -> None:
    path = write(tmp_path / "a.yaml", text())
    policies = PolicyFiles(tmp_path)
    policies.refresh(NOW)
    write(path, text("a", "mode: Enforce"))
    write(tmp_path / "b.yaml", bad)
    before = policies.current
    for _ in range(2):  # the error stands while nothing changes
        reload = policies.refresh(NOW)
        assert not reload.changed
        assert reload.error is not None
        assert "b.yaml:" in reload.error
        assert reload.problems
        assert policies.current is before
    (tmp_path / "b.yaml").unlink()
    reload = policies.refresh(NOW)
    assert (reload.changed, reload.error) == (True, None)
    assert [each.mode for each in policies.current.policies] == ["Enforce"]


def test_going_back_to_the_good_files_ends_the_error(tmp_path: Path) -> None:
    path = write(tmp_path / "a.yaml", text())
    policies = PolicyFiles(tmp_path)
    policies.refresh(NOW)
    write(path, "spec: [\n")
    assert policies.refresh(NOW).error
    write(path, text())
    reload = policies.refresh(NOW)
    assert (reload.changed, reload.error) == (False, None)
    assert names(policies) == ["a"]


def test_a_root_that_vanishes_leaves_the_last_good_set(tmp_path: Path) -> None:
    write(tmp_path / "root" / "a.yaml", text())
    policies = PolicyFiles(tmp_path / "root")
    policies.refresh(NOW)
    (tmp_path / "root").rename(tmp_path / "away")
    reload = policies.refresh(NOW)
    assert reload.error is not None
    assert "there is no such directory" in reload.error
    assert names(policies) == ["a"]
    (tmp_path / "away").rename(tmp_path / "root")
    assert policies.refresh(NOW).error is None


def test_a_file_that_may_not_be_read_leaves_the_last_good_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "a.yaml", text())
    policies = PolicyFiles(tmp_path)
    policies.refresh(NOW)
    write(path, text("b"))

    def forbidden(file: Path, _flags: int) -> int:  # root, who runs tests in containers, may read whatever its mode
        raise PermissionError(errno.EACCES, "Permission denied", str(file))

    monkeypatch.setattr("webhook.sources.policy_files.os.open", forbidden)
    reload = policies.refresh(NOW)
    assert reload.error == f"{path}: Permission denied"
    assert names(policies) == ["a"]


def test_a_config_map_update_is_taken_whole(tmp_path: Path) -> None:
    config_map(tmp_path, "1", {"a.yaml": text("a"), "b.yaml": text("b")})
    policies = PolicyFiles(tmp_path)
    policies.refresh(NOW)
    config_map(tmp_path, "2", {"a.yaml": text("a2"), "b.yaml": text("b2")})
    assert policies.refresh(NOW).changed
    assert names(policies) == ["a2", "b2"]


def test_a_swap_under_the_reader_is_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config_map(tmp_path, "1", {"a.yaml": text("a"), "b.yaml": text("b")})
    real_open, opened = os.open, 0

    def swapping(path: Path, flags: int) -> int:
        nonlocal opened
        opened += 1
        if opened == 2:  # after the first file was read
            config_map(tmp_path, "2", {"a.yaml": text("a2"), "b.yaml": text("b2")})
        return real_open(path, flags)

    monkeypatch.setattr("webhook.sources.policy_files.os.open", swapping)
    assert [each.text for each in read(tmp_path)] == [text("a2"), text("b2")]
    assert opened == 4


def test_files_that_never_hold_still_are_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "a.yaml", text())
    real_open, opened = os.open, 0

    def growing(file: Path, flags: int) -> int:
        nonlocal opened
        opened += 1
        path.write_text(text() + "#" * opened)
        return real_open(file, flags)

    monkeypatch.setattr("webhook.sources.policy_files.os.open", growing)
    with pytest.raises(UnreadablePolicies, match="change faster than they can be read"):
        read(tmp_path)
