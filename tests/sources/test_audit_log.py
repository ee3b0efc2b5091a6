"""The API server's audit log, as files are: rotated, compressed, torn, foreign, and from stdin."""

from __future__ import annotations

import gzip
import io
import json
import os
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.report.events import asked, event
from webhook.report.judgement import Judgement
from webhook.sources import audit_log
from webhook.sources.audit_log import STDIN, UnreadableLog
from webhook.sources.records import Passed

NODE = b'{"kind":"Event","apiVersion":"audit.k8s.io/v1","objectRef":{"resource":"nodes"}}\n'


def at(minute: int, name: str = "x") -> bytes:
    """A creation at this minute of 12 o'clock."""
    reference = {"resource": "pods", "namespace": "serving", "name": name}
    return event(asked(), objectRef=reference, requestReceivedTimestamp=f"2026-01-31T12:{minute:02}:00Z")


def read(file: Path, since: datetime | None = None) -> tuple[list[Judgement], list[Passed]]:
    passed: list[Passed] = []
    return list(audit_log.read(file, since, passed.append)), passed


def names(found: list[Judgement]) -> list[str]:
    return [one.owner.name for one in found]


def test_rotated_and_compressed_files_come_first_and_others_not_at_all(tmp_path: Path) -> None:
    (tmp_path / "audit.log").write_bytes(at(3, "new"))
    (tmp_path / "audit-2026-01-31T11-00-00.000.log.gz").write_bytes(gzip.compress(at(1, "oldest")))
    (tmp_path / "audit-2026-01-31T12-02-00.500.log").write_bytes(at(2, "older"))
    (tmp_path / "audit-notes.log").write_bytes(at(0, "foreign"))
    (tmp_path / "other-2026-01-31T12-02-00.500.log").write_bytes(at(0, "foreign"))
    found, passed = read(tmp_path / "audit.log")
    assert names(found) == ["oldest", "older", "new"]
    assert passed == []


def test_a_compressed_file_needs_no_name_that_says_so(tmp_path: Path) -> None:
    (tmp_path / "events").write_bytes(gzip.compress(at(1)) + gzip.compress(at(2)))
    assert len(read(tmp_path / "events")[0]) == 2


def test_torn_and_foreign_lines_are_told_with_their_place(tmp_path: Path) -> None:
    log = tmp_path / "audit.log"
    log.write_bytes(at(1) + NODE + b"\n" + b"hello\n" + at(2) + b'{"kind":"Pod","apiVersion":"v1"}\n' + at(3)[:-20])
    found, passed = read(log)
    assert len(found) == 2
    assert [(one.file, one.number) for one in passed] == [(log, 4), (log, 6), (log, 7)]
    assert "torn" in passed[-1].reason
    assert "not an Event" in passed[1].reason


def test_what_collectors_put_before_an_event_is_passed_over(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_bytes(b"2026-01-31T12:00:00.000Z " + at(1) + b"2026-01-31T12:00:00 kube-apiserver-audit-0 " + at(2))
    found, passed = read(log)
    assert (len(found), passed) == (2, [])


def test_events_that_were_written_anew_by_a_collector_are_read(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text(json.dumps(json.loads(at(1))))
    found, passed = read(log)
    assert (len(found), passed) == (1, [])


def test_since_leaves_out_older_events_and_files(tmp_path: Path) -> None:
    log, old = tmp_path / "audit.log", tmp_path / "audit-2026-01-31T11-00-00.000.log"
    log.write_bytes(at(1, "before") + at(10, "at") + at(11, "after"))
    old.write_bytes(b"nobody reads this\n")
    begin = datetime(2026, 1, 31, 12, 10, tzinfo=UTC)
    os.utime(old, (begin.timestamp() - 60,) * 2)
    os.utime(log, (begin.timestamp() + 60,) * 2)
    found, passed = read(log, begin)
    assert names(found) == ["at", "after"]
    assert passed == []


def test_a_broken_archive_is_read_as_far_as_it_goes(tmp_path: Path) -> None:
    whole = b"".join(at(1, f"pod-{number:05}") for number in range(2000))
    (tmp_path / "log").write_bytes(gzip.compress(whole)[:-4000])
    found, passed = read(tmp_path / "log")
    assert 0 < len(found) < 2000
    assert "any further" in passed[-1].reason


def test_a_line_without_end_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit_log, "MAX_LINE_BYTES", 4096)
    (tmp_path / "log").write_bytes(b"x" * 10_000_000 + b"\n" + at(1))
    found, passed = read(tmp_path / "log")
    assert len(found) == 1
    assert len(passed) == 1
    assert "MiB" in passed[0].reason


@pytest.mark.parametrize("data", [at(1), gzip.compress(at(1))], ids=["plain", "compressed"])
def test_stdin(data: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BufferedReader(io.BytesIO(data))))
    assert len(read(STDIN)[0]) == 1


@pytest.mark.parametrize("name", ["absent", "."])
def test_what_cannot_be_a_log_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(UnreadableLog, match=r"no such file|a directory"):
        read(tmp_path / name)
