"""Bytes, rates and seconds.

Rates are bytes per second everywhere; 0, or less, is a rate that nobody knows.

    seconds(17_700_000_000, 53e6)            # 334.0
    line_rate(5)                             # 625_000_000.0
    narrowest(network=625e6, disk=750e6)     # Bound(name="network", rate=625_000_000.0)
"""

from __future__ import annotations

from typing import NamedTuple

WORDS = {
    "client": "the hydrator's CPUs",
    "disk": "the instance store",
    "downloader": "the engine's own download",
    "ebs": "the node's limit to EBS",
    "first reads": "first reads of a volume that is still in its snapshot",
    "initialization": "the volume's initialization rate",
    "network": "the network",
    "pages": "reads page by page",
    "reader": "the reader",
    "root": "the root volume",
    "source": "asking the source",
    "start": "the container's start",
    "unpack": "how the image is unpacked",
    "volume": "the volume",
}
"""What each bound is called, for people."""


class Bound(NamedTuple):
    """What limits a transfer, and the rate it leaves; a rate of 0 where nothing is known."""

    name: str
    rate: float


def seconds(missing: float, rate: float) -> float:
    """How long `missing` bytes take at `rate` bytes per second; 0 where either is unknown (not above zero)."""
    return missing / rate if missing > 0 and rate > 0 else 0.0


def line_rate(gigabits: float) -> float:
    """Bytes per second of a network of so many Gb/s."""
    return gigabits * 1e9 / 8


def narrowest(**rates: float) -> Bound:
    """The bound that limits: the lowest of the rates that are known, the first one named if several are."""
    known = [Bound(name, rate) for name, rate in rates.items() if rate > 0]
    return min(known, key=lambda bound: bound.rate, default=Bound("", 0.0))
