"""What this container may use: CPUs and memory, by its cgroup (v2 or v1), its affinity and the machine."""

from __future__ import annotations

import os
from collections.abc import Iterator

_UNLIMITED = 1 << 60  # v1 says "no limit" as a huge number of pages


def cpus(root: str = "/") -> float:
    """CPUs: of the affinity mask, or fewer by the quota of this cgroup or one above it. `root` holds proc and sys."""
    allowed = float(len(os.sched_getaffinity(0)))
    for directory in _directories(root, "cpu"):
        quota = _first(f"{directory}/cpu.max").split()
        if not quota:
            quota = [_first(f"{directory}/cpu.cfs_quota_us"), _first(f"{directory}/cpu.cfs_period_us")]
        if len(quota) == 2 and _is_number(quota[0]) and _is_number(quota[1]) and int(quota[1]):
            allowed = min(allowed, int(quota[0]) / int(quota[1]))
    return max(allowed, 0.01)


def memory(root: str = "/") -> int | None:
    """Bytes that may still be used: below every limit of this cgroup and those above it, and free on the machine."""
    rooms = []
    for directory in _directories(root, "memory"):
        for limit, usage, cache in (
            ("memory.max", "memory.current", "inactive_file"),
            ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
        ):
            most, used = _first(f"{directory}/{limit}"), _first(f"{directory}/{usage}")
            if _is_number(most) and _is_number(used) and int(most) < _UNLIMITED:
                # Page cache that nobody has touched again gives way, as in the kubelet's working set.
                idle = _field(f"{directory}/memory.stat", cache)
                rooms.append(max(0, int(most) - max(0, int(used) - idle)))
    available = _field(f"{root}proc/meminfo", "MemAvailable:") * 1024
    if available:
        rooms.append(available)
    return min(rooms, default=None)


def _directories(root: str, controller: str) -> Iterator[str]:
    """Where the limits of this process stand: its own cgroup and each one above, as far as they can be seen."""
    mounted = f"{root}sys/fs/cgroup"
    for line in _text(f"{root}proc/self/cgroup").splitlines():
        number, _, rest = line.partition(":")
        names, _, path = rest.partition(":")
        if number == "0" and not names:
            top = mounted
        elif controller in names.split(","):
            top = f"{mounted}/{controller}"
        else:
            continue
        # Within a container the path may be the host's, which is not mounted here: the top alone is ours then.
        path = path.rstrip("/")
        while path and "/../" not in f"{path}/":
            yield top + path
            path = path.rpartition("/")[0]
        yield top


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit()


def _first(path: str) -> str:
    return _text(path).strip()


def _field(path: str, name: str) -> int:
    for line in _text(path).splitlines():
        words = line.split()
        if len(words) > 1 and words[0] == name and _is_number(words[1]):
            return int(words[1])
    return 0


def _text(path: str) -> str:
    try:
        with open(path, encoding="ascii", errors="replace") as file:
            return file.read(1 << 16)
    except OSError:
        return ""
