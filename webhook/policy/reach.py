"""Checks on what a policy may reach that look at several fields: volumes, sources against `allow`, mount paths.

Each takes raw data of any type and yields findings; what has the wrong type is somebody else's finding.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from webhook.policy import volume_source
from webhook.policy.allow import OCI, allowed, canonical_source
from webhook.policy.finding import Finding, Path
from webhook.policy.presets import PRESETS
from webhook.policy.text import NO_SECRETS, NO_SECRETS_HINT, is_secret_config, own_name

_SOURCE_KINDS = ("value", "annotation", "label", "env", "arg", "expression")
_FILE = "file://"
_MOST_GLOBS = 2048
_CONFIG_KEY = re.compile(r"[a-z][a-z0-9_]*")


def named_volume(raw: Any) -> Iterator[Finding]:
    """A volume as in a pod: a name of its own and one source."""
    if not isinstance(raw, dict):
        return
    name = raw.get("name")
    if name is None:
        yield Finding("P011", 'missing field "name"', "give the volume a name", ("name",))
    elif not isinstance(name, str):
        yield Finding("P012", "must be a string", "quote it", ("name",))
    else:
        fault = own_name(name)
        if fault:
            yield Finding("P014", fault, at=("name",))
    yield from volume_source.faults(raw)


def cache_volume(raw: Any) -> Iterator[Finding]:
    """A volume source that a model can be written to."""
    yield from _nameless(raw)
    yield from volume_source.faults(raw, volume_source.CACHE_TYPES, "a cache must be writable and outlive a container")


def fallback_volume(raw: Any) -> Iterator[Finding]:
    """A volume source that every PodSecurity level allows."""
    yield from _nameless(raw)
    yield from volume_source.faults(
        raw, volume_source.FALLBACK_TYPES, "a fallback must be one that restricted namespaces allow"
    )


def _nameless(raw: Any) -> Iterator[Finding]:
    if isinstance(raw, dict) and "name" in raw:
        yield Finding("P010", 'unknown field "name"', "Warmpod names the volume itself", ("name",), on_key=True)


def one_source(raw: Any) -> Iterator[Finding]:
    """Exactly one way to the source; a literal one in its canonical alphabet."""
    if not isinstance(raw, dict):
        return
    given = [kind for kind in _SOURCE_KINDS if raw.get(kind) is not None]
    if len(given) != 1:
        message = f"must hold exactly one of {', '.join(_SOURCE_KINDS)}"
        yield Finding("P016", f"{message}; has {', '.join(given) or 'none'}")
    value = raw.get("value")
    if isinstance(value, str) and value.endswith("*"):
        yield Finding("P014", "a source names one model, not a pattern", "patterns belong in allow", ("value",))


def one_place(raw: Any) -> Iterator[Finding]:
    """A volume of sources says how: where `file://` paths find it, or which S3 prefix it shows."""
    if not isinstance(raw, dict):
        return
    given = [field for field in ("mountPath", "holds") if raw.get(field) is not None]
    if len(given) != 1:
        told = "has both" if given else "has neither"
        hint = "mountPath is for file:// sources, holds for s3:// ones"
        yield Finding("P016", f"must hold exactly one of mountPath and holds; {told}", hint)


def cache_place(raw: Any) -> Iterator[Finding]:
    """A preset or a volume, and of the preset's parameters those that it has."""
    if not isinstance(raw, dict):
        return
    preset, volume = raw.get("preset"), raw.get("volume")
    if (preset is None) == (volume is None):
        told = "has none" if preset is None else "has both"
        yield Finding("P016", f"must hold exactly one of preset and volume; {told}", f"presets: {', '.join(PRESETS)}")
    if preset is not None and raw.get("fallbackVolume") is not None:
        message = f'preset "{preset}" has the fallback that suits it'
        yield Finding("P016", message, "remove one of the two", ("fallbackVolume",), on_key=True)
    is_ephemeral = preset == "generic-ephemeral"
    for field in ("size", "storageClassName"):
        if is_ephemeral and raw.get(field) is None:
            yield Finding("P011", f'missing field "{field}"', "generic-ephemeral asks for a volume of that", (field,))
    if raw.get("size") is not None and volume is not None:
        yield Finding("P016", "size is a preset's", "use maxSize, or emptyDir.sizeLimit", ("size",), on_key=True)
    if raw.get("storageClassName") is not None and not is_ephemeral:
        message = "storageClassName is of preset generic-ephemeral alone"
        yield Finding("P016", message, "remove it", ("storageClassName",), on_key=True)


def profile_name(raw: Any) -> Iterator[Finding]:
    """`auto` means something else where profiles are named."""
    if isinstance(raw, dict) and raw.get("name") == "auto":
        yield Finding("P014", '"auto" is no profile\'s name', "clientProfiles: auto is what suits the pod", ("name",))


def profile_order(raw: Any) -> Iterator[Finding]:
    """What suits the pod fills in what the profiles before it leave open: nothing comes after it."""
    names = _list(raw.get("clientProfiles")) if isinstance(raw, dict) else []
    if "auto" in names[:-1]:
        at = ("clientProfiles", names.index("auto"))
        yield Finding("P016", "auto comes last: a profile after it would never win", "move it to the end", at)


def sources(raw: Any) -> Iterator[Finding]:
    """A pod never chooses outside `allow`, and `file://` sources have a volume that holds them."""
    if not isinstance(raw, dict):
        return
    source = raw.get("source")
    value = source.get("value") if isinstance(source, dict) else None
    patterns = [entry for entry in _list(raw.get("allow")) if isinstance(entry, str)]
    if value is not None and raw.get("allow") == []:
        yield Finding("P016", "an empty allow allows nothing", "remove it: a value allows itself", ("allow",))
    if isinstance(source, dict) and source.get("value") is None and not raw.get("allow"):
        yield Finding(
            "P016",
            "allow is required and not empty: the pod's author chooses this source",
            'list what may be chosen, for example allow: ["s3://BUCKET/*"]',
            ("allow",) if "allow" in raw else ("source",),
        )
    if isinstance(value, str) and patterns and canonical_source(value) and not allowed(value, patterns):
        yield Finding("P016", f'"{value}" is not among what allow lists', "add it or drop allow", ("source", "value"))
    files: list[tuple[Path, Any]] = [
        (("allow", index), entry) for index, entry in enumerate(_list(raw.get("allow"))) if _is_file(entry)
    ]
    if _is_file(value):
        files.append((("source", "value"), value))
    volume = raw.get("sourceVolume")
    if files and volume is None:
        yield Finding("P016", "a file:// source needs sourceVolume", "name the volume that holds it", files[0][0])
    yield from _delivery(raw, [*patterns, value] if isinstance(value, str) else patterns)
    if not isinstance(volume, dict):
        return
    holds = volume.get("holds")
    if isinstance(holds, str):
        yield from _held(raw, holds.rstrip("/") + "/")
        if files:
            message = "sourceVolume holds an S3 prefix, which no file:// source lies in"
            yield Finding("P016", message, "name its mountPath in place of holds", files[0][0])
    mount_path = volume.get("mountPath")
    if not isinstance(mount_path, str):
        return
    for at, entry in files:
        if not entry.removeprefix(_FILE).startswith(f"{mount_path.rstrip('/')}/"):
            message = f'"{entry}" does not lie under sourceVolume.mountPath {mount_path}'
            yield Finding("P016", message, "file:// paths begin with that mountPath", at)


def _delivery(raw: dict[str, Any], written: list[str]) -> Iterator[Finding]:
    """A model that may be mounted needs the volume it is mounted from; one that may be hydrated needs a cache."""
    delivery = raw.get("delivery", "hydrate")
    artifacts = [text for text in written if text.startswith(OCI)]
    only_artifacts = bool(artifacts) and len(artifacts) == len(written)
    if delivery in ("mount", "auto") and raw.get("sourceVolume") is None and not only_artifacts:
        hint = "name the volume that shows the source, or remove delivery"
        yield Finding("P016", f"delivery: {delivery} needs sourceVolume", hint, ("delivery",))
    if only_artifacts and (delivery != "hydrate" or raw.get("sourceVolume") is not None):
        field = "sourceVolume" if delivery == "hydrate" else "delivery"
        yield Finding(
            "P016", f"{field} means nothing for oci:// sources", "they are image volumes: remove it", (field,)
        )
    if raw.get("cache") is None and not only_artifacts and delivery != "mount":
        yield Finding("P011", 'missing field "cache"', "name a NodeCache: the model is hydrated into it", ("cache",))
    if raw.get("files") is not None and (only_artifacts or delivery == "mount"):
        message = "files are chosen where a model is hydrated; this one is mounted whole"
        yield Finding("P016", message, "remove it", ("files",), on_key=True)


def _held(raw: dict[str, Any], holds: str) -> Iterator[Finding]:
    """Where all that may be mounted must lie below what the volume shows, each source does."""
    source = raw.get("source")
    value = source.get("value") if isinstance(source, dict) else None
    places: list[tuple[Path, Any]] = [(("allow", index), entry) for index, entry in enumerate(_list(raw.get("allow")))]
    for at, entry in [*places, (("source", "value"), value)]:
        if not isinstance(entry, str) or not entry.startswith("s3://"):
            continue
        stem = entry[:-1] if entry.endswith("*") else f"{entry.rstrip('/')}/"
        if not stem.startswith(holds):
            message = f'"{entry}" does not lie under sourceVolume.holds {holds}'
            yield Finding("P016", message, "s3:// sources begin with that prefix", at)


def globs(raw: Any) -> Iterator[Finding]:
    """Globs that leave files, and that fit into an argument of the init container together."""
    if not isinstance(raw, dict):
        return
    included = [entry for entry in _list(raw.get("include")) if isinstance(entry, str)]
    excluded = [entry for entry in _list(raw.get("exclude")) if isinstance(entry, str)]
    for index, entry in enumerate(_list(raw.get("exclude"))):
        if entry == "*":
            yield Finding("P016", "leaves out every file", "remove it", ("exclude", index))
        elif entry in included:
            yield Finding("P016", f'"{entry}" is in include, too', "remove one of the two", ("exclude", index))
    if sum(map(len, included + excluded)) > _MOST_GLOBS:
        yield Finding("P014", f"include and exclude must not be longer than {_MOST_GLOBS} characters together")


def _is_file(entry: Any) -> bool:
    return isinstance(entry, str) and entry.startswith(_FILE)


def volume_names(raw: Any) -> Iterator[Finding]:
    """Two volumes of a name must be the same volume (mounted twice)."""
    first: dict[str, tuple[int, Any]] = {}
    for index, entry in enumerate(_list(raw)):
        volume = entry.get("volume") if isinstance(entry, dict) else None
        name = volume.get("name") if isinstance(volume, dict) else None
        if not isinstance(name, str):
            continue
        if name in first and first[name][1] != volume:
            message = f'volume "{name}" is another one in entry {first[name][0]}'
            yield Finding("P015", message, "rename one", (index, "volume", "name"))
        first.setdefault(name, (index, volume))


def mount_clashes(raw: Any) -> Iterator[Finding]:
    """Two mounts of one policy may share a path only where both name their containers, and none in common."""
    if not isinstance(raw, dict):
        return
    seen: list[tuple[str, str, set[str]]] = []
    for section in ("models", "volumes"):
        for index, entry in enumerate(_list(raw.get(section))):
            path = entry.get("mountPath") if isinstance(entry, dict) else None
            if not isinstance(path, str):
                continue
            containers = {name for name in _list(entry.get("containers")) if isinstance(name, str)}
            for other, place, theirs in seen:
                if other == path and (not containers or not theirs or containers & theirs):
                    message = f'"{path}" is the mountPath of {place} too'
                    yield Finding("P015", message, "mount one elsewhere", (section, index, "mountPath"))
                    break
            seen.append((path, f"{section}[{index}]", containers))


def aws_config(raw: Any) -> Iterator[Finding]:
    """Keys and values that one INI section can hold, without credentials."""
    if not isinstance(raw, dict):
        return
    for key, value in raw.items():
        yield from _config_key(key, (key,))
        if isinstance(value, dict):
            for inner, scalar in value.items():
                yield from _config_key(inner, (key, inner))
                yield from _config_value(scalar, (key, inner))
        else:
            yield from _config_value(value, (key,))


def _config_key(key: str, at: tuple[str, ...]) -> Iterator[Finding]:
    if is_secret_config(key):
        yield Finding("P018", f"{key} is refused: {NO_SECRETS}", NO_SECRETS_HINT, at, on_key=True)
    elif not _CONFIG_KEY.fullmatch(key):
        yield Finding("P014", "must be a setting like max_concurrent_requests", at=at, on_key=True)


def _config_value(value: Any, at: tuple[str, ...]) -> Iterator[Finding]:
    if not isinstance(value, str | int | float):
        yield Finding("P012", "must be a string, a number or true/false", at=at)
    elif isinstance(value, str) and (not value.isprintable() or value != value.strip() or not value):
        yield Finding("P014", "must be one line of text without spaces around it", at=at)


def _list(raw: Any) -> list[Any]:
    return raw if isinstance(raw, list) else []
