"""What policies do to a cluster's workloads, as the report documents that dashboards read.

PolicyReport (wgpolicyk8s.io, from v1alpha2 on) and Report (openreports.io) share the fields used here. Whoever may read
reports reads them, so they have names of policies and workloads and the parts of a change, and no values of a pod.
Sources: kubernetes-sigs/wg-policy-prototypes policy-report/crd, openreports/reports-api config/crd.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from webhook.admission.decision import PolicyVerdict
from webhook.kube import Object, names
from webhook.kube import pod as pods
from webhook.policy.model import Mode
from webhook.report.judgement import Effect, Judgement
from webhook.report.reason import told
from webhook.report.tally import doing

MOST_RESULTS: Final = 500
"""Of one report."""
MOST_BYTES: Final = 512 * 1024
"""Of a report's results, as JSON: etcd takes objects of up to 1.5 MiB."""

Outcome = Literal["fail", "error", "warn", "pass"]

_SOURCE: Final = "warmpod"
_CATEGORY: Final = "Warm start"
_GRAVEST: Final[Sequence[Outcome]] = ("fail", "error", "warn", "pass")
_AUDITED: Final = "audit: "  # how a decision begins the violations of what would be


@dataclass(frozen=True, slots=True)
class Resource:
    """The workload that a result is about."""

    api_version: str
    kind: str
    name: str
    namespace: str


@dataclass(frozen=True, slots=True)
class Result:
    """What one policy does to the pods of one workload, without their number.

    `parts` are those of webhook.admission.changes; `seconds` are saved for one pod, by placement; `severity` is empty
    where there is nothing to do.
    """

    policy: str
    resource: Resource
    outcome: Outcome
    severity: str
    message: str
    mode: Mode
    parts: tuple[str, ...] = ()
    seconds: int = 0
    conflicts: int = 0

    def document(self, count: int) -> Object:
        """As an entry of `results`, without its time; `count` is the number of pods."""
        resource = self.resource
        return {
            "source": _SOURCE,
            "policy": self.policy,
            **({"rule": ",".join(self.parts)} if self.parts else {}),
            "category": _CATEGORY,
            **({"severity": self.severity} if self.severity else {}),
            "result": self.outcome,
            "scored": False,
            "message": self.message,
            "resources": [
                {
                    "apiVersion": resource.api_version,
                    "kind": resource.kind,
                    "name": resource.name,
                    "namespace": resource.namespace,
                }
            ],
            "properties": {
                "mode": str(self.mode),
                "pods": str(count),
                "secondsSaved": str(self.seconds),
                "conflicts": str(self.conflicts),
            },
        }


@dataclass(slots=True)
class _Namespace:
    pods: Counter[Result] = field(default_factory=Counter)
    skipped: dict[Resource, int] = field(default_factory=dict)


class Results:
    """What many judgements come to, by namespace. `strict` are the policies with `failurePolicy: Fail`."""

    def __init__(self, strict: Iterable[str] = ()) -> None:
        self._strict = frozenset(strict)
        self._namespaces: defaultdict[str, _Namespace] = defaultdict(_Namespace)

    def add(self, judgement: Judgement, document: Object) -> None:
        """Count what was judged of the pods of `document`, an object of the cluster."""
        found = self._namespaces[judgement.namespace]
        resource = resource_of(judgement, document)
        for verdict in judgement.verdicts:
            result = self._result(verdict, judgement, resource)
            if result is not None:
                found.pods[result] += judgement.pods
        skipped = sum(verdict.result == "skipped" for verdict in judgement.verdicts)
        found.skipped.setdefault(resource, skipped)  # an operator's pods are skipped as one workload

    def namespaces(self) -> list[str]:
        """Those with something to report, in order."""
        return sorted(name for name, found in self._namespaces.items() if found.pods)

    def __len__(self) -> int:
        return sum(len(found.pods) for found in self._namespaces.values())

    def sections(self, namespace: str, now: int, before: Object | None = None) -> Object:
        """`results` and `summary` of a namespace's report.

        A result that is in the report `before` keeps its time, the others are of `now`, in unix seconds. The gravest
        come first; what has no room is counted in the message of the last one. The summary counts everything.
        """
        found = self._namespaces[namespace]
        ordered = sorted(found.pods.items(), key=_rank)
        listed = [result.document(count) for result, count in ordered]
        shown = _that_fit(listed)
        if missing := len(listed) - len(shown):
            last = shown[-1]
            shown[-1] = {**last, "message": f"{last['message']} ({missing} more results have no room in this report)"}
        times = {_key(one): one.get("timestamp") for one in pods.objects((before or {}).get("results"))}
        moment = {"seconds": now, "nanos": 0}
        outcomes = Counter(result.outcome for result in found.pods)
        return {
            "summary": {
                **{outcome: outcomes[outcome] for outcome in reversed(_GRAVEST)},
                "skip": sum(found.skipped.values()),
            },
            "results": [{**one, "timestamp": times.get(_key(one)) or moment} for one in shown],
        }

    def _result(self, verdict: PolicyVerdict, judgement: Judgement, resource: Resource) -> Result | None:
        if verdict.result == "skipped":
            return None
        if verdict.result == "errored":
            return _errored(verdict, judgement, resource, is_strict=verdict.name in self._strict)
        return _matched(verdict, judgement, resource)


def resource_of(judgement: Judgement, document: Object) -> Resource:
    """What a judgement is of: the object itself, or who it says made it."""
    owner, version = judgement.owner, document.get("apiVersion")
    if (owner.kind, owner.name) != (document.get("kind"), pods.metadata(document).get("name")):
        made_by = pods.objects(pods.metadata(document).get("ownerReferences"))
        version = next((one.get("apiVersion") for one in made_by if one.get("controller") is True), version)
    return Resource(version if isinstance(version, str) else "v1", owner.kind, owner.name, judgement.namespace)


def document(api_version: str, kind: str, namespace: str, sections: Object, owner: Object | None) -> Object:
    """A new report of a namespace; `owner` is the reference by which it goes with the installation."""
    return {
        "apiVersion": api_version,
        "kind": kind,
        "metadata": {
            "name": names.POLICY_REPORT,
            "namespace": namespace,
            "labels": {names.LABEL_MANAGED_BY: names.MANAGER},
            **({"ownerReferences": [owner]} if owner else {}),
        },
        **sections,
    }


def over(before: Object, wanted: Object) -> Object:
    """`wanted` in the place of the stored report `before`; labels, annotations and owners that others added stay."""
    metadata, ours = pods.metadata(before), wanted["metadata"]
    owners = {str(one.get("uid")): one for one in pods.objects(metadata.get("ownerReferences"))}
    owners.update({str(one.get("uid")): one for one in ours.get("ownerReferences", ())})
    kept = {key: value for key, value in metadata.items() if key != "managedFields"}
    labels = {**pods.mapping(metadata.get("labels")), **ours["labels"]}
    return {**wanted, "metadata": {**kept, "labels": labels, "ownerReferences": list(owners.values())}}


def is_ours(report: Object) -> bool:
    """Whether Warmpod wrote it: it says so in a label."""
    return pods.mapping(pods.metadata(report).get("labels")).get(names.LABEL_MANAGED_BY) == names.MANAGER


def same(sections: Object, owner: Object | None, stored: Object) -> bool:
    """Whether a stored report says all this. What an API server adds, or somebody else labels, counts not."""
    owners = [one.get("uid") for one in pods.objects(pods.metadata(stored).get("ownerReferences"))]
    return (
        (owner is None or owner["uid"] in owners)
        and stored.get("summary") == sections["summary"]
        and stored.get("results", []) == sections["results"]
    )


def _errored(verdict: PolicyVerdict, judgement: Judgement, resource: Resource, *, is_strict: bool) -> Result:
    message = f"could not judge these pods: {told(verdict.reason)}"
    is_denied = bool(judgement.denial) and verdict.mode is Mode.ENFORCE and is_strict
    if is_denied:
        message = f"pods are denied, by failurePolicy: Fail: the policy {message}"
        return Result(verdict.name, resource, "fail", "high", message, verdict.mode)
    return Result(verdict.name, resource, "error", "medium", message, verdict.mode)


def _matched(verdict: PolicyVerdict, judgement: Judgement, resource: Resource) -> Result | None:
    if judgement.denial:
        return None  # whoever denies the pod is told of; nothing else happens to it
    if broken := _broken(verdict, judgement):
        message = f"its change breaks a law of Warmpod and is not made: {told(broken)}"
        return Result(verdict.name, resource, "error", "high", message, verdict.mode)
    done, would = doing(verdict, judgement)
    effect = done or would
    conflicts = len(verdict.conflicts)
    message = _message(effect, _whole(verdict, judgement, effect), would=done is None)
    if conflicts:
        message += f"; left out: {told('; '.join(verdict.conflicts))}"
    outcome: Outcome = "warn" if conflicts or would is not None else "pass"
    severity = "medium" if conflicts else "low" if outcome == "warn" else ""
    parts, seconds = (effect.parts, int(effect.seconds)) if effect else ((), 0)
    return Result(verdict.name, resource, outcome, severity, message, verdict.mode, parts, seconds, conflicts)


def _broken(verdict: PolicyVerdict, judgement: Judgement) -> str:
    """The first law that what this policy's mode comes to would break."""
    audited = verdict.mode is not Mode.ENFORCE
    found = [one for one in judgement.violations if one.startswith(_AUDITED) == audited]
    return found[0].removeprefix(_AUDITED) if found else ""


def _whole(verdict: PolicyVerdict, judgement: Judgement, effect: Effect | None) -> str:
    """The change in words, where it is all this policy's."""
    others = [one for one in judgement.verdicts if one.did and one.name != verdict.name]
    return told(effect.text) if effect is not None and not others else ""


def _message(effect: Effect | None, text: str, *, would: bool) -> str:
    if effect is None:
        return "is for these pods, and has nothing to change"
    parts = ", ".join(effect.parts) or "nothing that shows"
    message = f"{'would change' if would else 'changes'} {parts}"
    if text:
        message += f": {text}"
    if int(effect.seconds):
        message += f"; {'would save' if would else 'saves'} {int(effect.seconds)} s of a pod's start"
    return message


def _rank(item: tuple[Result, int]) -> tuple[Any, ...]:
    result, _ = item
    resource = result.resource
    return (_GRAVEST.index(result.outcome), resource.kind, resource.name, result.policy, result.message, result.parts)


def _that_fit(listed: Sequence[Object]) -> list[Object]:
    shown, room = [], MOST_BYTES
    for one in listed[:MOST_RESULTS]:
        room -= len(json.dumps(one))
        if room < 0:
            break
        shown.append(one)
    return shown


def _key(result: Mapping[str, Any]) -> str:
    return json.dumps({key: value for key, value in result.items() if key != "timestamp"}, sort_keys=True)
