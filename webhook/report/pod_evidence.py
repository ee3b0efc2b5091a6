"""What is known of one pod and why it is as it is, before anybody judges it."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import NamedTuple

from webhook.admission.decision import Decision
from webhook.kube import Object, names
from webhook.kube import pod as pods
from webhook.policy.model import Mode
from webhook.report.condition import Cause
from webhook.report.course import Course
from webhook.report.whereabouts import Whereabouts

_SIGNATURE = re.compile(r"policies=(\S*) seconds=(\d{1,9}) inventory=(\S+)(?: zones=\S+)?")


class Signature(NamedTuple):
    """What Warmpod wrote on the pod when it changed it: by which policies, the seconds saved, by which inventory."""

    policies: tuple[str, ...]
    seconds: int
    inventory: str


class Considered(NamedTuple):
    """One policy as it is now: what it says of the pod as it was sent, and what decided."""

    name: str
    mode: Mode
    result: str
    reason: str
    cause: Cause | None
    signed: bool
    """Whether the pod says that this policy changed it."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is known of the pod. `sent` is as its author has it, `stored` as it is.

    `is_live` says that it came from a cluster and not from a manifest. `unreached` says why the API server did not ask
    Warmpod, as far as that can be told; `doubts` what speaks against an answer at that time. `inventory` is the id of
    the inventory that the webhook decides by now, `policies_changed` when the policies were last written (unix
    seconds); empty and None where that is not known.
    """

    sent: Object
    stored: Object
    decision: Decision
    considered: tuple[Considered, ...]
    is_live: bool
    unreached: str = ""
    doubts: tuple[str, ...] = ()
    inventory: str = ""
    policies_changed: float | None = None
    template: Object | None = None
    whereabouts: Whereabouts | None = None
    course: Course = field(default_factory=Course)


def signature_of(pod: Object) -> Signature | None:
    """What the decision annotation says; None without one, or with one that is not ours to the letter."""
    text = pods.annotation(pod, names.ANNOTATION_DECISION)
    found = _SIGNATURE.fullmatch(text) if text is not None and len(text) < 4096 else None
    if found is None:
        return None
    return Signature(tuple(filter(None, found[1].split(","))), int(found[2]), found[3])
