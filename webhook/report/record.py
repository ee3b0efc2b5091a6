"""One recorded admission: what was asked, what it was decided from, and what was answered, as one line of JSON.

`docs/audit.md` has the fields. A record is whole: with the policies and the inventory beside it, the same decision can
be made again. Its `review` is an AdmissionReview that any admission webhook takes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Annotated, Any, Literal

import msgspec

from webhook.admission.decision import Decision, Facts, PolicyVerdict, Result, Settings
from webhook.kube import Object, names, patch, review
from webhook.kube import pod as pods
from webhook.kube.accelerator import Accelerators
from webhook.kube.podsecurity import Level
from webhook.kube.review import AdmissionRequest, MalformedReview
from webhook.policy.model import Mode

SCHEMA = 1
REDACTED = "redacted:"
"""What a text begins with, or holds, where a value was taken out: eight hexadecimal digits follow, alike for values
that are alike within the records of one process.
"""

_json = msgspec.json.Encoder()


class UnreadableRecord(ValueError):
    """The line is no record that can be used. The text says why, and quotes nothing of it but names of fields."""


@dataclass(frozen=True, slots=True)
class RecordedFacts:
    """What a decision was made from, beside the review. `policies` is the digest of the policy set.

    `snapshot` is the inventory's id and `snapshot_time` its own time in unix seconds; empty and 0 where there was none
    to use.
    """

    policies: str
    settings: Settings
    snapshot: str = ""
    snapshot_time: float = 0.0
    namespace_labels: Mapping[str, str] | None = None
    mode_cap: Mode = Mode.ENFORCE
    placement_usable: bool = False


@dataclass(frozen=True, slots=True)
class Recorded:
    """One record, read. `decision` is the object under its key, checked; `file` and `line` say where it stands.

    `version` is that of the Warmpod which answered.
    """

    time: datetime
    request: AdmissionRequest
    facts: RecordedFacts
    decision: Object
    version: str = ""
    file: str = ""
    line: int = 0

    @property
    def place(self) -> str:
        """`FILE:LINE`."""
        return f"{self.file}:{self.line}"

    @property
    def is_again(self) -> bool:
        """Whether it is the API server's second look at a pod that was changed before, and that counted then.

        It asks again when a plugin of its own, or another webhook, changes what came of the first answer: already a
        token mounted into our init container is such a change.
        """
        sent = self.request.object or {}
        signed = pods.annotation(sent, names.ANNOTATION_DECISION) is not None
        return signed and self.facts.mode_cap is Mode.ENFORCE and not self.decision["patch"]


def encode(asked: Object, facts: Facts, decision: Decision, *, time: datetime, version: str) -> bytes:
    """One record as a line of JSON, with its line break. `asked` is the `request` of the review."""
    return b"%b\n" % _json.encode(
        {
            "schema": SCHEMA,
            "time": time,
            "version": version,
            "review": {"apiVersion": review.API_VERSION, "kind": review.KIND, "request": asked},
            "facts": _facts_json(facts),
            "decision": decision_json(decision),
        }
    )


def decision_json(decision: Decision) -> Object:
    """A decision as records hold it: everything but the pods, which follow from the review and the patches."""
    return {
        "allowed": decision.allowed,
        "message": decision.message,
        "policies": [
            {
                "name": verdict.name,
                "mode": verdict.mode,
                "result": verdict.result,
                "reason": verdict.reason,
                "conflicts": list(verdict.conflicts),
                "did": list(verdict.did),
            }
            for verdict in decision.policies
        ],
        "patch": decision.patch,
        "wouldPatch": decision.would_patch,
        "warnings": list(decision.warnings),
        "secondsSaved": decision.seconds_saved,
        "wouldSecondsSaved": decision.would_seconds_saved,
        "violations": list(decision.violations),
        "conflicts": sum(len(verdict.conflicts) for verdict in decision.policies),
    }


def decode(line: bytes, *, file: str = "", number: int = 0) -> Recorded:
    """The record in one line. Raises UnreadableRecord, and nothing else, whatever the bytes are."""
    try:
        found = _line.decode(line)
        if found.schema != SCHEMA:
            raise UnreadableRecord(f"its schema is {found.schema}, this version reads {SCHEMA}")
        decision = _object.decode(found.decision)
        msgspec.convert(decision, _Decision)
        request = review.parse(bytes(found.review))
    except MalformedReview as error:
        raise UnreadableRecord(f"its review is none: {error}") from None
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise UnreadableRecord(f"not a record: {str(error) or type(error).__name__}") from None
    if request.object is None:
        raise UnreadableRecord("its review holds no object")
    facts = found.facts
    return Recorded(
        time=found.time,
        request=request,
        facts=RecordedFacts(
            policies=facts.policies,
            settings=_settings(facts.settings),
            snapshot=facts.snapshot,
            snapshot_time=facts.snapshot_time,
            namespace_labels=facts.namespace_labels,
            mode_cap=facts.cap,
            placement_usable=facts.placement_usable,
        ),
        decision=decision,
        version=found.version,
        file=file,
        line=number,
    )


def time_of(line: bytes) -> datetime | None:
    """When the record in this line was written, without a look at the rest; None when it does not say."""
    try:
        return _time.decode(line).time
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None


def decided(recorded: Recorded) -> Decision:
    """The recorded answer as a decision. Raises UnreadableRecord when its patches do not fit its pod."""
    said = msgspec.convert(recorded.decision, _Decision)
    sent = recorded.request.object or {}
    try:
        pod = patch.apply(sent, said.patch)
        would_pod = patch.apply(sent, said.would_patch) if said.would_patch else pod
    except patch.UnapplicablePatch as error:
        raise UnreadableRecord(f"its patch does not fit its pod: {error}") from None
    return Decision(
        allowed=said.allowed,
        policies=tuple(
            PolicyVerdict(each.name, each.mode, each.result, each.reason, tuple(each.conflicts), tuple(each.did))
            for each in said.policies
        ),
        patch=said.patch,
        would_patch=said.would_patch,
        pod=pod,
        would_pod=would_pod,
        warnings=tuple(said.warnings),
        seconds_saved=said.seconds_saved,
        would_seconds_saved=said.would_seconds_saved,
        message=said.message,
        violations=tuple(said.violations),
    )


class _Settings(msgspec.Struct, frozen=True, rename="camel"):
    hydrator_image: str
    accelerators: tuple[str, ...]
    device_classes: tuple[str, ...]
    default_level: Level
    image_bytes_per_second: Annotated[float, msgspec.Meta(gt=0)]
    model_bytes_per_second: Annotated[float, msgspec.Meta(gt=0)]
    image_min_bytes: int
    image_volumes: Literal["auto", "on", "off"] = "auto"


class _Facts(msgspec.Struct, rename="camel"):
    policies: str
    settings: _Settings
    namespace_labels: dict[str, str] | None = None
    snapshot: str = ""
    snapshot_time: float = 0.0
    placement_usable: bool = False
    cap: Mode = Mode.ENFORCE


class _Verdict(msgspec.Struct):
    name: str
    mode: Mode
    result: Result
    reason: str = ""
    conflicts: list[str] = []
    did: list[str] = []


class _Decision(msgspec.Struct, rename="camel"):
    allowed: bool
    policies: list[_Verdict]
    patch: list[dict[str, Any]]
    would_patch: list[dict[str, Any]]
    message: str = ""
    warnings: list[str] = []
    seconds_saved: float = 0.0
    would_seconds_saved: float = 0.0
    violations: list[str] = []
    conflicts: int = 0


class _Line(msgspec.Struct):
    schema: int
    time: Annotated[datetime, msgspec.Meta(tz=True)]
    review: msgspec.Raw
    facts: _Facts
    decision: msgspec.Raw
    version: str = ""


class _Time(msgspec.Struct):
    time: Annotated[datetime, msgspec.Meta(tz=True)]


_line = msgspec.json.Decoder(_Line)
_time = msgspec.json.Decoder(_Time)
_object = msgspec.json.Decoder(dict[str, Any])


def _facts_json(facts: Facts) -> Object:
    settings = facts.settings
    return {
        "namespaceLabels": facts.namespace_labels,
        "policies": facts.policies.digest,
        "snapshot": facts.inventory.id if facts.placement_usable else "",
        "snapshotTime": facts.inventory.time if facts.placement_usable else 0.0,
        "placementUsable": facts.placement_usable,
        "cap": facts.mode_cap,
        "settings": _Settings(
            hydrator_image=settings.hydrator_image,
            accelerators=settings.accelerators.patterns,
            device_classes=settings.accelerators.device_classes,
            default_level=settings.default_level,
            image_bytes_per_second=settings.image_bytes_per_second,
            model_bytes_per_second=settings.model_bytes_per_second,
            image_min_bytes=settings.image_min_bytes,
            image_volumes=settings.image_volumes,
        ),
    }


@lru_cache(maxsize=16)
def _settings(said: _Settings) -> Settings:
    # The same object for all records of a process: what is made of its patterns is made once.
    return Settings(
        hydrator_image=said.hydrator_image,
        accelerators=Accelerators(said.accelerators, said.device_classes),
        default_level=said.default_level,
        image_bytes_per_second=said.image_bytes_per_second,
        model_bytes_per_second=said.model_bytes_per_second,
        image_min_bytes=said.image_min_bytes,
        image_volumes=said.image_volumes,
    )
