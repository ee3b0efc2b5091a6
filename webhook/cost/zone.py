"""What it is worth to run in the zone that a model lies in.

Little, for readers that keep many requests in flight: S3 and Lustre give a node in another zone the same bytes per
second, each request only takes longer. Much, for one that waits for each page. What the bytes cost in money between
zones is not counted.

    zone_gain(16_400_000_000)                        # 0.5: a hydrator or a streamer reads S3
    zone_gain(16_400_000_000, mapped=True)           # 100.1: a stock loader maps the files of a mounted volume
"""

from __future__ import annotations

from webhook.cost.figures import figure
from webhook.cost.seconds import seconds


def zone_gain(size: int, *, mapped: bool = False, processes: int = 1) -> float:
    """Seconds that reading `size` bytes within their zone takes less than from another; 0 where the size is not known.

    `size` counts what is read over the network: nothing of a model that the node holds. `mapped`: a stock loader reads
    a mounted volume page by page, in so many `processes` at once; else a hydrator or a streamer reads many parts at
    once.
    """
    at_once = figure("zone.readahead").likely * max(processes, 1) if mapped else figure("zone.in-flight").likely
    return seconds(size, at_once) * figure("zone.delay").likely
