"""The same pods under two versions of the policies: manifests, objects of a cluster, or the policies' own cases."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from webhook.admission import admit
from webhook.admission.decision import Facts
from webhook.cli import cases
from webhook.cli.git_policies import Side
from webhook.cli.previews import Review
from webhook.cli.progress import tracked
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


def of_cases(directory: str, sides: tuple[Side, Side]) -> tuple[int, list[Difference]]:
    """The same for the cases beside the policies, each in its own world; how many there are, and the differences.

    Raises CouldNotRun for a case that cannot be read.
    """
    found = cases.find([directory])
    return len(found), list(_differences(found, sides))


def _differences(found: Iterable[cases.Case], sides: tuple[Side, Side]) -> Iterator[Difference]:
    for case in tracked(found, "cases"):
        request, facts = cases.situation(case, sides[0].policies)
        assert request.object is not None
        before = admit(request, facts)
        after = admit(request, replace(facts, policies=sides[1].policies))
        pod = Pod(str(case.directory), "case", request.namespace, case.name)
        one = difference(pod, request.object, before, after)
        if one is not None:
            yield one
