"""The init container that brings a pod's models into the node's cache, and what the pod's containers mount of it."""

from __future__ import annotations

from collections.abc import Container, Sequence
from fractions import Fraction
from typing import Any

from webhook.kube import Object, names
from webhook.kube.patch import equal
from webhook.kube.quantity import InvalidQuantity
from webhook.kube.quantity import parse as parse_quantity
from webhook.mutate import credentials, merge
from webhook.mutate.draft import Draft, Room
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
_OURS = ("image", "securityContext", "resources", "terminationMessagePolicy")
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


def hydrate(draft: Draft, loads: Sequence[Load], site: Site, wanting: Container[str]) -> str:
    """Have the models hydrated before the pod's own init containers run; or say why it cannot be, and change nothing.

    `wanting` are the containers that request an accelerator: the init container gets the resources and the credentials
    of the largest of them. A container of our name that we would not have made stays as it is.
    """
    if not loads:
        return ""
    spec = draft.sent["spec"]
    for field in ("containers", "ephemeralContainers"):
        if merge.named(merge.items(spec, field), names.INIT_CONTAINER) is not None:
            return f"the pod has a container {names.INIT_CONTAINER} of its own"
    wanted = container(draft, loads, site, wanting)
    room = draft.rooms.get(names.INIT_CONTAINER)
    if room is None:
        draft.insert(wanted, _place(merge.items(spec, "initContainers")))
    elif not equal(room.built, wanted):  # else an earlier review made it, and nobody has touched it since
        if not _is_ours(room, wanted, loads):
            return f"the pod has another init container {names.INIT_CONTAINER}"
        room.add_env(wanted.get("env", []))
        for mount in wanted["volumeMounts"]:
            room.add_mount(mount)
        if set(room.values("args")) != set(wanted["args"]):
            room.put("args", wanted["args"])
    for load in loads:
        for volume in load.volumes:
            draft.add_volume(volume)
        mount = load.mount
        for target in draft.chosen(load.targets):
            target.add_mount(mount)
    for load in loads:
        if load.model.redirect:
            redirect(draft, load.source, load.model.mount_path, load.targets)
    return ""


def container(draft: Draft, loads: Sequence[Load], site: Site, wanting: Container[str]) -> Object:
    """The init container for these models."""
    donor = _largest(draft, wanting)
    made: Object = {
        "name": names.INIT_CONTAINER,
        "image": site.hydrator_image,
        "args": [COMMAND, *[load.argument for load in _distinct(loads)]],
        "securityContext": _OWNER if any(load.needs_root for load in loads) else _CLEAN,
        "terminationMessagePolicy": "FallbackToLogsOnError",
    }
    endpoints = not _is_for_all(loads)
    env = credentials.environment(donor, draft.volumes, endpoints=endpoints)
    if env:
        made["env"] = env
    resources = copied_resources(donor)
    if resources:
        made["resources"] = resources
    mounts = {mount["mountPath"]: mount for load in loads for mount in load.init_mounts}
    for mount in credentials.mounts(donor, draft.volumes, endpoints=endpoints):
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


def _largest(draft: Draft, wanting: Container[str]) -> Object:
    apps = [draft.rooms[container["name"]] for container in merge.items(draft.sent["spec"], "containers")]
    candidates = [room for room in apps if room.name in wanting] or apps
    if len(candidates) == 1:
        return candidates[0].built
    return max(
        [room.built for room in candidates],
        key=lambda container: (_asks(container, "memory"), _asks(container, "cpu")),
        default={},
    )


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


def _distinct(loads: Sequence[Load]) -> Sequence[Load]:
    """One of those that bring the same files of a source into the same cache: the first."""
    if len(loads) == 1:
        return loads
    first: dict[tuple[str, str], Load] = {}
    for load in loads:
        first.setdefault((load.model.cache.name, load.directory), load)
    return list(first.values())


def _is_for_all(loads: Sequence[Load]) -> bool:
    return any(load.is_shared and load.model.cache.tenancy is Tenancy.CLUSTER for load in loads)


def _place(entries: list[Any]) -> int:
    place = 0
    while place < len(entries) and entries[place]["name"] in NETWORK:
        place += 1
    return place


def _is_ours(room: Room, wanted: Object, loads: Sequence[Load]) -> bool:
    """Tell a container that an earlier review made, and others may have added to, from one that bears our name."""
    existing, arguments = room.built, room.values("args")
    if existing.get("command") or existing.get("restartPolicy") or arguments[:1] != [COMMAND]:
        return False
    if not all(isinstance(argument, str) for argument in arguments) or not set(arguments) <= set(wanted["args"]):
        return False
    strangers = credentials.ENDPOINTS | credentials.AUTHORITIES
    if _is_for_all(loads) and any(entry["name"] in strangers for entry in room.env):
        return False
    if not all(_covers(existing, wanted, field) for field in _OURS):
        return False
    mounts = room.mounts
    for mount in wanted["volumeMounts"]:
        there = mounts.get(mount["mountPath"].rstrip("/"))
        if there is not None and not merge.covers(there, mount):
            return False
    return True


def _covers(existing: Object, wanted: Object, field: str) -> bool:
    """Tell whether a field that we would set is there as we would set it."""
    return field not in wanted or (field in existing and merge.covers(existing[field], wanted[field], field))
