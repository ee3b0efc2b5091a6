"""What a run comes to: its report for the controller, and its exit code."""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence

from webhook.hydrator.cache import Cache
from webhook.hydrator.course import Course
from webhook.hydrator.measures import shown_bytes
from webhook.hydrator.outcome import Exit, HydrationError, Stopped
from webhook.hydrator.report import Gone, Report, Stock, reason


def exit_code(courses: Sequence[Course], stopped: Stopped | None) -> int:
    """That of the first model which could not be brought and may not be done without."""
    if stopped is not None:
        return 128 + stopped.signal
    for course in courses:
        if course.failure is not None and not course.wanted.continues:
            return course.failure.exit_code
    return Exit.OK


def report(courses: Sequence[Course], stopped: Stopped | None) -> Report:
    """The report of a run, of all caches it had to do with that outlive the pod."""
    checked = {
        (course.wanted.cache, course.wanted.directory, course.version)
        for course in courses
        if course.is_checked and course.result in {"hit", "downloaded"}
    }
    stocks: list[Stock] | None = None
    caches: list[str] = []
    for path, tenant in dict.fromkeys((course.wanted.cache, course.wanted.tenant) for course in courses):
        if tenant is None:
            stocks = stocks or []
            continue
        name = name_of(path)
        try:
            with Cache(path) as cache:
                models = cache.models()
        except (HydrationError, OSError):
            continue
        caches.append(name)
        stocks = (stocks or []) + [
            Stock(name, tenant, held.source, held.directory, held.version, held.bytes,
                  checked=(path, held.directory, held.version) in checked)
            for held in models
        ]  # fmt: skip
    evicted = [
        Gone(name_of(course.wanted.cache), course.wanted.tenant, held.source, held.directory)
        for course in courses
        if course.wanted.tenant is not None
        for held in course.evicted
    ]
    return Report(_result(courses, stopped), stocks, evicted, caches, _facts(courses, stopped))


def name_of(path: str) -> str:
    """The name of a NodeCache by where the init container finds it: the last part of the path."""
    return os.path.basename(os.path.normpath(path))


def _result(courses: Sequence[Course], stopped: Stopped | None) -> str:
    if stopped is not None or any(course.result not in {"hit", "downloaded"} for course in courses):
        return "error"
    return "downloaded" if any(course.result == "downloaded" for course in courses) else "hit"


def _facts(courses: Sequence[Course], stopped: Stopped | None) -> dict[str, object]:
    """Numbers of all models together, for people who read `kubectl describe pod`."""
    fetched = sum(course.fetched for course in courses)
    seconds = sum(course.transfer_seconds for course in courses)
    facts: dict[str, object] = {
        "seconds": round(sum(course.seconds for course in courses), 3),
        "bytes": sum(course.bytes for course in courses),
        "fetched_bytes": fetched,
        "GBps": round(fetched / seconds / 1e9, 3) if seconds > 0 else 0.0,
        "resumed_bytes": sum(course.resumed for course in courses),
        "verified_bytes": sum(course.verified for course in courses),
        "lock_wait_s": round(sum(course.lock_wait for course in courses), 3),
        "retries": sum(course.retries for course in courses),
    }
    facts = {name: value for name, value in facts.items() if value or name in {"seconds", "bytes"}}
    if stopped is not None:
        kept = sum(course.fetched + course.resumed for course in courses if course.result == "error")
        words = f"{signal.Signals(stopped.signal).name}: stopped; {shown_bytes(kept)} are kept for the next run"
        return {**facts, "reason": Exit.TERMINATED.name, "message": words}
    failed = [course for course in courses if course.failure is not None]
    failed.sort(key=lambda course: course.wanted.continues)  # first those that the exit code speaks of
    if failed and failed[0].failure is not None:
        facts.update(reason(failed[0].failure))
        if len(failed) > 1:
            facts["failed"] = len(failed)
        if failed[0].wanted.continues:
            facts["continued"] = True
    return facts
