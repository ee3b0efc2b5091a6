"""Joining what we want with what a pod has: by name, and what the pod has stays.

Every function gives back the very object it got where there is nothing to change, so that `is` tells a pod we would
leave alone from one we would not.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from typing import Any

from webhook.kube import Object
from webhook.kube.quantity import InvalidQuantity
from webhook.kube.quantity import parse as parse_quantity

MAX_ANNOTATION_BYTES = 256 * 1024  # of all keys and values of an object: apimachinery, TotalAnnotationSizeLimitB
_CONTAINER_LISTS = ("containers", "initContainers")
_QUANTITY_KEYS = frozenset({"sizeLimit", "storage"})


def items(holder: Object, field: str) -> list[Any]:
    """The list in a field; an empty one where there is none."""
    found = holder.get(field)
    return found if type(found) is list else []


def named(entries: list[Any], name: str) -> Object | None:
    """The first entry of this name."""
    for entry in entries:
        if type(entry) is dict and entry.get("name") == name:
            return entry
    return None


def is_sound(pod: Object) -> bool:
    """Tell whether the lists we add to are lists of named objects, as in every pod that the API server has decoded."""
    spec, metadata = pod.get("spec"), pod.get("metadata")
    if type(spec) is not dict or type(metadata) is not dict or not _are_named(spec.get("containers")):
        return False
    if type(metadata.get("annotations", {})) is not dict and metadata["annotations"] is not None:
        return False
    if not (_are_named(spec.get("initContainers")) and _are_named(spec.get("volumes"))):
        return False
    for field in _CONTAINER_LISTS:
        for container in spec.get(field) or ():
            for inner in ("args", "command"):
                if type(container.get(inner, [])) is not list and container[inner] is not None:
                    return False
            mounts = container.get("volumeMounts")
            if not (_are_named(container.get("env")) and _are_named(mounts) and _are_named(mounts, "mountPath")):
                return False
    return True


def _are_named(found: Any, key: str = "name") -> bool:
    if found is None:
        return True
    return type(found) is list and all(type(entry) is dict and type(entry.get(key)) is str for entry in found)


def covers(existing: Any, wanted: Any, key: str = "") -> bool:
    """Tell whether `existing` is `wanted` and perhaps more: fields that the API server or another injector filled in.

    Lists must be of one length; sizes are compared as quantities, because the API server writes 1024Mi as 1Gi.
    """
    if existing is wanted:
        return True
    if isinstance(wanted, dict):
        return isinstance(existing, dict) and all(
            name in existing and covers(existing[name], value, name) for name, value in wanted.items()
        )
    if isinstance(wanted, list):
        return (
            isinstance(existing, list)
            and len(existing) == len(wanted)
            and all(covers(mine, theirs) for mine, theirs in zip(existing, wanted, strict=True))
        )
    if isinstance(wanted, bool) or isinstance(existing, bool):
        return False  # else the one constant would have been the other
    if bool(existing == wanted):
        return True
    if key not in _QUANTITY_KEYS:
        return False
    try:
        return bool(parse_quantity(existing) == parse_quantity(wanted))
    except InvalidQuantity:
        return False


def with_spec(pod: Object, field: str, value: Any) -> Object:
    """The pod with one field of its spec set."""
    return {**pod, "spec": {**pod["spec"], field: value}}


def each_container(pod: Object, targets: Collection[str]) -> Iterator[Object]:
    """The app and init containers of these names."""
    spec = pod["spec"]
    for field in _CONTAINER_LISTS:
        for container in items(spec, field):
            if container.get("name") in targets:
                yield container


def edit_containers(pod: Object, targets: Collection[str], edit: Callable[[Object], Object]) -> Object:
    """The pod with `edit` applied to its app and init containers of these names."""
    spec = changed = pod["spec"]
    for field in _CONTAINER_LISTS:
        before = after = items(spec, field)
        for index, container in enumerate(before):
            if container.get("name") in targets:
                new = edit(container)
                if new is not container:
                    if after is before:
                        after = before.copy()
                    after[index] = new
        if after is not before:
            changed = {**changed, field: after}
    return pod if changed is spec else {**pod, "spec": changed}


def volume_fits(pod: Object, volume: Object) -> bool:
    """Tell whether the pod has no volume of that name, or the same one."""
    existing = named(items(pod["spec"], "volumes"), volume["name"])
    return existing is None or covers(existing, volume)


def add_volume(pod: Object, volume: Object) -> Object:
    """The pod with the volume, unless it has one of that name."""
    volumes = items(pod["spec"], "volumes")
    if named(volumes, volume["name"]) is not None:
        return pod
    return with_spec(pod, "volumes", [*volumes, volume])


def mount_at(container: Object, path: str) -> Object | None:
    """What a container mounts at a path, a slash at the end or not."""
    path = path.rstrip("/")
    for mount in items(container, "volumeMounts"):
        at = mount.get("mountPath")
        if at == path or (type(at) is str and at.rstrip("/") == path):
            return mount  # type: ignore[no-any-return]  # entries of a pod's lists are Any
    return None


def add_mount(container: Object, mount: Object) -> Object:
    """The container with the mount, unless it mounts something at that path."""
    if mount_at(container, mount["mountPath"]) is not None:
        return container
    return {**container, "volumeMounts": [*items(container, "volumeMounts"), mount]}


def add_env(container: Object, entries: list[Object]) -> Object:
    """The container with those variables that it does not set itself, after its own."""
    existing = items(container, "env")
    known = {entry.get("name") for entry in existing} if existing else ()
    new = [entry for entry in entries if entry["name"] not in known]
    return {**container, "env": [*existing, *new]} if new else container


def annotate(pod: Object, key: str, value: str) -> Object:
    """The pod with the annotation, unless it has one of that key or no room for it."""
    metadata = pod["metadata"]
    annotations = metadata.get("annotations") or {}
    if key in annotations:
        return pod
    together = {**annotations, key: value}
    if annotation_bytes(together) > MAX_ANNOTATION_BYTES:
        return pod
    return {**pod, "metadata": {**metadata, "annotations": together}}


def annotation_bytes(annotations: Object) -> int:
    """How large they are by the API server's count: exactly where it matters, at least as large where it does not."""
    characters = 0
    for key, value in annotations.items():
        characters += len(key) + (len(value) if type(value) is str else 0)
    if characters * 4 <= MAX_ANNOTATION_BYTES:
        return characters * 4
    texts = (text for pair in annotations.items() for text in pair if type(text) is str)
    return sum(len(text.encode("utf-8", "surrogatepass")) for text in texts)
