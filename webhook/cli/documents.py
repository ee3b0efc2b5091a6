"""Manifests as people hand them in: YAML, JSON, directories, stdin. Every refusal names file, line and column."""

from __future__ import annotations

import json
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from webhook.cli.errors import CouldNotRun
from webhook.cli.yaml_stream import DEEPEST, Refused, values

#: Far above any rendered chart.
MOST_BYTES: Final = 64 * 2**20
SUFFIXES: Final = frozenset({".yaml", ".yml", ".json"})


@dataclass(frozen=True, slots=True)
class Document:
    """One document of a stream and where it starts (`line` counts from 1; 0 for an object that no file holds)."""

    file: str
    line: int
    content: Any


def read_all(names: tuple[str, ...]) -> list[Document]:
    """The documents of files, of directories (all YAML and JSON below, in name order) and of stdin (`-`).

    Raises CouldNotRun with `file:line:column` for the first thing that cannot be read.
    """
    documents: list[Document] = []
    for name in names:
        if name == "-":
            documents += parse(sys.stdin.buffer.read(MOST_BYTES + 1), "<stdin>")
            continue
        path = Path(name)
        if path.is_dir():
            files = sorted(each for each in path.rglob("*") if each.suffix in SUFFIXES and each.is_file())
            if not files:
                raise CouldNotRun(f"{name}: no .yaml, .yml or .json file in this directory")
            for each in files:
                documents += read_file(each)
        else:
            documents += read_file(path)
    return documents


def read_file(path: Path) -> list[Document]:
    """The documents of one file; CouldNotRun when it cannot be read or is not what it should be."""
    try:
        with path.open("rb") as stream:
            data = stream.read(MOST_BYTES + 1)
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        reason = error.strerror if isinstance(error, OSError) else error
        raise CouldNotRun(f"{path}: {reason}", hint="-f takes a file, a directory, or - for stdin") from error
    return parse(data, str(path))


def parse(data: bytes, file: str) -> list[Document]:
    """The documents in `data`, empty ones left out. Raises CouldNotRun, whatever the bytes are."""
    if len(data) > MOST_BYTES:
        raise CouldNotRun(f"{file}: more than {MOST_BYTES // 2**20} MiB", hint="pass fewer manifests at a time")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise CouldNotRun(
            f"{file}:{line}: not text in UTF-8 (byte 0x{data[error.start]:02x} at offset {error.start})",
            hint="Warmpod reads YAML and JSON manifests",
        ) from error
    text = _manifest(text)
    if text.lstrip()[:1] in ("{", "["):
        documents = _parse_json(text, file)
        if documents is not None:
            return documents
    try:
        return [Document(file, line, value) for line, value in values(text)]
    except Refused as error:
        where = ":".join(str(part) for part in (file, error.line, error.column) if part)
        raise CouldNotRun(f"{where}: {error}") from error


def _manifest(text: str) -> str:
    """What `helm install --dry-run` says, without the words for people around the manifests; lines keep their number.

    Hooks and manifests are streams of documents, the notes at the end are any text.
    """
    if not _HELM.match(text) or not _PARTS.search(text):
        return text
    start = next(found.start() for found in _PARTS.finditer(text))
    end = next((found.start() for found in _NOTES.finditer(text, start)), len(text))
    return "\n" * text.count("\n", 0, start) + _PARTS.sub("", text[start:end])


#: The first lines of a release, and the headings of its parts.
_HELM: Final = re.compile(r"NAME: \S+\nLAST DEPLOYED: ")
_PARTS: Final = re.compile(r"^(?:HOOKS|MANIFEST):$", re.MULTILINE)
_NOTES: Final = re.compile(r"^NOTES:$", re.MULTILINE)


def _parse_json(text: str, file: str) -> list[Document] | None:
    """The documents of a stream of JSON values; None when it is not JSON (flow YAML also starts with a brace)."""
    decoder = json.JSONDecoder(parse_constant=_refuse_constant)
    documents: list[Document] = []
    position, end = 0, len(text)
    try:
        while (position := _skip_space(text, position)) < end:
            value, after = decoder.raw_decode(text, position)
            documents.append(Document(file, text.count("\n", 0, position) + 1, value))
            position = after
    except (ValueError, RecursionError):
        return None
    return documents if all(_shallow(document.content) for document in documents) else None


def _skip_space(text: str, position: int) -> int:
    while position < len(text) and text[position] in " \t\r\n":
        position += 1
    return position


def _refuse_constant(constant: str) -> Any:
    raise ValueError(constant)


def _shallow(value: Any) -> bool:
    level: list[Any] = [value]
    for _ in range(DEEPEST):
        level = [
            child
            for each in level
            if isinstance(each, (dict, list))
            for child in (each.values() if isinstance(each, dict) else each)
        ]
        if not level:
            return True
    return False
