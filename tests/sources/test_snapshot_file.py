from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from webhook.inventory.model import EMPTY, Inventory, NodeRoom
from webhook.inventory.snapshot import Decoder, encode
from webhook.sources import snapshot_file
from webhook.sources.snapshot_file import SnapshotFile

TAKEN = 1_795_313_272.0  # 2026-11-22T02:07:52Z


LARGE = Inventory(
    id="large",
    time=TAKEN,
    nodes=[NodeRoom(f"n{index}", {"nvidia.com/gpu": (8, index % 9)}) for index in range(400)],
    namespaces={"default": {"tier": "serving"}},
    labels={"host": {f"n{index}": 1 << index for index in range(400)}},
)


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
    monkeypatch.setattr(Decoder, "decode", None)
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
        (b'{"schema": 3, "parts": {"from": "another age"}}\n{}\n', "its schema is 3"),
        (encode(LARGE)[: len(encode(LARGE)) // 2], "truncated: its first line says that"),
        (encode(LARGE)[:-2], "not a snapshot in part"),
        (encode(LARGE)[: encode(LARGE).rindex(b"\n", 0, -1) + 1], "truncated: its first line says that"),
        (encode(LARGE)[encode(LARGE).index(b"\n") + 1 :], "not a snapshot"),
        (encode(LARGE) + b"{}\n", "parts follow"),
        (encode(LARGE).replace(b'"n7"', b'"n8"'), "node 'n8' is listed twice"),
    ],
    ids=[
        "empty",
        "truncated",
        "nested",
        "binary",
        "newer",
        "newer in parts",
        "cut in half",
        "cut in the last part",
        "cut between parts",
        "no header",
        "more parts than it says",
        "against itself",
    ],
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


def test_a_snapshot_that_was_only_touched_is_fresh_again_and_no_other(path: Path) -> None:
    path.write_bytes(encode(LARGE))
    snapshot = SnapshotFile(path, max_age=120)
    assert snapshot.refresh(TAKEN)
    first = snapshot.inventory
    path.write_bytes(encode(LARGE.again("large", TAKEN + 100)))
    assert not snapshot.refresh(TAKEN + 150)
    assert snapshot.usable
    assert (snapshot.inventory.time, snapshot.age, snapshot.changes) == (TAKEN + 100, 50.0, 1)
    assert snapshot.inventory.columns is first.columns
    assert snapshot.usable_until == TAKEN + 220


def test_an_old_one_that_comes_back_is_of_its_own_time(path: Path) -> None:
    """A writer that was restored from a backup must not make an old inventory fresh."""
    path.write_bytes(encode(LARGE))
    snapshot = SnapshotFile(path, max_age=120)
    snapshot.refresh(TAKEN)
    path.write_bytes(encode(LARGE.again("large", TAKEN - 1000)))
    snapshot.refresh(TAKEN + 1)
    assert snapshot.problem == f"{path}: it is older than 120 s and not used; does the controller run?"


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
