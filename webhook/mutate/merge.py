"""Comparing what we want with what a pod has. What the pod has stays."""

from __future__ import annotations

from typing import Any

from webhook.kube import Object
from webhook.kube.quantity import InvalidQuantity
from webhook.kube.quantity import parse as parse_quantity

MAX_ANNOTATION_BYTES = 256 * 1024  # of all keys and values of an object: apimachinery, TotalAnnotationSizeLimitB
CONTAINER_LISTS = ("containers", "initContainers")
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
    """Tell whether the lists we add to are lists of named objects, no two containers of one name."""
    spec, metadata = pod.get("spec"), pod.get("metadata")
    if type(spec) is not dict or type(metadata) is not dict or not _are_named(spec.get("containers")):
        return False
    if type(metadata.get("annotations", {})) is not dict and metadata["annotations"] is not None:
        return False
    if not (_are_named(spec.get("initContainers")) and _are_named(spec.get("volumes"))):
        return False
    known: set[str] = set()
    for field in CONTAINER_LISTS:
        for container in spec.get(field) or ():
            if container["name"] in known:
                return False
            known.add(container["name"])
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
    if type(found) is not list:
        return False
    for entry in found:  # noqa: SIM110  a plain loop is faster, and this runs for every variable of every container
        if type(entry) is not dict or type(entry.get(key)) is not str:
            return False
    return True


def covers(existing: Any, wanted: Any, key: str = "") -> bool:
    """Tell whether `existing` is `wanted` and perhaps more: fields that the API server or another injector filled in.

    Lists must be of one length; sizes are compared as quantities, because the API server writes 1024Mi as 1Gi.
    """
    if existing is wanted or (type(wanted) is str and existing == wanted):
        return True
    if isinstance(wanted, dict):
        if not isinstance(existing, dict):
            return False
        for name, value in wanted.items():  # a plain loop: this runs for all that we would add
            if name not in existing or not covers(existing[name], value, name):
                return False
        return True
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


def annotation_bytes(annotations: Object) -> int:
    """How large they are by the API server's count: exactly where it matters, at least as large where it does not."""
    characters = 0
    for key, value in annotations.items():
        characters += len(key) + (len(value) if type(value) is str else 0)
    if characters * 4 <= MAX_ANNOTATION_BYTES:
        return characters * 4
    texts = (text for pair in annotations.items() for text in pair if type(text) is str)
    return sum(len(text.encode("utf-8", "surrogatepass")) for text in texts)
