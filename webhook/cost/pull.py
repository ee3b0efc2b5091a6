"""How long the image takes to be there."""

from __future__ import annotations

from math import inf
from typing import NamedTuple

from webhook.cost import machine
from webhook.cost.figures import Assumed
from webhook.cost.seconds import narrowest, seconds
from webhook.cost.situation import Node, Pull, Workload

_INITIALIZED = {Pull.SNAPSHOT_100: 100, Pull.SNAPSHOT_200: 200, Pull.SNAPSHOT_300: 300}
# nodeadm ignores FastImagePull on less (nodeadm/internal/containerd/config.go, UseSOCISnapshotter).
_SOCI_VCPUS = 4
_SOCI_MEMORY = 7 * 2**30
# On a slower disk it makes pulls slower (nodeadm/doc/examples.md): counted as none.
_SOCI_DISK = 600 * 2**20


class Pulled(NamedTuple):
    """Seconds, and what limits them; or until the node's volume is filled, so many seconds after the node's launch."""

    seconds: float
    bound: str
    filled: float = inf

    def after(self, launched: float) -> tuple[float, str]:
        """What is left of it, and what limits that, where it begins so many seconds after the launch."""
        left = max(self.filled - launched, 0.0)
        return (left, "initialization") if left < self.seconds else (self.seconds, self.bound)


def pull(workload: Workload, node: Node, how: Pull, assumed: Assumed, *, nvme: bool) -> Pulled:
    """How long the image takes. `nvme`: images lie on the instance store."""
    if workload.image <= 0:
        return Pulled(0.0, "")
    if how is Pull.PRESENT:
        return Pulled(assumed("image.present"), "start")
    if how in {Pull.CONTAINERD, Pull.SOCI_AL2023, Pull.SOCI_BOTTLEROCKET}:
        return _downloaded(workload, node, how, assumed, nvme=nvme)
    return _restored(workload, how, assumed)


def _downloaded(workload: Workload, node: Node, how: Pull, assumed: Assumed, *, nvme: bool) -> Pulled:
    disk = machine.store(node, assumed, reading=False) if nvme else machine.root(node, assumed)
    small = 0 < node.vcpus < _SOCI_VCPUS or 0 < node.memory < _SOCI_MEMORY
    if (how is Pull.SOCI_AL2023 and small) or disk.rate < _SOCI_DISK:
        how = Pull.CONTAINERD
    written = disk.rate * workload.image / _moved(workload, node, how, assumed)
    bound = narrowest(unpack=assumed(f"pull.{how}"), network=machine.network(node, assumed), **{disk.name: written})
    return Pulled(seconds(workload.image, bound.rate), bound.name)


def _moved(workload: Workload, node: Node, how: Pull, assumed: Assumed) -> float:
    """The bytes that the disk writes and reads.

    containerd keeps the layers beside what it unpacks of them, and reads them again where memory does not hold them.
    """
    moved = workload.on_disk(assumed)
    if how is Pull.CONTAINERD:
        moved += workload.image
        if 0 < node.memory < 2 * workload.image:
            moved += workload.image
    return moved


def _restored(workload: Workload, how: Pull, assumed: Assumed) -> Pulled:
    """A volume fills from its launch on. What a process reads of it before comes at the pace of first reads."""
    if how is Pull.SNAPSHOT_FSR:
        return Pulled(assumed("image.present"), "start")
    touched = seconds(workload.on_disk(assumed) * assumed("image.touched"), assumed("ebs.lazy"))
    rate = _INITIALIZED.get(how)
    if rate is None:
        return Pulled(touched, "first reads")
    return Pulled(touched, "first reads", seconds(max(workload.snapshot, workload.on_disk(assumed)), rate * 2**20))
