"""AdmissionReview v1: what the API server asks, and the bytes it is answered with.

Limits and formats are those of k8s.io/apiserver: pkg/admission/plugin/webhook/request (VerifyAdmissionResponse),
pkg/endpoints/filters/warning.go, pkg/audit.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any

import msgspec

from webhook.kube import Object

API_VERSION = "admission.k8s.io/v1"
KIND = "AdmissionReview"

_OPERATIONS = ("CREATE", "UPDATE", "DELETE", "CONNECT")
_LONGEST_UID = 253
# The deepest pod has some 15 levels, its managedFields a few more. Everything that walks a pod may count on this bound.
DEEPEST = 100

_WARNINGS_RUNES = 4096
_WARNING_RUNES = 256
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")
_ANNOTATION_KEY = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?")

# Within these a loop over the levels is the faster way to count them; the text decides which way is taken, not whether.
_USUAL_LEVELS = 20
_USUAL_BRACKETS = 2**16

# As signed bytes: +1 for an opening bracket, -1 for a closing one.
_STEPS = bytes.maketrans(b"[{]}", b"\x01\x01\xff\xff")
_NOT_STRUCTURE = bytes(sorted(set(range(256)) - set(b'[]{}"')))


class MalformedReview(ValueError):
    """The call is bad: not an AdmissionReview that the API server could have sent. The text says what and where."""


@dataclass(frozen=True, slots=True)
class AdmissionRequest:
    """One operation to judge. Absent text is empty. `raw` is the whole `request` as it was decoded; do not edit it."""

    uid: str
    operation: str
    namespace: str
    name: str
    kind: tuple[str, str, str]
    resource: tuple[str, str, str]
    subresource: str
    dry_run: bool
    object: Object | None
    old_object: Object | None
    raw: Object

    @property
    def display_name(self) -> str:
        """What to call the object in front of people: its name, its `generateName` with a `*`, or `(unnamed)`."""
        metadata = (self.object or self.old_object or {}).get("metadata")
        if type(metadata) is not dict:
            metadata = {}
        name = self.name or metadata.get("name")
        if type(name) is str and name:
            return name
        prefix = metadata.get("generateName")
        return f"{prefix}*" if type(prefix) is str and prefix else "(unnamed)"


@dataclass(frozen=True, slots=True)
class Answer:
    """What the API server is told. `code` and `message` count only when it is not allowed."""

    uid: str
    allowed: bool = True
    patch: list[Object] = field(default_factory=list)
    warnings: tuple[str, ...] = ()
    audit_annotations: Mapping[str, str] = field(default_factory=dict)
    code: int = 403
    message: str = ""


def parse(body: bytes) -> AdmissionRequest:
    """Decode an AdmissionReview. Raises MalformedReview, and nothing else, whatever the bytes are."""
    review = _decode(body)
    if type(review) is not dict:
        raise MalformedReview(f"the body is a JSON {_kind(review)}, an AdmissionReview is an object")
    _expect(review, "apiVersion", API_VERSION, " (list v1 in admissionReviewVersions)")
    _expect(review, "kind", KIND, "")
    request = review.get("request")
    if type(request) is not dict:
        raise MalformedReview(f"request: an object is required, this is {_kind(request)}")
    uid = _text(request, "uid")
    if not uid or len(uid) > _LONGEST_UID:
        raise MalformedReview(f"request.uid: 1 to {_LONGEST_UID} characters are required, this has {len(uid)}")
    operation = _text(request, "operation")
    if operation not in _OPERATIONS:
        raise MalformedReview(f"request.operation: must be one of {', '.join(_OPERATIONS)}, this is {operation[:64]!r}")
    dry_run = request.get("dryRun")
    if dry_run is not None and type(dry_run) is not bool:
        raise MalformedReview(f"request.dryRun: true or false is expected, this is {_kind(dry_run)}")
    return AdmissionRequest(
        uid=uid,
        operation=operation,
        namespace=_text(request, "namespace"),
        name=_text(request, "name"),
        kind=_triple(request, "kind", "kind"),
        resource=_triple(request, "resource", "resource"),
        subresource=_text(request, "subResource"),
        dry_run=bool(dry_run),
        object=_object(request, "object"),
        old_object=_object(request, "oldObject"),
        raw=request,
    )


def render(answer: Answer) -> bytes:
    """The AdmissionReview that carries an answer.

    `patch` and `patchType` come together or not at all; a denial carries no patch. Warnings are cleaned of control
    characters and kept within what the API server passes on (4096 characters in all, each cut to 256 once they are
    over). Audit annotations whose key the API server would drop are left out.
    """
    response: Object = {"uid": answer.uid, "allowed": answer.allowed}
    if not answer.allowed:
        response["status"] = {"code": answer.code, "message": _clean(answer.message)}
    elif answer.patch:
        response["patchType"] = "JSONPatch"
        response["patch"] = base64.b64encode(msgspec.json.encode(answer.patch)).decode("ascii")
    if answer.warnings and (warnings := _limited(answer.warnings)):
        response["warnings"] = warnings
    if answer.audit_annotations:
        annotations = {
            key: _encodable(text) for key, text in answer.audit_annotations.items() if _ANNOTATION_KEY.fullmatch(key)
        }
        if annotations:
            response["auditAnnotations"] = annotations
    return msgspec.json.encode({"apiVersion": API_VERSION, "kind": KIND, "response": response})


def for_pod(
    pod: Object,
    *,
    namespace: str,
    uid: str = "00000000-0000-0000-0000-000000000000",
    dry_run: bool = False,
    operation: str = "CREATE",
    user: str = "system:serviceaccount:kube-system:replicaset-controller",
) -> AdmissionRequest:
    """The request that the API server would send for this pod. The pod itself is passed on as it is, undefaulted."""
    metadata = pod.get("metadata")
    name = metadata.get("name") if type(metadata) is dict else None
    if type(name) is not str:
        name = ""
    gvk = {"group": "", "version": "v1", "kind": "Pod"}
    gvr = {"group": "", "version": "v1", "resource": "pods"}
    new, old = (None, pod) if operation == "DELETE" else (pod, pod if operation == "UPDATE" else None)
    raw: Object = {
        "uid": uid,
        "kind": gvk,
        "resource": gvr,
        "requestKind": gvk,
        "requestResource": gvr,
        "namespace": namespace,
        "operation": operation,
        "userInfo": {"username": user, "groups": ["system:authenticated"]},
        "object": new,
        "oldObject": old,
        "dryRun": dry_run,
        "options": None,
    }
    if name:
        raw["name"] = name
    return AdmissionRequest(
        uid=uid,
        operation=operation,
        namespace=namespace,
        name=name,
        kind=("", "v1", "Pod"),
        resource=("", "v1", "pods"),
        subresource="",
        dry_run=dry_run,
        object=new,
        old_object=old,
        raw=raw,
    )


def _decode(body: bytes) -> Any:
    if not body:
        raise MalformedReview("the body is empty, an AdmissionReview in JSON is expected")
    try:
        review = msgspec.json.decode(body)
    except UnicodeDecodeError as error:
        raise MalformedReview(f"the body is not UTF-8: {error.reason}") from None
    except RecursionError:
        raise MalformedReview(f"the body is nested more than {DEEPEST} levels deep") from None
    except msgspec.MsgspecError as error:
        raise MalformedReview(f"the body is not JSON: {error}") from None
    if _is_deeper(body, DEEPEST):
        raise MalformedReview(f"the body is nested more than {DEEPEST} levels deep")
    return review


def _is_deeper(body: bytes, levels: int) -> bool:
    """Whether valid JSON is nested deeper than this.

    Works on the text, where it costs a fifth of a walk over the decoded parts: all but brackets and quotes is dropped,
    then the strings, then the innermost pairs of brackets, a level at a time. What is left after as many levels as
    pods have is counted by a running sum. Dropping a pair of adjacent quotes changes for no other character whether it
    stands inside a string.
    """
    if b"\\" in body:
        if b"\\\\" in body:
            body = body.replace(b"\\\\", b"")
        body = body.replace(b'\\"', b"")
    steps = body.translate(_STEPS, _NOT_STRUCTURE)
    if steps.count(1) <= levels:
        return False
    steps = steps.replace(b'""', b"")
    if b'"' in steps:
        steps = b"".join(steps.split(b'"')[::2])
    left = levels
    while steps.count(1) > left:  # else it has too few brackets to be deeper: for real pods a level or two settle it
        if left == levels - _USUAL_LEVELS or len(steps) > _USUAL_BRACKETS:
            return max(accumulate(memoryview(steps).cast("b"))) > left
        steps = steps.replace(b"\x01\xff", b"")
        left -= 1
    return False


def _kind(value: Any) -> str:
    """How JSON calls the type of a value."""
    if value is None:
        return "null"
    return {dict: "object", list: "array", str: "string", bool: "boolean"}.get(type(value), "number")


def _expect(review: Object, key: str, value: str, hint: str) -> None:
    found = review.get(key)
    if found != value:
        shown = f"{found[:64]!r}" if type(found) is str else _kind(found)
        raise MalformedReview(f"{key}: {value!r} is required, this is {shown}{hint}")


def _text(request: Object, key: str, path: str = "request") -> str:
    value = request.get(key)
    if value is None:
        return ""
    if type(value) is not str:
        raise MalformedReview(f"{path}.{key}: text is expected, this is a JSON {_kind(value)}")
    return value


def _triple(request: Object, key: str, last: str) -> tuple[str, str, str]:
    value = _object(request, key) or {}
    path = f"request.{key}"
    return _text(value, "group", path), _text(value, "version", path), _text(value, last, path)


def _object(request: Object, key: str) -> Object | None:
    value = request.get(key)
    if value is None or type(value) is dict:
        return value
    raise MalformedReview(f"request.{key}: an object is expected, this is a JSON {_kind(value)}")


def _encodable(text: str) -> str:
    """The text without lone surrogates, which have no UTF-8."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "replace").decode()
    return text


def _clean(text: str) -> str:
    """One line of text for an HTTP header and a terminal."""
    return _encodable(_CONTROL.sub(" ", text)).strip()


def _limited(warnings: tuple[str, ...]) -> list[str]:
    """Unique, cleaned, and within the limits at which the API server would begin to cut."""
    cleaned = list(dict.fromkeys(text for text in map(_clean, warnings) if text))
    if sum(map(len, cleaned)) <= _WARNINGS_RUNES:
        return cleaned
    kept: list[str] = []
    room = _WARNINGS_RUNES
    cut = (text if len(text) <= _WARNING_RUNES else f"{text[: _WARNING_RUNES - 1]}…" for text in cleaned)
    for short in dict.fromkeys(cut):
        room -= len(short)
        if room < 0:
            break
        kept.append(short)
    return kept
