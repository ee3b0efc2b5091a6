"""A directory of policy files, read whole and followed: a checkout, a git-sync link or a mounted ConfigMap.

*Which files.* `*.yaml` and `*.yml`, at any depth, but no tests of policies (`*.test.yaml`, and what lies in `cases/` or
`tests/`) and nothing under a name that begins with a dot (`.git`, and the `..2026_...` directories of ConfigMaps, which
are reached through the links beside them). Links are followed as long as they stay inside the directory; what leads out
of it is refused, with a problem.

*Which set is in force.* The first load takes what is good and reports the rest. After that a change counts only when
all of it is good: a file that cannot be read, or any problem of error severity, leaves the last set in force as a
whole, because half of a change is a set that nobody reviewed.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from webhook.cel import Environment
from webhook.policy.legibility import MAX_FILE_BYTES
from webhook.policy.model import PolicySet
from webhook.policy.parse import MAX_FILES, MAX_TOTAL_BYTES, Problem, Source, parse

MAX_ENTRIES = 50_000  # files and directories looked at, whatever their names
MAX_DEPTH = 16
SUFFIXES = (".yaml", ".yml")
TEST_SUFFIXES = (".test.yaml", ".test.yml")
TEST_DIRECTORIES = frozenset({"cases", "tests"})
ASTRAY = "the link leads out of the policies' directory; put the files themselves there"
NOWHERE = "the link leads nowhere; mend or remove it"
_ATTEMPTS = 3
_RACY_SECONDS = 2.0  # a file changed twice within the clock's grain looks unchanged; so look again for this long


class UnreadablePolicies(Exception):
    """The directory cannot be read as a whole. The text says which path and why."""


@dataclass(frozen=True, slots=True)
class Reload:
    """What one look at the directory came to. `error` stands until a look succeeds."""

    changed: bool
    error: str | None = None
    problems: tuple[Problem, ...] = ()


@dataclass(frozen=True, slots=True)
class _Entry:
    """A policy file: what it is called under the root, where it really is, and what tells versions of it apart."""

    name: str
    real: Path
    version: tuple[int, ...] = ()
    refused: str = ""


def read(root: Path) -> list[Source]:
    """Return every policy file under `root`, by name. Raises UnreadablePolicies.

    A source may be `refused`: too large, or a link that leads astray. All files are of one moment: when the directory
    is swapped under the reader, it starts over.
    """
    return _read(root)[1]


def _read(root: Path) -> tuple[tuple[_Entry, ...], list[Source]]:
    for _ in range(_ATTEMPTS):
        try:
            entries = _entries(root)
            sources = [_source(entry) for entry in entries]
            if _entries(root) == entries:
                return entries, _within_limits(root, sources)
        except FileNotFoundError:
            if not root.exists():
                raise UnreadablePolicies(f"{root}: there is no such directory") from None
        except OSError as error:
            raise _unreadable(root, error) from error
    raise UnreadablePolicies(f"{root}: the files change faster than they can be read")


def _unreadable(root: Path, error: OSError) -> UnreadablePolicies:
    reason = "links lead in a circle" if error.errno == errno.ELOOP else error.strerror or str(error)
    return UnreadablePolicies(f"{error.filename or root}: {reason}")


def _entries(root: Path) -> tuple[_Entry, ...]:
    real = Path(os.path.realpath(root, strict=True))
    if not real.is_dir():
        raise UnreadablePolicies(f"{root}: not a directory")
    found = sorted(_walk(real), key=lambda entry: entry.name)
    if len(found) > MAX_FILES:
        raise UnreadablePolicies(f"{root}: more than {MAX_FILES} policy files")
    return tuple(found)


def _walk(root: Path) -> Iterator[_Entry]:
    pending = [("", root, 0)]
    seen = {root}
    looked_at = 0
    while pending:
        prefix, directory, depth = pending.pop()
        with os.scandir(directory) as scan:
            children = sorted(scan, key=lambda child: child.name)
        for child in children:
            looked_at += 1
            if looked_at > MAX_ENTRIES:
                raise UnreadablePolicies(
                    f"{root}: more than {MAX_ENTRIES} files; give the policies a directory of their own"
                )
            if child.name.startswith("."):
                continue
            name = f"{prefix}{child.name}"
            is_policy = child.name.endswith(SUFFIXES) and not child.name.endswith(TEST_SUFFIXES)
            path = Path(os.path.realpath(child.path)) if child.is_symlink() else Path(child.path)
            if child.is_symlink() and not (path.is_relative_to(root) and path.exists()):
                if is_policy or path.is_dir():
                    yield _Entry(name, path, refused=ASTRAY if path.exists() else NOWHERE)
                continue
            status = path.stat() if is_policy or child.is_symlink() else child.stat()
            if stat.S_ISDIR(status.st_mode):
                if child.name not in TEST_DIRECTORIES and path not in seen and depth < MAX_DEPTH:
                    seen.add(path)
                    pending.append((f"{name}/", path, depth + 1))
            elif is_policy:
                yield _entry(name, path, status)


def _entry(name: str, path: Path, status: os.stat_result) -> _Entry:
    version = (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
    if not stat.S_ISREG(status.st_mode):
        return _Entry(name, path, refused="not a regular file; put a file there")
    if status.st_size > MAX_FILE_BYTES:
        return _Entry(name, path, version, f"the file is larger than {MAX_FILE_BYTES >> 20} MiB; split it")
    return _Entry(name, path, version)


def _source(entry: _Entry) -> Source:
    file = entry.name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    if entry.refused:
        return Source(file, "", entry.refused)
    # Not through a link, and not waiting for a pipe's writer: the path was resolved and checked a moment ago.
    descriptor = os.open(entry.real, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as stream:
        data = stream.read(MAX_FILE_BYTES + 1)
    return Source(file, data.decode("utf-8", "surrogateescape"))


def _within_limits(root: Path, sources: list[Source]) -> list[Source]:
    if sum(len(source.text) for source in sources) > MAX_TOTAL_BYTES:
        raise UnreadablePolicies(f"{root}: more than {MAX_TOTAL_BYTES >> 20} MiB of policies")
    return sources


class PolicyFiles:
    """The policies of a directory, kept current by whoever calls `refresh`. `current` is swapped whole."""

    def __init__(self, root: Path | str, environment: Environment | None = None) -> None:
        self._root = Path(root)
        self._environment = environment
        self._entries: tuple[_Entry, ...] | None = None  # of the last look that could read, whether or not it was taken
        self._sources: list[Source] = []
        self._standing = Reload(changed=False)
        self._loaded = False
        self.current = PolicySet()

    def refresh(self, now: float) -> Reload:
        """Look for changes (a `stat` of every file when there are none) and take them if they are good. Never raises.

        `now` is Unix time in seconds.
        """
        if self._is_unchanged(now):
            return self._standing
        try:
            entries, sources = _read(self._root)
        except UnreadablePolicies as error:
            self._entries = None
            self._standing = Reload(changed=False, error=str(error))
            return self._standing
        same = self._entries is not None and sources == self._sources
        self._entries = entries
        if same:
            return self._standing
        self._sources = sources
        return self._taken(parse(sources, self._environment))

    def _is_unchanged(self, now: float) -> bool:
        if self._entries is None:
            return False
        newest = max((entry.version[3] for entry in self._entries if entry.version), default=0) / 1e9
        try:
            return newest < now - _RACY_SECONDS and _entries(self._root) == self._entries
        except (UnreadablePolicies, OSError):
            return False  # reading says why

    def _taken(self, found: PolicySet) -> Reload:
        errors = [problem for problem in found.problems if problem.severity == "error"]
        if self._loaded and errors:
            count = f"{len(errors)} problem{'s' if len(errors) > 1 else ''}"
            error = f"{self._root}: {count}, so the last good policies stay in force; first: {errors[0]}"
            self._standing = Reload(changed=False, error=error, problems=found.problems)
            return self._standing
        self._standing = Reload(changed=False, problems=found.problems)
        changed = not self._loaded or (found.digest, found.problems) != (self.current.digest, self.current.problems)
        self._loaded = True
        self.current = found
        return Reload(changed=changed, problems=found.problems)
