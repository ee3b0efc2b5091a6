"""Records are read from whatever lies in a directory; what is no record is told and passed over."""

from __future__ import annotations

import contextlib
import gzip
import json
import os
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests import builders
from webhook.admission import admit
from webhook.inventory.snapshot import encode as snapshot
from webhook.policy.model import Mode
from webhook.report.record import UnreadableRecord, decided, decode, encode
from webhook.sources import records
from webhook.sources.record_inventories import RecordInventories
from webhook.sources.records import Passed, UnreadableRecords, count, read

START = datetime(2026, 11, 22, 10, tzinfo=UTC)
FACTS = builders.facts()
REQUEST = builders.request(builders.gpu_pod())
DECISION = admit(REQUEST, FACTS)


def line(minute: int = 0) -> bytes:
    return encode(REQUEST.raw, FACTS, DECISION, time=START + timedelta(minutes=minute), version="1")


def minutes(directory: Path, since: datetime | None = None) -> tuple[list[float], list[Passed]]:
    passed: list[Passed] = []
    found = [(each.time - START).total_seconds() / 60 for each in read(directory, since, passed.append)]
    return found, passed


def test_files_are_read_in_the_order_of_their_times_and_say_where_a_record_stands(tmp_path: Path) -> None:
    (tmp_path / "a-9-20261122T110000Z.jsonl").write_bytes(line(60))
    (tmp_path / "z-1-20261122T100000Z.jsonl").write_bytes(line(0) + line(1))
    (tmp_path / "z-1-20261122T100000Z-2.jsonl.gz").write_bytes(gzip.compress(line(3)))
    (tmp_path / "z-1-20261122T100000Z-10.jsonl").write_bytes(line(4))
    assert minutes(tmp_path) == ([0, 1, 3, 4, 60], [])
    assert count(tmp_path) == 5
    assert [each.place.rpartition("/")[2] for each in read(tmp_path)][:2] == [
        "z-1-20261122T100000Z.jsonl:1",
        "z-1-20261122T100000Z.jsonl:2",
    ]


def test_one_file_can_be_read_alone(tmp_path: Path) -> None:
    (tmp_path / "other.jsonl").write_bytes(line(5))
    file = tmp_path / "a.jsonl"
    file.write_bytes(line(1))
    assert minutes(file)[0] == [1]
    assert count(file) == 1


def test_what_is_older_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(line(0) + line(10) + line(20))
    old = tmp_path / "b.jsonl"
    old.write_bytes(line(30))
    os.utime(old, (0, 0))  # nothing was written to it since
    assert minutes(tmp_path, START + timedelta(minutes=10))[0] == [10, 20]


def without(key: str, *path: str) -> bytes:
    document = json.loads(line())
    owner = document
    for part in path:
        owner = owner[part]
    del owner[key]
    return json.dumps(document).encode() + b"\n"


def altered(value: object, key: str, *path: str) -> bytes:
    document = json.loads(line())
    owner = document
    for part in path:
        owner = owner[part]
    owner[key] = value
    return json.dumps(document).encode() + b"\n"


NO_RECORDS: dict[str, bytes] = {
    "a torn line": line()[:-200],
    "no JSON": b"hello\n",
    "another JSON": b'{"kind": "Event"}\n',
    "no UTF-8": b"\xff\xfe\n",
    "zeros, as after a crash": b"\0" * 100 + b"\n",
    "deep": b"[" * 100_000 + b"\n",
    "another schema": altered(2, "schema"),
    "no time": without("time"),
    "a time without a zone": altered("2026-11-22T10:00:00", "time"),
    "no review": without("review"),
    "a review of nothing": altered(None, "object", "review", "request"),
    "a review of another version": altered("v1beta1", "apiVersion", "review"),
    "no settings": without("settings", "facts"),
    "a rate of nothing": altered(0, "imageBytesPerSecond", "facts", "settings"),
    "an unknown mode": altered("Sometimes", "cap", "facts"),
    "no policies in the decision": without("policies", "decision"),
    "a patch that is none": altered("x", "patch", "decision"),
    "a decision that is none": altered([], "decision"),
}


@pytest.mark.parametrize("what", NO_RECORDS)
def test_what_is_no_record_is_told_and_passed_over(tmp_path: Path, what: str) -> None:
    (tmp_path / "a.jsonl").write_bytes(line(1) + NO_RECORDS[what].rstrip(b"\n") + b"\n" + line(2))
    found, passed = minutes(tmp_path)
    assert found == [1, 2]
    [told] = passed
    assert str(told).startswith(f"{tmp_path}/a.jsonl:2: ")
    assert len(str(told)) < 400


def test_a_torn_last_line_is_told_as_such(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(line(1) + line(2)[:500])
    found, [told] = minutes(tmp_path)
    assert found == [1]
    assert "torn" in told.reason
    assert count(tmp_path) == 2


def test_a_patch_that_does_not_fit_is_an_unreadable_record() -> None:
    broken = altered([{"op": "remove", "path": "/spec/nothing"}], "patch", "decision")
    with pytest.raises(UnreadableRecord, match="does not fit its pod: operation 0"):
        decided(decode(broken))


def test_foreign_and_unreadable_files_do_no_harm(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("hello")
    (tmp_path / ".hidden.jsonl").write_bytes(line(9))
    (tmp_path / "inventory-x.jsonl.gz").write_bytes(b"not even compressed")
    (tmp_path / "a.jsonl").write_bytes(b"\n \n" + line(1))
    (tmp_path / "b.jsonl.gz").write_bytes(gzip.compress(line(2) * 3, mtime=0)[:-300])
    (tmp_path / "c.jsonl.gz").write_bytes(line(3))
    (tmp_path / "d.jsonl").mkdir()
    (tmp_path / "e.jsonl").symlink_to(tmp_path / "nowhere")
    os.mkfifo(tmp_path / "f.jsonl")
    (tmp_path / "g.jsonl").write_bytes(line(7))
    found, passed = minutes(tmp_path)
    assert found[0] == 1
    assert found[-1] == 7
    assert {told.file.name for told in passed} >= {"c.jsonl.gz", "d.jsonl", "e.jsonl", "f.jsonl"}
    assert count(tmp_path) >= 2


def test_a_line_without_end_is_not_held_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(records, "MAX_LINE_BYTES", len(line(0)) + 100)
    (tmp_path / "a.jsonl").write_bytes(line(1) + b"x" * 3_000_000 + b"\n" + line(2))
    found, [told] = minutes(tmp_path)
    assert found == [1, 2]
    assert "MiB" in told.reason


def test_there_must_be_a_directory(tmp_path: Path) -> None:
    for use in (lambda: list(read(tmp_path / "none")), lambda: [count(tmp_path / "none")]):
        with pytest.raises(UnreadableRecords, match="there is no such directory"):
            use()
    assert list(read(tmp_path)) == []


@given(st.binary(max_size=300) | st.integers(0, len(line())).map(lambda cut: line()[:cut]))
def test_whatever_a_line_is_it_is_a_record_or_it_is_not(data: bytes) -> None:
    with contextlib.suppress(UnreadableRecord):
        decode(data)


def test_inventories_that_cannot_be_read_are_passed_over(tmp_path: Path) -> None:
    whole = snapshot(FACTS.inventory.again("near", 100.0))
    (tmp_path / "inventory-near.jsonl.gz").write_bytes(gzip.compress(whole)[:-40])
    (tmp_path / "inventory-far.jsonl.gz").write_bytes(gzip.compress(snapshot(FACTS.inventory.again("far", 500.0))))
    (tmp_path / "inventory-bad.jsonl.gz").write_bytes(b"nothing")
    (tmp_path / "inventory-pipe.jsonl.gz").mkdir()
    kept = RecordInventories(tmp_path)
    assert kept.find("near", 110.0)[1:] == ("nearest", 390.0)
    assert kept.find("far", 0.0).how == "exact"
    assert RecordInventories(tmp_path / "a.jsonl").find("far", 0.0).how == "exact"
    (tmp_path / "inventory-far.jsonl.gz").unlink()
    assert RecordInventories(tmp_path).find("far", 0.0) == (None, "none", 0.0)


@pytest.mark.parametrize(
    ("signed", "cap", "again"),
    [(True, Mode.ENFORCE, True), (False, Mode.ENFORCE, False), (True, Mode.AUDIT, False)],
    ids=["signed by us", "not signed", "Audit, so signed by its author"],
)
def test_a_second_look_at_a_pod_is_told_from_the_first(signed: bool, cap: Mode, again: bool) -> None:
    facts = replace(FACTS, mode_cap=cap)
    sent = admit(REQUEST, FACTS).pod if signed else builders.gpu_pod(None, image="unknown")
    assert sent is not None
    request = builders.request(sent)
    found = decode(encode(request.raw, facts, admit(request, facts), time=START, version="1"))
    assert found.is_again is again
    assert not decode(line()).is_again
