"""The journal is believed exactly as far as it is whole and ours, and is fit to be appended to afterwards."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.hydrator.engine_place import BOOT, MIB
from webhook.hydrator.engine import parts as rule
from webhook.hydrator.engine.journal import RECORD_BYTES, VOID, Journal, Record
from webhook.hydrator.engine.parts import Parts
from webhook.hydrator.plan import File, Plan

PLAN = Plan(
    "file:///m/",
    (
        File("big", 300 * MIB + 7, "e1", "big"),
        File("empty", 0, "e2", "empty"),
        File("small", 100, "e3", "small"),
        File("two", 9 * MIB, "e4", "two"),
    ),
)
PARTS = Parts(PLAN)
ALL = [
    Record(number, PARTS[number].length, number * 0x0123456789ABCDEF % 2**64, number % 2)
    for number in range(len(PARTS))
]
HEADER = 48


def written(path: Path, records: list[Record], plan: Plan = PLAN, boot: str = BOOT) -> bytes:
    journal = Journal(str(path), plan, boot)
    journal.read()
    for record in records:
        journal.append(journal.encode([record]))
    journal.close()
    return path.read_bytes()


def read(path: Path, plan: Plan = PLAN, boot: str = BOOT) -> dict[int, Record]:
    journal = Journal(str(path), plan, boot)
    try:
        return journal.read()
    finally:
        journal.close()


def as_found(records: list[Record]) -> dict[int, Record]:
    return {record.part: record for record in records}


def test_what_is_written_is_read(tmp_path: Path) -> None:
    written(tmp_path / "journal", ALL)
    assert read(tmp_path / "journal") == as_found(ALL)


def test_cut_off_at_any_byte_it_holds_what_was_whole_and_goes_on_from_there(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    whole = written(path, ALL[:4])
    for end in range(len(whole)):
        path.write_bytes(whole[:end])
        kept = ALL[: max(0, end - HEADER) // RECORD_BYTES]
        assert read(path) == as_found(kept), end
        written(path, [ALL[6]])  # appended behind the cut
        assert read(path) == as_found([*kept, ALL[6]]), end


@settings(max_examples=60)
@given(data=st.data())
def test_one_changed_byte_costs_what_follows_and_no_more(data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "journal"
        whole = bytearray(written(path, ALL))
        place = data.draw(st.integers(0, len(whole) - 1))
        whole[place] ^= data.draw(st.integers(1, 255))
        path.write_bytes(whole)
        kept = [] if place < HEADER else ALL[: (place - HEADER) // RECORD_BYTES]
        assert read(path) == as_found(kept)


@settings(max_examples=60)
@given(st.binary(max_size=400))
def test_garbage_holds_nothing(garbage: bytes) -> None:
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "journal"
        path.write_bytes(garbage)
        assert read(path) == {}
        header = written(path, ALL)[:HEADER]
        path.write_bytes(header + garbage)
        assert read(path) == {}


@pytest.mark.parametrize(
    "other",
    [
        lambda path: read(path, boot="4a1a9d6e-0000-4a53-b6a4-7d0d9f1b8d5e"),
        lambda path: read(path, plan=Plan(PLAN.source, (*PLAN.files[:-1], PLAN.files[-1]._replace(etag="e5")))),
    ],
    ids=["another-boot", "another-version"],
)
def test_a_journal_of_something_else_holds_nothing(tmp_path: Path, other: Callable[[Path], dict[int, Record]]) -> None:
    path = tmp_path / "journal"
    whole = written(path, ALL)
    assert other(path) == {}
    assert path.read_bytes()[:HEADER] != whole[:HEADER]


def test_a_journal_of_other_parts_holds_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written(tmp_path / "journal", ALL)
    monkeypatch.setattr("webhook.hydrator.engine.journal.RULE", rule.RULE.replace(str(rule.PART), str(2 * rule.PART)))
    assert read(tmp_path / "journal") == {}


def test_records_of_another_journal_are_not_believed(tmp_path: Path) -> None:
    ours = written(tmp_path / "ours", ALL[:1])
    theirs = written(tmp_path / "theirs", ALL, boot="other")
    (tmp_path / "ours").write_bytes(ours + theirs[HEADER:])
    assert read(tmp_path / "ours") == as_found(ALL[:1])


def test_a_void_part_is_missing_until_it_comes_again(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    written(path, [*ALL, ALL[2]._replace(flags=VOID)])
    assert read(path) == as_found([one for one in ALL if one.part != 2])
    written(path, [ALL[2]])
    assert read(path) == as_found(ALL)


def test_a_planted_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_bytes(b"precious")
    (tmp_path / "journal").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="symbolic links"):
        read(tmp_path / "journal")
    assert (tmp_path / "elsewhere").read_bytes() == b"precious"
