"""Whether a model is read sooner from the node's cache, filled first, or straight from a mounted volume.

Both ways end with the reader taking every byte, so that, and what lies before it, is all that counts; the engine's own
start is the same either way and left out.

    found = compare(
        16_400_000_000,
        Reader.STREAMER,
        network=line_rate(5),                     # of the slowest node the pod may land on; 0 unknown
        volume=Volume(VolumeKind.MOUNTPOINT),
        from_s3=True,                             # the hydrator reads S3, not the volume
        warm=False,
        shared=True,
    )
    found.choice                                  # "mount"
    round(found.hydrate.seconds)                  # 37
    round(found.mount.seconds)                    # 26
    found.why                                     # "the mount takes about 26 s, limited by the network, hydrating ..."
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple

from webhook.cost.figures import LIKELY, Assumed, Case
from webhook.cost.hydration import CPUS, fetch_bound, load_bound
from webhook.cost.seconds import WORDS, Bound, seconds
from webhook.cost.volume import Reader, Volume, volume_bound

Way = Literal["hydrate", "mount"]

# A mount ties every restart of the pod to one file system, so it has to win clearly: by a tenth, and by seconds.
_MARGIN = 0.1
_NOTICED = 5.0


class Estimate(NamedTuple):
    """Seconds of one way: `fetch` into the cache (0 for a mount and for a hit), then `load` into the process.

    `best` and `worst` are the seconds of both where every figure is at the good, or the bad, end of its range.
    `fetch_bound` and `load_bound` say what limits each part; `webhook.cost.seconds.WORDS` has their names.
    """

    fetch: float
    load: float
    fetch_bound: Bound
    load_bound: Bound
    best: float
    worst: float

    @property
    def seconds(self) -> float:
        """Both parts."""
        return self.fetch + self.load


class Comparison(NamedTuple):
    """Both ways, the one to take, and why in one line. `certain`: the other is faster at neither end of the range."""

    hydrate: Estimate
    mount: Estimate
    choice: Way
    certain: bool
    why: str


class _Reading(NamedTuple):
    """What is read by whom. `disk_read` and `disk_write` are of the node's cache, `network` of the node."""

    size: int
    reader: Reader
    processes: int
    volume: Volume
    from_s3: bool
    network: float
    disk_read: float
    disk_write: float
    cpus: float


def compare(
    size: int,
    reader: Reader,
    *,
    network: float,
    volume: Volume,
    from_s3: bool,
    warm: bool,
    shared: bool,
    disk_read: float = 0.0,
    disk_write: float = 0.0,
    starts: float = 1.0,
    processes: int = 1,
    cpus: float = 0.0,
) -> Comparison:
    """Both ways for `size` bytes, from the first init container until they are in the reader's processes.

    `network`, `disk_read` and `disk_write` are bytes per second of the slowest node the pod may land on, 0 where they
    are not known. `processes` read at once, each its own part: the accelerators of a tensor parallel engine. `warm`:
    the node that the pod is steered to holds the model, so nothing is fetched. `shared`: the cache outlives the pod;
    then one fetch serves `starts` pods on a node, and each bears its part. A model of unknown size (0, or less) is
    hydrated. `cpus` are the pod's, and the hydrator's; 0: as many as so many accelerators are sold with at least.
    `webhook.cost.hydration.array` says what a node's disks give.
    """
    cpus = cpus if cpus > 0 else CPUS * max(processes, 1)
    reading = _Reading(size, reader, processes, volume, from_s3, network, disk_read, disk_write, cpus)
    part = 0.0 if warm else 1 / max(starts, 1.0) if shared else 1.0
    hydrate = _estimate(lambda assumed: _hydrated(reading, part, assumed))
    mount = _estimate(lambda assumed: _mounted(reading, assumed))
    if size <= 0:
        return Comparison(hydrate, mount, "hydrate", certain=False, why="its size is not known, so it is hydrated")
    won = hydrate.seconds - mount.seconds
    choice: Way = "mount" if won > max(_MARGIN * hydrate.seconds, _NOTICED) else "hydrate"
    taken, left = (mount, hydrate) if choice == "mount" else (hydrate, mount)
    certain = taken.worst <= left.worst and taken.best <= left.best
    ways = [f"hydrating takes about {_told(hydrate)}", f"the mount takes about {_told(mount)}"]
    if warm:
        ways[0] += ", for the node holds it already"
    if choice == "mount":
        ways.reverse()
    doubt = "" if certain else "; on other machines the other way may be faster"
    return Comparison(hydrate, mount, choice, certain, "; ".join(ways) + doubt)


class _Parts(NamedTuple):
    fetch: float
    load: float
    fetch_bound: Bound
    load_bound: Bound


def _estimate(parts: Callable[[Assumed], _Parts]) -> Estimate:
    likely, best, worst = (parts(assumed) for assumed in (LIKELY, Assumed(Case.FAST), Assumed(Case.SLOW)))
    return Estimate(*likely, best=best.fetch + best.load, worst=worst.fetch + worst.load)


def _mounted(reading: _Reading, assumed: Assumed) -> _Parts:
    bound = volume_bound(
        reading.volume, reading.reader, network=reading.network, processes=reading.processes, assumed=assumed
    )
    return _Parts(0.0, seconds(reading.size, bound.rate), Bound("", 0.0), bound)


def _hydrated(reading: _Reading, part: float, assumed: Assumed) -> _Parts:
    """Fetch and load one after the other: the reader's container starts when the init container has ended."""
    filled = fetch_bound(
        None if reading.from_s3 else reading.volume,
        network=reading.network,
        disk_write=reading.disk_write,
        cpus=reading.cpus,
        assumed=assumed,
    )
    loaded = load_bound(reading.reader, processes=reading.processes, disk_read=reading.disk_read, assumed=assumed)
    return _Parts(seconds(reading.size * part, filled.rate), seconds(reading.size, loaded.rate), filled, loaded)


def _told(estimate: Estimate) -> str:
    load = f"limited by {WORDS[estimate.load_bound.name]}"
    if estimate.fetch <= 0:
        return f"{estimate.load:.0f} s, {load}"
    fetch = f"{estimate.fetch:.0f} s to fetch, limited by {WORDS[estimate.fetch_bound.name]}"
    return f"{estimate.seconds:.0f} s ({fetch}, and {estimate.load:.0f} s to load, {load})"
