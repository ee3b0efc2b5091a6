"""What many replayed records come to. Tallies of parts, added in the order of the parts, are the tally of the whole."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from datetime import datetime

from webhook.report.difference import Group, Groups
from webhook.report.record import Recorded
from webhook.report.replay import Replayed

FINDINGS = ("changed", "denied", "errors", "conflicts", "laws", "unfaithful")
"""What a replay can find, counted in admissions.

Pods that come out otherwise; pods denied now and not before; policies that fail now and did not before; more conflicts
than before; a law is broken, or Audit does not say what Enforce does; the recorded answer is not reproduced from the
recorded facts.
"""

_MOST_TOLD = 500  # different ones; what comes later is counted in `found` alone


@dataclass(slots=True)
class Told:
    """A finding that `count` pods of a namespace share, and the first of them.

    `what` is a sentence without values of the pod, `place` where the record stands.
    """

    kind: str
    namespace: str
    what: str
    name: str
    place: str
    count: int = 1


@dataclass(slots=True)
class ReplayTally:
    """The sums.

    `again` are those of the admissions that are second looks at a pod. `inventories` counts how the inventory was
    found, `apart` is the greatest distance in seconds. `policies` and `versions` count what the records were decided
    by. `comparable` are those whose facts are the recorded ones, `proven` those where Audit says what Enforce does.
    """

    admissions: int = 0
    again: int = 0
    first: datetime | None = None
    last: datetime | None = None
    files: set[str] = field(default_factory=set)
    found: Counter[str] = field(default_factory=Counter)
    inventories: Counter[str] = field(default_factory=Counter)
    apart: float = 0.0
    policies: Counter[str] = field(default_factory=Counter)
    versions: Counter[str] = field(default_factory=Counter)
    comparable: int = 0
    proven: int = 0
    unreadable: int = 0
    _told: dict[tuple[str, str, str], Told] = field(default_factory=dict)
    _groups: Groups = field(default_factory=Groups)

    def add(self, recorded: Recorded, replayed: Replayed, how: str, apart: float) -> None:
        """Count one record."""
        self.admissions += 1
        self.again += replayed.again
        self.first = min(self.first or recorded.time, recorded.time)
        self.last = max(self.last or recorded.time, recorded.time)
        self.files.add(recorded.file)
        self.inventories[how] += 1
        self.apart = max(self.apart, apart)
        self.policies[recorded.facts.policies] += 1
        self.versions[recorded.version] += 1
        self.comparable += replayed.unfaithful is not None
        self.proven += not replayed.unequal
        pod = replayed.pod
        laws = [*([replayed.unequal] if replayed.unequal else []), *replayed.violations]
        difference = replayed.difference
        sentences = {
            "denied": difference.lines[0] if difference is not None and replayed.denied and difference.lines else "",
            "errors": f"policy {', '.join(replayed.errors)} fails" if replayed.errors else "",
            "conflicts": f"conflicts: {replayed.conflicts} more" if replayed.conflicts else "",
            "laws": "; ".join(laws),
            "unfaithful": replayed.unfaithful or "",
        }
        for kind, what in sentences.items():
            if what:
                self.found[kind] += 1
                self._tell(Told(kind, pod.namespace, what, pod.name, recorded.place))
        if difference is not None:
            self.found["changed"] += difference.kind != "verdict"
            self._groups.add(difference)

    def merge(self, later: ReplayTally) -> None:
        """Add the tally of the records that come after these."""
        self.admissions += later.admissions
        self.again += later.again
        self.first = min(filter(None, (self.first, later.first)), default=None)
        self.last = max(filter(None, (self.last, later.last)), default=None)
        self.files |= later.files
        self.apart = max(self.apart, later.apart)
        self.comparable += later.comparable
        self.proven += later.proven
        self.unreadable += later.unreadable
        for mine, theirs in (
            (self.found, later.found),
            (self.inventories, later.inventories),
            (self.policies, later.policies),
            (self.versions, later.versions),
        ):
            mine.update(theirs)
        for told in later._told.values():
            self._tell(replace(told))
        self._groups.merge(later._groups)

    @property
    def pods(self) -> int:
        """How many pods there were: second looks are at the same ones."""
        return self.admissions - self.again

    @property
    def groups(self) -> list[Group]:
        """The differences that read the same, together, in the order of `webhook.report.difference.grouped`."""
        return self._groups.ranked

    @property
    def told(self) -> list[Told]:
        """The findings that read the same, together: in the order of FINDINGS, then the largest."""
        return sorted(
            self._told.values(),
            key=lambda each: (FINDINGS.index(each.kind), -each.count, each.namespace, each.name, each.what),
        )

    def _tell(self, told: Told) -> None:
        key = (told.kind, told.namespace, told.what)
        known = self._told.get(key)
        if known is not None:
            known.count += told.count
        elif len(self._told) < _MOST_TOLD:
            self._told[key] = told
