"""What storage that is bought by size, by zone or by connection gives.

lustre_rate(tebibytes=4.8, megabytes=250)          # 1_200_000_000.0 bytes per second, for all readers together
connections(line_rate(100))                        # 148: what S3 takes to fill 100 Gb/s
express_gain(16_400_000_000, files=8, rate=line_rate(100))  # seconds less than from S3 Standard
"""

from __future__ import annotations

from math import ceil

from webhook.cost.figures import LIKELY, Assumed
from webhook.cost.seconds import seconds


def lustre_rate(tebibytes: float, megabytes: float) -> float:
    """Bytes per second that FSx for Lustre gives all its readers together.

    `megabytes` is what it was bought with, in MB/s for each TiB: 50 to 1000, by the kind of file system
    (https://docs.aws.amazon.com/fsx/latest/LustreGuide/performance.html).
    """
    return max(tebibytes, 0.0) * max(megabytes, 0.0) * 1e6


def connections(rate: float, assumed: Assumed = LIKELY) -> int:
    """How many connections to S3 it takes to read so many bytes per second; at least one."""
    return max(ceil(rate / assumed("s3.connection")), 1)


def express_gain(size: int, *, files: int, rate: float, at_once: int = 16, assumed: Assumed = LIKELY) -> float:
    """Seconds that S3 Express One Zone in the own zone takes less than S3 Standard.

    `files` objects of `size` bytes altogether, read at `rate` bytes per second from S3 Standard, so many `at_once`. The
    first bytes of small objects come sooner; of large ones, hardly more comes in the same time.
    """
    waiting = max(assumed("s3.first-byte") - assumed("express.first-byte"), 0.0) * max(files, 0) / max(at_once, 1)
    flowing = seconds(size, rate)
    return waiting + flowing - flowing / assumed("express.sequential")
