"""What goes wrong on the way is tried again from the byte where it broke off, and ends in words when it must."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from tests.hydrator.engine_place import MIB, Place, content, grow, tree_source
from tests.hydrator.faulty_source import BROKEN, Counter, Fault, Faulty, Opened, first
from webhook.hydrator.engine.crc import crc64nvme
from webhook.hydrator.engine.retry import pause
from webhook.hydrator.engine.sizing import Sizing
from webhook.hydrator.outcome import Exit, HydrationError, Transient
from webhook.hydrator.plan import File

SIZES = {"large": 20 * MIB + 1, "small/a": 3 * MIB + 5, "small/b": 70, "small/c": 0}


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return grow(tmp_path_factory.mktemp("tree"), SIZES)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path / "staging")


def stated(tree: Path) -> dict[str, int]:
    return {path: crc64nvme(memoryview(held)) for path, held in content(tree).items()}


@pytest.mark.parametrize("path", ["large", "small/a"])
@pytest.mark.parametrize("where", ["on_open", "on_read"])
def test_a_source_that_is_overloaded_for_a_while(
    tree: Path, place: Place, tmp_path: Path, path: str, where: str
) -> None:
    faults: dict[str, Fault] = {where: first(2, BROKEN, path)}
    source = Faulty(
        tree_source(tree),
        tmp_path / "record",
        on_open=faults.get("on_open", nothing),
        on_read=faults.get("on_read", nothing),
    )
    outcome = place.bring(source, sizing=Sizing(1, 1))
    assert outcome.retries == 2
    assert outcome.fetched == sum(SIZES.values())
    assert content(place.data) == content(tree)


def nothing(_file: File, _offset: int) -> None:
    """Go wrong not at all."""


@pytest.mark.parametrize("ends_quietly", [True, False], ids=["short", "broken"])
def test_a_part_goes_on_at_the_byte_where_it_broke_off(
    tree: Path, place: Place, tmp_path: Path, *, ends_quietly: bool
) -> None:
    counter = Counter()
    odd = 77_777

    def at_once(file: File, offset: int) -> bool:
        return file.path == "large" and offset == 3 * odd and counter.next() == 1

    def fault(file: File, offset: int) -> None:
        if at_once(file, offset):
            raise Transient("connection reset")

    source = Faulty(
        tree_source(tree),
        tmp_path / "record",
        most=odd,
        ends=at_once if ends_quietly else lambda _file, _offset: False,
        on_read=nothing if ends_quietly else fault,
    )
    outcome = place.bring(source)
    assert content(place.data) == content(tree)
    assert (outcome.retries, outcome.fetched) == (1, sum(SIZES.values()))
    assert [one for one in source.opened() if one.path == "large" and one.offset < 8 * MIB] == [
        Opened("large", 0, 8 * MIB),
        Opened("large", 3 * odd, 8 * MIB - 3 * odd),
    ]


def test_a_source_that_never_gets_well(tree: Path, place: Place, tmp_path: Path) -> None:
    source = Faulty(tree_source(tree), tmp_path / "record", on_open=first(10**9, BROKEN, "small/b"))
    with pytest.raises(HydrationError, match=r"'small/b'.* gave up after 3 attempts: 503 Slow Down") as caught:
        place.bring(source, attempts=3)
    assert caught.value.exit_code is Exit.UNREACHABLE
    assert len([one for one in source.opened() if one.path == "small/b"]) == 3


def test_breaking_off_again_and_again_is_no_failure_while_it_gets_on(tree: Path, place: Place, tmp_path: Path) -> None:
    def fault(file: File, offset: int) -> None:
        if file.path == "large" and offset % (2 * MIB) == MIB:
            counted = counters.setdefault(offset, Counter())
            if counted.next() == 1:
                raise BROKEN

    counters = {offset: Counter() for offset in range(MIB, 21 * MIB, 2 * MIB)}
    source = Faulty(tree_source(tree), tmp_path / "record", on_read=fault)
    outcome = place.bring(source, attempts=2)
    assert outcome.retries == 10
    assert content(place.data) == content(tree)


def test_the_source_says_when_to_come_again(tree: Path, place: Place, tmp_path: Path) -> None:
    source = Faulty(tree_source(tree), tmp_path / "record", on_open=first(1, Transient("503", delay=0.7), "small/b"))
    assert place.bring(source).seconds >= 0.7


def test_the_source_is_tended(tree: Path, place: Place, tmp_path: Path) -> None:
    source = Faulty(tree_source(tree), tmp_path / "record")
    place.bring(source, max_rate=sum(SIZES.values()) / 1.4)
    assert source.tended >= 2


class TestChecksums:
    def test_of_all_files_are_compared(self, tree: Path, place: Place, tmp_path: Path) -> None:
        source = Faulty(tree_source(tree), tmp_path / "record", stated=stated(tree))
        outcome = place.bring(source)
        assert outcome.verified == sum(SIZES.values())
        assert outcome.crc64 == stated(tree)

    def test_asking_for_one_is_tried_again(self, tree: Path, place: Place, tmp_path: Path) -> None:
        source = Faulty(tree_source(tree), tmp_path / "record", stated=stated(tree), on_ask=first(2, BROKEN, "large"))
        outcome = place.bring(source)
        assert (outcome.verified, outcome.retries) == (sum(SIZES.values()), 2)

    @pytest.mark.parametrize("path", ["large", "small/a"])
    def test_a_flipped_bit_is_brought_again(self, tree: Path, place: Place, tmp_path: Path, path: str) -> None:
        counter = Counter()
        source = Faulty(
            tree_source(tree),
            tmp_path / "record",
            stated=stated(tree),
            flip=lambda file, offset: file.path == path and offset == MIB and counter.next() == 1,
        )
        outcome = place.bring(source)
        assert counter.value() == 2
        assert content(place.data) == content(tree)
        assert outcome.fetched == sum(SIZES.values()) + SIZES[path]
        assert outcome.verified == sum(SIZES.values())

    @pytest.mark.parametrize("path", ["large", "small/a"])
    def test_a_bit_that_stays_flipped_is_corruption_and_nothing_of_it_is_kept(
        self, tree: Path, place: Place, tmp_path: Path, path: str
    ) -> None:
        source = Faulty(
            tree_source(tree),
            tmp_path / "record",
            stated=stated(tree),
            flip=lambda file, offset: file.path == path and offset == 2 * MIB,
        )
        with pytest.raises(HydrationError, match=rf"'{path}' has CRC64NVME [0-9a-f]{{16}}") as caught:
            place.bring(source)
        assert caught.value.exit_code is Exit.CORRUPT
        again = Faulty(tree_source(tree), tmp_path / "again", stated=stated(tree))
        outcome = place.bring(again)
        assert content(place.data) == content(tree)
        assert outcome.verified == sum(SIZES.values())
        assert outcome.resumed <= sum(SIZES.values()) - SIZES[path]
        assert sum(one.length for one in again.opened() if one.path == path) == SIZES[path]

    def test_a_resumed_file_is_compared_as_well(self, tree: Path, place: Place, tmp_path: Path) -> None:
        # The first run did not get to judge: all is in the journal, and the second run fetches nothing before it sees.
        source = Faulty(
            tree_source(tree), tmp_path / "record", flip=lambda file, offset: file.path == "large" and offset == MIB
        )
        place.bring(source)
        again = Faulty(tree_source(tree), tmp_path / "again", stated=stated(tree))
        outcome = place.bring(again)
        assert content(place.data) == content(tree)
        assert outcome.resumed == sum(SIZES.values())
        assert outcome.fetched == SIZES["large"]
        assert {one.path for one in again.opened()} == {"large"}


def children() -> str:
    return Path(f"/proc/self/task/{os.getpid()}/children").read_text()


def denied(_file: File, _offset: int) -> None:
    raise HydrationError(Exit.DENIED, "no s3:GetObject on arn:aws:s3:::b/k", "grant it")


def defect(_file: File, _offset: int) -> None:
    raise ZeroDivisionError("nobody foresaw it")


def killed(_file: File, _offset: int) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def out_of_memory(_file: File, _offset: int) -> None:
    raise MemoryError


@pytest.mark.parametrize(
    ("fault", "code", "words"),
    [
        (denied, Exit.DENIED, r"^no s3:GetObject on arn:aws:s3:::b/k$"),
        (defect, Exit.DEFECT, r"ZeroDivisionError at test_engine_retry.py:\d+: nobody foresaw it"),
        (killed, Exit.DEFECT, r"a worker process was killed: .*out of memory"),
        (out_of_memory, Exit.DEFECT, r"no memory left"),
    ],
    ids=["refused", "defect", "killed", "out-of-memory"],
)
def test_the_end_of_a_worker_reaches_the_parent_as_words(
    tree: Path, place: Place, tmp_path: Path, *, fault: Fault, code: Exit, words: str
) -> None:
    source = Faulty(tree_source(tree), tmp_path / "record", on_read=fault)
    before = children()
    with pytest.raises(HydrationError, match=words) as caught:
        place.bring(source)
    assert caught.value.exit_code is code
    assert children() == before
    outcome = place.bring(tree_source(tree))  # and what it leaves can be gone on with
    assert outcome.fetched + outcome.resumed == sum(SIZES.values())
    assert content(place.data) == content(tree)


def test_a_journal_that_says_more_than_is_there_is_not_believed(tree: Path, place: Place) -> None:
    place.bring(tree_source(tree))
    (place.data / "small/b").unlink()
    assert place.bring(tree_source(tree)).fetched == SIZES["small/b"]
    (place.data / "large").unlink()
    place.bring(tree_source(tree))
    assert content(place.data) == content(tree)


def test_pauses_grow_and_are_bounded() -> None:
    for failed in range(1, 200):
        assert 0 <= pause(failed) <= min(20.0, 0.1 * 2 ** (failed - 1))
    assert max(pause(8) for _ in range(50)) > 1
