"""What a rotation is to bring about, and what it has to know of the world."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from certs.issue import AUTHORITY_LIFETIME, LEAF_LIFETIME, check_name


@dataclass(frozen=True, slots=True)
class Terms:
    """What is served, and for how long. Raises `InvalidName`, and ValueError for times that never come to rest."""

    names: tuple[str, ...]
    leaf_lifetime: timedelta = LEAF_LIFETIME
    authority_lifetime: timedelta = AUTHORITY_LIFETIME
    settle: timedelta = timedelta(seconds=60)
    """How long API servers may take to follow a configuration that was written."""
    overlap: timedelta = timedelta(hours=1)
    """How long the authority before stays trusted, at the least, after the leaf of the next one was issued."""

    def __post_init__(self) -> None:
        if not self.names:
            raise ValueError("a serving certificate needs at least one name")
        for name in self.names:
            check_name(name)
        if min(self.settle, self.overlap) < timedelta(0) or self.leaf_lifetime <= timedelta(0):
            raise ValueError("settle and overlap are not negative, and a leaf lives for a while")
        if self.authority_lifetime <= self.margin + self.leaf_lifetime / 3:
            raise ValueError("an authority must outlive two leaves, settle and overlap")

    @property
    def margin(self) -> timedelta:
        """An authority with less left than this is replaced: its leaves would live shorter than they should."""
        return self.leaf_lifetime * 4 / 3 + self.settle + self.overlap


@dataclass(frozen=True, slots=True)
class Seen:
    """The world around the Secret."""

    bundles: tuple[bytes, ...] = ()
    """PEM of each hook's `caBundle`, b"" for none; () when there is no configuration."""
    trusted_since: datetime | None = None
    """Since when every bundle trusted all the Secret's authorities, by what a leader noted (`certs.marks`)."""
    switched_at: datetime | None = None
    """When the authority that signs now began to, by the same."""
    serials: frozenset[str] = frozenset()
    """Served by live replicas; "" for a live one that does not tell."""
    replicas_known: bool = False
