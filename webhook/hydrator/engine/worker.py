"""What a worker does: a process of threads, each of which takes a task, reads, writes, notes it down, and so on."""

from __future__ import annotations

import os
import socket
import threading
from typing import NamedTuple

from webhook.hydrator.engine import messages
from webhook.hydrator.engine.buffers import buffers
from webhook.hydrator.engine.crc import crc64nvme
from webhook.hydrator.engine.journal import VERIFIED, Journal, Record
from webhook.hydrator.engine.messages import Kind, Task
from webhook.hydrator.engine.pacing import Pacer
from webhook.hydrator.engine.parts import Part, Parts, is_small
from webhook.hydrator.engine.retry import Retries
from webhook.hydrator.engine.sink import Sink
from webhook.hydrator.engine.tally import Tally
from webhook.hydrator.engine.tree import Tree
from webhook.hydrator.engine.verdict import corrupt
from webhook.hydrator.outcome import Transient
from webhook.hydrator.plan import File
from webhook.hydrator.source import Body, Source

BUFFER = 1 << 20
"""Bytes that a thread holds. Latency grows with more, throughput does not (research: p99 of direct writes)."""


class Job(NamedTuple):
    """What every thread of every worker shares: it is there before the fork."""

    source: Source
    parts: Parts
    small: list[int]
    """Numbers of the parts that are small files still missing: what tasks of the kind SMALL speak of."""
    data: str
    journal: Journal
    direct: bool
    reserved: bool
    attempts: int
    connections: int
    tasks: int
    tasks_end: int
    """The end that the parent writes to. A worker closes it, to see the pipe end should the parent."""
    results: socket.socket
    tally: Tally
    pacer: Pacer | None

    def work(self, process: int) -> None:
        """Be the worker with this number. Ends when the pipe of tasks does, or by telling why not."""
        os.umask(0o022)
        os.close(self.tasks_end)
        first = process * self.connections
        own, *rest = buffers(self.connections, BUFFER)
        others = [
            threading.Thread(target=_serve, args=(self, first + number, memory), daemon=True)
            for number, memory in enumerate(rest, start=1)
        ]
        for thread in others:
            thread.start()
        _serve(self, first, own)
        for thread in others:
            thread.join()


def _serve(job: Job, thread: int, memory: memoryview) -> None:
    try:
        hand = _Hand(job, thread, memory)
        while (task := messages.next_task(job.tasks)) is not None:
            hand.do(task)
    except BaseException as error:  # noqa: BLE001 whatever it is, the parent tells it
        messages.send_error(job.results, error)


class _Hand:
    """One thread at work: a connection, a buffer, descriptors of directories."""

    def __init__(self, job: Job, thread: int, memory: memoryview) -> None:
        self._job = job
        self._thread = thread
        self._reader = job.source.reader()
        self._tree = Tree(job.data)
        self._buffer = memory
        self._credit = 0  # bytes that the pacer has let us have
        self._filled = 0  # bytes that wait in the buffer

    def do(self, task: Task) -> None:
        job = self._job
        if task.kind is Kind.ASK:
            messages.send_stated(job.results, task.start, self._ask(job.parts.files[task.start]))
            return
        if task.kind is Kind.PART:
            records = [self._bring(task.start)]
        else:
            records = [self._bring(number) for number in job.small[task.start : task.start + task.span]]
        encoded = job.journal.encode(records)
        job.journal.append(encoded)
        job.results.send(messages.DONE + encoded)

    def _ask(self, file: File) -> int | None:
        retries = Retries(f"the checksum of {file.name!r}", self._job.attempts)
        while True:
            try:
                return self._job.source.stated_crc64(file)
            except Transient as error:
                self._job.tally.retried(self._thread)
                retries.failed(error)

    def _bring(self, number: int) -> Record:
        part = self._job.parts[number]
        file = self._job.parts.files[part.file]
        if is_small(file):
            sink = Sink.of_new(self._tree, file.path)
        else:
            sink = Sink.of_laid_out(self._tree, file.path, direct=self._job.direct)
        try:
            if not part.length:
                return Record(number, 0, 0)
            crc64, stated = self._fetch(file, part, sink)
            if stated not in {None, crc64}:  # by the wire, or by the source's disk: once more
                self._job.tally.wasted(self._thread, part.length)
                self._job.tally.retried(self._thread)
                crc64, stated = self._fetch(file, part, sink)
                if stated not in {None, crc64}:
                    raise corrupt(file, crc64, stated or 0)
            if not self._job.reserved:
                sink.write_out()
            elif not is_small(file):
                sink.begin_writing_out(part.offset, part.length)
        finally:
            sink.close()
        return Record(number, part.length, crc64, 0 if stated is None else VERIFIED)

    def _fetch(self, file: File, part: Part, sink: Sink) -> tuple[int, int | None]:
        """Bring the part, however often the source breaks off. Its checksum, and the one that the source states."""
        retries = Retries(f"{file.name!r} at byte {part.offset:,}", self._job.attempts)
        body: Body | None = None
        stated = None
        crc64 = done = self._filled = 0
        try:
            while done < part.length:
                want = min(BUFFER, part.length - done)
                try:
                    if body is None:
                        came = done + self._filled
                        body = self._reader.open(file, part.offset + came, part.length - came)
                        if not came and part.length == file.size:
                            stated = body.crc64
                    self._fill(body, want)
                except Transient as error:
                    if body is not None:
                        body.close()
                        body = None
                    self._job.tally.retried(self._thread)
                    retries.failed(error)
                    continue
                view = self._buffer[:want]
                crc64 = crc64nvme(view, crc64)
                sink.write(view, part.offset + done)
                self._job.tally.fetched(self._thread, want)
                done += want
                self._filled = 0
                retries.progressed()
        finally:
            if body is not None:
                body.close()
        return crc64, stated

    def _fill(self, body: Body, want: int) -> None:
        """Read until the buffer holds `want` bytes. What came before a Transient stays in it."""
        if self._job.pacer:
            self._credit = self._job.pacer.take(self._credit, want - self._filled)
        while self._filled < want:
            count = body.readinto(self._buffer[self._filled : want])
            if not count:
                raise Transient("the answer ended early")
            self._filled += count
