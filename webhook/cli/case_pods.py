"""The pods of the cases beside policies, for lint to hold these against."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from webhook.cli.discovery import trials
from webhook.cli.errors import CouldNotRun
from webhook.cli.policy_sets import PolicySets
from webhook.lint.check import Manifest
from webhook.policy.model import PolicySet


class _NoPolicies(PolicySets):
    """Cases have pods whatever their policies are."""

    def at(self, places: Iterable[str]) -> PolicySet:
        """None, wherever."""
        del places
        return PolicySet()


def pods_of_cases(directories: Sequence[str]) -> list[Manifest]:
    """Return the pod of every case at or below the directories. What cannot be read is for `warmpod test` to say."""
    found: list[Manifest] = []
    none = _NoPolicies()
    for trial in trials(directories):
        try:
            situation = trial.load(none)
        except CouldNotRun:
            continue
        pod = situation.request.object
        if pod is not None:
            place, namespace = f"{trial.file}:{trial.line}", situation.request.namespace
            found.append(Manifest(place, pod, namespace, situation.facts.namespace_labels))
    return found
