"""Cases run, on all processors where that pays, and what they exercise together."""

from __future__ import annotations

import multiprocessing
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Final

from webhook.cli.errors import CouldNotRun
from webhook.cli.policy_sets import PolicySets, sound
from webhook.cli.processors import processors
from webhook.cli.progress import Bar
from webhook.cli.trial import Outcome, Trial
from webhook.cli.trial import run as run_trial
from webhook.report.coverage import Coverage

#: Fewer cases are run before another process has read its policies.
_WORTH_A_PROCESS: Final = 150
_CHUNK: Final = 25


class _Run:
    """Cases and how they are to be run: what a process inherits, for most of it cannot be sent to one."""

    def __init__(self, trials: Sequence[Trial], *, seed: str, observe: bool) -> None:
        self._trials = trials
        self._seed = seed
        self._policies = PolicySets(observe=observe)

    def chunk(self, start: int) -> list[Outcome]:
        """Run the cases from there on, a chunk of them."""
        return [run_trial(trial, self._policies, seed=self._seed) for trial in self._trials[start : start + _CHUNK]]


_inherited: list[_Run] = []


def _chunk(start: int) -> list[Outcome]:
    return _inherited[-1].chunk(start)


def run(trials: Sequence[Trial], *, seed: str = "", observe: bool = False, jobs: int | None = None) -> list[Outcome]:
    """How each case went, in their order. `jobs` processes run them; None: as many as pay, at most one a processor."""
    starts = range(0, len(trials), _CHUNK)
    wanted = jobs or min(processors(), len(trials) // _WORTH_A_PROCESS)
    # A process that is made of one with threads may inherit a lock that nobody will ever open.
    alone = wanted < 2 or threading.active_count() > 1
    work = _Run(trials, seed=seed, observe=observe)
    found: list[Outcome] = []
    with Bar("cases", len(trials)) as bar:
        for outcomes in map(work.chunk, starts) if alone else _in_processes(work, starts, wanted):
            found += outcomes
            bar.advance(len(outcomes))
    return found


def _in_processes(work: _Run, starts: Sequence[int], jobs: int) -> Iterator[list[Outcome]]:
    _inherited.append(work)
    try:
        with ProcessPoolExecutor(jobs, mp_context=multiprocessing.get_context("fork")) as pool:
            yield from pool.map(_chunk, starts)
    finally:
        _inherited.pop()


def coverage(places: Sequence[str], trials: Sequence[Trial], outcomes: Sequence[Outcome]) -> Coverage:
    """What the cases exercise of the policies they are about, and of all others at or below the places.

    A policy that cannot be read is not counted: its cases fail, and say why.
    """
    found = Coverage()
    directories = [(place,) for place in places if Path(place).is_dir()]
    for policies in dict.fromkeys([*(trial.policies for trial in trials), *directories]):
        try:
            found.add(sound(policies))
        except CouldNotRun:
            continue  # no policies there, or none that can be read
    for outcome in outcomes:
        found.count(outcome.seen or ())
    return found
