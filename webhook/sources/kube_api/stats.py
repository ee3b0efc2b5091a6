"""What a follower tells of itself, for metrics and readiness."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field


@dataclass(slots=True)
class WatchStats:
    """Counts since the start, and the present state, of one resource. Times are in unix seconds."""

    restarts: Counter[str] = field(default_factory=Counter)
    """Ends of watches and failed requests, by reason: "ended" is the orderly end that every watch comes to; "expired",
    "dropped", "silent", "garbage", "rewound"; "unreachable", "timeout", "unauthorized", "forbidden", "missing",
    "throttled", "refused", "server", "conflict"; "unserved" for an optional resource."""

    events: Counter[str] = field(default_factory=Counter)
    """ADDED, MODIFIED, DELETED and BOOKMARK; "DUPLICATE", "UNREADABLE" and "OTHER" changed nothing by themselves."""

    lists: int = 0
    """Complete lists: the first, and one for each time that the watch could not be resumed."""

    last_sync: float | None = None
    """When the last list was complete; None before the first, and while an optional resource is not served."""

    last_event: float | None = None
    """When the API server said anything at all, a bookmark too."""

    problem: str | None = None
    """Why requests fail at present, and what to do about it; None when they do not. A watch that breaks off is no
    problem until it cannot be resumed."""

    unreadable: dict[str, str] = field(default_factory=dict)
    """Objects that cannot be read now and therefore count as absent: name (`namespace/name`) to reason."""

    @property
    def synced(self) -> bool:
        """Whether a complete list was handed on."""
        return self.last_sync is not None
