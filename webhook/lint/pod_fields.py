"""What a Pod can hold, and what every review holds, by paths as expressions spell them.

Names and types are those of core/v1 in the version that `pod_schema.json` names, a file made of the API's own schema
(tests/lint/generate_pod_schema.py). What is always there was read from the API's types (no `omitempty`, or a struct)
and its defaults: the API server encodes a pod after defaulting, and before it makes a name of `generateName`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib import resources
from itertools import pairwise
from typing import Final

_OWN: Final[dict[str, dict[str, str]]] = {
    # k8s.io/api/admission/v1 AdmissionRequest without the objects.
    "AdmissionRequest": {
        **dict.fromkeys(("uid!", "namespace!", "operation!"), "string"),
        **dict.fromkeys(("name", "subResource", "requestSubResource"), "string"),
        **dict.fromkeys(("kind!", "requestKind"), "GroupVersionKind"),
        **dict.fromkeys(("resource!", "requestResource"), "GroupVersionResource"),
        "userInfo!": "UserInfo",
        "dryRun": "boolean",
        "options": "any",
    },
    "GroupVersionKind": dict.fromkeys(("group!", "version!", "kind!"), "string"),
    "GroupVersionResource": dict.fromkeys(("group!", "version!", "resource!"), "string"),
    "UserInfo": {"username!": "string", "uid": "string", "groups": "[string]", "extra": "{any}"},
    # What Warmpod gives: docs/policies.md, "CEL".
    "Namespace": {"metadata!": "NamespaceMetadata"},
    "NamespaceMetadata": {"name!": "string", "labels!": "{string}"},
    "Inventory": {"nodes!": "integer", "usable!": "boolean"},
}
_GIVEN: Final = frozenset(("Namespace", "NamespaceMetadata", "Inventory"))
_ROOTS: Final = {
    "object": "Pod",
    "request": "AdmissionRequest",
    "namespaceObject": "Namespace",
    "inventory": "Inventory",
}
_ALWAYS: Final = frozenset(
    {"object.apiVersion", "object.kind", "object.metadata", "object.metadata.namespace", "object.spec", "object.status"}
    | {f"object.spec.{name}" for name in ("dnsPolicy", "restartPolicy", "schedulerName", "securityContext")}
    | {"object.spec.terminationGracePeriodSeconds"}
    | {f"object.spec.containers[].{name}" for name in ("image", "imagePullPolicy", "resources")}
    | {f"object.spec.containers[].{name}" for name in ("terminationMessagePath", "terminationMessagePolicy")}
    | {
        f"object.spec.{kind}[].{name}"
        for kind in ("initContainers", "ephemeralContainers")
        for name in ("image", "resources")
    }
    | {"object.spec.containers[].ports[].protocol"}
)
WORDS: Final[dict[str, tuple[str, ...]]] = {
    "PodSpec.restartPolicy": ("Always", "OnFailure", "Never"),
    "PodSpec.dnsPolicy": ("ClusterFirst", "ClusterFirstWithHostNet", "Default", "None"),
    "PodSpec.preemptionPolicy": ("PreemptLowerPriority", "Never"),
    "Container.imagePullPolicy": ("Always", "IfNotPresent", "Never"),
    "Container.terminationMessagePolicy": ("File", "FallbackToLogsOnError"),
    "ContainerPort.protocol": ("TCP", "UDP", "SCTP"),
    "PodOS.name": ("linux", "windows"),
    "Toleration.operator": ("Equal", "Exists", "Lt", "Gt"),
    "Toleration.effect": ("NoSchedule", "PreferNoSchedule", "NoExecute"),
    "VolumeMount.mountPropagation": ("None", "HostToContainer", "Bidirectional"),
    "AdmissionRequest.operation": ("CREATE", "UPDATE", "DELETE", "CONNECT"),
}
"""The words that the API knows for a field: constants of k8s.io/api core/v1, types.go. Fields it may add to are out."""

_STEP = re.compile(r"\.[^.\[]+|\[\]|\['(?:[^'\\]|\\.)*'\]|\[\"(?:[^\"\\]|\\.)*\"\]")
_SCALARS: Final = frozenset(("string", "integer", "number", "boolean"))


@dataclass(frozen=True, slots=True)
class Unknown:
    """The first step of a path that leads nowhere. `known` is what could be meant; `reason` says it to people."""

    name: str
    holder: str
    known: tuple[str, ...]
    reason: str


@cache
def _schema() -> tuple[str, dict[str, dict[str, str]]]:
    data = json.loads(resources.files(__package__).joinpath("pod_schema.json").read_text(encoding="utf-8"))
    return data["kubernetes"], {**data["types"], **_OWN}


def version() -> str:
    """Return the version of Kubernetes whose fields these are, `1.37`."""
    return _schema()[0]


def prefixes(path: str) -> list[str]:
    """Return the path's own parts from the outside in: `object`, `object.spec`, `object.spec.containers`, ...

    A field named in brackets, `object['spec']`, counts as `object.spec`.
    """
    root = re.split(r"[.\[]", path, maxsplit=1)[0]
    parts = [root]
    for step in _STEP.findall(path[len(root) :]):
        plain = f".{step[2:-2]}" if step[:2] in {"['", '["'} and step[2:-2].isidentifier() else step
        parts.append(parts[-1] + plain)
    return parts


def steps(path: str) -> Iterator[tuple[str, str, str, bool]]:
    """Yield the parts of a path with the type of what holds each, its own type, and whether it is always there.

    Ends where nothing is known, or where the path leads nowhere.
    """
    parts = prefixes(path)
    kind = _ROOTS.get(parts[0], "any")
    types = _schema()[1]
    for holder, whole in pairwise(parts):
        step = whole[len(holder) :]
        name = step[1:] if step[:1] == "." else "" if step == "[]" else step[2:-2]
        outer, always = kind, False
        if kind[:1] == "[":
            if name:
                return
            kind, always = kind[1:-1], True
        elif kind[:1] == "{":
            kind = kind[1:-1]
        elif kind in types:
            fields = types[kind]
            always = f"{name}!" in fields or whole in _ALWAYS
            kind = fields.get(f"{name}!") or fields.get(name, "")
            if not kind:
                return
        else:
            return
        yield whole, outer, kind, always


def type_of(path: str) -> str:
    """Return the type at the end of a path: `string`, `[Container]`, `{string}`, ...; `any` where it is not known."""
    parts = prefixes(path)
    if len(parts) == 1:
        return _ROOTS.get(path, "any")
    found = list(steps(path))
    return found[-1][2] if len(found) == len(parts) - 1 else "any"


def words_of(path: str) -> tuple[str, ...]:
    """Return the words that the field at the end of the path can hold; none where it is free."""
    found = list(steps(path))
    if not found or found[-1][0] != prefixes(path)[-1]:
        return ()
    return WORDS.get(f"{found[-1][1]}.{found[-1][0].rpartition('.')[2]}", ())


def unknown_field(path: str) -> Unknown | None:
    """Return the first step of the path that leads nowhere; None where nothing is wrong or nothing is known."""
    parts = prefixes(path)
    done = 1 + len(list(steps(path)))
    if done == len(parts) or parts[0] not in _ROOTS:
        return None
    holder, whole = parts[done - 1], parts[done]
    kind, types = type_of(holder), _schema()[1]
    name = whole[len(holder) :].removeprefix(".")
    if kind[:1] == "[" and name != "[]":
        each = holder.rpartition(".")[2][:1]
        return Unknown(name, holder, (), f"{holder} is a list: go over it, {holder}.exists({each}, {each}.{name} ...)")
    if kind in types and name != "[]":
        known = tuple(field.removesuffix("!") for field in types[kind])
        return Unknown(name, holder, known, f"there is no field {name} in {holder} ({_source(kind)})")
    if kind in _SCALARS:
        return Unknown(name, holder, (), f"{holder} is a {kind}, which has no fields")
    return None


def _source(kind: str) -> str:
    return "what Warmpod gives" if kind in _GIVEN else f"{kind} of Kubernetes {version()}"


def optional_parts(path: str) -> list[str]:
    """Return the parts of a path that some pods lack, from the outside in."""
    return [part for part, _, _, always in steps(path) if not always and not part.endswith("[]")]


def required_fields(kind: str) -> dict[str, str]:
    """Return the fields that every value of a type has, with their types."""
    fields = _schema()[1].get(kind, {})
    return {name.removesuffix("!"): inner for name, inner in fields.items() if name.endswith("!")}
