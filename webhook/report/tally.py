"""What many decisions come to: sums by policy and namespace, the workloads that gain most, and what was found.

It takes judgements one by one and keeps none, so that any number of them fits.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from webhook.admission.decision import PolicyVerdict
from webhook.kube.owner import Owner
from webhook.policy.model import Mode
from webhook.report.finding import Findings
from webhook.report.judgement import Effect, Judgement
from webhook.report.reason import told
from webhook.report.spread import Spread

OTHER: Final = "(other reasons)"

_MOST_REASONS = 50
_MOST_WORKLOADS = 20_000  # more are cut down to the half that gains most


@dataclass(slots=True)
class Sum:
    """Counts of pods, and seconds.

    `matched`, `skipped` and `errored` count by what policies said. `changed` pods were changed; `would_change` counts
    those that would be changed (further) if what is in Audit were in Enforce. `saved` are the seconds that changes
    save, `would_save` those that would come to them. `parts` count pods by what was changed of them, `would_parts` by
    what would be in all, and `either` by the greater of the two. `spread` has, for each pod that is or would be
    changed, the seconds it saves or would save in all.
    """

    pods: int = 0
    matched: int = 0
    skipped: int = 0
    errored: int = 0
    changed: int = 0
    would_change: int = 0
    denied: int = 0
    clashed: int = 0
    saved: float = 0.0
    would_save: float = 0.0
    parts: Counter[str] = field(default_factory=Counter)
    would_parts: Counter[str] = field(default_factory=Counter)
    either: Counter[str] = field(default_factory=Counter)
    skips: Counter[str] = field(default_factory=Counter)
    spread: Spread = field(default_factory=Spread)

    def change(self, pods: int, done: Effect | None, would: Effect | None) -> None:
        """Count what was changed, and what would be."""
        before = 0.0
        if done is not None:
            before = done.seconds
            self.changed += pods
            self.saved += before * pods
            self.parts.update(dict.fromkeys(done.parts, pods))
        if would is not None:
            self.would_change += pods
            self.would_save += (would.seconds - before) * pods
            self.would_parts.update(dict.fromkeys(would.parts, pods))
        most = would or done
        if most is not None:
            self.spread.add(most.seconds, pods)
            self.either.update(dict.fromkeys(most.parts, pods))

    def skip(self, pods: int, reason: str) -> None:
        """Count pods that a policy was not for."""
        self.skipped += pods
        reason = told(reason)
        self.skips[reason if reason in self.skips or len(self.skips) < _MOST_REASONS else OTHER] += pods


@dataclass(slots=True)
class PolicySum:
    """One policy: its sums over all pods, and by namespace for the pods that it was for. `modes` counts pods."""

    total: Sum = field(default_factory=Sum)
    namespaces: dict[str, Sum] = field(default_factory=dict)
    modes: Counter[Mode] = field(default_factory=Counter)


@dataclass(slots=True)
class Workload:
    """What became of the pods of one workload.

    `parts`, `text` and `policies` say what was changed, or would be, of the last one, and whose doing it is.
    """

    namespace: str
    owner: Owner
    pods: int = 0
    changed: int = 0
    would_change: int = 0
    saved: float = 0.0
    would_save: float = 0.0
    parts: tuple[str, ...] = ()
    text: str = ""
    policies: tuple[str, ...] = ()

    @property
    def gain(self) -> float:
        """Seconds that its pods save and would save."""
        return self.saved + self.would_save


class Tally:
    """The sums so far."""

    def __init__(self) -> None:
        self.total = Sum()
        self.policies: dict[str, PolicySum] = {}
        self.namespaces: dict[str, Sum] = {}
        self.findings = Findings()
        self.earliest: float | None = None
        self.latest: float | None = None
        self.blind = False
        """Whether some source does not say which policies were not for a pod."""
        self._workloads: dict[tuple[str, Owner], Workload] = {}

    def add(self, judgement: Judgement) -> None:
        """Count one judgement."""
        if judgement.time is not None:
            self.earliest = min(judgement.time, self.earliest if self.earliest is not None else judgement.time)
            self.latest = max(judgement.time, self.latest if self.latest is not None else judgement.time)
        self.blind = self.blind or judgement.blind
        self.findings.add(judgement)
        for total in (self.total, self.namespaces.setdefault(judgement.namespace, Sum())):
            _count(total, judgement)
        for verdict in judgement.verdicts:
            self._count_policy(verdict, judgement)
        if judgement.done is not None or judgement.would is not None:
            self._count_workload(judgement)

    def top(self, most: int) -> list[Workload]:
        """The workloads that gain most, of those that are changed or would be."""
        return sorted(self._workloads.values(), key=_rank)[:most]

    @property
    def workloads(self) -> int:
        """How many workloads are changed, or would be."""
        return len(self._workloads)

    def _count_policy(self, verdict: PolicyVerdict, judgement: Judgement) -> None:
        policy = self.policies.setdefault(verdict.name, PolicySum())
        pods = judgement.pods
        policy.modes[verdict.mode] += pods
        policy.total.pods += pods
        if verdict.result == "skipped":
            policy.total.skip(pods, verdict.reason)
            return
        for one in (policy.total, policy.namespaces.setdefault(judgement.namespace, Sum())):
            one.pods += pods if one is not policy.total else 0
            one.clashed += pods if verdict.conflicts else 0
            one.denied += pods if judgement.denial and verdict.result == "errored" else 0
            if verdict.result == "errored":
                one.errored += pods
                continue
            one.matched += pods
            one.change(pods, *doing(verdict, judgement))

    def _count_workload(self, judgement: Judgement) -> None:
        key = (judgement.namespace, judgement.owner)
        found = self._workloads.get(key)
        if found is None:
            if len(self._workloads) >= _MOST_WORKLOADS:
                kept = sorted(self._workloads.items(), key=lambda item: _rank(item[1]))
                self._workloads = dict(kept[: _MOST_WORKLOADS // 2])
            found = self._workloads[key] = Workload(judgement.namespace, judgement.owner)
        found.pods += judgement.pods
        before = 0.0
        if judgement.done is not None:
            before = judgement.done.seconds
            found.changed += judgement.pods
            found.saved += before * judgement.pods
        if judgement.would is not None:
            found.would_change += judgement.pods
            found.would_save += (judgement.would.seconds - before) * judgement.pods
        most = judgement.would or judgement.done
        assert most is not None, "only changes are counted"
        found.parts, found.text = most.parts, told(most.text)
        matched = [each for each in judgement.verdicts if each.result == "matched"]
        found.policies = tuple(each.name for each in [one for one in matched if one.did] or matched)


def tally(judgements: Iterable[Judgement]) -> Tally:
    """All of them in one tally."""
    found = Tally()
    for judgement in judgements:
        found.add(judgement)
    return found


def _count(total: Sum, judgement: Judgement) -> None:
    pods, results = judgement.pods, {verdict.result for verdict in judgement.verdicts}
    total.pods += pods
    total.matched += pods if "matched" in results else 0
    total.errored += pods if "errored" in results else 0
    total.denied += pods if judgement.denial else 0
    total.clashed += pods if judgement.clashes else 0
    total.change(pods, judgement.done, judgement.would)


def doing(verdict: PolicyVerdict, judgement: Judgement) -> tuple[Effect | None, Effect | None]:
    """What of the judgement is this policy's doing: done, and would be done.

    A source that does not tell policies apart makes all of it everybody's. Seconds are the placement's.
    """
    effect = judgement.done if verdict.mode is Mode.ENFORCE else judgement.would
    if effect is None:
        return None, None
    if any(each.did for each in judgement.verdicts):
        if not verdict.did:
            return None, None
        effect = effect._replace(parts=verdict.did, seconds=effect.seconds if "placement" in verdict.did else 0.0)
    if verdict.mode is Mode.ENFORCE:
        return effect, None
    before = judgement.done.seconds if judgement.done is not None else 0.0
    return None, effect._replace(seconds=max(effect.seconds - before, 0.0))


def _rank(workload: Workload) -> tuple[float, int, str, Owner]:
    return (-workload.gain, -workload.pods, workload.namespace, workload.owner)
