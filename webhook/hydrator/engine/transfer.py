"""Bring the bytes of a plan: fork workers, hand them tasks, count, compare checksums. Nothing is published here.

Import it late: `crc` comes with it.
"""

from __future__ import annotations

import os
import select
import socket
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from errno import EINVAL
from typing import Literal, NamedTuple

from webhook.hydrator.engine import messages
from webhook.hydrator.engine.crew import Crew
from webhook.hydrator.engine.journal import Journal, Record
from webhook.hydrator.engine.layout import is_reserved
from webhook.hydrator.engine.pacing import Pacer
from webhook.hydrator.engine.parts import Parts, is_small
from webhook.hydrator.engine.retry import ATTEMPTS
from webhook.hydrator.engine.sizing import Sizing
from webhook.hydrator.engine.tally import Tally
from webhook.hydrator.engine.tasks import Tasks
from webhook.hydrator.engine.tree import Tree
from webhook.hydrator.engine.verdict import Verdict, Wrong, corrupt
from webhook.hydrator.engine.worker import Job
from webhook.hydrator.outcome import Exit, HydrationError
from webhook.hydrator.plan import Plan
from webhook.hydrator.source import Source
from webhook.hydrator.staged import Staged

Io = Literal["auto", "direct", "buffered"]
_TICK = 0.2  # seconds between two words about progress
_PACE = 0.02  # seconds between two handfuls of tokens
_TEND = 1.0
_AHEAD = 2  # tasks that wait for each thread: enough that none ever waits for us


class Progress(NamedTuple):
    """How far it is. Bytes: `done` of `total`, of them `resumed` from an earlier run; retries so far."""

    done: int
    total: int
    resumed: int
    retries: int


class Outcome(NamedTuple):
    """What a transfer came to. `crc64`: CRC64NVME of every file by its path; the rest in bytes and seconds."""

    crc64: Mapping[str, int]
    verified: int
    """Bytes of files whose checksum the source states, and which have it."""
    fetched: int
    resumed: int
    retries: int
    seconds: float


def transfer(
    source: Source,
    plan: Plan,
    staged: Staged,
    *,
    boot_id: str,
    sizing: Sizing,
    io: Io,
    progress: Callable[[Progress], None],
    max_rate: float | None = None,
    attempts: int = ATTEMPTS,
) -> Outcome:
    """Bring what of the plan is not in `staged` yet, which `lay_out` has prepared. `max_rate` in bytes per second.

    HydrationError: what came is kept for the next run, but for files whose checksum is wrong. Cut off anywhere, no
    worker survives.
    """
    try:
        with ExitStack() as stack:
            run = _Run(
                stack,
                source,
                plan,
                staged,
                boot_id=boot_id,
                sizing=sizing,
                io=io,
                max_rate=max_rate,
                attempts=attempts,
            )
            return run.run(progress)
    except OSError as error:
        raise messages.in_words(error) from error


class _Run:
    def __init__(
        self,
        stack: ExitStack,
        source: Source,
        plan: Plan,
        staged: Staged,
        *,
        boot_id: str,
        sizing: Sizing,
        io: Io,
        max_rate: float | None,
        attempts: int,
    ) -> None:
        self._began = time.monotonic()
        self._source = source
        self._plan = plan
        self._staged = staged
        self._total = plan.bytes
        tree = Tree(staged.data)
        stack.callback(tree.close)
        self._journal = Journal(staged.journal, plan, boot_id)
        stack.callback(self._journal.close)
        parts = Parts(plan)
        done = _there(tree, parts, self._journal.read())
        self._resumed = sum(record.length for record in done.values())
        self._voided = 0  # bytes that had come, of files whose checksum was wrong
        direct = io != "buffered" and _takes_direct(tree, plan, insist=io == "direct")
        self._verdict = Verdict(parts, done)
        processes, connections = sizing
        self._tasks = Tasks(parts, done, processes * connections, staged.ballast)
        stack.callback(self._tasks.close)
        self._results, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        stack.callback(self._results.close)
        stack.callback(theirs.close)
        self._reading, self._writing = os.pipe()
        stack.callback(os.close, self._reading)
        stack.callback(os.close, self._writing)
        self._most_ahead = _AHEAD * processes * connections
        self._tally = Tally(processes * connections)
        self._pacer = Pacer(max_rate) if max_rate else None
        if self._pacer:
            stack.callback(self._pacer.close)
        job = Job(
            source=source,
            parts=parts,
            small=self._tasks.small,
            data=staged.data,
            journal=self._journal,
            direct=direct,
            reserved=is_reserved(staged),
            attempts=attempts,
            connections=connections,
            tasks=self._reading,
            tasks_end=self._writing,
            results=theirs,
            tally=self._tally,
            pacer=self._pacer,
        )
        self._ahead = 0
        self._brought_again: set[int] = set()
        self._crew = Crew(processes if self._tasks else 0, job.work)
        stack.callback(self._crew.close)

    def run(self, progress: Callable[[Progress], None]) -> Outcome:
        poll = select.poll()
        poll.register(self._results, select.POLLIN)
        told = tended = float("-inf")
        while True:
            now = time.monotonic()
            if now - told >= _TICK:
                told = now
                progress(self._progress())
                self._look_after()
            if now - tended >= _TEND:
                tended = now
                self._source.tend()
            if self._pacer:
                self._pacer.drip()
            self._feed()
            if not self._ahead:
                break
            if poll.poll(1000 * (_PACE if self._pacer else _TICK)):
                self._hear()
        progress(self._progress())
        with suppress(FileNotFoundError):
            os.unlink(self._staged.ballast)
        fetched, _, retries = self._tally.sums()
        return Outcome(
            crc64=self._verdict.crc64,
            verified=self._verdict.verified,
            fetched=fetched,
            resumed=self._resumed,
            retries=retries,
            seconds=time.monotonic() - self._began,
        )

    def _progress(self) -> Progress:
        fetched, wasted, retries = self._tally.sums()
        return Progress(self._resumed + fetched - wasted - self._voided, self._total, self._resumed, retries)

    def _feed(self) -> None:
        while self._ahead < self._most_ahead:
            task = self._tasks.next()
            if task is None:
                return
            os.write(self._writing, task.encode())
            self._ahead += 1

    def _hear(self) -> None:
        packet = self._results.recv(messages.PACKET)
        kind, content = packet[:1], packet[1:]
        if kind == messages.ERROR:
            raise messages.error_in(content)
        self._ahead -= 1
        if kind == messages.STATED:
            self._judge(self._verdict.stated(*messages.stated_in(content)))
        else:
            for record in self._journal.decode(content):
                self._judge(self._verdict.came(record))

    def _judge(self, wrong: Wrong | None) -> None:
        """Have a file with a wrong checksum brought once more, and only once."""
        if wrong is None:
            return
        self._journal.append(self._journal.encode(wrong.void))
        file = self._plan.files[wrong.file]
        if wrong.file in self._brought_again:
            raise corrupt(file, wrong.crc64, wrong.stated)
        self._brought_again.add(wrong.file)
        self._voided += file.size
        self._tasks.again(wrong.file)

    def _look_after(self) -> None:
        ended = self._crew.dead()
        if ended is None:
            return
        while select.select([self._results], [], [], 0)[0]:
            self._hear()  # it may have said why
        raise HydrationError(
            Exit.DEFECT,
            f"a worker process {ended}",
            "what is on disk is kept for the next run; more memory or fewer --processes help where memory ran out",
        )


def _there(tree: Tree, parts: Parts, records: dict[int, Record]) -> dict[int, Record]:
    """The records whose files are on disk indeed, with the size they should have."""
    there = {}
    good: dict[int, bool] = {}
    for number, record in records.items():
        index = parts[number].file
        if index not in good:
            file = parts.files[index]
            found = tree.status(file.path)
            good[index] = found is not None and found.st_size == file.size
        if good[index]:
            there[number] = record
    return there


def _takes_direct(tree: Tree, plan: Plan, *, insist: bool) -> bool:
    """Whether the filesystem opens large files with O_DIRECT."""
    large = next((file for file in plan.files if not is_small(file)), None)
    if large is None:
        return True
    try:
        os.close(tree.open(large.path, os.O_DIRECT))
    except OSError as error:
        if error.errno != EINVAL:
            raise
        if insist:
            raise HydrationError(
                Exit.DISK, "the filesystem of the cache refuses O_DIRECT", "use --io auto, or another disk"
            ) from error
        return False
    return True
