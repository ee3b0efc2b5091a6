"""The pods inside what people apply: any document that holds `spec.containers`, however deep."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from webhook.kube import Object
from webhook.kube import pod as pods

# The deepest template known (RayService) is 6 levels down; a List adds 2. The bound on places stops a document that is
# made of references to itself, which YAML allows.
_DEEPEST = 24
_MOST_PLACES = 200_000

_METADATA = ("labels", "annotations", "finalizers")


@dataclass(frozen=True, slots=True)
class FoundPod:
    """A pod as its controller would create it.

    `path` is where the template lies in the document (`spec.template`, empty for the document itself); `kind`, `name`
    and `namespace` are those of the object that holds it.
    """

    path: str
    pod: Object
    namespace: str | None
    kind: str
    name: str


@dataclass(frozen=True, slots=True)
class _Owner:
    kind: str
    name: str
    namespace: str | None


def pods_of(document: Any) -> Iterator[FoundPod]:
    """The pods of one document, in the order they are written; none when it holds none or is no object.

    Members of a List are objects of their own. Documents deeper than any workload, or referring to themselves, are read
    as far as the bounds go.
    """
    stack: list[tuple[Any, str, int, _Owner]] = [(document, "", 0, _Owner("", "", None))]
    room = _MOST_PLACES
    while stack:
        value, path, depth, owner = stack.pop()
        if type(value) is list:
            inner = [(item, f"{path}[{index}]") for index, item in enumerate(value)]
        elif type(value) is dict:
            owner = _owner(value, owner)
            spec = value.get("spec")
            if type(spec) is dict and type(spec.get("containers")) is list:
                yield _found(value, spec, path, owner)
                continue
            inner = [(item, f"{path}.{key}" if path else str(key)) for key, item in value.items()]
        else:
            continue
        room -= len(inner)
        if depth < _DEEPEST and room > 0:
            stack.extend(
                (item, place, depth + 1, owner)
                for item, place in reversed(inner)
                if type(item) is dict or type(item) is list
            )


def _owner(value: Object, outer: _Owner) -> _Owner:
    """The object itself when it says what it is, else the one it lies in."""
    kind = value.get("kind")
    if type(kind) is not str or type(value.get("apiVersion")) is not str:
        return outer
    metadata = pods.metadata(value)
    return _Owner(kind, _text(metadata.get("name")) or "", _text(metadata.get("namespace")) or outer.namespace)


def _found(template: Object, spec: Object, path: str, owner: _Owner) -> FoundPod:
    metadata = pods.metadata(template)
    namespace = owner.namespace or _text(metadata.get("namespace"))
    if owner.kind == "Pod" and template.get("kind") == "Pod":
        return FoundPod(path, template, namespace, owner.kind, owner.name or _text(metadata.get("generateName")) or "")
    made: Object = {"generateName": f"{owner.name or 'pod'}-"}
    if namespace:
        made["namespace"] = namespace
    made.update({key: metadata[key] for key in _METADATA if metadata.get(key) is not None})
    if owner.kind == "DaemonSet":
        # Of its pods it matters who made them: they are bound to their nodes, and no scheduler has a choice.
        made["ownerReferences"] = [
            {"apiVersion": "apps/v1", "kind": owner.kind, "name": owner.name, "controller": True}
        ]
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": made, "spec": spec}
    return FoundPod(path, pod, namespace, owner.kind, owner.name)


def _text(value: Any) -> str | None:
    return value if type(value) is str and value else None
