"""What starts, where, and by which techniques: what an estimate of a start is made from.

Sizes are bytes, rates bytes per second.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from webhook.cost.figures import Assumed
from webhook.cost.volume import Reader, Volume


class Pull(StrEnum):
    """How the image gets onto the node."""

    CONTAINERD = "containerd"
    """As EKS nodes come."""
    SOCI_AL2023 = "soci-al2023"
    """nodeadm's FastImagePull: parallel download and unpacking."""
    SOCI_BOTTLEROCKET = "soci-bottlerocket"
    """Bottlerocket's SOCI snapshotter in parallel mode."""
    SNAPSHOT = "snapshot"
    """A volume made from an EBS snapshot that holds the image, and nothing more: blocks come when they are read."""
    SNAPSHOT_100 = "snapshot-100"
    """The same with volumeInitializationRate 100."""
    SNAPSHOT_200 = "snapshot-200"
    """The same with volumeInitializationRate 200."""
    SNAPSHOT_300 = "snapshot-300"
    """The same with volumeInitializationRate 300."""
    SNAPSHOT_FSR = "snapshot-fsr"
    """The same with Fast Snapshot Restore, while its credits last."""
    PRESENT = "present"
    """The node has run it before."""


class Fetch(StrEnum):
    """How the model gets to the reader."""

    NONE = "none"
    """There is no model, or it is in the image."""
    DOWNLOAD = "download"
    """The engine downloads it when it starts."""
    HYDRATE = "hydrate"
    """The init container brings it into the node's cache."""
    CACHED = "cached"
    """It is in the node's cache."""
    STREAM = "stream"
    """The engine reads S3 straight into its memory."""
    MOUNT = "mount"
    """The engine reads a mounted volume."""


class Engine(StrEnum):
    """What the engine does between its weights and its first answer."""

    COMPILE = "compile"
    COMPILED = "compiled"
    """A compile cache of the same image, accelerator and model is there."""
    EAGER = "eager"
    """It compiles nothing."""
    NONE = "none"
    """It serves at once."""


@dataclass(frozen=True, slots=True)
class Workload:
    """A pod. `image` is compressed, as the registry counts; `unpacked` 0 where it is not known.

    `processes` load the model, each its own part: the accelerators of a tensor parallel engine. `snapshot` is what the
    snapshot with its image holds altogether; 0: this image alone.
    """

    image: int
    model: int = 0
    reader: Reader = Reader.SAFETENSORS
    processes: int = 1
    unpacked: int = 0
    snapshot: int = 0

    def on_disk(self, assumed: Assumed) -> float:
        """The bytes of the unpacked image."""
        return self.unpacked if self.unpacked > 0 else self.image * assumed("image.unpacked")


@dataclass(frozen=True, slots=True)
class Node:
    """A machine. Its rates, 0 where they are not known; `disks` are of its instance store, 0 for none.

    `network` is what it can count on, `network_peak` what it may have for some minutes; `ebs` its limit to all EBS
    volumes; `root` what its root volume was bought with. `vcpus` and `memory` 0: enough.
    """

    network: float = 0.0
    network_peak: float = 0.0
    ebs: float = 0.0
    root: float = 0.0
    disks: int = 0
    vcpus: int = 0
    memory: int = 0


@dataclass(frozen=True, slots=True)
class Techniques:
    """How it starts. `new_node`: one has to be launched first. `nvme`: images lie on the instance store, if any.

    `overlap`: image and model come at the same time, as where an agent outside of the pod brings the model; in a pod
    of EKS the init container ends before the image of the next one is pulled. `volume` is what MOUNT mounts.
    """

    pull: Pull = Pull.CONTAINERD
    fetch: Fetch = Fetch.DOWNLOAD
    engine: Engine = Engine.COMPILE
    new_node: bool = True
    nvme: bool = False
    overlap: bool = False
    volume: Volume | None = None
