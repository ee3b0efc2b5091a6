"""How fast the hydrator fills the node's cache, and how fast a reader empties it."""

from __future__ import annotations

from typing import NamedTuple

from webhook.cost.figures import LIKELY, Assumed
from webhook.cost.seconds import Bound, narrowest
from webhook.cost.volume import Reader, Volume, network_rate, own_rate, volume_bound

#: Of a pod whose CPUs nobody knows, for each accelerator: what the figure was measured with, and less than EC2 gives.
CPUS = 2.0


class Disks(NamedTuple):
    """Bytes per second of a node's instance store; 0 where nothing is known of it."""

    read: float
    write: float


def array(disks: int, assumed: Assumed = LIKELY) -> Disks:
    """What so many disks of an instance store give as one array; zeros for none."""
    return Disks(max(disks, 0) * assumed("disk.read"), max(disks, 0) * assumed("disk.write"))


def fetch_bound(
    source: Volume | None,
    *,
    network: float = 0.0,
    disk_write: float = 0.0,
    cpus: float = CPUS,
    assumed: Assumed = LIKELY,
) -> Bound:
    """What limits hydrating from a mounted `source`, or from S3 where that is None: its name and bytes per second.

    `network` and `disk_write` are the node's, in bytes per second, `cpus` what the pod has; 0 where they are not known.
    """
    if source is None:
        first = Bound("network", network_rate(network, assumed))
    else:
        first = volume_bound(source, None, network=network, assumed=assumed)
    return narrowest(
        **{first.name: first.rate},
        client=assumed("hydrate.cpu") * (cpus if cpus > 0 else CPUS),
        disk=disk_write if disk_write > 0 else assumed("disk.write"),
    )


def load_bound(reader: Reader, *, processes: int = 1, disk_read: float = 0.0, assumed: Assumed = LIKELY) -> Bound:
    """What limits a reader of the node's own disk, of `disk_read` bytes per second, 0 where that is not known."""
    return narrowest(
        reader=own_rate(reader, processes, assumed),
        disk=disk_read if disk_read > 0 else assumed("disk.read"),
    )
