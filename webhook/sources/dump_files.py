"""A cluster's objects as somebody saved them: one file of `kubectl get ... -o json`, or a directory of such files.

`kubectl get nodes,pods,namespaces -A -o json > dump.json` writes the first, `kubectl cluster-info dump -A -o json
--output-directory=DIR` the second (one file for each kind and namespace).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from webhook.inventory.objects import TYPES, Resource, Watched
from webhook.kube import Object

COMMAND = "kubectl get nodes,pods,namespaces -A -o json > dump.json"
"""Writes what `read` reads."""

_RESOURCES: dict[str, Resource] = {kind.__name__: resource for resource, kind in TYPES.items()}
_LIST = "List"


class UnreadableDump(ValueError):
    """The file, or a file of the directory, is no dump. The text names it and says why."""


class _Kind(msgspec.Struct, gc=False):
    kind: str = ""
    items: list[msgspec.Raw] | None = None


def read(path: Path) -> dict[Resource, list[Watched]]:
    """The objects that an inventory is made of, by resource; others are passed over.

    Raises UnreadableDump, also where there is no node at all, and OSError.
    """
    found: dict[Resource, list[Watched]] = {resource: [] for resource in TYPES}
    for file in _files(path):
        for kind, raw in _objects(file):
            resource = _RESOURCES.get(kind)
            if resource is not None:
                try:
                    found[resource].append(msgspec.json.decode(raw, type=TYPES[resource]))
                except (msgspec.MsgspecError, ValueError, RecursionError) as error:
                    raise UnreadableDump(f"{file}: a {kind} in it cannot be read: {error}") from error
    if not found["nodes"]:
        raise UnreadableDump(f"{path}: there is no Node in it")
    return found


def pods(path: Path) -> Iterator[Object]:
    """The pods of a dump as they are, one by one. Raises UnreadableDump, OSError."""
    for file in _files(path):
        for kind, raw in _objects(file):
            if kind == "Pod":
                try:
                    found: Object = msgspec.json.decode(raw, type=dict[str, Any])
                except (msgspec.MsgspecError, ValueError, RecursionError) as error:
                    raise UnreadableDump(f"{file}: a {kind} in it cannot be read: {error}") from error
                yield found


def _files(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    files = sorted(each for each in path.rglob("*.json") if each.is_file())
    if not files:
        raise UnreadableDump(f"{path}: there is no .json file in this directory")
    return files


def _objects(file: Path) -> Iterator[tuple[str, bytes | msgspec.Raw]]:
    """Each object of a file, with its kind; the items of a typed list (`NodeList`) do not repeat theirs."""
    data = file.read_bytes()
    document = _kind(file, data)
    if not document.kind.endswith(_LIST):
        yield document.kind, data
        return
    kind = document.kind.removesuffix(_LIST)
    for raw in document.items or ():
        yield kind or _kind(file, raw).kind, raw


def _kind(file: Path, data: bytes | msgspec.Raw) -> _Kind:
    try:
        found = msgspec.json.decode(data, type=_Kind)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise UnreadableDump(f"{file}: not JSON of Kubernetes objects: {error}") from error
    if not found.kind:
        raise UnreadableDump(f"{file}: not JSON of Kubernetes objects: an object has no kind")
    return found
