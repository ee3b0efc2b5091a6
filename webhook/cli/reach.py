"""Whether the API server would ask Warmpod about a pod, by the registration; and what speaks against it at the time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from webhook.cel import Activation, Bindings, FailedEvaluation, InvalidExpression, environment
from webhook.doctor import hooks
from webhook.doctor.counters import is_ours
from webhook.doctor.evidence import Absent, Look, Seen, within
from webhook.inventory.report import seconds
from webhook.kube import Object, names
from webhook.kube import pod as pods
from webhook.kube.review import AdmissionRequest
from webhook.kube.selector import InvalidSelector, LabelSelector

_SHOWN = 200


def unreached(
    request: AdmissionRequest, labels: Mapping[str, str] | None, registration: Look[Object], created: float | None
) -> str:
    """Why the API server would not ask Warmpod about this pod, to read after "because"; empty when it would.

    `labels` are those of the namespace; `created` is when the pod was, None for one that is not there yet.
    """
    if isinstance(registration, Absent):
        return f"there is no registration (MutatingWebhookConfiguration {names.WEBHOOK_CONFIGURATION})"
    if not isinstance(registration, Seen):
        return ""
    ours = [one for one in pods.objects(registration.value.get("webhooks")) if is_ours(str(one.get("name")))]
    if not ours:
        return f"the registration ({names.WEBHOOK_CONFIGURATION}) has no webhook of Warmpod left"
    since = _time(within(registration.value, "metadata", "creationTimestamp"))
    if created is not None and since is not None and created < since:
        return f"it was created before the registration, which is of {_shown(since)}"
    reasons = [(str(one.get("name")), _passed_over(one, request, labels)) for one in ours]
    if any(not reason for _, reason in reasons):
        return ""
    # Each namespace is one webhook's: what the other one says of it is not what anybody asks for.
    told = [(name, reason) for name, reason in reasons if not reason.startswith("its namespaceSelector")] or reasons
    if len({reason for _, reason in told}) == 1:
        return f"the registration does not pick it: {told[0][1]}"
    return "; ".join(f"webhook {name} does not pick it: {reason}" for name, reason in told)


def mode_of(request: AdmissionRequest, labels: Mapping[str, str] | None, registration: Look[Object]) -> str:
    """What the webhook that is asked caps modes at: `Enforce` or `Audit`; empty when that is not known."""
    if not isinstance(registration, Seen):
        return ""
    for one in pods.objects(registration.value.get("webhooks")):
        if is_ours(str(one.get("name"))) and not _passed_over(one, request, labels):
            return hooks.mode(one)
    return ""


def doubts(
    registration: Look[Object], deployment: Look[Object], ready: Sequence[bool], created: float | None
) -> Iterator[str]:
    """What speaks against an answer when the pod was created, the likeliest first."""
    if isinstance(deployment, Seen):
        conditions = pods.objects(within(deployment.value, "status", "conditions"))
        available = next((one for one in conditions if one.get("type") == "Available"), {})
        since = _time(available.get("lastTransitionTime"))
        if available.get("status") == "False":
            yield f"the webhook is not available: {available.get('message') or available.get('reason')}"
        elif created is not None and since is not None and since > created:
            yield f"the webhook has been available since {_shown(since)} only, which is after the pod was created"
    if isinstance(registration, Seen):
        written = max(
            (
                at
                for one in pods.objects(within(registration.value, "metadata", "managedFields"))
                if (at := _time(one.get("time"))) is not None
            ),
            default=None,
        )
        if created is not None and written is not None and written > created:
            yield f"the registration was written at {_shown(written)}, after the pod was created"
    if ready and not any(ready):
        yield "no replica of the webhook says that it is ready"


def _passed_over(hook: hooks.Hook, request: AdmissionRequest, labels: Mapping[str, str] | None) -> str:
    """Why this webhook is not called for the pod; empty when it is, or when nobody can tell."""
    if not hooks.selects_pods(hook):
        return "its rules do not name the creation of pods"
    if labels is not None:
        namespace = {"metadata": {"name": request.namespace, "labels": dict(labels)}}
        if not hooks.selects_namespace(hook, namespace):
            return f"its namespaceSelector leaves out namespace {request.namespace}{_mode(labels)}"
    if request.object is None:
        return ""
    try:
        selector = LabelSelector.parse(hook.get("objectSelector") or {})
    except InvalidSelector:
        return ""  # the API server would have refused it: this one reads it wrongly
    if not selector.matches(pods.labels(request.object)):
        return "its objectSelector leaves out the pod's labels"
    failed = ""
    for one in pods.objects(hook.get("matchConditions")):
        name = str(one.get("name"))
        try:
            if not _answer(str(one.get("expression")), request):
                return f"its matchCondition {name} is false{_meaning(name)}"
        except FailedEvaluation as error:
            failed = (
                failed or f"its matchCondition {name} has no answer for it: {' '.join(str(error).split())[:_SHOWN]}"
            )
    # One that is false counts before one that fails; then a webhook that may fail is passed over.
    return failed if hook.get("failurePolicy") == "Ignore" else ""


def _mode(labels: Mapping[str, str]) -> str:
    mode = labels.get(names.LABEL_NAMESPACE_MODE)
    return f", which is labelled {names.LABEL_NAMESPACE_MODE}={mode}" if mode is not None else ""


_MEANINGS = {
    "asks-for-an-accelerator": "no container of it asks for an accelerator",
    "not-skipped-by-its-author": f"it bears the annotation {names.ANNOTATION_SKIP}",
}


def _meaning(condition: str) -> str:
    found = _MEANINGS.get(condition)
    return f": {found}" if found else ""


def _answer(expression: str, request: AdmissionRequest) -> bool:
    """What the API server finds; True where it cannot be judged here (an `authorizer`). Raises FailedEvaluation."""
    bindings = Bindings(object=request.object, request=request.raw)
    try:
        return environment().compile(expression).test(Activation(bindings))
    except InvalidExpression:
        return True


def _time(value: Any) -> float | None:
    return seconds(value) if isinstance(value, str) else None


def _shown(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
