"""How many processes and connections: from the network, the CPUs, the memory and the model, and from nothing else."""

from __future__ import annotations

from math import ceil
from typing import NamedTuple

from webhook.hydrator.engine.parts import SHORT_PART

# Measured over TLS: one process of ours moves 0.65 GB/s; more than ten threads of one only fight over its lock.
_PER_PROCESS = 0.65e9
_PER_CPU = 1.0e9
_MOST_CONNECTIONS = 10
_PROCESSES_PER_CPU = 1.5
# S3's performance guide: one connection for each 85 to 90 MB/s wanted.
_PER_CONNECTION = 85e6
_PROCESS_BYTES = 32 << 20
_CONNECTION_BYTES = 3 << 19
_FASTEST = 50e9  # 400 Gb/s


class Sizing(NamedTuple):
    """So many worker processes, each with so many threads, each with one connection and one buffer."""

    processes: int
    connections: int


def size(*, bandwidth: float | None, cpus: float, memory: int | None, files: int, bytes: int) -> Sizing:  # noqa: A002 what it is
    """The rule. `bandwidth` in bytes per second, None where nobody knows; `memory` in bytes, None without a limit."""
    rate = min(bandwidth or cpus * _PER_CPU, _FASTEST)
    most = max(1, int(cpus * _PROCESSES_PER_CPU))
    processes = min(ceil(rate / _PER_PROCESS), most)
    # More requests than this there are not: parts of large files, or small files, of which a few travel together.
    requests = max(1, bytes // SHORT_PART, files // 4)
    processes = max(1, min(processes, requests))
    connections = min(max(ceil(rate / _PER_CONNECTION / processes), 4), _MOST_CONNECTIONS, ceil(requests / processes))
    if memory is not None:
        room = memory // 2  # the other half is for the parent, and for what the kernel charges us for
        connections = max(1, min(connections, (room - _PROCESS_BYTES) // _CONNECTION_BYTES))
        processes = max(1, min(processes, room // (_PROCESS_BYTES + connections * _CONNECTION_BYTES)))
    return Sizing(processes, connections)


def fits_page_cache(bytes: int, memory: int | None) -> bool:  # noqa: A002  # as in `size`
    """Whether so many bytes can stay in memory beside what runs there: in half of what is free; None: nobody knows."""
    return memory is None or bytes <= memory // 2
