"""How fast a reader gets a model out of a volume, or off the node's disk."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

from webhook.cost.figures import Case, figure
from webhook.cost.seconds import Bound, narrowest

WORDS = {
    "network": "the network",
    "disk": "the disk",
    "client": "the hydrator's CPUs",
    "reader": "the reader",
    "volume": "the volume",
    "pages": "reads page by page",
}
"""What each bound is called, for people."""


class Reader(StrEnum):
    """What brings the weights into the process."""

    SAFETENSORS = "safetensors"
    """The stock loader of Hugging Face, vLLM and SGLang: maps the files and copies them page by page."""
    STREAMER = "streamer"
    """Run:ai Model Streamer (`--load-format runai_streamer`): many reads at once."""
    TRITON = "triton"
    """Triton's backends: one file after another, from its beginning to its end."""
    UNKNOWN = "unknown"
    """Counted as the stock loader, which is what most containers run."""


class VolumeKind(StrEnum):
    """What is behind a mounted volume."""

    MOUNTPOINT = "mountpoint"
    LUSTRE = "lustre"
    NFS = "nfs"
    OTHER = "other"


class Volume(NamedTuple):
    """A mounted volume. `throughput` is what one node gets of it, in bytes per second; 0: as its kind usually gives."""

    kind: VolumeKind
    throughput: float = 0.0


def own_rate(reader: Reader, processes: int, case: Case = Case.LIKELY) -> float:
    """What the reader takes of a disk that is fast enough. Each process of a stock loader reads its own part."""
    stock = reader in {Reader.SAFETENSORS, Reader.UNKNOWN}
    rate = figure("reader.safetensors" if stock else f"reader.{reader}").at(case)
    return rate * max(processes, 1) if stock else rate


def volume_bound(
    volume: Volume, reader: Reader | None, *, network: float, processes: int = 1, case: Case = Case.LIKELY
) -> Bound:
    """What limits reading from the volume: `network`, `volume` the `reader` (None: the hydrator), or its `pages`.

    `network` is the node's, in bytes per second, 0 where it is not known.
    """
    many = reader is None or reader is Reader.STREAMER
    mapped = reader in {Reader.SAFETENSORS, Reader.UNKNOWN}
    how = "parallel" if many and volume.kind is VolumeKind.MOUNTPOINT else "sequential"
    given = volume.throughput if volume.throughput > 0 else figure(f"volume.{volume.kind}.{how}").at(case)
    bounds = {"network": network_rate(network, case), "volume": given}
    if reader is not None:
        bounds["reader"] = own_rate(reader, processes, case)
    if mapped:
        # Page by page, each process waits for its own pages, whatever the volume could give to one that asks for more.
        bounds["pages"] = figure(f"volume.{volume.kind}.mapped").at(case) * max(processes, 1)
    return narrowest(**bounds)


def network_rate(network: float, case: Case = Case.LIKELY) -> float:
    """The network's bytes per second, or what a node of unknown type has."""
    return network if network > 0 else figure("network.unknown").at(case)
