"""What one policy did to one pod, said for people."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum

_MAX = 2048


class Part(IntEnum):
    """The parts of an edit, in the order a reader hears of them."""

    PLACEMENT = 0
    HYDRATION = 1
    VOLUMES = 2
    ENV = 3
    AWS_CONFIG = 4


_WORDS = {
    Part.PLACEMENT: "placement",
    Part.HYDRATION: "hydration",
    Part.VOLUMES: "volumes",
    Part.ENV: "env",
    Part.AWS_CONFIG: "awsConfig",
}


@dataclass(slots=True)
class Account:
    """What was done and what was left out; and what the pod's author should hear.

    `conflicts` are those of `omitted` whose place somebody else had: the pod's author, or a policy before this one.
    """

    done: list[tuple[Part, str]] = field(default_factory=list)
    omitted: list[str] = field(default_factory=list)
    conflicts: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def do(self, part: Part, what: str) -> None:
        """Note something done."""
        self.done.append((part, what))

    def leave(self, what: str) -> None:
        """Note something left out, and why."""
        self.omitted.append(what)

    def yield_to(self, what: str) -> None:
        """Note something left out because somebody else has its place."""
        self.omitted.append(what)
        self.conflicts.append(what)

    @property
    def did(self) -> tuple[str, ...]:
        """The parts of what was done, in their order, by the names that a change of a pod has for them."""
        found = {part for part, _ in self.done}
        return tuple([word for part, word in _WORDS.items() if part in found])

    @property
    def reason(self) -> str:
        """All of it on one line."""
        done = [what for _, what in sorted(self.done, key=lambda entry: entry[0])]
        text = "; ".join([*done, *self.omitted]) or "nothing to add"
        return text if len(text) <= _MAX else f"{text[:_MAX]}..."
