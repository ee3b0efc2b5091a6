"""Kubernetes volumes in policies: exactly one source of a known type, and inside the common ones only known fields.

An unknown field would pass through to the pod, where the API server refuses it or drops it: the pod would not start, or
start without what the policy promised. Types and fields are those of the core/v1 API (Kubernetes 1.37, `Volume`).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

from webhook.kube.quantity import InvalidQuantity
from webhook.kube.quantity import parse as parse_quantity
from webhook.policy.finding import Finding, suggestion
from webhook.policy.text import path_fault

# type -> (fields, of which required); None: not looked into, the API server knows best.
_TYPES: dict[str, tuple[frozenset[str], frozenset[str]] | None] = {
    "configMap": (frozenset({"name", "items", "defaultMode", "optional"}), frozenset({"name"})),
    "csi": (
        frozenset({"driver", "readOnly", "fsType", "volumeAttributes", "nodePublishSecretRef"}),
        frozenset({"driver"}),
    ),
    "downwardAPI": (frozenset({"items", "defaultMode"}), frozenset()),
    "emptyDir": (frozenset({"medium", "sizeLimit"}), frozenset()),
    "ephemeral": (frozenset({"volumeClaimTemplate"}), frozenset({"volumeClaimTemplate"})),
    "hostPath": (frozenset({"path", "type"}), frozenset({"path"})),
    "image": (frozenset({"reference", "pullPolicy"}), frozenset({"reference"})),
    "nfs": (frozenset({"server", "path", "readOnly"}), frozenset({"server", "path"})),
    "persistentVolumeClaim": (frozenset({"claimName", "readOnly"}), frozenset({"claimName"})),
    "projected": (frozenset({"sources", "defaultMode"}), frozenset({"sources"})),
    "azureDisk": None,
    "azureFile": None,
    "cephfs": None,
    "fc": None,
    "iscsi": None,
    "rbd": None,
}
CACHE_TYPES = frozenset({"hostPath", "emptyDir", "ephemeral", "persistentVolumeClaim", "csi", "nfs"})
FALLBACK_TYPES = frozenset({"emptyDir", "ephemeral", "persistentVolumeClaim"})
ALL_TYPES = frozenset(_TYPES)
_HOST_PATH_TYPES = frozenset({"", "Directory", "DirectoryOrCreate"})


def faults(raw: Any, allowed: Collection[str] = ALL_TYPES, why: str = "") -> Iterator[Finding]:
    """Say what is wrong with a volume source (a mapping of one type to its fields; `name` is the caller's)."""
    if not isinstance(raw, dict):
        return  # its field's type says so
    kinds = [key for key in raw if key != "name"]
    if len(kinds) != 1:
        given = f"has {len(kinds)} ({', '.join(map(repr, kinds[:4]))})" if kinds else "has none"
        yield Finding("P017", f"must hold exactly one volume type, {given}", "for example emptyDir: {}")
        return
    kind = kinds[0]
    if kind == "secret":
        yield Finding("P018", "a secret volume is refused: Warmpod never injects secrets", at=(kind,), on_key=True)
    elif kind not in _TYPES:
        message = f'"{kind}" is not a volume type that Warmpod knows'
        yield Finding("P017", message, suggestion(kind, allowed), (kind,), on_key=True)
    elif kind not in allowed:
        yield Finding("P017", f"{kind} is refused here: {why}", f"use {_either(allowed)}", (kind,), on_key=True)
    elif not isinstance(raw[kind], dict):
        yield Finding("P012", "must be a mapping", "write {} for all defaults" if kind == "emptyDir" else "", (kind,))
    else:
        yield from _fields(kind, raw[kind])


def _fields(kind: str, given: dict[str, Any]) -> Iterator[Finding]:
    known = _TYPES[kind]
    if known is None:
        return
    fields, required = known
    for name in given:
        if name not in fields:
            yield Finding("P010", f'unknown field "{name}"', suggestion(name, fields), (kind, name), on_key=True)
    for name in sorted(required - given.keys()):
        yield Finding("P011", f'missing field "{name}"', "", (kind, name))
    for name in ("claimName", "path", "server", "driver", "reference", "medium", "type", "name"):
        if name in given and name in fields and not isinstance(given[name], str):
            yield Finding("P012", "must be a string", "quote it", (kind, name))
    for name in ("readOnly", "optional"):
        if name in given and name in fields and not isinstance(given[name], bool):
            yield Finding("P012", "must be true or false", "", (kind, name))
    if kind == "emptyDir" and "sizeLimit" in given:
        yield from _size(given["sizeLimit"])
    if kind == "hostPath":
        yield from _host_path(given)
    if kind == "projected":
        yield from _projected(given.get("sources"))


def _size(given: Any) -> Iterator[Finding]:
    try:
        positive = not isinstance(given, bool) and isinstance(given, str | int) and parse_quantity(given) > 0
    except InvalidQuantity:
        positive = False
    if not positive:
        yield Finding("P014", "must be a quantity above zero, like 200Gi", at=("emptyDir", "sizeLimit"))


def _host_path(given: dict[str, Any]) -> Iterator[Finding]:
    path, kind = given.get("path"), given.get("type", "")
    if isinstance(path, str):
        fault = path_fault(path)
        if fault:
            yield Finding("P014", fault, "name one directory of the node", ("hostPath", "path"))
    if isinstance(kind, str) and kind not in _HOST_PATH_TYPES:
        message = f'"{kind}" is not a type that holds files'
        yield Finding("P013", message, "use DirectoryOrCreate or Directory", ("hostPath", "type"))


def _projected(sources: Any) -> Iterator[Finding]:
    for index, source in enumerate(sources if isinstance(sources, list) else []):
        if isinstance(source, dict) and "secret" in source:
            message = "a secret is refused here: Warmpod never injects secrets"
            yield Finding("P018", message, at=("projected", "sources", index, "secret"), on_key=True)


def _either(names: Collection[str]) -> str:
    *most, last = sorted(names)
    return f"{', '.join(most)} or {last}" if most else last
