"""The same pods under two versions of the policies: manifests, objects of a cluster, or the policies' own cases."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from webhook.admission import admit
from webhook.admission.decision import Facts
from webhook.cli.discovery import trials
from webhook.cli.errors import CouldNotRun, say
from webhook.cli.git_policies import Side
from webhook.cli.policy_sets import PolicySets
from webhook.cli.previews import Review
from webhook.cli.progress import tracked
from webhook.policy.model import PolicySet
from webhook.report.difference import Difference, Pod, difference


def of_reviews(found: list[Review], facts: Facts, sides: tuple[Side, Side]) -> list[Difference]:
    """What is decided differently of these pods. Of the facts all but the policies count."""
    before, after = (replace(facts, policies=side.policies) for side in sides)
    return list(
        filter(
            None,
            (
                difference(
                    Pod(one.source, one.kind, one.namespace, one.name),
                    one.sent,
                    one.decided(before),
                    one.decided(after),
                )
                for one in tracked(found, "pods")
            ),
        )
    )


def of_cases(policies: str, sides: tuple[Side, Side]) -> tuple[int, list[Difference]]:
    """The same for the cases beside the policies, each in its own world; how many there are, and the differences.

    What cannot be read is said and passed over: `warmpod test` holds people to it.
    """
    place = Path(policies)
    directory = place.parent if place.is_file() else place
    found = [one for one in trials([str(directory)]) if not one.is_file_at_fault] if directory.is_dir() else []
    looked_at, differences = 0, list[Difference]()
    given = _Given(sides[0].policies)
    for trial in tracked(found, "cases"):
        try:
            request, facts = trial.load(given)
        except CouldNotRun as error:
            say("warning", f"{trial.file}:{trial.line}: not compared: {error.message}")
            continue
        if request.object is None:
            continue
        looked_at += 1
        before, after = admit(request, facts), admit(request, replace(facts, policies=sides[1].policies))
        pod = Pod(f"{trial.file}:{trial.line}", "case", request.namespace, trial.name)
        one = difference(pod, request.object, before, after)
        if one is not None:
            differences.append(one)
    return looked_at, differences


class _Given(PolicySets):
    """The same policies for every case, whichever its own are."""

    def __init__(self, policies: PolicySet) -> None:
        super().__init__()
        self._policies = policies

    def at(self, places: Iterable[str]) -> PolicySet:
        """These, wherever."""
        del places
        return self._policies
