"""A recorded admission, decided once more: what is different now, and whether Audit says what Enforce does."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import zip_longest
from typing import Any

from webhook.admission import admit
from webhook.admission.decision import Decision, Facts
from webhook.inventory.model import EMPTY, Inventory
from webhook.kube import names, patch
from webhook.kube.owner import owner_of
from webhook.kube.review import AdmissionRequest
from webhook.policy.model import Mode, PolicySet
from webhook.report.difference import Difference, Pod, difference
from webhook.report.record import REDACTED, Recorded, decided

_TOKEN = re.compile(rf"{re.escape(REDACTED)}[0-9a-f]{{8}}")


@dataclass(frozen=True, slots=True)
class Replayed:
    """What came of one record.

    `difference` is between the recorded answer, or that of the policies before, and the answer now. `unequal` says in
    what Audit and Enforce do not agree. `unfaithful` says in what the answer is not the recorded one although it was
    made from the same policies and inventory; it is None where it was not. `errors` are policies that fail here and did
    not before, `conflicts` counts how many more there are, `violations` are laws that are broken now. A second look at
    a pod (`again`) is compared with nothing but its record: what was sent is the work of the policies of that time.
    """

    pod: Pod
    difference: Difference | None
    unequal: str
    unfaithful: str | None
    denied: bool
    errors: tuple[str, ...]
    conflicts: int
    violations: tuple[str, ...]
    again: bool


class Replay:
    """Decides records by one policy set, and compares with what was recorded, or with another set, `before`."""

    def __init__(self, policies: PolicySet, before: PolicySet | None = None) -> None:
        self._policies = policies
        self._before = before
        self._proof = Proof(policies)

    def __call__(self, recorded: Recorded, inventory: Inventory | None, *, exact: bool) -> Replayed:
        """Decide one record from this inventory, None where there is none. `exact`: it is the recorded one.

        Raises UnreadableRecord for a recorded answer that does not fit its review.
        """
        request = recorded.request
        facts = facts_of(recorded, self._policies, inventory)
        now = admit(request, facts)
        answer = decided(recorded)
        exact = exact or not recorded.facts.placement_usable
        if self._before is None:
            before = _with_values(answer, now)
            baseline, digest = now, self._policies.digest
        else:
            before = baseline = admit(request, replace(facts, policies=self._before))
            digest = self._before.digest
        is_same = exact and digest == recorded.facts.policies
        sent = request.object or {}
        again = recorded.is_again
        owner = owner_of(sent, request.display_name)
        pod = Pod(recorded.place, owner.kind, request.namespace, owner.name)
        return Replayed(
            pod=pod,
            difference=difference(pod, sent, before, now) if not again and _may_differ(before, now) else None,
            unequal=self._proof(request, facts, now),
            unfaithful=unlike(answer, baseline) if is_same else None,
            denied=not again and before.allowed and not now.allowed,
            errors=() if again else tuple(sorted(_errored(now) - _errored(before))),
            conflicts=0 if again else max(_conflicts(now) - _conflicts(before), 0),
            violations=now.violations,
            again=again,
        )


class Proof:
    """Whether the policies in Audit report exactly what they would do in Enforce, one review after the other."""

    def __init__(self, policies: PolicySet) -> None:
        modes = {policy.mode for policy in policies.policies}
        self._is_all_audit, self._is_all_enforce = Mode.ENFORCE not in modes, Mode.AUDIT not in modes
        raised = [p if p.mode is Mode.OFF else replace(p, mode=Mode.ENFORCE) for p in policies.policies]
        self._raised = policies if self._is_all_enforce else replace(policies, policies=tuple(raised))

    def __call__(self, request: AdmissionRequest, facts: Facts, now: Decision) -> str:
        """Where the two do not agree, empty where they do. `now` is the decision over these facts.

        Where the namespace's label lowers to Audit, Enforce is the label's next value.
        """
        audit, enforce = now, now
        if facts.mode_cap is not Mode.AUDIT and not self._is_all_audit:
            audit = admit(request, replace(facts, mode_cap=Mode.AUDIT))
        labels = facts.namespace_labels
        is_lowered = bool(labels) and (labels or {}).get(names.LABEL_NAMESPACE_MODE) == Mode.AUDIT
        if facts.mode_cap is not Mode.ENFORCE or is_lowered or not self._is_all_enforce:
            if is_lowered:
                labels = {**(labels or {}), names.LABEL_NAMESPACE_MODE: str(Mode.ENFORCE)}
            raised = replace(facts, policies=self._raised, namespace_labels=labels, mode_cap=Mode.ENFORCE)
            enforce = admit(request, raised)
        return _unequal(audit, enforce)


def facts_of(recorded: Recorded, policies: PolicySet, inventory: Inventory | None) -> Facts:
    """The recorded facts with these policies and this inventory. What was decided without placement is so again."""
    was = recorded.facts
    usable = was.placement_usable and inventory is not None
    return Facts(
        policies=policies,
        settings=was.settings,
        inventory=inventory if usable and inventory is not None else EMPTY,
        namespace_labels=was.namespace_labels,
        mode_cap=was.mode_cap,
        placement_usable=usable,
    )


def unlike(recorded: Decision, now: Decision) -> str:
    """In what an answer is not the recorded one, empty where they are the same but for redacted values."""
    if recorded.allowed != now.allowed:
        return f"allowed: {str(recorded.allowed).lower()} is recorded"
    for field in ("patch", "would_patch"):
        where = _where(getattr(recorded, field), getattr(now, field))
        if where:
            return f"{'wouldPatch' if field == 'would_patch' else 'patch'}: {where}"
    for was, verdict in zip_longest(recorded.policies, now.policies):
        if (
            was is None
            or verdict is None
            or (was.name, was.mode, was.result)
            != (
                verdict.name,
                verdict.mode,
                verdict.result,
            )
        ):
            return f"policy {(was or verdict).name}: {was.result if was else 'nothing'} is recorded"
    for field in ("seconds_saved", "would_seconds_saved"):
        if round(getattr(recorded, field), 1) != round(getattr(now, field), 1):
            return f"seconds saved: {getattr(recorded, field):.1f} is recorded, {getattr(now, field):.1f} is now"
    return ""


def matches(recorded: Any, now: Any) -> bool:
    """Whether two JSON values are equal, where a token in the recorded one stands for any text."""
    if patch.equal(recorded, now):
        return True
    if type(recorded) is not type(now):
        return False
    if isinstance(recorded, dict):
        return recorded.keys() == now.keys() and all(matches(value, now[key]) for key, value in recorded.items())
    if isinstance(recorded, list):
        return len(recorded) == len(now) and all(map(matches, recorded, now))
    if not isinstance(recorded, str) or REDACTED not in recorded or REDACTED in now:
        return False
    pattern = "[\\s\\S]*".join(map(re.escape, _TOKEN.split(recorded)))
    return re.fullmatch(pattern, now) is not None


def _may_differ(before: Decision, now: Decision) -> bool:
    """False where there is nothing to tell: most pods of most replays, and telling takes its time."""
    return bool(
        unlike(before, now) or _conflicts(before) != _conflicts(now) or set(before.violations) != set(now.violations)
    )


def _with_values(recorded: Decision, now: Decision) -> Decision:
    """The recorded answer with the values that were taken out of it, where the answer now has them in their places."""
    pod, would_pod = recorded.pod, recorded.would_pod
    if matches(recorded.patch, now.patch):
        pod = now.pod
    if not recorded.would_patch:
        would_pod = pod
    elif matches(recorded.would_patch, now.would_patch):
        would_pod = now.would_pod
    return replace(
        recorded,
        patch=now.patch if pod is now.pod else recorded.patch,
        would_patch=now.would_patch if would_pod is now.would_pod and recorded.would_patch else recorded.would_patch,
        pod=pod,
        would_pod=would_pod,
    )


def _unequal(audit: Decision, enforce: Decision) -> str:
    if audit.patch:
        return f"Audit changes the pod at {audit.patch[0].get('path')}"
    if _errored(audit) != _errored(enforce):
        return f"under Audit and Enforce other policies fail: {', '.join(_errored(audit) ^ _errored(enforce))}"
    if not enforce.allowed:
        # Who enforces is told by the denial; Audit tells of the policy that fails, and of what the others would do.
        return "" if _errored(enforce) else "Enforce denies the pod, and Audit does not say why"
    for told, done in zip_longest(audit.policies, enforce.policies):
        if told is None or done is None or (told.name, told.result) != (done.name, done.result):
            return f"policy {(told or done).name}: Audit and Enforce do not match alike"
    where = "" if audit.would_patch is enforce.patch else _where(audit.would_patch, enforce.patch)
    if where:
        return f"what Audit reports is not what Enforce does: {where}"
    if round(audit.would_seconds_saved, 3) != round(enforce.seconds_saved, 3):
        return f"Audit reports {audit.would_seconds_saved:.1f} s saved, Enforce saves {enforce.seconds_saved:.1f} s"
    return ""


def _where(one: list[Any], other: list[Any]) -> str:
    """The place of the first operation that differs; a path has names of fields and numbers, and no values."""
    if patch.equal(one, other):
        return ""
    for number, (was, now) in enumerate(zip_longest(one, other)):
        if was is None or now is None or not matches(was, now):
            return f"operation {number} at {(now or was).get('path')}"
    return ""


def _errored(decision: Decision) -> set[str]:
    return set(_named(decision))


def _named(decision: Decision) -> Iterator[str]:
    return (verdict.name for verdict in decision.policies if verdict.result == "errored")


def _conflicts(decision: Decision) -> int:
    return sum(len(verdict.conflicts) for verdict in decision.policies)
