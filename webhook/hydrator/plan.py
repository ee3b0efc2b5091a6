"""What a model consists of: the files that its source lists, checked to be one tree that can lie in a directory."""

from __future__ import annotations

from collections.abc import Iterable
from fnmatch import fnmatchcase
from hashlib import sha256
from typing import Final, NamedTuple

from webhook.hydrator.outcome import Exit, HydrationError

MAX_FILES = 500_000
_MAX_NAME = 255  # bytes of a file name: NAME_MAX of ext4, XFS and tmpfs
_MAX_PATH = 4096 - 256  # bytes of a path, less what stands before it: PATH_MAX
_OTHER_WEIGHTS = (".bin", ".pt", ".pth", ".h5", ".msgpack", ".ckpt", ".onnx")


class File(NamedTuple):
    """One file. `path` is where it goes, relative, `/` between names; `name` is what the source calls it.

    `etag` changes whenever the content does: S3's ETag with its quotes, or what stat(2) says of a POSIX file.
    """

    path: str
    size: int
    etag: str
    name: str


class Filters(NamedTuple):
    """Which files of a source are wanted. Globs match the whole path or its last name; `*` is any text.

    `prefer_safetensors` leaves out the other formats of weights in every directory that holds a safetensors file.
    """

    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    prefer_safetensors: bool = False


class Plan:
    """A version of a model: files in the order of their paths. `source` is the canonical name it was asked for by."""

    __slots__ = ("_version", "bytes", "files", "source")

    def __init__(self, source: str, files: tuple[File, ...]) -> None:
        self.source: Final = source
        self.files: Final = files
        self.bytes: Final = sum([file.size for file in files])
        self._version = ""

    def __repr__(self) -> str:
        return f"Plan({self.source!r}, {len(self.files):,} files, {self.bytes:,} bytes)"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Plan) and (self.source, self.files) == (other.source, other.files)

    def __hash__(self) -> int:
        return hash((self.source, self.version))

    @property
    def version(self) -> str:
        """32 hex digits that tell two contents of one source apart: of every path, size and ETag."""
        if not self._version:
            text = "".join([f"{file.path}\0{file.size}\0{file.etag}\0" for file in self.files])
            self._version = sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:32]
        return self._version


def make(source: str, listed: Iterable[File], filters: Filters) -> Plan:
    """The plan of what a source lists, whatever the names in it; HydrationError UNSAFE or NOT_FOUND.

    A name ending in `/` and no bytes marks a directory for people and is passed over.
    """
    files = [file for file in listed if not (file.size == 0 and (not file.path or file.path.endswith("/")))]
    if len(files) > MAX_FILES:
        raise HydrationError(
            Exit.UNSAFE,
            f"{source} holds more than {MAX_FILES:,} files",
            "name the model's own prefix, or leave files out with --exclude",
        )
    wanted = sorted(_filtered(files, filters), key=lambda file: file.path)
    if not wanted:
        found = f"none of its {len(files):,} files is left after --include and --exclude" if files else "it is empty"
        raise HydrationError(Exit.NOT_FOUND, f"{source}: {found}", "check the spelling of the source and of the globs")
    directories: set[str] = set()
    for file in wanted:
        _check(source, file)
        parent = _parent(file.path)
        while parent and parent not in directories:
            directories.add(parent)
            parent = _parent(parent)
    before = ""
    for file in wanted:
        if file.path == before:
            raise _unsafe(source, file, "is listed twice")
        if file.path in directories:
            raise _unsafe(source, file, "is a file, and others lie below it as in a directory")
        before = file.path
    return Plan(source, tuple(wanted))


def _filtered(files: list[File], filters: Filters) -> list[File]:
    if filters.include:
        files = [file for file in files if _matches(file.path, filters.include)]
    if filters.exclude:
        files = [file for file in files if not _matches(file.path, filters.exclude)]
    if filters.prefer_safetensors:
        modern = {_parent(file.path) for file in files if file.path.endswith(".safetensors")}
        files = [file for file in files if not (file.path.endswith(_OTHER_WEIGHTS) and _parent(file.path) in modern)]
    return files


def _parent(path: str) -> str:
    return path.rpartition("/")[0]


def _matches(path: str, globs: tuple[str, ...]) -> bool:
    name = path.rpartition("/")[2]
    return any(fnmatchcase(path, glob) or fnmatchcase(name, glob) for glob in globs)


def _check(source: str, file: File) -> None:
    encoded = file.path.encode("utf-8", "surrogateescape")
    if b"\0" in encoded:
        raise _unsafe(source, file, "holds a NUL")
    if encoded.startswith(b"/"):
        raise _unsafe(source, file, "begins with a slash")
    if len(encoded) > _MAX_PATH:
        raise _unsafe(source, file, f"is longer than {_MAX_PATH} bytes")
    for part in encoded.split(b"/"):
        if part in {b"", b".", b".."}:
            raise _unsafe(source, file, f"holds {part.decode()!r} between slashes" if part else "holds an empty name")
        if len(part) > _MAX_NAME:
            raise _unsafe(source, file, f"holds a name longer than {_MAX_NAME} bytes")
    if file.size < 0:
        raise _unsafe(source, file, "has a negative size")


def _unsafe(source: str, file: File, why: str) -> HydrationError:
    shown = file.name if len(file.name) <= 200 else f"{file.name[:200]}..."
    return HydrationError(
        Exit.UNSAFE,
        f"{source}: {shown!r} {why}: it cannot be a file of the model",
        "leave it out with --exclude, or rename it at the source",
    )
