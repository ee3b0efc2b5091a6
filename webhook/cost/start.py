"""The phases of a pod's start, one after the other as EKS runs them, and what each is limited by.

found = start(
    Workload(image=9_400_000_000, model=16_400_000_000),
    Node(network=line_rate(5), ebs=625e6, disks=1),
    Techniques(pull=Pull.SOCI_BOTTLEROCKET, fetch=Fetch.HYDRATE, nvme=True),
)
found.seconds, found.best, found.worst
[(phase.name, phase.seconds, phase.bound) for phase in found.phases]
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from webhook.cost import machine
from webhook.cost.figures import LIKELY, Assumed, Case, figures
from webhook.cost.hydration import fetch_bound, load_bound
from webhook.cost.pull import pull
from webhook.cost.seconds import Bound, narrowest, seconds
from webhook.cost.situation import Engine, Fetch, Node, Techniques, Workload
from webhook.cost.volume import own_rate, volume_bound


class Phase(NamedTuple):
    """One phase: `begins` so many seconds after the pod was made. `bound` says what limits it, empty for nothing."""

    name: str
    begins: float
    seconds: float
    bound: str

    @property
    def ends(self) -> float:
        """When it is over."""
        return self.begins + self.seconds


class Timeline(NamedTuple):
    """All phases that take time. `best` and `worst`: the whole where every figure is fast, or slow."""

    phases: tuple[Phase, ...]
    best: float
    worst: float

    @property
    def seconds(self) -> float:
        """From the pod's making until it serves."""
        return max((phase.ends for phase in self.phases), default=0.0)


class Swing(NamedTuple):
    """How far one figure moves the whole when it alone goes to the fast end of its range, or to the slow one."""

    name: str
    best: float
    worst: float


def start(workload: Workload, node: Node, techniques: Techniques, assumed: Assumed = LIKELY) -> Timeline:
    """The phases of a start: provision, boot, fetch, pull, load, init; those that take no time are left out."""
    best, worst = (
        _end(_phases(workload, node, techniques, Assumed(case, assumed.given))) for case in (Case.FAST, Case.SLOW)
    )
    return Timeline(tuple(_phases(workload, node, techniques, assumed)), best, worst)


def swings(workload: Workload, node: Node, techniques: Techniques, assumed: Assumed = LIKELY) -> list[Swing]:
    """How far each figure alone moves the whole, the greatest first; those that do not move it are left out."""
    found = []
    for name, figure in figures().items():
        best, worst = (
            _end(_phases(workload, node, techniques, Assumed(assumed.case, {**assumed.given, name: figure.at(case)})))
            for case in (Case.FAST, Case.SLOW)
        )
        if best != worst:
            found.append(Swing(name, best, worst))
    return sorted(found, key=lambda swing: (swing.best - swing.worst, swing.name))


def _end(phases: Iterable[Phase]) -> float:
    return max((phase.ends for phase in phases), default=0.0)


def _phases(workload: Workload, node: Node, techniques: Techniques, assumed: Assumed) -> list[Phase]:
    phases: list[Phase] = []

    def then(name: str, took: float, bound: str, begins: float | None = None) -> None:
        if took > 0:
            phases.append(Phase(name, _end(phases) if begins is None else begins, took, bound))

    if techniques.new_node:
        then("provision", assumed("node.provision"), "")
        then("boot", assumed("node.boot"), "")
    ready, booted = _end(phases), assumed("node.boot") if techniques.new_node else 0.0
    image = pull(workload, node, techniques.pull, assumed, nvme=techniques.nvme)
    pulling, pull_by = image.after(booted)
    fetching, fetch_by = _fetch(workload, node, techniques.fetch, assumed)
    if techniques.overlap:
        then("fetch", _beside(fetching, pulling, assumed("contended")), fetch_by, ready)
        then("pull", pulling, pull_by, ready)
    elif techniques.fetch in {Fetch.HYDRATE, Fetch.CACHED}:
        then("fetch", fetching, fetch_by)
        then("pull", *image.after(booted + fetching))
    else:
        then("pull", pulling, pull_by)
        then("fetch", fetching, fetch_by)
    loaded = _load(workload, node, techniques, assumed)
    then("load", seconds(workload.model, loaded.rate), loaded.name)
    if techniques.engine is not Engine.NONE:
        then("init", assumed(f"engine.{techniques.engine}"), "")
    return phases


def _fetch(workload: Workload, node: Node, how: Fetch, assumed: Assumed) -> tuple[float, str]:
    if workload.model <= 0 or how in {Fetch.NONE, Fetch.STREAM, Fetch.MOUNT}:
        return 0.0, ""
    if how is Fetch.CACHED:
        return assumed("cache.hit"), "source"
    network, disk = machine.network(node, assumed), machine.store(node, assumed, reading=False)
    if how is Fetch.HYDRATE:
        bound = _on(disk, fetch_bound(None, network=network, disk_write=disk.rate, cpus=node.vcpus, assumed=assumed))
    else:
        bound = narrowest(network=network, downloader=assumed("download.engine"), **{disk.name: disk.rate})
    return seconds(workload.model, bound.rate), bound.name


def _beside(alone: float, other: float, contended: float) -> float:
    """Seconds of what takes `alone` by itself, and so many times as long while `other` lasts."""
    during = alone * contended
    return during if during <= other else other + alone - other / contended


def _load(workload: Workload, node: Node, techniques: Techniques, assumed: Assumed) -> Bound:
    reader, processes = workload.reader, workload.processes
    network = machine.network(node, assumed)
    if techniques.fetch is Fetch.NONE:
        return Bound("", 0.0)
    if techniques.fetch is Fetch.STREAM:
        return narrowest(network=network, reader=own_rate(reader, processes, assumed))
    if techniques.fetch is Fetch.MOUNT and techniques.volume is not None:
        return volume_bound(techniques.volume, reader, network=network, processes=processes, assumed=assumed)
    disk = machine.store(node, assumed, reading=True)
    return _on(disk, load_bound(reader, processes=processes, disk_read=disk.rate, assumed=assumed))


def _on(disk: Bound, bound: Bound) -> Bound:
    """The bound by its right name: without an instance store the disk is the root volume."""
    return Bound(disk.name, bound.rate) if bound.name == "disk" else bound
