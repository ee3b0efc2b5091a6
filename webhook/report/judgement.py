"""One pod and what was decided of it, whatever tells of it: a decision, a record, an event of the audit log."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from webhook.admission.changes import changes
from webhook.admission.decision import Decision, PolicyVerdict
from webhook.kube import Object
from webhook.kube.owner import Owner, owner_of


class Effect(NamedTuple):
    """What a patch does: which parts of a pod it changes, by how many operations, and the seconds it saves.

    `text` says it in one line; empty where only the parts are known.
    """

    parts: tuple[str, ...]
    operations: int
    seconds: float
    text: str = ""


@dataclass(frozen=True, slots=True)
class Judgement:
    """What was decided of `pods` equal pods of one workload.

    `done` is what was changed, None for nothing. `would` is what would be changed if the policies in Audit were in
    Enforce too; None where that is no more than what was done. `time` is in seconds since the epoch, None for now.
    `conflicts` counts those that no verdict names. `denial` is what a denied pod's author was told. `unanswered`: the
    API server asked and had no answer, so it let the pod pass as it was. `blind`: who skipped the pod is not known.
    """

    namespace: str
    owner: Owner
    pods: int = 1
    time: float | None = None
    verdicts: tuple[PolicyVerdict, ...] = ()
    done: Effect | None = None
    would: Effect | None = None
    conflicts: int = 0
    violations: tuple[str, ...] = ()
    denial: str = ""
    unanswered: bool = False
    blind: bool = False

    @property
    def place(self) -> str:
        """`NAMESPACE/KIND/NAME`, to point at."""
        return f"{self.namespace}/{self.owner.kind}/{self.owner.name}"

    @property
    def clashes(self) -> int:
        """How many things were left out because something else had their place."""
        return self.conflicts + sum(len(verdict.conflicts) for verdict in self.verdicts)


def further(done: Effect | None, would: Effect | None) -> Effect | None:
    """`would` where it is more than what was done. The annotation that signs a change names policies: it is nothing."""
    if would is None or done is None:
        return would
    same = would.parts == done.parts and would.operations == done.operations and int(would.seconds) == int(done.seconds)
    return None if same else would


def of_decision(
    sent: Object,
    decision: Decision,
    *,
    namespace: str,
    owner: Owner | None = None,
    count: int = 1,
    time: float | None = None,
) -> Judgement:
    """The judgement of a decision over the pod `sent`; by default, of the workload that the pod names."""
    done = _effect(sent, decision.pod, decision.patch, decision.seconds_saved)
    would = _effect(sent, decision.would_pod, decision.would_patch, decision.would_seconds_saved)
    beyond = further(done, would)
    if beyond is None and would is not None and decision.pod is not None:
        # One more variable in a list that is replaced anyway is no operation more, and no other part.
        beyond = would if changes(decision.pod, decision.would_pod).parts else None
    return Judgement(
        namespace=namespace,
        owner=owner or owner_of(sent),
        pods=count,
        time=time,
        verdicts=decision.policies,
        done=done,
        would=beyond,
        violations=decision.violations,
        denial="" if decision.allowed else decision.message or "no reason was given",
    )


def _effect(sent: Object, after: Object | None, operations: Sequence[Object], seconds: float) -> Effect | None:
    if not operations:
        return None
    found = changes(sent, after)
    return Effect(found.parts, len(operations), seconds, found.text)
