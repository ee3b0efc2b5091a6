"""`warmpod hydrate`: from the command line to the exit code and the last words."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Mapping, Sequence
from types import FrameType
from typing import NoReturn

from webhook.hydrator import arguments, report
from webhook.hydrator.failure import failure_of
from webhook.hydrator.outcome import Stopped
from webhook.hydrator.report import Report
from webhook.hydrator.request import Request
from webhook.hydrator.words import Voice

_SIGNALS = (signal.SIGTERM, signal.SIGINT)
_YES = frozenset({"1", "true", "yes", "on"})


def main(given: Sequence[str] | None = None, environ: Mapping[str, str] = os.environ, *, debug: bool = False) -> int:
    """Run it and answer the exit code. SystemExit after `--help`; whatever else happens is told in words."""
    given = sys.argv[2:] if given is None else given
    debug = debug or environ.get("WARMPOD_DEBUG", "").lower() in _YES
    _occupy_standard_descriptors()
    voice = Voice(2, environ)
    for number in _SIGNALS:
        signal.signal(number, _stop)
    try:
        request = arguments.parse(given, environ)
        if request.verify:
            from webhook.hydrator.verify import verify  # noqa: PLC0415  # a hit does without

            return verify(request.verify, voice)
        return _bring(request, environ, voice, debug=debug)
    except Stopped as stopped:  # while there was nothing to report of yet
        return 128 + stopped.signal
    except Exception as error:  # noqa: BLE001  # what is no error of one model: the command line, or a defect
        failure = failure_of(error)
        voice.fail(failure, error if debug else None)
        _last_words(arguments.termination_log(given, environ), report.unbegun(failure), voice)
        return failure.exit_code


def _bring(request: Request, environ: Mapping[str, str], voice: Voice, *, debug: bool) -> int:
    """All models, one after the other: each is tried, whatever becomes of those before it."""
    from webhook.hydrator import run, summary  # noqa: PLC0415  # `--help` does without the cache
    from webhook.hydrator.course import Course  # noqa: PLC0415  # likewise
    from webhook.hydrator.setting import setting_of  # noqa: PLC0415  # likewise

    _last_words(request.termination_log, report.unfinished(), voice)
    courses = [Course(wanted) for wanted in request.models]
    setting = setting_of(request, environ, voice)
    stop = None
    try:
        for course in courses:
            run.attempt(course, setting, debug=debug)
    except Stopped as stopped:
        stop = stopped
        setting.display.clear()
    _ignore_signals()
    told = summary.report(courses, stop)
    if stop is not None:
        voice.say("error", str(told.facts.get("message")))
    _last_words(request.termination_log, told, voice)
    return summary.exit_code(courses, stop)


def _occupy_standard_descriptors() -> None:
    """Whoever starts us may have closed them: the next file opened, one of the model's, would become our stderr."""
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest that is free


def _last_words(path: str, told: Report, voice: Voice) -> None:
    if path:
        trouble = report.write(path, report.encode(told))
        if trouble:
            voice.say("warning", f"no termination message: {trouble}")


def _stop(number: int, frame: FrameType | None) -> NoReturn:
    del frame
    _ignore_signals()  # a second one must not break off the ending of the first
    raise Stopped(number)


def _ignore_signals() -> None:
    for number in _SIGNALS:
        signal.signal(number, signal.SIG_IGN)
