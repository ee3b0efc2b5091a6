"""One event of the API server's audit log: what it says of a pod that Warmpod was asked about.

Facts of k8s.io/apiserver: an answer's audit annotations are kept as `<webhook>/<key>`, the first review's where a pod
is reviewed again (pkg/audit); `mutation.webhook.admission.k8s.io/round_0_index_0` says of each webhook that was asked
whether it changed the object, `failed-open....` that it gave no answer (plugin/webhook/mutating/dispatcher.go). Events
of level Metadata have all of them; those of level Request have the pod too, so that its workload can be named.
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import Final

import msgspec

from webhook.admission.decision import PolicyVerdict, Result
from webhook.kube import names
from webhook.kube.owner import Owner, owner_of
from webhook.policy.model import Mode
from webhook.report.judgement import Effect, Judgement, further

MARK: Final = b'"audit.k8s.io/'
"""What every event has in it: a look at the bytes that spares most of the log being decoded."""

_POD: Final = b'"pods"'
_OURS: Final = f".{names.DOMAIN}"
_ASKED: Final = "mutation.webhook.admission.k8s.io/"
_FAILED_OPEN: Final = "failed-open.mutation.webhook.admission.k8s.io/"
_DENIED: Final = re.compile(r'admission webhook "([^"]{1,253})" denied the request: (.*)', re.DOTALL)
_DRY_RUN: Final = re.compile(r"[?&]dryRun=[^&]")
_CUT: Final = 1024  # where the webhook cuts its annotations
_BY: Final = "the audit log"


class UnreadableEvent(ValueError):
    """The line is no event of an audit log."""


class _Reference(msgspec.Struct, gc=False):
    resource: str = ""
    namespace: str = ""
    name: str = ""
    subresource: str = ""


class _Status(msgspec.Struct, gc=False):
    code: int = 0
    message: str = ""


class _Event(msgspec.Struct, gc=False, rename="camel"):
    kind: str
    api_version: str
    stage: str = ""
    verb: str = ""
    request_uri: str = msgspec.field(default="", name="requestURI")
    object_ref: _Reference | None = None
    response_status: _Status | None = None
    request_received_timestamp: str = ""
    annotations: dict[str, str] | None = None
    request_object: msgspec.Raw = msgspec.Raw(b"null")


_events = msgspec.json.Decoder(_Event)
_objects = msgspec.json.Decoder()


def of_event(line: bytes) -> Judgement | None:
    """What one line of the log says; None where it is not of a pod's creation that Warmpod was asked about.

    Dry runs made no pod and are none, as are creations that others refused. Raises UnreadableEvent.
    """
    if MARK in line and _POD not in line:
        return None  # of something else; it is not worth decoding
    try:
        event = _events.decode(line)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise UnreadableEvent(str(error)) from None
    if event.kind != "Event" or not event.api_version.startswith("audit.k8s.io/"):
        raise UnreadableEvent(f"this is {event.api_version} {event.kind}, not an Event of audit.k8s.io")
    reference, status = event.object_ref, event.response_status
    if reference is None or status is None or event.stage != "ResponseComplete" or event.verb != "create":
        return None
    if reference.resource != "pods" or reference.subresource or _DRY_RUN.search(event.request_uri):
        return None
    annotations = event.annotations or {}
    denial = _denial(status)
    unanswered = any(_is_ours(value) for key, value in annotations.items() if key.startswith(_FAILED_OPEN))
    told = _told(annotations)
    if not (told or denial or unanswered or _asked(annotations)) or not (denial or 200 <= status.code < 300):
        return None
    done, would = _effect(told, ""), _effect(told, "would-")
    return Judgement(
        namespace=reference.namespace,
        owner=_owner(event, reference),
        time=_time(event.request_received_timestamp),
        verdicts=(
            *_verdicts(told, "enforced", Mode.ENFORCE, "matched"),
            *_verdicts(told, "audited", Mode.AUDIT, "matched"),
            *_verdicts(told, "errored", Mode.ENFORCE, "errored"),
        ),
        done=done,
        would=further(done, would),
        conflicts=_number(told, "conflicts"),
        violations=tuple(filter(None, told.get("violations", "").split("; "))),
        denial=denial,
        unanswered=unanswered,
        blind=True,
    )


def _is_ours(webhook: str) -> bool:
    return webhook.endswith(_OURS)


def _told(annotations: dict[str, str]) -> dict[str, str]:
    """Our own annotations, by their keys."""
    found = {}
    for key, value in annotations.items():
        webhook, _, name = key.rpartition("/")
        if _is_ours(webhook):
            found[name] = value
    return found


def _asked(annotations: dict[str, str]) -> bool:
    """Whether one of our webhooks was called."""
    return any(key.startswith(_ASKED) and f'{_OURS}"' in value for key, value in annotations.items())


def _denial(status: _Status) -> str:
    found = _DENIED.fullmatch(status.message) if status.code >= 400 else None
    return found[2] if found and _is_ours(found[1]) else ""


def _verdicts(told: dict[str, str], key: str, mode: Mode, result: Result) -> tuple[PolicyVerdict, ...]:
    value = told.get(key, "")
    policies = value.split(",")
    if len(value) >= _CUT:
        del policies[-1]  # half of a name
    return tuple(PolicyVerdict(name, mode, result, f"told by {_BY}") for name in policies if name)


def _effect(told: dict[str, str], prefix: str) -> Effect | None:
    operations = _number(told, f"{prefix}operations")
    if not operations:
        return None
    parts = tuple(filter(None, told.get(f"{prefix}changes", "").split(",")))
    return Effect(parts, operations, float(_number(told, f"{prefix}seconds")))


def _number(told: dict[str, str], key: str) -> int:
    text = told.get(key, "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0


def _owner(event: _Event, reference: _Reference) -> Owner:
    try:
        sent = _objects.decode(event.request_object)
    except (msgspec.MsgspecError, RecursionError):
        sent = None
    return owner_of(sent if isinstance(sent, dict) else {}, reference.name)


def _time(text: str) -> float | None:
    try:
        return datetime.fromisoformat(text).timestamp()
    except (ValueError, OverflowError):
        return None
