"""Recording beside the path of a review: bounded, and never in a review's way, whatever the disk does."""

from __future__ import annotations

import gzip
import json
import logging
import os
import resource
import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from tests import builders
from webhook.admission import admit
from webhook.admission.decision import Decision, Facts
from webhook.inventory.model import EMPTY
from webhook.kube.review import AdmissionRequest, for_pod
from webhook.report.record import Recorded, decided
from webhook.server import record_files, recorder
from webhook.server.metrics import Metrics
from webhook.server.record_files import RecordFiles, Recording
from webhook.server.recorder import Recorder
from webhook.sources.record_inventories import RecordInventories
from webhook.sources.records import read

FACTS = builders.facts()
REQUEST = builders.request(builders.gpu_pod())
DECISION = admit(REQUEST, FACTS)
LINE = b'{"a": "line of 22 b"}\n'


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "records"


def counted(metrics: Metrics, result: str, count: int) -> None:
    """Wait until so many records came to this."""
    deadline = time.monotonic() + 30
    while metrics.records[result] != count:
        assert time.monotonic() < deadline, metrics.records
        time.sleep(0.01)


@contextmanager
def recording(directory: Path) -> Iterator[tuple[Recorder, Metrics]]:
    metrics = Metrics()
    made = Recorder(Recording(directory), metrics)
    try:
        yield made, metrics
    finally:
        made.close()


def put(
    made: Recorder, request: AdmissionRequest = REQUEST, facts: Facts = FACTS, decision: Decision = DECISION
) -> None:
    made(request, facts, decision, 1000)


def records(directory: Path) -> list[Recorded]:
    return list(read(directory))


def test_a_review_is_found_again_with_the_inventory_it_was_decided_from(directory: Path) -> None:
    with recording(directory) as (made, metrics):
        put(made)
    [found] = records(directory)
    assert found.request.raw == REQUEST.raw
    assert replace(decided(found), audit_annotations=DECISION.audit_annotations) == DECISION
    assert (found.facts.policies, found.facts.snapshot) == (FACTS.policies.digest, FACTS.inventory.id)
    assert found.facts.namespace_labels == FACTS.namespace_labels
    inventory = RecordInventories(directory).find(found.facts.snapshot, found.facts.snapshot_time)
    assert inventory.how == "exact"
    assert admit(found.request, replace(FACTS, inventory=inventory.inventory or EMPTY)) == DECISION
    assert metrics.records == {"written": 1, "failed": 0, "dropped": 0}
    assert {path.stat().st_mode & 0o777 for path in directory.iterdir()} == {0o600}
    assert directory.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize(
    "request_",
    [
        builders.request(builders.gpu_pod(), dry_run=True),
        for_pod(builders.gpu_pod(), namespace="a", operation="DELETE"),
    ],
    ids=["a dry run", "no pod is made"],
)
def test_what_makes_no_pod_is_not_recorded(directory: Path, request_: AdmissionRequest) -> None:
    with recording(directory) as (made, metrics):
        put(made, request_, decision=admit(request_, FACTS))
        put(made)
    assert len(records(directory)) == 1
    assert metrics.records["written"] == 1


def test_without_a_usable_snapshot_none_is_kept_and_none_is_named(directory: Path) -> None:
    facts = replace(FACTS, inventory=EMPTY, placement_usable=False)
    with recording(directory) as (made, _):
        put(made, facts=facts, decision=admit(REQUEST, facts))
    [found] = records(directory)
    assert (found.facts.snapshot, found.facts.placement_usable) == ("", False)
    assert not list(directory.glob("inventory-*"))


def test_of_large_inventories_that_follow_each_other_one_a_minute_is_kept(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(record_files, "INVENTORY_BYTES_PER_SECOND", 1)  # so that it is a large one
    inventories = [FACTS.inventory.again(f"id-{number}", 1000.0 + number) for number in range(3)]
    with recording(directory) as (made, metrics):
        for number, inventory in enumerate(inventories, 1):
            put(made, facts=replace(FACTS, inventory=inventory))
            counted(metrics, "written", number)
    kept = RecordInventories(directory)
    assert [each.name for each in directory.glob("inventory-*")] == ["inventory-id-0.jsonl.gz"]
    assert [kept.find(each.id, each.time)[1:] for each in inventories] == [("exact", 0), ("nearest", 1), ("nearest", 2)]
    monkeypatch.setattr(record_files, "INVENTORY_SECONDS", 0.0)
    files = RecordFiles(Recording(directory))
    for inventory in inventories:
        files.keep(inventory)
    assert RecordInventories(directory).find("id-2", 0.0).how == "exact"


def test_an_inventory_of_any_id_has_a_file_name(directory: Path) -> None:
    RecordFiles(Recording(directory)).keep(FACTS.inventory.again("../../etc/a b", 0.0))
    assert RecordInventories(directory).find("../../etc/a b", 0.0).how == "exact"
    assert [path.parent for path in directory.rglob("*.gz")] == [directory]


def test_a_file_ends_at_its_size_and_the_oldest_go(directory: Path) -> None:
    files = RecordFiles(Recording(directory, max_bytes=3 * len(LINE), keep_bytes=12 * len(LINE)))
    for _ in range(40):
        files.write(LINE)
    files.close()
    sizes = [path.stat().st_size for path in directory.iterdir()]
    assert max(sizes) == 3 * len(LINE)
    assert 9 * len(LINE) <= sum(sizes) <= 15 * len(LINE)


def test_foreign_files_are_neither_counted_nor_deleted(directory: Path) -> None:
    directory.mkdir()
    foreign = [directory / name for name in ("notes.txt", "mine.jsonl", "inventory.json", ".hidden", "a-1-2.jsonl")]
    for path in foreign:
        path.write_bytes(b"x" * 10_000)
    files = RecordFiles(Recording(directory, max_bytes=len(LINE), keep_bytes=4 * len(LINE)))
    for _ in range(20):
        files.write(LINE)
    files.close()
    assert all(path.stat().st_size == 10_000 for path in foreign)
    assert len(list(directory.iterdir())) <= len(foreign) + 5


def test_inventories_go_with_the_records_that_need_them(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(record_files, "INVENTORY_SECONDS", 0.0)
    files = RecordFiles(Recording(directory, max_bytes=2 * len(LINE), keep_bytes=2_000))
    for number in range(30):
        files.keep(FACTS.inventory.again(f"id-{number}", 0.0))
        long_ago = time.time() - 3600 + number
        os.utime(directory / f"inventory-id-{number}.jsonl.gz", (long_ago, long_ago))
        files.write(LINE)
    files.close()
    kept = sorted(path.name for path in directory.glob("inventory-*"))
    assert 1 <= len(kept) <= 3
    assert "inventory-id-29.jsonl.gz" in kept


def test_an_inventory_that_comes_back_is_not_the_oldest_any_more(directory: Path) -> None:
    files = RecordFiles(Recording(directory))
    files.keep(FACTS.inventory)
    [path] = directory.glob("inventory-*")
    os.utime(path, (0, 0))
    files.keep(FACTS.inventory)
    assert path.stat().st_mtime == 0
    RecordFiles(Recording(directory)).keep(FACTS.inventory)
    assert path.stat().st_mtime > 0


def test_what_a_process_left_half_written_goes(directory: Path) -> None:
    directory.mkdir()
    stale, fresh = directory / ".pod-a-17.part", directory / ".pod-b-18.part"
    for path in (stale, fresh):
        path.touch()
    os.utime(stale, (0, 0))
    RecordFiles(Recording(directory)).keep(FACTS.inventory)
    assert not stale.exists()
    assert fresh.exists()


def test_two_processes_of_one_name_and_second_do_not_share_a_file(directory: Path) -> None:
    one, other = RecordFiles(Recording(directory)), RecordFiles(Recording(directory))
    for _ in range(3):
        one.write(LINE)
        other.write(LINE * 2)
    one.close()
    other.close()
    assert sorted(path.stat().st_size for path in directory.iterdir()) == [3 * len(LINE), 6 * len(LINE)]


def test_a_directory_that_is_gone_is_made_again(directory: Path) -> None:
    files = RecordFiles(Recording(directory))
    files.write(LINE)
    shutil.rmtree(directory)
    files.write(LINE)
    files.close()
    assert [path.read_bytes() for path in directory.iterdir()] == [LINE]


@contextmanager
def no_file_longer_than(count: int) -> Iterator[None]:
    """As on a full disk, a write that begins below the limit is short, and the next one fails."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (count, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_disk_that_is_full_leaves_no_half_line(directory: Path) -> None:
    files = RecordFiles(Recording(directory))
    files.write(LINE)
    with no_file_longer_than(2 * len(LINE) - 5), pytest.raises(OSError, match="too large"):
        files.write(LINE)
    files.write(LINE)
    files.close()
    assert [path.read_bytes() for path in directory.iterdir()] == [LINE * 2]


def test_a_disk_that_says_no_is_a_metric_and_one_line_in_the_log(
    directory: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recorder, "_RETRY_SECONDS", 0.0)
    directory.write_text("a file where the directory should be")
    caplog.set_level(logging.INFO, "warmpod")
    with recording(directory) as (made, metrics):
        for count in range(1, 4):
            put(made)
            counted(metrics, "failed", count)
        assert b"warmpod_records_failing 1.0" in metrics.exposition()
        directory.unlink()
        put(made)
        counted(metrics, "written", 1)
        assert b"warmpod_records_failing 0.0" in metrics.exposition()
    told = [record.getMessage() for record in caplog.records]
    assert told == ["records not written", "records written again"]
    assert len(records(directory)) == 1


def test_what_does_not_fit_the_queue_is_dropped_and_counted(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gate = threading.Event()
    write = RecordFiles.write

    def slow(files: RecordFiles, lines: bytes) -> None:
        assert gate.wait(30)
        write(files, lines)

    monkeypatch.setattr(RecordFiles, "write", slow)
    monkeypatch.setattr(recorder, "MOST_WAITING", 10)
    with recording(directory) as (made, metrics):
        for _ in range(50):
            put(made)
        assert metrics.records["dropped"] == 40
        gate.set()
        counted(metrics, "written", 10)
        put(made)
    assert len(records(directory)) == 11


def test_the_queue_is_bounded_by_bytes_too(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recorder, "MOST_WAITING_BYTES", 999)
    with recording(directory) as (made, metrics):
        put(made)
    assert metrics.records == {"written": 0, "failed": 0, "dropped": 1}


def test_a_review_that_cannot_be_redacted_is_not_written(directory: Path, caplog: pytest.LogCaptureFixture) -> None:
    broken = replace(DECISION, pod="no pod")  # type: ignore[arg-type]  # as a defect of ours might have it
    with recording(directory) as (made, metrics):
        put(made, decision=broken)
        put(made)
    assert metrics.records == {"written": 1, "failed": 1, "dropped": 0}
    assert len(records(directory)) == 1
    assert [record.getMessage() for record in caplog.records] == ["review not recorded"]


def test_closing_writes_what_waits(directory: Path) -> None:
    with recording(directory) as (made, _):
        for _ in range(200):
            put(made)
    assert len(records(directory)) == 200
    made(REQUEST, FACTS, DECISION, 1)
    assert len(records(directory)) == 200


def test_nothing_is_exposed_where_nothing_is_recorded() -> None:
    assert b"warmpod_records" not in Metrics().exposition()


def test_the_lines_are_plain_json_and_the_inventory_is_a_snapshot_file(directory: Path) -> None:
    with recording(directory) as (made, _):
        put(made)
    [records_file] = directory.glob("*.jsonl")
    document = json.loads(records_file.read_text())
    assert list(document) == ["schema", "time", "version", "review", "facts", "decision"]
    assert document["review"]["kind"] == "AdmissionReview"
    [inventory] = directory.glob("*.gz")
    assert json.loads(gzip.decompress(inventory.read_bytes()).splitlines()[0])["schema"] == 2
