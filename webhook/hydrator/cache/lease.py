"""Leases: a pod that was given a version needs it as long as it runs, also while it holds no file of it open.

Nobody tells a pod that ended from one that idles, so a lease ends by itself, or with the boot: after it, every pod's
init containers run again. Time is CLOCK_BOOTTIME, which no one sets.
"""

from __future__ import annotations

import json
import os
import time
from contextlib import suppress
from typing import NamedTuple

from webhook.hydrator.cache import layout, tree
from webhook.hydrator.cache.pod import Pod

_MOST = 4096  # bytes of a lease


class Lease(NamedTuple):
    """That a pod was given a version, `since` so many seconds after the start of the boot `boot`."""

    pod: str
    version: str
    boot: str
    since: float

    def left(self, boot: str, seconds: float) -> float:
        """Seconds for which it still counts, of the `seconds` that a lease lasts; 0 when it does not."""
        age = now() - self.since
        return seconds - age if boot and self.boot == boot and 0 <= age < seconds else 0.0


def now() -> float:
    """Seconds since the node was booted."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def write(pod: Pod, version: str, boot: str, leases: int) -> None:
    """Leave a lease in the directory `leases`, in place of the pod's former one. OSError."""
    text = json.dumps({"pod": pod.name[:253], "version": version, "boot": boot, "since": round(now(), 3)})
    fresh = layout.ASIDE + os.urandom(4).hex()
    try:
        with tree.file(fresh, leases, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644) as opened:
            os.write(opened, text.encode())
        os.rename(fresh, pod.key, src_dir_fd=leases, dst_dir_fd=leases)
    except BaseException:
        with suppress(OSError):
            os.unlink(fresh, dir_fd=leases)
        raise


def read(leases: int) -> dict[str, Lease | None]:
    """The leases in a directory by their names; None for what is none. OSError where it cannot be listed."""
    return {name: None if name.startswith(layout.ASIDE) else _read(name, leases) for name in tree.names(leases)}


def _read(name: str, leases: int) -> Lease | None:
    try:
        with tree.file(name, leases) as opened:
            value = json.loads(os.read(opened, _MOST))
    except (OSError, ValueError, RecursionError):
        return None
    if not isinstance(value, dict):
        return None
    pod, version, boot, since = (value.get(key) for key in ("pod", "version", "boot", "since"))
    if isinstance(pod, str) and isinstance(version, str) and isinstance(boot, str) and type(since) is float:
        return Lease(pod, version, boot, since)
    return None


def clear(boot: str, seconds: float, leases: int) -> None:
    """Remove the leases that do not count where one lasts so many seconds, and what is none. They are held still."""
    for name, lease in read(leases).items():
        if lease is None or not lease.left(boot, seconds):
            with suppress(OSError):
                os.unlink(name, dir_fd=leases)
