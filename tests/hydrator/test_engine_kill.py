"""kill -9 at any moment: what the journal holds is not fetched again, and the tree ends byte-identical."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from tests.hydrator.engine_place import BOOT, MIB, Place, content, grow, tree_source
from tests.hydrator.faulty_source import Faulty, Opened
from webhook.hydrator.engine.journal import Journal
from webhook.hydrator.engine.parts import Parts
from webhook.hydrator.outcome import Stopped

SIZES = {
    "one": 17 * MIB + 1,
    "two": 9 * MIB,
    **{f"small/{index:02}": 1 + index * 10_000 for index in range(40)},
}
TOTAL = sum(SIZES.values())


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return grow(tmp_path_factory.mktemp("tree"), SIZES)


def started(work: Callable[[], object]) -> int:
    """A process of its own, forked from here, with its workers below it."""
    child = os.fork()
    if child:
        return child
    try:
        work()
        os._exit(0)
    finally:
        os._exit(1)


def children(of: int) -> list[int]:
    try:
        return [int(word) for word in Path(f"/proc/{of}/task/{of}/children").read_text().split()]
    except FileNotFoundError:
        return []


def is_running(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] not in {"Z", "X"}
    except (FileNotFoundError, ProcessLookupError):
        return False


def wait_for(what: Callable[[], bool]) -> None:
    end = time.monotonic() + 20
    while not what():
        assert time.monotonic() < end
        time.sleep(0.0005)


def all_ended(processes: list[int]) -> bool:
    return not any(is_running(process) for process in processes)


def size_of(place: Place) -> int:
    """Bytes of its journal."""
    path = Path(place.staged.journal)
    return path.stat().st_size if path.exists() else 0


def ended_or_noted(process: int, place: Place, enough: int) -> bool:
    return size_of(place) >= enough or not is_running(process)


def journaled(place: Place, source: Faulty) -> set[Opened]:
    """What the journal says is there, as the ranges that need not be asked for."""
    plan = source.plan()
    parts = Parts(plan)
    journal = Journal(place.staged.journal, plan, BOOT)
    try:
        found = [parts[number] for number in journal.read()]
    finally:
        journal.close()
    return {Opened(plan.files[part.file].path, part.offset, part.length) for part in found}


def test_killed_at_random_moments_until_it_is_done(tree: Path, tmp_path: Path) -> None:
    drawn = random.Random(5)
    kills = resumed = 0
    for around in range(4):
        place = Place(tmp_path / f"staging{around}")
        held: set[Opened] = set()
        while True:
            source = Faulty(tree_source(tree), tmp_path / f"record{around}-{kills}")
            # So many records further, or before the first; and then at whatever it does a moment later.
            enough = size_of(place) + 24 * drawn.randrange(8)
            moment = drawn.random() / 100
            child = started(partial(place.bring, source, max_rate=500e6))
            wait_for(partial(ended_or_noted, child, place, enough))
            time.sleep(moment)
            workers = children(child)
            os.kill(child, signal.SIGKILL)  # a zombie takes it, too
            _, status = os.waitpid(child, 0)
            wait_for(partial(all_ended, workers))
            assert not set(source.opened()) & held, "what is in the journal was asked for again"
            if not os.WIFSIGNALED(status):
                assert os.waitstatus_to_exitcode(status) == 0
                break
            kills += 1
            held = journaled(place, source) if size_of(place) else set()
            resumed += bool(held)
        assert content(place.data) == content(tree)
    assert kills >= 4
    assert resumed >= 2


def test_the_workers_die_with_the_parent(tree: Path, tmp_path: Path) -> None:
    place = Place(tmp_path / "staging")
    child = started(lambda: place.bring(tree_source(tree), max_rate=1e6))
    try:
        wait_for(lambda: len(children(child)) == 2)
        workers = children(child)
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    wait_for(partial(all_ended, workers))


def test_a_signal_to_the_parent_ends_it_all_at_once_and_resumably(tree: Path, tmp_path: Path) -> None:
    place = Place(tmp_path / "staging")

    def handler(number: int, _frame: object) -> None:
        raise Stopped(number)

    def work() -> None:
        signal.signal(signal.SIGTERM, handler)
        try:
            place.bring(tree_source(tree), max_rate=60e6)
        except Stopped:
            os._exit(0 if not children(os.getpid()) else 2)

    child = started(work)
    wait_for(lambda: size_of(place) > 48 + 24)
    for worker in children(child):
        os.kill(worker, signal.SIGTERM)  # as to a whole process group: workers leave it to the parent
    before = size_of(place)
    wait_for(lambda: size_of(place) > before + 24)
    os.kill(child, signal.SIGTERM)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    outcome = place.bring(tree_source(tree))
    assert outcome.resumed
    assert outcome.resumed + outcome.fetched == TOTAL
    assert content(place.data) == content(tree)


def test_another_boot_begins_again(tree: Path, tmp_path: Path) -> None:
    place = Place(tmp_path / "staging")
    place.bring(tree_source(tree))
    assert place.bring(tree_source(tree)).resumed == TOTAL
    assert place.bring(tree_source(tree), boot_id="another").fetched == TOTAL
    assert content(place.data) == content(tree)


def test_a_journal_cut_off_anywhere_costs_only_what_it_lost(tree: Path, tmp_path: Path) -> None:
    place = Place(tmp_path / "staging")
    first = Faulty(tree_source(tree), tmp_path / "record")
    place.bring(first)
    whole = Path(place.staged.journal).read_bytes()
    for cut in (0, 47, 48, 71, 72, 200, len(whole) - 1):
        Path(place.staged.journal).write_bytes(whole[:cut])
        source = Faulty(tree_source(tree), tmp_path / f"record{cut}")
        held = journaled(place, source)
        assert len(held) == max(0, cut - 48) // 24
        outcome = place.bring(source)
        assert outcome.resumed == sum(one.length for one in held)
        assert sorted([*source.opened(), *held]) == sorted(first.opened())
    assert content(place.data) == content(tree)
