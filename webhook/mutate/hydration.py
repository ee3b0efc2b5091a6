"""The init container that brings a pod's models into the node's cache, and what the pod's containers mount of it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from fractions import Fraction
from typing import Any

from webhook.kube import Object, names
from webhook.kube import pod as pods
from webhook.kube.quantity import InvalidQuantity
from webhook.kube.quantity import parse as parse_quantity
from webhook.mutate import credentials, merge
from webhook.mutate.load import Load, Site
from webhook.mutate.redirect import redirect
from webhook.policy.model import Tenancy

COMMAND = "hydrate"
# They give the pod its network, or take it away until they have run.
NETWORK = frozenset(
    {
        "istio-init",
        "istio-validation",
        "istio-proxy",
        "linkerd-init",
        "linkerd-network-validator",
        "linkerd-proxy",
    }
)
_RESOURCES = ("cpu", "memory", "ephemeral-storage")
_CLEAN: Object = {
    "runAsUser": 65532,
    "runAsNonRoot": True,
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "readOnlyRootFilesystem": True,
    "seccompProfile": {"type": "RuntimeDefault"},
}
# A hostPath directory that the kubelet makes is root's; its owner needs no capability.
_OWNER: Object = {**_CLEAN, "runAsUser": 0, "runAsNonRoot": False}


def hydrate(pod: Object, loads: Sequence[Load], site: Site, wanting: Collection[str]) -> Object | str:
    """The pod whose models are hydrated before its own init containers run; or why it cannot be.

    `wanting` are the containers that request an accelerator: the init container gets the resources and the credentials
    of the largest of them. A container of our name that we would not have made stays as it is.
    """
    if not loads:
        return pod
    spec = pod["spec"]
    for field in ("containers", "ephemeralContainers"):
        if merge.named(merge.items(spec, field), names.INIT_CONTAINER) is not None:
            return f"the pod has a container {names.INIT_CONTAINER} of its own"
    wanted = container(pod, loads, site, wanting)
    existing = merge.named(merge.items(spec, "initContainers"), names.INIT_CONTAINER)
    if existing is None:
        pod = merge.with_spec(pod, "initContainers", _inserted(merge.items(spec, "initContainers"), wanted))
    elif not _is_ours(existing, wanted, loads):
        return f"the pod has another init container {names.INIT_CONTAINER}"
    else:
        joined = _joined(existing, wanted)
        if joined is not existing:
            entries = [joined if entry is existing else entry for entry in spec["initContainers"]]
            pod = merge.with_spec(pod, "initContainers", entries)
    for load in loads:
        for volume in load.volumes:
            pod = merge.add_volume(pod, volume)
        mount = load.mount
        pod = merge.edit_containers(pod, load.targets, lambda c, mount=mount: merge.add_mount(c, mount))  # type: ignore[misc]  # mypy does not see a default argument in a lambda
    for load in loads:
        if load.model.redirect:
            pod = redirect(pod, load.source, load.model.mount_path, load.targets)
    return pod


def container(pod: Object, loads: Sequence[Load], site: Site, wanting: Collection[str]) -> Object:
    """The init container for these models."""
    donor = _largest(pod, wanting)
    made: Object = {
        "name": names.INIT_CONTAINER,
        "image": site.hydrator_image,
        "args": [COMMAND, *dict.fromkeys(load.argument for load in _distinct(loads))],
        "securityContext": _OWNER if any(load.needs_root for load in loads) else _CLEAN,
        "terminationMessagePolicy": "FallbackToLogsOnError",
    }
    env = credentials.environment(donor, endpoints=not _is_for_all(loads))
    if env:
        made["env"] = env
    resources = copied_resources(donor)
    if resources:
        made["resources"] = resources
    mounts = {mount["mountPath"]: mount for load in loads for mount in load.init_mounts}
    for mount in credentials.mounts(donor, pod):
        mounts.setdefault(mount["mountPath"], mount)
    made["volumeMounts"] = list(mounts.values())
    return made


def copied_resources(donor: Object) -> Object:
    """Its requests and limits of cpu, memory and ephemeral storage, as they are written.

    What one container asks for twice over changes neither the pod's effective requests (the larger of init and app
    containers counts) nor its QoS class, and keeps whatever a LimitRange demands of each container.
    """
    resources = donor.get("resources")
    copied: Object = {}
    for field in ("requests", "limits"):
        given = resources.get(field) if isinstance(resources, dict) else None
        kept = {name: given[name] for name in _RESOURCES if name in given} if isinstance(given, dict) else {}
        if kept:
            copied[field] = kept
    return copied


def _largest(pod: Object, wanting: Collection[str]) -> Object:
    apps = pods.app_containers(pod)
    candidates = [container for container in apps if container.get("name") in wanting] or apps
    if len(candidates) == 1:
        return candidates[0]
    return max(candidates, key=lambda container: (_asks(container, "memory"), _asks(container, "cpu")), default={})


def _asks(container: Object, resource: str) -> int | Fraction:
    resources = container.get("resources")
    for field in ("requests", "limits"):
        given = resources.get(field) if isinstance(resources, dict) else None
        if isinstance(given, dict) and resource in given:
            try:
                return parse_quantity(given[resource])
            except InvalidQuantity:
                break
    return 0


def _distinct(loads: Sequence[Load]) -> list[Load]:
    """One of those that bring the same source into the same cache: the first."""
    first: dict[tuple[str, str], Load] = {}
    for load in loads:
        first.setdefault((load.model.cache.name, load.source.canonical), load)
    return list(first.values())


def _is_for_all(loads: Sequence[Load]) -> bool:
    return any(load.is_shared and load.model.cache.tenancy is Tenancy.CLUSTER for load in loads)


def _inserted(entries: list[Any], made: Object) -> list[Any]:
    place = 0
    while place < len(entries) and entries[place].get("name") in NETWORK:
        place += 1
    return [*entries[:place], made, *entries[place:]]


def _is_ours(existing: Object, wanted: Object, loads: Sequence[Load]) -> bool:
    """Tell a container that an earlier review made, and others may have added to, from one that bears our name."""
    arguments = existing.get("args")
    if existing.get("command") or existing.get("restartPolicy") or not isinstance(arguments, list):
        return False
    if not all(isinstance(argument, str) for argument in arguments) or arguments[:1] != [COMMAND]:
        return False
    if not set(arguments) <= set(wanted["args"]):
        return False
    if _is_for_all(loads) and any(e.get("name") in credentials.ENDPOINTS for e in merge.items(existing, "env")):
        return False
    fields = ("image", "securityContext", "resources", "terminationMessagePolicy")
    if not all(covers_field(existing, wanted, field) for field in fields):
        return False
    for mount in wanted["volumeMounts"]:
        there = merge.mount_at(existing, mount["mountPath"])
        if there is not None and not merge.covers(there, mount):
            return False
    return True


def covers_field(existing: Object, wanted: Object, field: str) -> bool:
    """Tell whether a field that we would set is there as we would set it."""
    return field not in wanted or (field in existing and merge.covers(existing[field], wanted[field], field))


def _joined(existing: Object, wanted: Object) -> Object:
    joined = merge.add_env(existing, wanted.get("env", []))
    for mount in wanted["volumeMounts"]:
        joined = merge.add_mount(joined, mount)
    if set(existing["args"]) != set(wanted["args"]):
        joined = {**joined, "args": wanted["args"]}
    return joined
