"""Processes forked from here: each runs one function until it is killed, and none outlives this one.

Fork, not threads, where the plan is: a fork of a process that has threads is undefined. Their open files, such as the
lock of the model, are theirs too: the lock lasts until the last of them is gone.
"""

from __future__ import annotations

import gc
import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress

from webhook.hydrator.engine import syscalls

_PATIENCE = 1.0  # seconds that killed processes may take to end
_QUIET = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class Crew:
    """Workers. `close` kills them at once: what they have said counts, nothing else does."""

    def __init__(self, count: int, work: Callable[[int], None]) -> None:
        syscalls.load()
        self._running: list[int] = []
        try:
            for index in range(count):
                self._fork(index, work)
        except BaseException:
            self.close()
            raise

    def dead(self) -> str | None:
        """How one of them ended, in words; None where all run, or have done all there was to do."""
        for child in tuple(self._running):
            found, status = os.waitpid(child, os.WNOHANG)
            if found:
                self._running.remove(child)
                if status:
                    return _ending(status)
        return None

    def close(self) -> None:
        """Kill those that run, and wait until they are gone: not for ever, for a dead file server keeps them."""
        for child in self._running:
            with suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
        end = time.monotonic() + _PATIENCE
        while self._running and time.monotonic() < end:
            self._running = [child for child in self._running if not _is_gone(child)]
            if self._running:
                time.sleep(0.0005)
        self._running = []

    def _fork(self, index: int, work: Callable[[int], None]) -> None:
        parent = os.getpid()
        # No signal may find the child with our handlers, nor us with a child that is not written down.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, _QUIET)
        try:
            child = os.fork()
            if child:
                self._running.append(child)
                return
            _live(parent, index, work)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _live(parent: int, index: int, work: Callable[[int], None]) -> None:
    """What a child does: it never returns."""
    code = 1
    try:
        for number in _QUIET:
            signal.signal(number, signal.SIG_IGN)  # they are for the parent, which kills us
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _QUIET)
        syscalls.die_with_parent()
        gc.disable()
        if os.getppid() == parent:
            work(index)
            code = 0
    finally:
        os._exit(code)


def _is_gone(child: int) -> bool:
    try:
        return os.waitpid(child, os.WNOHANG)[0] != 0
    except ChildProcessError:
        return True


def _ending(status: int) -> str:
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        if number == signal.SIGKILL:
            return "was killed: nearly always because the container ran out of memory"
        return f"was ended by signal {number}"
    return f"ended with code {os.waitstatus_to_exitcode(status)}"
