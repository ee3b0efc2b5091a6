"""The last words: the termination message, by which the controller learns what models a node holds.

Its fields are those of docs/inventory.md. At most 4,096 bytes whatever there is to say: a kubelet cuts what is longer,
and what is cut is no JSON. First comes how it went, then the models of this run, what it evicted, and as many of the
others as find room.
"""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from webhook.hydrator.outcome import HydrationError
from webhook.hydrator.request import directory_of

SCHEMA = 1
LONGEST = 4096
"""Bytes that a kubelet keeps of a termination message (pkg/kubelet/container, MaxContainerTerminationMessageLength)."""

DEFAULT_LOG = "/dev/termination-log"
"""Where a kubelet looks for it, unless the container says otherwise."""

# What a policy can allow: a report that names anything else is refused whole.
_SOURCE = re.compile(r"(?:s3://|file:///)[A-Za-z0-9_.=+@,~:!-][A-Za-z0-9_.=+@,~:!/-]*")
_LONGEST_SOURCE = 1024
_LONGEST_VERSION = 64
_LONGEST_NAME = 253
_MOST_BYTES = 2**53
_LONGEST_TEXT = 600


class Stock(NamedTuple):
    """A model that lies in a cache. `tenant` is the namespace whose pods may use it, empty: everyone's.

    `checked`: this run compared its version with the source.
    """

    cache: str
    tenant: str
    source: str
    directory: str
    version: str
    bytes: int
    checked: bool = False


class Gone(NamedTuple):
    """A model that this run removed from a cache."""

    cache: str
    tenant: str
    source: str
    directory: str


class Report(NamedTuple):
    """What there is to say. `result` is `hit`, `downloaded` or `error`.

    `models`: all models of all caches of the run, None where a cache could not be read; `caches`: the names of those
    that `models` tells all of. `facts` are for people: numbers and texts by name.
    """

    result: str
    models: Iterable[Stock] | None
    evicted: Iterable[Gone] = ()
    caches: Iterable[str] = ()
    facts: Mapping[str, object] = {}


def unbegun(failure: HydrationError) -> Report:
    """The report of a run that came to no model."""
    return Report("error", None, facts=reason(failure))


def unfinished() -> Report:
    """What stands in the log until there are last words: whoever is killed says no more."""
    killed = "it ended without last words: killed, which with exit code 137 is mostly for want of memory"
    return Report("error", None, facts={"reason": "KILLED", "message": killed})


def reason(failure: HydrationError) -> dict[str, object]:
    """What went wrong, among the facts of a report."""
    told: dict[str, object] = {"reason": failure.exit_code.name, "message": failure.message}
    return {**told, "hint": failure.hint} if failure.hint else told


def encode(report: Report) -> bytes:
    """The message: one line of ASCII JSON, at most LONGEST bytes."""
    head: dict[str, object] = {"schema": SCHEMA, "result": report.result}
    for name, value in report.facts.items():
        if not isinstance(value, float) or math.isfinite(value):  # JSON has no NaN
            head[name] = _cut(value) if isinstance(value, str) else value
    names = sorted({name for name in report.caches if _is_name(name)})
    if names:
        head["caches"] = names
    if len(_text(head)) > LONGEST * 3 // 4:  # hundreds of caches, or facts that nobody foresaw
        head, names = {"schema": SCHEMA, "result": report.result}, []
    stocks = None if report.models is None else sorted(set(report.models), key=_rank)
    room = LONGEST - len(_text({**head, "omitted": 10**9, "models": [], "evicted": []}))
    own = [_entry(stock) for stock in stocks or () if stock.checked and _is_speakable(stock)]
    rest = [_entry(stock) for stock in stocks or () if not stock.checked and _is_speakable(stock)]
    gone = [_name(one) for one in dict.fromkeys(report.evicted) if _is_speakable(one)]
    models, room = _fitting(own, room)
    evicted, room = _fitting(gone, room)
    others, room = _fitting(rest, room)
    models += others
    if stocks is not None:
        if names:  # else there is nothing that the list could be whole for
            head["omitted"] = len(stocks) - len(models)
        head["models"] = models
    if evicted:
        head["evicted"] = evicted
    return _text(head)


def write(path: str, message: bytes) -> str:
    """Put it where the kubelet looks. Answers why that could not be, else nothing: the work counts, not the words."""
    try:
        # Not blocking: a FIFO that nobody reads would hold us here for ever.
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOCTTY | os.O_NONBLOCK
        descriptor = os.open(path, flags, 0o666)
        try:
            while message:
                message = message[os.write(descriptor, message) :]
        finally:
            os.close(descriptor)
    except (OSError, ValueError) as error:
        return f"{path}: {getattr(error, 'strerror', None) or error}"
    return ""


def _rank(stock: Stock) -> tuple[bool, int, str, str, str, str]:
    return (not stock.checked, -stock.bytes, *stock[:4])


def _name(one: Stock | Gone) -> dict[str, object]:
    name: dict[str, object] = {"source": one.source, "tenant": one.tenant, "cache": one.cache}
    if one.directory != directory_of(one.source):
        name["directory"] = one.directory
    return name


def _is_speakable(one: Stock | Gone) -> bool:
    is_source = len(one.source) <= _LONGEST_SOURCE and _SOURCE.fullmatch(one.source) is not None
    is_directory = len(one.directory) == 16 and one.directory.isalnum()
    return is_source and is_directory and _is_name(one.cache) and _is_name(one.tenant)


def _is_name(text: str) -> bool:
    return text.isascii() and text.isprintable() and len(text) <= _LONGEST_NAME


def _entry(stock: Stock) -> dict[str, object]:
    entry = _name(stock)
    entry["version"] = stock.version[:_LONGEST_VERSION]
    entry["bytes"] = max(0, min(_MOST_BYTES, stock.bytes))
    if stock.checked:
        entry["checked"] = True
    return entry


def _fitting(entries: list[dict[str, object]], room: int) -> tuple[list[dict[str, object]], int]:
    """The first of the entries that fit into `room` bytes, and what is left of it. Small ones pass by large ones."""
    found = []
    for entry in entries:
        length = len(_text(entry)) + 1
        if length <= room:
            found.append(entry)
            room -= length
        if room < 40:
            break
    return found, room


def _cut(text: str) -> str:
    """As much of a text as the message has room for: what JSON makes of it counts. Lone surrogates are no JSON."""
    text = text[:LONGEST].encode("utf-8", "backslashreplace").decode()
    while len(_text(text)) > _LONGEST_TEXT:
        text = f"{text[: len(text) * 3 // 4]}..."
    return text


def _text(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()
