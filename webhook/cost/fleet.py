"""What warm nodes are worth to many pods, and what moving bytes costs in money.

share = share_of_lifetime(starts_per_node=5)            # 0.8: the first start on each node is cold
mean(cold=630.0, warm=180.0, share=share)               # 270.0
share_of_burst(pods=10, places=3)                       # 0.3: seven need nodes that are new
"""

from __future__ import annotations

from webhook.cost.figures import figure

# https://docs.aws.amazon.com/ebs/latest/userguide/volume-creation-credits.html
_FSR_MOST = 10.0
_FSR_GIB = 1024.0


def share_of_lifetime(starts_per_node: float) -> float:
    """The share of starts that find a warm node, where a node lives for so many starts of the same pod."""
    return 1 - 1 / starts_per_node if starts_per_node > 1 else 0.0


def share_of_burst(pods: int, places: int) -> float:
    """The share of `pods` made at once that find one of `places` free accelerator places on warm nodes."""
    return min(max(places, 0), pods) / pods if pods > 0 else 0.0


def mean(cold: float, warm: float, share: float) -> float:
    """The mean seconds of a start, where a `share` of them, 0 to 1, is warm."""
    return cold + share * (warm - cold)


def break_even(cost: float, saved: float) -> float:
    """How many warm starts pay for `cost` seconds spent once, each saving `saved`; infinite where none saves any."""
    return cost / saved if saved > 0 else float("inf")


def fsr_volumes(snapshot: int, hours: float = 1.0) -> float:
    """How many volumes of a snapshot of so many bytes Fast Snapshot Restore serves in a zone: its bucket and refill.

    The nodes after those get volumes that are filled as they are read. 0 where the size is not known.
    """
    if snapshot <= 0:
        return 0.0
    rate = min(_FSR_MOST, _FSR_GIB / (snapshot / 2**30))
    return max(1.0, rate) + rate * hours


def dollars(size: int, *, part: int, nat: bool = False, between_zones: bool = False) -> float:
    """What one read of `size` bytes from S3 in requests of `part` bytes costs, by the prices of us-east-1."""
    each = (figure("price.nat").likely if nat else 0.0) + (figure("price.zone").likely if between_zones else 0.0)
    requests = -(-size // part) if size > 0 < part else 0
    return requests * figure("price.get").likely + max(size, 0) * each
