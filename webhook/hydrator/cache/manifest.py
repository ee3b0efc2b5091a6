"""The manifest beside a version's data: what the model is, and of every file its size, ETag and CRC64NVME.

It is one JSON document that can be read in two ways. The first line holds all but the files, so that a cache of large
models is listed without parsing them; then comes one file per line, so that no line is long, whatever lies there.
"""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from webhook.hydrator.cache import layout, tree
from webhook.hydrator.outcome import Exit, HydrationError
from webhook.hydrator.plan import MAX_FILES, File, Plan

SCHEMA = 1
_HEAD = 64 * 1024  # bytes of the first line; a source is at most 4 KiB
_LINE = 64 * 1024  # bytes of a file's line: a path of 4 KiB, each byte of it escaped
_OPENING = b',"files":[\n'
_ENDING = b"\n]}\n"
_CHUNK = 1024  # files per write
_CRC = re.compile(r"[0-9a-f]{16}")


class Manifest(NamedTuple):
    """What a version is. `bytes` and `files` are totals, `published` is in seconds since 1970."""

    source: str
    version: str
    bytes: int
    files: int
    published: float
    facts: Mapping[str, object]


class Entry(NamedTuple):
    """A file as the manifest has it."""

    path: str
    size: int
    etag: str
    crc64: int


class InvalidManifest(ValueError):
    """A manifest that is none; the text says why."""


def write(plan: Plan, crc64: Mapping[str, int], facts: Mapping[str, object], parent: int) -> None:
    """Write the manifest of a plan into the directory `parent` and make it durable. OSError; DEFECT for a missing CRC.

    `crc64` has one value per path; that of an empty file is 0 and may be missing.
    """
    head = {
        "schema": SCHEMA,
        "source": plan.source,
        "version": plan.version,
        "bytes": plan.bytes,
        "count": len(plan.files),
        "published": round(time.time(), 3),
        "facts": dict(facts),
    }
    first = json.dumps(head, separators=(",", ":")).encode()
    if len(first) > _HEAD - len(_OPENING):
        raise HydrationError(Exit.DEFECT, f"the head of the manifest has {len(first):,} bytes")
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
    with tree.file(layout.MANIFEST, parent, flags, 0o644) as opened, open(opened, "wb", closefd=False) as out:
        out.write(first[:-1] + _OPENING)
        for start in range(0, len(plan.files), _CHUNK):
            lines = []
            for file in plan.files[start : start + _CHUNK]:
                value = crc64.get(file.path, None if file.size else 0)
                if value is None:
                    raise HydrationError(Exit.DEFECT, f"{file.path!r} has no CRC64NVME")
                entry = {"path": file.path, "size": file.size, "etag": file.etag, "crc64": f"{value:016x}"}
                lines.append(json.dumps(entry, separators=(",", ":")))
            out.write(((",\n" if start else "") + ",\n".join(lines)).encode())
        out.write(_ENDING)
        out.flush()
        os.fchmod(opened, 0o444)
        os.fsync(opened)


def read(parent: int) -> Manifest:
    """What the manifest in the directory `parent` says of the whole version. OSError or InvalidManifest.

    It is seen to have a beginning and an end; what lies between is read by `entries`.
    """
    with tree.file(layout.MANIFEST, parent) as opened:
        head = os.pread(opened, _HEAD, 0)
        length = os.fstat(opened).st_size
        tail = os.pread(opened, len(_ENDING), max(0, length - len(_ENDING)))
    cut = head.find(_OPENING)
    if cut < 0 or tail != _ENDING:
        raise InvalidManifest("it is cut short, or is no manifest")
    return _head(head[:cut] + b"}")


def entries(parent: int) -> Iterator[Entry]:
    """The files of the manifest in the directory `parent`. OSError or InvalidManifest, also after some of them."""
    with tree.file(layout.MANIFEST, parent) as opened, open(opened, "rb", closefd=False) as lines:
        lines.readline(_HEAD)
        for _ in range(MAX_FILES):
            line = lines.readline(_LINE)
            yield _entry(line)
            if not line.endswith(b",\n"):
                break
        if lines.read(len(_ENDING)) != _ENDING[1:]:
            raise InvalidManifest("it does not end as it should")


def version_of(found: Sequence[Entry]) -> str:
    """The version that these files are; empty where they can be none."""
    try:
        return Plan("", tuple(File(entry.path, entry.size, entry.etag, "") for entry in found)).version
    except UnicodeEncodeError:  # half a character, as JSON can hold and no file's name
        return ""


def _head(text: bytes) -> Manifest:
    value = _parsed(text)
    if value.get("schema") != SCHEMA:
        raise InvalidManifest(f"its schema is not {SCHEMA}")
    source, version, published, facts = (value.get(key) for key in ("source", "version", "published", "facts"))
    if not isinstance(source, str) or not isinstance(version, str) or not layout.is_version(version):
        raise InvalidManifest("it names no source or no version")
    if type(published) is not float or not isinstance(facts, dict):
        raise InvalidManifest("it does not say when it was published")
    return Manifest(source, version, _count(value, "bytes"), _count(value, "count"), published, facts)


def _entry(line: bytes) -> Entry:
    value = _parsed(line.removesuffix(b"\n").removesuffix(b","))
    path, etag, crc64 = (value.get(key) for key in ("path", "etag", "crc64"))
    if not isinstance(path, str) or not path or not isinstance(etag, str) or not isinstance(crc64, str):
        raise InvalidManifest("it has a file without path, ETag or CRC64NVME")
    if not _CRC.fullmatch(crc64):
        raise InvalidManifest(f"the CRC64NVME of {path[:200]!r} is no number of 16 hexadecimal digits")
    return Entry(path, _count(value, "size"), etag, int(crc64, 16))


def _count(value: Mapping[str, object], key: str) -> int:
    number = value.get(key)
    if type(number) is not int or number < 0:
        raise InvalidManifest(f"its {key} is no number")
    return number


def _parsed(text: bytes) -> dict[str, object]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        raise InvalidManifest("it is not JSON") from None
    if not isinstance(value, dict):
        raise InvalidManifest("it is not a JSON object")
    return value
