from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from webhook.inventory.model import EMPTY
from webhook.sources import snapshot_file
from webhook.sources.snapshot_file import SnapshotFile

TAKEN = 1_795_313_272.0  # 2026-11-22T02:07:52Z


def write(path: Path, *, name: str = "one", **changes: Any) -> None:
    document = {
        "schema": 2,
        "id": name,
        "time": "2026-11-22T02:07:52Z",
        "nodes": [{"name": "gpu-a", "accelerators": {"nvidia.com/gpu": {"allocatable": 8, "free": 2}}}],
        "namespaces": {"default": {"tier": "serving"}},
        **changes,
    }
    aside = path.with_suffix(".new")
    aside.write_text(json.dumps(document))
    aside.replace(path)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "snapshot.json"


def test_follows_renames(path: Path) -> None:
    write(path)
    snapshot = SnapshotFile(path)
    assert snapshot.refresh(TAKEN + 1)
    assert (snapshot.inventory.id, snapshot.usable, snapshot.age) == ("one", True, 1.0)
    assert not snapshot.refresh(TAKEN + 2)
    write(path, name="two")
    assert snapshot.refresh(TAKEN + 3)
    assert (snapshot.inventory.id, snapshot.changes) == ("two", 2)


def test_unchanged_file_is_not_decoded_again(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(path)
    snapshot = SnapshotFile(path)
    snapshot.refresh(TAKEN)
    monkeypatch.setattr(snapshot_file, "decode", None)
    assert not snapshot.refresh(TAKEN + 1)
    assert snapshot.usable


def test_stale_is_not_used_but_its_namespaces_are(path: Path) -> None:
    write(path)
    snapshot = SnapshotFile(path, max_age=120)
    snapshot.refresh(TAKEN + 120)
    assert snapshot.usable
    snapshot.refresh(TAKEN + 121)
    assert snapshot.inventory is EMPTY
    assert snapshot.problem == f"{path}: it is older than 120 s and not used; does the controller run?"
    assert snapshot.namespaces == {"default": {"tier": "serving"}}
    write(path, name="two", time="2026-11-22T02:09:52Z")
    snapshot.refresh(TAKEN + 122)
    assert snapshot.usable


def test_a_time_far_ahead_is_not_used(path: Path) -> None:
    write(path)
    snapshot = SnapshotFile(path, max_age=120)
    snapshot.refresh(TAKEN - 121)
    assert snapshot.problem == f"{path}: its time lies more than 120 s ahead of this machine's clock"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "not a snapshot"),
        (b"{", "not a snapshot"),
        (b"[" * 100_000, "not a snapshot"),
        (b"\xff\xfe", "not a snapshot"),
        (b'{"schema": 3, "id": "x", "time": "2026-11-22T02:07:52Z"}', "its schema is 3"),
    ],
    ids=["empty", "truncated", "nested", "binary", "newer"],
)
def test_corrupt_is_not_used_and_mends(path: Path, content: bytes, reason: str) -> None:
    write(path)
    snapshot = SnapshotFile(path)
    snapshot.refresh(TAKEN)
    path.write_bytes(content)
    assert not snapshot.refresh(TAKEN + 1)
    problem = str(snapshot.problem)
    assert reason in problem
    assert str(path) in problem
    assert snapshot.inventory is EMPTY
    assert snapshot.namespaces == {"default": {"tier": "serving"}}
    write(path)
    assert not snapshot.refresh(TAKEN + 2)  # the same snapshot as before
    assert snapshot.usable


def test_huge_is_refused_unread(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(snapshot_file.MAX_BYTES + 1)
    snapshot = SnapshotFile(path)
    snapshot.refresh(TAKEN)
    assert snapshot.problem == f"{path}: it has 67108865 bytes; at most 67108864 are read"


def test_missing_then_there_then_gone(path: Path) -> None:
    snapshot = SnapshotFile(path)
    assert not snapshot.refresh(TAKEN)
    assert snapshot.problem == f"{path}: No such file or directory"
    write(path)
    assert snapshot.refresh(TAKEN)
    assert snapshot.usable
    path.unlink()
    snapshot.refresh(TAKEN)
    assert snapshot.inventory is EMPTY
    write(path)
    snapshot.refresh(TAKEN)
    assert snapshot.inventory.id == "one"


@pytest.mark.parametrize("make", [lambda p: p.mkdir(), os.mkfifo], ids=["directory", "fifo"])
def test_what_is_no_file_does_not_hold_us(path: Path, make: Any) -> None:
    make(path)
    snapshot = SnapshotFile(path)
    snapshot.refresh(TAKEN)
    assert snapshot.problem is not None
    assert "regular file" in snapshot.problem or "directory" in snapshot.problem


def test_without_a_path_there_is_no_placement() -> None:
    snapshot = SnapshotFile(None)
    assert not snapshot.refresh(TAKEN)
    assert not snapshot.configured
    assert snapshot.problem == "none is configured (--snapshot)"
    assert snapshot.inventory is EMPTY
