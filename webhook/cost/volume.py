"""How fast a reader gets a model out of a volume, or off the node's disk."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

from webhook.cost.figures import LIKELY, Assumed
from webhook.cost.seconds import Bound, narrowest


class Reader(StrEnum):
    """What brings the weights into the process."""

    SAFETENSORS = "safetensors"
    """The stock loader of Hugging Face, vLLM and SGLang: maps the files and copies them page by page."""
    PREFETCH = "prefetch"
    """The same told not to map: vLLM's `--safetensors-load-strategy` eager or prefetch, SGLang's
    `--weight-loader-disable-mmap`."""
    STREAMER = "streamer"
    """Run:ai Model Streamer (`--load-format runai_streamer`): many reads at once."""
    TRITON = "triton"
    """Triton's backends: one file after another, from its beginning to its end."""
    UNKNOWN = "unknown"
    """Counted as the stock loader, which is what most containers run."""


class VolumeKind(StrEnum):
    """What is behind a mounted volume."""

    MOUNTPOINT = "mountpoint"
    MOUNTPOINT_CACHE = "mountpoint-cache"
    """What Mountpoint's local cache holds already."""
    LUSTRE = "lustre"
    NFS = "nfs"
    OTHER = "other"


class Volume(NamedTuple):
    """A mounted volume. `throughput` is what one node gets of it, in bytes per second; 0: as its kind usually gives."""

    kind: VolumeKind
    throughput: float = 0.0


def own_rate(reader: Reader, processes: int, assumed: Assumed = LIKELY) -> float:
    """What the reader takes of a disk that is fast enough. Each process of a stock loader reads its own part."""
    rate = assumed(f"reader.{Reader.SAFETENSORS if reader is Reader.UNKNOWN else reader}")
    return rate * max(processes, 1) if _mapped(reader) or reader is Reader.PREFETCH else rate


def volume_bound(
    volume: Volume, reader: Reader | None, *, network: float, processes: int = 1, assumed: Assumed = LIKELY
) -> Bound:
    """What limits reading from the volume: `network`, `volume`, the `reader` (None: the hydrator), or its `pages`.

    `network` is the node's, in bytes per second, 0 where it is not known.
    """
    parallel = volume.kind is VolumeKind.MOUNTPOINT and reader in {None, Reader.STREAMER, Reader.PREFETCH}
    usual = assumed(f"volume.{volume.kind}.{'parallel' if parallel else 'sequential'}")
    bounds = {"volume": volume.throughput if volume.throughput > 0 else usual}
    if volume.kind is not VolumeKind.MOUNTPOINT_CACHE:
        bounds = {"network": network_rate(network, assumed), **bounds}
    if reader is not None:
        bounds["reader"] = own_rate(reader, processes, assumed)
        if _mapped(reader):
            # Each process waits for its own pages, whatever the volume could give to one that asks for more at once.
            bounds["pages"] = assumed(f"volume.{volume.kind}.mapped") * max(processes, 1)
    return narrowest(**bounds)


def network_rate(network: float, assumed: Assumed = LIKELY) -> float:
    """The network's bytes per second, or what a node of unknown type has."""
    return network if network > 0 else assumed("network.unknown")


def _mapped(reader: Reader) -> bool:
    return reader in {Reader.SAFETENSORS, Reader.UNKNOWN}
