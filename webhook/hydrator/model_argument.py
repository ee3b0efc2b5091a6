"""One model as the webhook hands it to its init container: `--model={"cache": ..., "source": ...}`."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

from webhook.hydrator import measures
from webhook.hydrator.measures import Unreadable
from webhook.hydrator.plan import Filters
from webhook.hydrator.request import KEEP_FREE, LEASE_SECONDS, Wanted, canonical, directory_of, shown

_DIRECTORY = re.compile(r"[0-9a-f]{16}")
_TENANT = re.compile(r"(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?)?")
_PERCENT = re.compile(r"[0-9]{1,3}(?:\.[0-9]{1,6})?%")
_LONGEST = 64 * 1024
_MOST_SECONDS = 10 * 366 * 86400.0


def read_all(text: str) -> list[Wanted]:
    """The models of a text that holds one JSON object, or several in a row. Unreadable says what is wrong with it."""
    found = []
    rest = text.strip()
    if len(rest) > _LONGEST:
        raise Unreadable(f"has {len(rest)} characters; more than {_LONGEST} are not read")
    decoder = json.JSONDecoder(object_pairs_hook=_object)
    while rest:
        try:
            told, end = decoder.raw_decode(rest)
        except json.JSONDecodeError as error:
            raise Unreadable(f"is no JSON: {error.msg} at character {error.pos + 1}") from None
        except RecursionError:
            raise Unreadable("is no JSON object, but nested too deeply to read") from None
        found.append(_model(told))
        rest = rest[end:].lstrip()
    if not found:
        raise Unreadable("is empty")
    return found


def directory(text: str) -> str:
    """Check the name of a model's directory."""
    if not _DIRECTORY.fullmatch(text):
        raise Unreadable("is not 16 hex digits")
    return text


def tenant(text: str) -> str:
    """Check a namespace's name; empty stands for everyone."""
    if not _TENANT.fullmatch(text):
        raise Unreadable("is no name of a namespace")
    return text


def keep_free(text: str) -> str:
    """Check what is never filled of a disk: a percentage or a quantity."""
    if _PERCENT.fullmatch(text) and float(text[:-1]) < 100:
        return text
    try:
        measures.size(text)
    except ValueError:
        raise Unreadable("is neither a percentage such as 20% nor a quantity such as 50Gi") from None
    return text


def continues(text: str) -> bool:
    """Read what is to be done on failure."""
    if text not in {"Retry", "Continue"}:
        raise Unreadable("is neither Retry nor Continue")
    return text == "Continue"


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise Unreadable(f"has the key {twice!r} twice")
    return found


def _model(told: Any) -> Wanted:
    if not isinstance(told, dict):
        raise Unreadable('is no JSON object such as {"cache": "/warmpod/cache/nvme", "source": "s3://bucket/model/"}')
    for key in told:
        if key not in _KEYS:
            from difflib import get_close_matches  # noqa: PLC0415  # milliseconds that only a mistake is worth

            near = get_close_matches(key[:100], _KEYS, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else f"; the keys are {', '.join(sorted(_KEYS))}"
            raise Unreadable(f"has an unknown key {key[:100]!r}{hint}")
    for key in ("cache", "source"):
        if key not in told:
            raise Unreadable(f"lacks the key {key!r}")
    read: dict[str, Any] = {}
    for key, value in told.items():
        try:
            read[key] = _KEYS[key](value)
        except ValueError as error:
            told_as = shown(value) if key == "source" and isinstance(value, str) else _shown(value)
            raise Unreadable(f"{key!r}: {told_as} {error}") from None
    filters = Filters(read.get("include", ()), read.get("exclude", ()), read.get("preferSafetensors", False))
    place = read.get("directory") or directory_of(read["source"], filters)
    return Wanted(
        source=read["source"],
        cache=read["cache"],
        directory=place,
        name=read.get("name") or place,
        tenant=read.get("tenant"),
        filters=filters,
        keep_free=read.get("keepFree", KEEP_FREE),
        max_size=read.get("maxSize"),
        trust_cache=read.get("trustCache", False),
        lease_seconds=read.get("lease", LEASE_SECONDS),
        page_cache=read.get("pageCache", False),
        continues=read.get("onFailure", False),
    )


def _shown(value: Any) -> str:
    text = repr(value) if not isinstance(value, (dict, list)) else json.dumps(value)
    return text if len(text) <= 200 else f"{text[:200]}..."


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise Unreadable("is no string")
    return value


def _of(read: Callable[[str], Any]) -> Callable[[Any], Any]:
    return lambda value: read(_text(value))


def _path(text: str) -> str:
    if not text or "\0" in text:
        raise Unreadable("is no path of a directory")
    return text


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise Unreadable("is neither true nor false")
    return value


def _globs(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(glob, str) and glob for glob in value):
        raise Unreadable("is no list of globs")
    return tuple(value)


def _size(value: Any) -> int:
    return measures.size(str(value) if type(value) is int else _text(value))


def _seconds(value: Any) -> float:
    if type(value) not in {int, float} or not 0 <= value <= _MOST_SECONDS:  # no comparison holds of NaN
        raise Unreadable("is no number of seconds")
    return float(value)


_KEYS: dict[str, Callable[[Any], Any]] = {
    "cache": _of(_path),
    "directory": _of(directory),
    "exclude": _globs,
    "include": _globs,
    "keepFree": _of(keep_free),
    "lease": _seconds,
    "maxSize": _size,
    "name": _text,
    "onFailure": _of(continues),
    "pageCache": _flag,
    "preferSafetensors": _flag,
    "source": _of(canonical),
    "tenant": _of(tenant),
    "trustCache": _flag,
}
