"""Cases run, by both cores where that pays, and what they exercise together."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from webhook.cli.errors import CouldNotRun
from webhook.cli.policy_sets import PolicySets, sound
from webhook.cli.progress import tracked
from webhook.cli.trial import Outcome, Trial
from webhook.cli.trial import run as run_trial
from webhook.report.coverage import Coverage


def run(trials: Sequence[Trial], *, seed: str = "", observe: bool = False) -> list[Outcome]:
    """How each case went, in their order."""
    policies = PolicySets(observe=observe)
    return [run_trial(trial, policies, seed=seed) for trial in tracked(trials, "cases", len(trials))]


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
