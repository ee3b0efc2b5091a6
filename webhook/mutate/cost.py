"""What warmth is worth: seconds of start-up time."""

from __future__ import annotations

from collections.abc import Sequence


def seconds(missing: int, rate: float) -> float:
    """How long `missing` bytes take at `rate` bytes per second; 0 where either is unknown (not above zero)."""
    return missing / rate if missing > 0 and rate > 0 else 0.0


def weights(savings: Sequence[float]) -> list[int]:
    """Weights of preferred terms, 1 to 100, in proportion to the seconds each saves.

    The scheduler normalises over one pod's own terms, so only the proportion means anything.
    """
    most = max(savings, default=0.0)
    return [min(max(round(100 * saved / most), 1), 100) if most > 0 else 1 for saved in savings]
