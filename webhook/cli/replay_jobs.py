"""Records replayed on several processors: lines are shared out in order, and what they come to is added in order."""

from __future__ import annotations

import multiprocessing
import signal
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from webhook.cli import world
from webhook.cli.errors import CouldNotRun
from webhook.policy.model import PolicySet
from webhook.report.record import Recorded, UnreadableRecord, decode
from webhook.report.replay import Replay
from webhook.report.replay_tally import ReplayTally
from webhook.sources.record_inventories import Found, RecordInventories
from webhook.sources.records import Line, Passed

#: A chunk is long enough that handing it over costs little, and short enough for a bar that moves.
CHUNK_LINES: Final = 100
CHUNK_BYTES: Final = 4 * 1024 * 1024
#: Chunks handed out ahead of the one whose tally is waited for, for each process.
_AHEAD: Final = 4


@dataclass(frozen=True, slots=True)
class Plan:
    """What is replayed by what. Processes read it for themselves: compiled policies do not travel."""

    records: Path
    policies: str
    against: str | None = None
    inventory: str = ""
    digests: tuple[str, str] = ("", "")

    def read(self) -> tuple[PolicySet, PolicySet | None]:
        """The policies, and those before. Raises CouldNotRun."""
        after = world.read_policies_at(self.policies)
        around = self.policies if Path(self.policies).exists() else "."
        return after, None if self.against is None else world.read_policies_at(self.against, around)

    def sealed(self, after: PolicySet, before: PolicySet | None) -> Plan:
        """The plan for other processes, which must find the same policies."""
        return replace(self, digests=(after.digest, "" if before is None else before.digest))


@dataclass(frozen=True, slots=True)
class Chunk:
    """What came of some lines: how many they were, their tally, and what could not be read of them."""

    lines: int
    tally: ReplayTally
    passed: tuple[Passed, ...]


class Replayer:
    """Replays lines by one plan, in one process."""

    def __init__(self, plan: Plan, after: PolicySet, before: PolicySet | None) -> None:
        self._replay = Replay(after, before)
        self._inventories = RecordInventories(plan.records)
        self._given = world.read_inventory(plan.inventory)

    def __call__(self, lines: Iterable[Line]) -> Chunk:
        """What these lines come to."""
        tally = ReplayTally()
        passed = []
        count = 0
        for line in lines:
            count += 1
            try:
                recorded = decode(line.data, file=str(line.file), number=line.number)
                if recorded.request.dry_run:
                    continue
                recorded, found = self._found(recorded)
                replayed = self._replay(recorded, found.inventory, exact=found.how == "exact")
            except UnreadableRecord as error:
                tally.unreadable += 1
                passed.append(Passed(line.file, line.number, str(error)))
                continue
            tally.add(recorded, replayed, found.how, found.apart)
        return Chunk(count, tally, tuple(passed))

    def _found(self, recorded: Recorded) -> tuple[Recorded, Found]:
        facts = recorded.facts
        if self._given is not None:  # whoever hands one over means it, whatever was known then
            is_same = facts.placement_usable and facts.snapshot == self._given.id
            facts = replace(facts, placement_usable=True)
            apart = abs(self._given.time - (facts.snapshot_time or recorded.time.timestamp()))
            found = Found(self._given, "exact") if is_same else Found(self._given, "nearest", apart)
            return replace(recorded, facts=facts), found
        if not facts.placement_usable:
            return recorded, Found(None, "exact")
        return recorded, self._inventories.find(facts.snapshot, facts.snapshot_time)


def replayed(
    lines: Iterable[Line], plan: Plan, after: PolicySet, before: PolicySet | None, jobs: int
) -> Iterator[Chunk]:
    """The chunks of these lines, in their order, made by `jobs` processes; by this one where that is 1."""
    chunks = _chunks(lines)
    with _maker(plan, after, before, jobs) as make:
        waiting: deque[Callable[[], Chunk]] = deque()
        for chunk in chunks:
            waiting.append(make(chunk))
            if len(waiting) > jobs * _AHEAD or jobs == 1:
                yield waiting.popleft()()
        while waiting:
            yield waiting.popleft()()


@contextmanager
def _maker(
    plan: Plan, after: PolicySet, before: PolicySet | None, jobs: int
) -> Iterator[Callable[[list[Line]], Callable[[], Chunk]]]:
    if jobs == 1:
        replayer = Replayer(plan, after, before)
        yield lambda lines: lambda: replayer(lines)
        return
    # Not a fork of this process: what an engine or a bar started here in threads would not be there.
    context = multiprocessing.get_context("spawn")
    sealed = plan.sealed(after, before)
    with ProcessPoolExecutor(jobs, mp_context=context, initializer=_begin, initargs=(sealed,)) as pool:

        def make(lines: list[Line]) -> Callable[[], Chunk]:
            with _told_of_death():
                future = pool.submit(_run, lines)

            def result() -> Chunk:
                with _told_of_death():
                    return future.result()

            return result

        try:
            yield make
        finally:
            pool.shutdown(cancel_futures=True)


@contextmanager
def _told_of_death() -> Iterator[None]:
    try:
        yield
    except BrokenProcessPool as error:
        raise CouldNotRun(
            "a process of the replay died", hint="was memory short? --jobs 1 replays in one process"
        ) from error


_mine: list[Plan | Replayer] = []  # of a process of the pool: first its plan, then what it made of it


def _begin(plan: Plan) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the first process ends them, and says so once
    _mine[:] = [plan]


def _run(lines: list[Line]) -> Chunk:
    [mine] = _mine
    if isinstance(mine, Plan):
        after, before = mine.read()
        if (after.digest, "" if before is None else before.digest) != mine.digests:
            raise CouldNotRun("the policies changed while they were read", hint="run it once more")
        mine = Replayer(mine, after, before)
        _mine[:] = [mine]
    return mine(lines)


def _chunks(lines: Iterable[Line]) -> Iterator[list[Line]]:
    chunk: list[Line] = []
    size = 0
    for line in lines:
        chunk.append(line)
        size += len(line.data)
        if len(chunk) >= CHUNK_LINES or size >= CHUNK_BYTES:
            yield chunk
            chunk, size = [], 0
    if chunk:
        yield chunk
