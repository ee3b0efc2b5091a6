"""Places that do not serve: cache paths that nodes do not have, mounts that hide what is in the container."""

from __future__ import annotations

from collections.abc import Iterator

from webhook.admission.changes import changes
from webhook.kube import Object
from webhook.kube import pod as pods
from webhook.lint import node_paths
from webhook.lint.check import Check, Codes, Finding, Manifests
from webhook.lint.mount import Mount, mounts_of
from webhook.lint.node_paths import lies_below
from webhook.lint.trial import trials
from webhook.policy.model import NodeCache, Origin, Policy, PolicySet

CODES: Codes = {
    "W048": ("warning", "a cache where the node keeps its own files, or keeps none for long"),
    "W049": ("info", "a cache on a path that some operating systems cannot have"),
    "W050": ("warning", "a cache on a path that is not there on the nodes that a pod asks for"),
    "W052": ("warning", "a mount over a directory that the container needs"),
}

# Directories of images and of what the kubelet and others mount into containers; below them there is room for more.
_SYSTEM = ("/bin", "/boot", "/dev", "/etc", "/lib", "/lib32", "/lib64", "/opt", "/run", "/sbin", "/usr", "/var")
_USR = tuple(f"/usr/{name}" for name in ("bin", "lib", "lib64", "local", "sbin", "share"))
_LOCAL = tuple(f"/usr/local/{name}" for name in ("bin", "cuda", "lib", "nvidia"))
_SERVERS = ("/opt/conda", "/opt/nvidia", "/opt/tritonserver", "/opt/venv", "/vllm-workspace", "/sgl-workspace")
_IMAGES_OWN = frozenset((*_SYSTEM, *_USR, *_LOCAL, *_SERVERS, "/var/lib", "/var/run"))
_CREDENTIALS = ("/var/run/secrets", "/run/secrets")
_DEVICES = ("/dev",)
_FREE_DEVICES = ("/dev/shm", "/dev/hugepages", "/dev/mqueue")  # noqa: S108  a mount path of containers
_SCRATCH = frozenset({"/home", "/root", "/tmp", "/var/cache", "/var/tmp"})  # noqa: S108  as above


def _cache_paths(policy_set: PolicySet, _: Manifests) -> Iterator[tuple[Origin, Finding]]:
    for cache in policy_set.caches:
        path, at = _host_path(cache.volume), "spec.volume.hostPath.path"
        if not path:
            continue
        hazard = node_paths.hazard(path)
        hint = "use the node's data disk, for example /mnt/k8s-disks/0/warmpod on Amazon Linux 2023 with RAID0"
        if hazard:
            yield cache.origin, Finding("W048", at, f"{path}: {hazard}", hint)
            continue
        without = node_paths.systems_without(path)
        if without:
            titles = ", ".join(each.title for each in without)
            message = f"no {path} can be made on {titles}: pods there wait for their volume"
            yield cache.origin, Finding("W049", at, message, "fine where no such node runs these pods")


def _cache_systems(policy_set: PolicySet, manifests: Manifests) -> Iterator[tuple[Origin, Finding]]:
    told: set[str] = set()
    pinned = tuple(each for each in manifests if node_paths.system_of(each.pod) is not None)
    using = [policy for policy in policy_set.policies if any(_host_path(each.cache.volume) for each in policy.models)]
    for trial in trials(using, pinned):
        system = node_paths.system_of(trial.manifest.pod)
        assert system is not None
        for cache in _caches(trial.policy):
            path = _host_path(cache.volume)
            fault = node_paths.unfit(path, system) if path and cache.name not in told else ""
            if fault:
                told.add(cache.name)
                message = f"{trial.manifest.source} asks for nodes of {system.title}: {path}: {fault}"
                hint = "give these pods a policy with a cache of their own, or an emptyDir"
                yield cache.origin, Finding("W050", "spec.volume.hostPath.path", message, hint)


def _caches(policy: Policy) -> list[NodeCache]:
    return list({model.cache.name: model.cache for model in policy.models}.values())


def _host_path(volume: Object) -> str:
    path = pods.mapping(volume.get("hostPath")).get("path")
    return path if isinstance(path, str) else ""


def _hidden(policy_set: PolicySet, _: Manifests) -> Iterator[tuple[Origin, Finding]]:
    for policy in policy_set.policies:
        for mount in mounts_of(policy):
            why = _hides(mount)
            if why:
                hint = "use a directory of its own, such as /models"
                yield policy.origin, Finding("W052", mount.place, f"a mount at {mount.path} {why}", hint)


def _hides(mount: Mount) -> str:
    """What the mount takes from the container; empty where that is nothing it is known to need."""
    path = mount.path
    if lies_below(path, _CREDENTIALS):
        return "hides the credentials that the kubelet or the identity webhook puts there"
    if lies_below(path, _DEVICES) and not lies_below(path, _FREE_DEVICES):
        return "hides devices"
    if path in _IMAGES_OWN:
        return "hides what the image has there"
    if mount.read_only and path in _SCRATCH:
        return "leaves programs nowhere to write there"
    return ""


def _hidden_in_pods(policy_set: PolicySet, manifests: Manifests) -> Iterator[tuple[Origin, Finding]]:
    """What a container of these pods starts in or from."""
    told: set[tuple[str, str]] = set()
    for trial in trials([policy for policy in policy_set.policies if mounts_of(policy)], manifests):
        containers = {each.get("name"): each for each in pods.app_containers(trial.manifest.pod)}
        places = {each.path: each.place for each in mounts_of(trial.policy) if not _hides(each)}
        for name, path in changes(trial.manifest.pod, trial.decision.pod).mounts:
            needed = _needed(containers.get(name, {}), path)
            if needed and path in places and (trial.policy.name, path) not in told:
                told.add((trial.policy.name, path))
                message = f"a mount at {path} hides {needed} of container {name} of {trial.manifest.source}"
                yield trial.policy.origin, Finding("W052", places[path], message, "use a directory of its own")


def _needed(container: Object, path: str) -> str:
    command = container.get("command")
    program = command[0] if isinstance(command, list) and command else ""
    if isinstance(program, str) and program.startswith(f"{path}/"):
        return f"the program {program}"
    directory = container.get("workingDir")
    return f"the working directory {directory}" if isinstance(directory, str) and lies_below(directory, (path,)) else ""


CHECKS: tuple[Check, ...] = (_cache_paths, _cache_systems, _hidden, _hidden_in_pods)
