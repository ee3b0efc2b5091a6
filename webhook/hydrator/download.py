"""A version that is not there yet: wait for whoever brings it already, or bring it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

from webhook.hydrator.cache import Cache, Model, boot_id, parse_keep_free
from webhook.hydrator.course import Course
from webhook.hydrator.failure import failure_of
from webhook.hydrator.measures import shown_bytes, shown_seconds
from webhook.hydrator.outcome import Exit
from webhook.hydrator.plan import Plan
from webhook.hydrator.setting import Setting
from webhook.hydrator.source import Source
from webhook.hydrator.staged import Staged

if TYPE_CHECKING:
    from webhook.hydrator.cache import Held, OwnersProgress
    from webhook.hydrator.engine.sizing import Sizing
    from webhook.hydrator.engine.transfer import Io, Outcome, Progress

_TELL_APART = 1.0  # seconds between what the writer tells those who wait
_SILENT = 10.0  # seconds after which its silence is told

# What is on disk after these is of no use to the next run, or would be in the way of others.
_IN_VAIN = frozenset({Exit.CHANGED, Exit.CORRUPT, Exit.UNSAFE, Exit.NO_ROOM, Exit.DEFECT})


class Task(NamedTuple):
    """A version that is to be published."""

    course: Course
    setting: Setting
    cache: Cache
    model: Model
    source: Source
    plan: Plan


def bring(task: Task) -> str:
    """Have the version published. Answers `downloaded`, or `hit` where another one did it meanwhile."""
    course, model, plan = task.course, task.model, task.plan
    with _locked(task):
        if model.holds(plan):
            return "hit"
        staged = _reserved(task)
        try:
            outcome = _transfer(task, staged)
            from webhook.hydrator.engine.settling import settle  # noqa: PLC0415  # a hit does without the engine

            settle(plan, staged)
            model.publish(plan, staged, outcome.crc64, _facts(course))
        except Exception as error:
            if failure_of(error).exit_code in _IN_VAIN:
                model.discard(staged)
            raise
    return "downloaded"


@contextmanager
def _locked(task: Task) -> Iterator[None]:
    """Hold the model's lock; show how far whoever holds it is, and keep the credentials fresh meanwhile."""
    began = tended = time.monotonic()
    display, source = task.setting.display, task.course.wanted.source

    def waiting(owner: OwnersProgress | None) -> None:
        nonlocal tended
        now = time.monotonic()
        task.course.lock_wait = now - began
        if now - tended > _TELL_APART:
            tended = now
            task.source.tend()
        display.begin(f"waiting for {f'pod {owner.owner}' if owner else 'another pod'}, which brings {source}")
        if owner is None:
            display.wait(f"since {shown_seconds(now - began)}")
        elif owner.age > _SILENT:
            there = f"{shown_bytes(owner.done)} of {shown_bytes(owner.total)}"
            display.wait(f"{there}, no word from it for {shown_seconds(owner.age)}")
        else:
            display.show(owner.done, owner.total, owner.rate)

    with task.model.lock(waiting, task.setting.pod.name):
        yield


def _reserved(task: Task) -> Staged:
    """Room for it, of what nobody uses, and the files laid out in it."""
    from webhook.hydrator.engine.layout import lay_out  # noqa: PLC0415  # a hit does without the engine

    course, setting = task.course, task.setting

    def evicted(held: Held) -> None:
        course.evicted.append(held)
        setting.display.clear()
        setting.voice.say("note", f"{held.source} was evicted, {shown_bytes(held.bytes)}")

    task.cache.sweep()
    reservation = task.model.reserve(
        task.plan,
        keep_free=parse_keep_free(course.wanted.keep_free),
        max_size=course.wanted.max_size,
        lease_seconds=course.wanted.lease_seconds,
        lay_out=lay_out,
        evicted=evicted,
    )
    return reservation.staged


def _transfer(task: Task, staged: Staged) -> Outcome:
    """The bytes. What arrived by then is in the course also when it breaks off."""
    from webhook.hydrator.engine.transfer import transfer  # noqa: PLC0415  # a hit does without the engine

    course, effort, display = task.course, task.setting.effort, task.setting.display
    told = began = time.monotonic()
    display.begin(f"downloading {task.plan.source}")

    def progress(now: Progress) -> None:
        nonlocal told
        # Less than nothing it is when a file of an earlier run turned out wrong, and has to come anew.
        course.fetched, course.resumed, course.retries = max(0, now.done - now.resumed), now.resumed, now.retries
        course.transfer_seconds = time.monotonic() - began
        rate = display.show(now.done, now.total, note=_tried_again(now.retries))
        if time.monotonic() - told >= _TELL_APART:
            told = time.monotonic()
            task.model.tell(now.done, now.total, rate)

    outcome = transfer(
        task.source,
        task.plan,
        staged,
        boot_id=boot_id(),
        sizing=_sizing(task),
        io=_io(task),
        progress=progress,
        max_rate=effort.max_rate,
    )
    course.fetched, course.resumed, course.retries = outcome.fetched, outcome.resumed, outcome.retries
    course.verified, course.transfer_seconds = outcome.verified, outcome.seconds
    return outcome


def _tried_again(retries: int) -> str:
    return "" if not retries else "1 retry" if retries == 1 else f"{retries:,} retries"


def _sizing(task: Task) -> Sizing:
    from webhook.hydrator.engine import cgroup  # noqa: PLC0415  # a hit does without the engine
    from webhook.hydrator.engine.sizing import Sizing, size  # noqa: PLC0415  # likewise

    effort, plan = task.setting.effort, task.plan
    found = size(
        bandwidth=effort.bandwidth, cpus=cgroup.cpus(), memory=cgroup.memory(), files=len(plan.files), bytes=plan.bytes
    )
    return Sizing(effort.processes or found.processes, effort.connections or found.connections)


def _io(task: Task) -> Io:
    """As it was asked for. A model that is to stay in memory goes through the page cache if it fits there."""
    from webhook.hydrator.engine import cgroup  # noqa: PLC0415  # a hit does without the engine
    from webhook.hydrator.engine.sizing import fits_page_cache  # noqa: PLC0415  # likewise

    asked = task.setting.effort.io
    if asked != "auto" or not task.course.wanted.page_cache:
        return asked
    memory = cgroup.memory()
    if fits_page_cache(task.plan.bytes, memory):
        return "buffered"
    free = shown_bytes(memory or 0)
    task.setting.voice.say("note", f"{task.plan.source} is not kept in memory: half of the {free} free is too little")
    return asked


def _facts(course: Course) -> dict[str, object]:
    """What the manifest keeps of how the version came."""
    return {
        "seconds": round(time.monotonic() - course.began, 3),
        "fetched": course.fetched,
        "resumed": course.resumed,
        "retries": course.retries,
        "verified": course.verified,
    }
