"""JSON values against each other: equal, merged, and what one lacks of what the other asks for, in words."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, Final

from webhook.policy.legibility import shown

#: What stands nowhere; not null, which is a value.
ABSENT: Final = object()
_LONGEST = 160
_STEP = re.compile(r"([^.\[\]]+)|\[([^\]]*)\]")
#: By what people tell the objects of a list apart, the most telling first.
_KEYS = ("mountPath", "name", "key", "containerPort", "topologyKey")


def same(one: Any, other: Any) -> bool:
    """Equal as JSON: `true` is not 1, and the order of keys does not count."""
    if isinstance(one, dict | list) or isinstance(other, dict | list):
        return _text(one) == _text(other)
    return type(one) is type(other) and bool(one == other)


def said(value: Any) -> str:
    """A value as a reader of one line sees it."""
    return "nothing" if value is ABSENT else shown(_text(value), _LONGEST)


def _text(value: Any) -> str:
    return json.dumps(value, sort_keys=True, ensure_ascii=False, default=str)


def at(value: Any, path: str) -> Any:
    """What stands at a path such as `spec.containers[vllm].args[0]`, or ABSENT.

    In brackets stands an index, the name of an object of a list, or a key that has dots:
    `metadata.annotations[warmpod.dev/model]`.
    """
    for plain, bracketed in _STEP.findall(path):
        step = plain or bracketed
        if isinstance(value, dict):
            value = value.get(step, ABSENT)
        elif isinstance(value, list):
            value = _of_list(value, step)
        else:
            return ABSENT
        if value is ABSENT:
            return ABSENT
    return value


def _of_list(value: list[Any], step: str) -> Any:
    for key in ("name", "mountPath"):
        for entry in value:
            if isinstance(entry, dict) and entry.get(key) == step:
                return entry
    if step.isascii() and step.isdigit() and int(step) < len(value):
        return value[int(step)]
    return ABSENT


def lacking(wanted: Any, found: Any, path: str) -> Iterator[str]:
    """What `found` lacks of what is wanted, a sentence each; none where it has all.

    Maps may have more keys. A list of objects may have more of them, in any order; a list of anything else must be the
    same. Null wants absence, an empty list nothing in it, an empty map any map.
    """
    if wanted is None:
        if found is not ABSENT and found is not None:
            yield f"{path}: should be absent, is {said(found)}"
    elif isinstance(wanted, dict) and isinstance(found, dict):
        for key, value in wanted.items():
            yield from lacking(value, found.get(key, ABSENT), _below(path, key))
    elif _are_objects(wanted) and isinstance(found, list):
        for entry in wanted:
            yield from _missing(entry, found, path)
    elif wanted == []:
        if found is not ABSENT and found not in ([], None):
            yield f"{path}: should be empty, is {said(found)}"
    elif found is ABSENT:
        yield f"{path}: should be {said(wanted)}, is absent"
    elif not same(wanted, found):
        yield f"{path}: should be {said(wanted)}, is {said(found)}"


def _are_objects(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(entry, dict) for entry in value)


def _missing(wanted: dict[str, Any], found: list[Any], path: str) -> Iterator[str]:
    if any(not list(lacking(wanted, entry, "")) for entry in found):
        return
    for key in _KEYS:
        if key in wanted:
            for entry in found:
                if isinstance(entry, dict) and same(entry.get(key), wanted[key]):
                    yield from lacking(wanted, entry, f"{path}[{wanted[key]}]")
                    return
            known = ", ".join(str(entry[key]) for entry in found if isinstance(entry, dict) and key in entry)
            yield f"{path}: has no {key} {said(wanted[key])}; there: {shown(known, _LONGEST) or 'none'}"
            return
    yield f"{path}: has nothing like {said(wanted)}"


def merged(value: Any, change: Any) -> Any:
    """The value after a JSON merge patch (RFC 7386)."""
    if not isinstance(change, dict):
        return change
    kept = dict(value) if isinstance(value, dict) else {}
    for key, inner in change.items():
        if inner is None:
            kept.pop(key, None)
        else:
            kept[key] = merged(kept.get(key), inner)
    return kept


def _below(path: str, key: str) -> str:
    if "." in key or "[" in key:
        return f"{path}[{key}]"
    return f"{path}.{key}" if path else key
