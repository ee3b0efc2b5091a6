"""What somebody has to look at: errors, conflicts, denials, broken laws; each said once, however many pods it met."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from webhook.report.judgement import Judgement
from webhook.report.reason import told

KINDS: Final[Mapping[str, str]] = {
    "errors": "A policy could not judge the pod",
    "denied": "The pod was denied",
    "laws": "A patch broke a law and was dropped",
    "unanswered": "The API server had no answer and let the pod pass as it was",
    "conflicts": "Something was left out because the pod, or another policy, had its place",
}
"""The kinds of findings, the gravest first."""

_MOST = 500  # of one kind: reasons are few, but for what tenants can write into them


@dataclass(slots=True)
class Finding:
    """One thing that was found. `first` is a pod to look at, `policy` is empty where it is nobody's."""

    kind: str
    policy: str
    text: str
    first: str
    pods: int = 0


class Findings:
    """All findings, in bounded memory."""

    def __init__(self) -> None:
        self._found: dict[str, dict[tuple[str, str], Finding]] = {kind: {} for kind in KINDS}
        self.pods: dict[str, int] = dict.fromkeys(KINDS, 0)
        """How many pods have one of a kind."""
        self.untold: dict[str, int] = dict.fromkeys(KINDS, 0)
        """How many pods have one of a kind that is not among those that are told: there are too many."""

    def add(self, judgement: Judgement) -> None:
        """Take what is to be found in one judgement."""
        kinds = set()
        for kind, policy, text in _in(judgement):
            kinds.add(kind)
            known = self._found[kind]
            found = known.get((policy, text))
            if found is None:
                if len(known) >= _MOST:
                    self.untold[kind] += judgement.pods
                    continue
                found = known[policy, text] = Finding(kind, policy, text, judgement.place)
            found.pods += judgement.pods
        for kind in kinds:
            self.pods[kind] += judgement.pods

    def told(self) -> list[Finding]:
        """Every finding, the gravest kinds and the most frequent first."""
        return [
            finding
            for known in self._found.values()
            for finding in sorted(known.values(), key=lambda each: (-each.pods, each.policy, each.text))
        ]


def _in(judgement: Judgement) -> Iterator[tuple[str, str, str]]:
    """Kind, policy and text. Not twice the same of one pod."""
    found: dict[tuple[str, str, str], None] = {}
    for verdict in judgement.verdicts:
        if verdict.result == "errored":
            found["errors", verdict.name, told(verdict.reason)] = None
        for conflict in verdict.conflicts:
            found["conflicts", verdict.name, told(conflict)] = None
    if judgement.conflicts:
        found["conflicts", "", "not told by this source; records and the live cluster tell it"] = None
    if judgement.denial:
        found["denied", "", told(judgement.denial)] = None
    for violation in judgement.violations:
        found["laws", "", told(violation)] = None
    if judgement.unanswered:
        found["unanswered", "", "no answer in time: see `warmpod doctor`"] = None
    yield from found
