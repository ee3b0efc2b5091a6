"""The policies that tests are about: each set read once, however many cases ask for it."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from webhook.cel import Environment
from webhook.cli.errors import CouldNotRun
from webhook.cli.world import policy_sources
from webhook.policy.model import PolicySet
from webhook.policy.parse import parse
from webhook.policy.problem import Source
from webhook.report.coverage import Answer
from webhook.report.observed import observed


class PolicySets:
    """Sets of policies by the places they come from. With `observe`, what their expressions answer can be heard."""

    def __init__(self, environment: Environment | None = None, *, observe: bool = False) -> None:
        self.observed = observe
        self._environment = environment
        self._known: dict[tuple[str, ...], PolicySet | CouldNotRun] = {}
        self._answers: list[Answer] | None = None

    def at(self, places: Iterable[str]) -> PolicySet:
        """The policies of these files and directories together. Raises CouldNotRun, with all that is wrong in them.

        However a place is spelt, its files are called the same, so that a policy counts once.
        """
        key = tuple(sorted({os.path.realpath(place) for place in places}))
        found = self._known.get(key)
        if found is None:
            try:
                found = self._read(key)
            except CouldNotRun as error:
                found = error
            self._known[key] = found
        if isinstance(found, CouldNotRun):
            raise found
        return found

    def _read(self, places: Iterable[str]) -> PolicySet:
        policies = parse(_sources(places), self._environment)
        errors = [str(problem) for problem in policies.problems if problem.severity == "error"]
        if errors:
            raise CouldNotRun("\n".join(errors))
        return observed(policies, self._hear) if self.observed else policies

    def _hear(self, policy: str, kind: str, name: str, told: str) -> None:
        if self._answers is not None:
            self._answers.append((policy, kind, name, told))

    @contextmanager
    def observing(self) -> Iterator[list[Answer]]:
        """What the expressions answer while the block runs."""
        self._answers = []
        try:
            yield self._answers
        finally:
            self._answers = None


def sound(places: Iterable[str]) -> PolicySet:
    """What is sound of the policies there; raises CouldNotRun where there are none at all."""
    return parse(_sources(sorted({os.path.realpath(place) for place in places})))


def _sources(places: Iterable[str]) -> list[Source]:
    return list({source.file: source for place in places for source in policy_sources(_shown(place))}.values())


def _shown(place: str) -> str:
    """The place as a person can open it from here: relative where that is shorter."""
    relative = os.path.relpath(place)
    return relative if len(relative) < len(place) else place
