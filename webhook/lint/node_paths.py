"""Where on a node files can lie, by operating system: what is read-only, in memory, or on the small system disk.

Facts from: bottlerocket-core-kit, packages/release/{local,mnt,opt,var}.mount (bind mounts of the data volume) and the
Bottlerocket documentation, "Restricted Filesystem"; Container-Optimized OS, "Disks and file system overview"; Talos
Linux, "Architecture"; amazon-eks-ami, templates/al2023/runtime/bin/setup-local-disks (/mnt/k8s-disks).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from webhook.ec2.systems import ARRAY, EPHEMERAL
from webhook.kube import Object, affinity
from webhook.kube import pod as pods


@dataclass(frozen=True, slots=True)
class OperatingSystem:
    """One operating system of nodes.

    `writable` are the directories below which files can lie, empty where that is everywhere; `volatile` those of them
    in memory; `own` the paths by which one knows that somebody means this system. `labels` (key to value, "" for any)
    are of its nodes alone.
    """

    title: str
    writable: tuple[str, ...]
    volatile: tuple[str, ...]
    own: tuple[str, ...]
    labels: tuple[tuple[str, str], ...]


SYSTEMS = (
    OperatingSystem(
        title="Amazon Linux 2023",
        writable=(),
        volatile=("/tmp", "/run", "/dev"),  # noqa: S108  names of a node's directories, nothing is written
        own=(ARRAY,),
        labels=(),
    ),
    OperatingSystem(
        title="Bottlerocket",
        writable=("/local", "/mnt", "/opt", "/var", "/etc", "/run", "/tmp"),  # noqa: S108  as above
        volatile=("/etc", "/run", "/tmp"),  # noqa: S108  as above
        own=("/local", EPHEMERAL),
        labels=(
            ("bottlerocket.aws/updater-interface-version", ""),
            ("eks.amazonaws.com/compute-type", "auto"),
        ),
    ),
    OperatingSystem(
        title="Container-Optimized OS",
        writable=("/home", "/var", "/mnt/disks", "/mnt/stateful_partition", "/etc", "/run", "/tmp"),  # noqa: S108  as above
        volatile=("/etc", "/run", "/tmp"),  # noqa: S108  as above
        own=("/mnt/disks", "/mnt/stateful_partition"),
        labels=(("cloud.google.com/gke-os-distribution", "cos"),),
    ),
    OperatingSystem(
        title="Talos Linux",
        writable=("/var", "/run", "/tmp", "/system"),  # noqa: S108  as above
        volatile=("/run", "/tmp", "/system"),  # noqa: S108  as above
        own=("/var/mnt",),
        labels=(("extensions.talos.dev/schematic", ""),),
    ),
)

_NODES_OWN = (
    "/bin",
    "/boot",
    "/dev",
    "/etc",
    "/lib",
    "/lib64",
    "/proc",
    "/sbin",
    "/sys",
    "/usr",
    "/var/lib/containerd",
    "/var/lib/docker",
    "/var/lib/etcd",
    "/var/lib/kubelet",
    "/var/log",
)
_GONE_SOON = ("/dev/shm", "/run", "/tmp", "/var/run", "/var/tmp")  # noqa: S108  as above


def lies_below(path: str, directories: Iterable[str]) -> str:
    """The first of these directories that is the path or holds it; empty where none does."""
    return next((each for each in directories if path == each or path.startswith(f"{each}/")), "")


def hazard(path: str) -> str:
    """Why a cache must not lie here on any node; empty where there is no such reason."""
    soon = lies_below(path, _GONE_SOON)
    if soon:
        return f"{soon} is in memory on many nodes, or is swept"
    own = lies_below(path, _NODES_OWN)
    return f"{own} belongs to the node's own programs, and is read-only on many" if own else ""


def systems_without(path: str) -> list[OperatingSystem]:
    """The systems on which no such path can be made, for a path that does not tell which system is meant."""
    if any(lies_below(path, each.own) for each in SYSTEMS):
        return []
    return [each for each in SYSTEMS if each.writable and not lies_below(path, each.writable)]


def unfit(path: str, system: OperatingSystem) -> str:
    """What is wrong with the path on this system; empty where nothing is."""
    if system.writable and not lies_below(path, system.writable):
        return "its root is read-only, so that the pod's volume cannot be made there"
    if lies_below(path, system.volatile):
        return "it lies in memory there"
    meant = next((each for each in SYSTEMS if each is not system and lies_below(path, each.own)), None)
    if meant is not None and not lies_below(path, system.own):
        return f"that is a path of {meant.title}, and here an ordinary directory of the system's disk"
    return ""


def system_of(pod: Object) -> OperatingSystem | None:
    """The operating system of the nodes that a pod asks for by label, None where it does not say."""
    wanted = {key: {value} for key, value in pods.mapping(pods.spec(pod).get("nodeSelector")).items()}
    terms = affinity.required_terms(pod)
    if len(terms) == 1:  # of several, the scheduler may take any
        for requirement in pods.objects(terms[0].get("matchExpressions")):
            values, operator = requirement.get("values"), requirement.get("operator")
            if operator == "Exists":
                wanted.setdefault(requirement.get("key", ""), {""})
            elif operator == "In" and isinstance(values, list):
                wanted.setdefault(requirement.get("key", ""), set(map(str, values)))
    for system in SYSTEMS:
        for key, value in system.labels:
            if key in wanted and (not value or wanted[key] == {value}):
                return system
    return None
