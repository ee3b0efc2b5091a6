"""How the certificates are, for metrics, readiness and people. Texts here name no objects: those are in the log."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from certs.contents import Contents
from certs.issue import Served
from certs.steps import Begin, Issue, Promote, Step, Wait
from webhook.daemon.logs import LOGGER

Phase = Literal["unknown", "missing", "steady", "announced", "overlapping"]
"""missing: there is no Secret; announced: a next authority is in it; overlapping: the one before still is."""

Rotation = Literal["leaf", "authority", "emergency"]

ROTATIONS: tuple[Rotation, ...] = ("leaf", "authority", "emergency")

_KINDS: Mapping[type[Step], Rotation] = {Issue: "leaf", Promote: "authority", Begin: "emergency"}


@dataclass(slots=True)
class Condition:
    """What a keeper knows since its last look."""

    phase: Phase = "unknown"
    serial: str | None = None
    """Of the leaf in the Secret, hexadecimal; None when there is none that could serve."""
    leaf_expiry: datetime | None = None
    authority_expiry: datetime | None = None
    rotations: Counter[Rotation] = field(default_factory=Counter)
    """What this process carried out, by kind. The first certificates of an installation count as none."""
    waiting: str = ""
    """What the leader waits for; "" at a follower."""
    until: datetime | None = None
    last_step: str = ""
    _problems: dict[str, str] = field(default_factory=dict)

    @property
    def problem(self) -> str | None:
        """What is wrong, for people; None when nothing is."""
        return "; ".join(self._problems.values()) or None

    def read(self, held: Contents, *, exists: bool) -> None:
        """Take in the Secret's content, and whether there is a Secret."""
        served: Served | None = held.leaf.served if held.leaf else None
        self.serial = served.serial if served else None
        self.leaf_expiry = served.not_after if served else None
        self.authority_expiry = held.authority.certificate.not_valid_after_utc if held.authority else None
        self.phase = phase(held, exists=exists)
        if self.leaf_expiry or not exists:
            self.clear("leaf")
        else:
            self.trouble("leaf", f"there is no leaf to serve: {held.leaf_problem}")

    def follows(self) -> None:
        """Another one leads: what is wrong with what only leaders do is theirs to tell."""
        self.waiting, self.until = "", None
        for about in ("configuration", "bundles", "replicas", "owner", "asked", "clock"):
            self.clear(about)

    def waits(self, step: Wait) -> None:
        """There is nothing to do now."""
        self.waiting, self.until = step.reason, step.until

    def took(self, step: Step) -> None:
        """A step was taken."""
        self.last_step = step.reason
        self.waiting, self.until = "", None
        kind = _KINDS.get(type(step))
        if kind and (not isinstance(step, Begin) or step.loud):
            self.rotations[kind] += 1

    def trouble(self, about: str, problem: str, detail: str = "") -> None:
        """Something is wrong. It is logged when it is news, with its `detail`, which may name objects."""
        if self._problems.get(about) != problem:
            LOGGER.warning(
                "certificates in trouble",
                extra={"fields": {"error": problem, **({"detail": detail} if detail else {})}},
            )
        self._problems[about] = problem

    def clear(self, about: str) -> None:
        """It is wrong no more, if it was."""
        if self._problems.pop(about, None) is not None and not self._problems:
            LOGGER.info("certificates in order again")


def phase(held: Contents, *, exists: bool) -> Phase:
    """Where a rotation of the authority stands."""
    if not exists:
        return "missing"
    if held.successor is not None:
        return "announced"
    return "overlapping" if held.retiring is not None else "steady"
