"""What a rotation may do next. Each step is one write or none, and says in a sentence why it is taken."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class _Reasoned:
    reason: str
    """A sentence for logs and people. It holds no names of objects."""


@dataclass(frozen=True, slots=True)
class Begin(_Reasoned):
    """A new authority and a leaf of it, both at once: there is nothing to go on with."""

    loud: bool = False
    """Whether something was lost; otherwise it is the first time."""


@dataclass(frozen=True, slots=True)
class Issue(_Reasoned):
    """A new leaf of the authority that signs."""


@dataclass(frozen=True, slots=True)
class Announce(_Reasoned):
    """A new authority, to be trusted for now."""


@dataclass(frozen=True, slots=True)
class Promote(_Reasoned):
    """The next authority signs from now on: it issues the leaf, and the one before is only trusted."""


@dataclass(frozen=True, slots=True)
class Retire(_Reasoned):
    """The authority before is trusted no more."""


@dataclass(frozen=True, slots=True)
class Discard(_Reasoned):
    """Keys with content that is good for nothing leave the Secret."""

    keys: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Confirm(_Reasoned):
    """Note in the Secret that every bundle, as read back, trusts all its authorities."""


@dataclass(frozen=True, slots=True)
class Doubt(_Reasoned):
    """Take that note away: some bundle does not."""


@dataclass(frozen=True, slots=True)
class Trust(_Reasoned):
    """Every hook gets this bundle."""

    bundle: bytes = b""


@dataclass(frozen=True, slots=True)
class Wait(_Reasoned):
    """Nothing to do before `until`; None when only something else than time can change that."""

    until: datetime | None = None


Rewrite = Begin | Issue | Announce | Promote | Retire | Discard
"""Steps that change the Secret's content."""

Issuing = Begin | Issue | Announce | Promote
"""Steps that make keys, and so depend on the clock."""

Step = Rewrite | Confirm | Doubt | Trust | Wait
