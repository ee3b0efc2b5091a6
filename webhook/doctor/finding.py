"""What the doctor says: findings, in the order in which a person should read them, and one line above them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from webhook.doctor.evidence import Absent, Barred, Failed, Look


class State(StrEnum):
    """How a finding is to be taken, worst first."""

    FAILURE = "failure"
    WARNING = "warning"
    UNKNOWN = "unknown"
    NOTE = "note"
    OK = "ok"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was checked. `text` is a sentence without its stop, `advice` what to do about it.

    `stops` says that while it stands no pod is reviewed. Then `text` reads well after "because".
    """

    name: str
    state: State
    text: str
    advice: str = ""
    stops: bool = False


def ok(name: str, text: str) -> Finding:
    """All is well."""
    return Finding(name, State.OK, text)


def note(name: str, text: str, advice: str = "") -> Finding:
    """Worth knowing, not wrong."""
    return Finding(name, State.NOTE, text, advice)


def warning(name: str, text: str, advice: str) -> Finding:
    """Warmpod works, but not as it should, or not for long."""
    return Finding(name, State.WARNING, text, advice)


def failure(name: str, text: str, advice: str, *, stops: bool = False) -> Finding:
    """Broken."""
    return Finding(name, State.FAILURE, text, advice, stops)


def unseen(name: str, what: str, look: Look[object]) -> Finding:
    """Nobody knows: the caller lacks a right, or there was no answer. `what` is the thing that could not be seen."""
    match look:
        case Barred(right):
            return Finding(
                name,
                State.UNKNOWN,
                f"{what}: you may not {right}",
                f"run it as somebody who may {right}",
            )
        case Failed(text):
            return Finding(name, State.UNKNOWN, f"{what}: {text}", "run it again; if it stays so, mend what it says")
        case Absent():
            return Finding(name, State.UNKNOWN, f"{what}: there is none", "apply the manifests again")
        case _:
            raise ValueError(f"{name}: it was seen")
