"""The decision over one review: matched against the pod as sent, folded in name order, checked before it leaves."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from webhook.admission import laws
from webhook.admission.changes import changes
from webhook.admission.decision import Decision, Facts, PolicyVerdict, Result
from webhook.admission.fold import Folded, fold
from webhook.admission.scene import Matched, Scene
from webhook.kube import Object, names, patch
from webhook.kube import pod as pods
from webhook.kube.accelerator import Accelerators
from webhook.kube.review import AdmissionRequest
from webhook.mutate import merge
from webhook.mutate.account import Account
from webhook.policy.match import Match, Subject, match
from webhook.policy.model import FailurePolicy, Mode, Policy

_MAX_TOLD = 1024  # characters of one audit annotation
_MODES = {str(mode): mode for mode in Mode}


class _Judged(NamedTuple):
    """A policy with its mode in effect here, and what became of its match."""

    policy: Policy
    mode: Mode
    match: Match


def admit(request: AdmissionRequest, facts: Facts) -> Decision:
    """The decision over one review. It reads nothing but its arguments, changes none of them, and never raises.

    Same review and same facts give the same decision, whatever the order of keys. A pod that a policy of
    `failurePolicy: Fail` could not judge is denied; every other pod is allowed.
    """
    pod = request.object
    if pod is None or not _is_creation(request):
        return Decision()
    obstacle = _obstacle(pod)
    if obstacle:
        skipped = Match("skipped", obstacle)
        return Decision(
            policies=tuple(
                _verdict(_Judged(policy, _mode(policy, facts)[0], skipped)) for policy in facts.policies.policies
            ),
            pod=pod,
            would_pod=pod,
        )
    scene = Scene(request, pod, facts)
    judged = _judge(request, scene)
    errors = [each for each in judged if each.match.result == "errored"]
    for each in errors:
        if each.policy.failure_policy is FailurePolicy.FAIL and each.mode is Mode.ENFORCE:
            return Decision(
                allowed=False,
                policies=tuple(map(_verdict, judged)),
                pod=pod,
                would_pod=pod,
                message=f"policy {each.policy.name} could not judge this pod and says failurePolicy: Fail: "
                f"{each.match.reason}",
            )
    return _decide(request, scene, judged)


def _decide(request: AdmissionRequest, scene: Scene, judged: Sequence[_Judged]) -> Decision:
    enforced = _fold(judged, scene, (Mode.ENFORCE,))
    would = None
    if any(each.match.result == "matched" and each.mode is Mode.AUDIT for each in judged):
        would = _fold(judged, scene, (Mode.ENFORCE, Mode.AUDIT))
    now = _checked(enforced, (Mode.ENFORCE,), judged, scene, request)
    then = _checked(would, (Mode.ENFORCE, Mode.AUDIT), judged, scene, request)
    accounts: dict[str, Account] = {}
    for folded in (would, enforced):  # where both folded a policy, what counts is what was done
        if folded is not None:
            accounts.update(zip((m.policy.name for m in folded[0]), folded[1].accounts, strict=True))
    verdicts = tuple(
        _verdict(each, accounts[each.policy.name] if each.match.result == "matched" else None) for each in judged
    )
    warnings = [
        f"warmpod: policy {each.policy.name} was passed over: {each.match.reason}"
        for each in judged
        if each.match.result == "errored" and each.mode is Mode.ENFORCE
    ]
    for each in judged:
        if each.match.result == "matched" and each.mode is Mode.ENFORCE:
            warnings += [f"warmpod: {text}" for text in accounts[each.policy.name].warnings]
    if now.violations:
        broken = "; ".join(now.violations)
        warnings.append(f"warmpod: the pod starts as it was sent, because its patch broke a law of ours: {broken}")
    violations = (*now.violations, *(f"audit: {text}" for text in then.violations))
    return Decision(
        policies=verdicts,
        patch=now.patch,
        would_patch=then.patch,
        pod=now.pod,
        would_pod=then.pod if would is not None else now.pod,
        warnings=tuple(warnings),
        audit_annotations=_audit_annotations(
            judged,
            scene.sent,
            now,
            then,
            conflicts=sum(len(each.conflicts) for each in verdicts),
            violations=violations,
        ),
        seconds_saved=now.seconds,
        would_seconds_saved=then.seconds,
        violations=violations,
    )


class _Result(NamedTuple):
    """What is left of a fold once the laws were held against it."""

    pod: Object
    patch: list[Object]
    seconds: float = 0.0
    violations: tuple[str, ...] = ()


_Fold = tuple[list[Matched], Folded]


def _fold(judged: Iterable[_Judged], scene: Scene, modes: tuple[Mode, ...]) -> _Fold | None:
    matched = [
        Matched(each.policy, each.match.variables)
        for each in judged
        if each.match.result == "matched" and each.mode in modes
    ]
    return (matched, fold(matched, scene)) if matched else None


def _checked(
    folded: _Fold | None,
    modes: tuple[Mode, ...],
    judged: Sequence[_Judged],
    scene: Scene,
    request: AdmissionRequest,
) -> _Result:
    sent = scene.sent
    if folded is None or folded[1].pod is sent:
        return _Result(sent, [])
    wanted = folded[1].pod

    def again(pod: Object) -> Object:
        after = scene.after(pod)
        # Selectors look at labels and at what containers request: reach and the scene hold these to be the same.
        same = after.shown is scene.shown
        refolded = _fold(judged if same else _judge(request, after), after, modes)
        return pod if refolded is None else refolded[1].pod

    operations = patch.diff(sent, wanted)
    broken = laws.broken(laws.Change(sent, wanted, operations, folded[1].paths, scene.site), again)
    if broken:
        return _Result(sent, [], violations=broken)
    return _Result(wanted, operations, folded[1].seconds)


def _is_creation(request: AdmissionRequest) -> bool:
    group, _, kind = request.kind
    return request.operation == "CREATE" and kind == "Pod" and not group and not request.subresource


def _obstacle(pod: Object) -> str:
    """Why no policy touches this pod; empty when they may."""
    if pods.annotation(pod, names.ANNOTATION_SKIP) == "true":
        return f"annotation {names.ANNOTATION_SKIP} is set"
    if pods.is_mirror(pod):
        return "a mirror pod: the kubelet runs it as its node's file says"
    if pods.is_windows(pod):
        return "a Windows pod"
    return "" if merge.is_sound(pod) else "the pod is malformed: one of its lists does not hold named objects"


def _mode(policy: Policy, facts: Facts) -> tuple[Mode, str]:
    """The mode in effect, and why it is Off where it is."""
    label = facts.namespace_labels.get(names.LABEL_NAMESPACE_MODE) if facts.namespace_labels else None
    mode = policy.mode if facts.mode_cap is Mode.ENFORCE else Mode.lowest(policy.mode, facts.mode_cap)
    if label not in _MODES:
        return mode, "mode is Off"
    here = _MODES[label]
    why = "mode is Off in this namespace" if here is Mode.OFF and mode is not Mode.OFF else "mode is Off"
    return Mode.lowest(mode, here), why


class _Subject(Subject):
    """A subject that shares its look at the accelerators with the edits."""

    __slots__ = ("_scene",)

    def __init__(self, request: AdmissionRequest, scene: Scene) -> None:
        facts = scene.facts
        accelerators, claims = facts.settings.accelerators, facts.inventory.claims
        super().__init__(scene.sent, request, facts.namespace_labels, accelerators, claims, scene.activation)
        self._scene = scene

    def requests(self, accelerators: Accelerators) -> bool:
        return bool(self._scene.asked(accelerators))


def _judge(request: AdmissionRequest, scene: Scene) -> list[_Judged]:
    subject: Subject | None = None
    judged = []
    for policy in scene.facts.policies.policies:
        mode, why = _mode(policy, scene.facts)
        if mode is Mode.OFF:
            found = Match("skipped", why)
        else:
            subject = subject or _Subject(request, scene)
            found = match(policy, subject)
        judged.append(_Judged(policy, mode, found))
    return judged


def _verdict(judged: _Judged, account: Account | None = None) -> PolicyVerdict:
    result: Result = judged.match.result
    reason = judged.match.reason if account is None else account.reason
    conflicts, did = ((), ()) if account is None else (tuple(account.conflicts), account.did)
    return PolicyVerdict(judged.policy.name, judged.mode, result, reason, conflicts, did)


def _audit_annotations(
    judged: Sequence[_Judged],
    sent: Object,
    now: _Result,
    then: _Result,
    *,
    conflicts: int,
    violations: tuple[str, ...],
) -> dict[str, str]:
    """What the cluster's audit log keeps: names and counts, no values."""
    told = {
        "enforced": _named(judged, "matched", Mode.ENFORCE),
        "audited": _named(judged, "matched", Mode.AUDIT),
        "errored": _named(judged, "errored", None),
        "conflicts": str(conflicts) if conflicts else "",
        **_told("", now, sent),
        **_told("would-", then, sent),
        "violations": "; ".join(violations)[:_MAX_TOLD],
    }
    return {key: value for key, value in told.items() if value}


def _told(prefix: str, result: _Result, sent: Object) -> dict[str, str]:
    if not result.patch:
        return {}
    return {
        f"{prefix}operations": str(len(result.patch)),
        f"{prefix}changes": ",".join(changes(sent, result.pod).parts),
        f"{prefix}seconds": str(int(result.seconds)),
    }


def _named(judged: Iterable[_Judged], result: Result, mode: Mode | None) -> str:
    found = [each.policy.name for each in judged if each.match.result == result and (mode is None or each.mode is mode)]
    return ",".join(found)[:_MAX_TOLD]
