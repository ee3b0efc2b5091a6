"""What of the policies could go without any case failing: each element is taken out, and the cases are judged again."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from webhook.admission import admit
from webhook.cli.errors import CouldNotRun
from webhook.cli.policy_sets import PolicySets
from webhook.cli.progress import tracked
from webhook.cli.trial import Situation, Trial
from webhook.policy.model import PolicySet
from webhook.report.coverage import Element
from webhook.report.removal import removals


def unmissed(trials: Sequence[Trial]) -> list[Element]:
    """The elements that no case misses, in the order of the files. The cases given should be ones that pass.

    An element of a policy that several sets of policies hold is missed when a case of any of them misses it.
    """
    sets = PolicySets()
    grouped: dict[tuple[str, ...], list[tuple[Trial, Situation]]] = {}
    for trial in trials:
        grouped.setdefault(trial.policies, []).append((trial, trial.load(sets)))
    work = [
        (element, changed, members)
        for policies, members in grouped.items()
        for element, changed in removals(sets.at(policies))
    ]
    missed: dict[Element, bool] = {}
    for element, changed, members in tracked(work, "elements taken out", len(work)):
        missed[element] = missed.get(element, False) or _is_missed(changed, members)
    return sorted(element for element, is_missed in missed.items() if not is_missed)


def _is_missed(changed: PolicySet, members: Iterable[tuple[Trial, Situation]]) -> bool:
    return any(_fails(trial, Situation(made.request, replace(made.facts, policies=changed))) for trial, made in members)


def _fails(trial: Trial, made: Situation) -> bool:
    try:
        return bool(trial.judge(made, admit(*made)).failures)
    except CouldNotRun:
        return True
