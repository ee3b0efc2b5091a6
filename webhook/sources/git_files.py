"""Policy files of a Git revision, read from the repository's objects: nothing is checked out, fetched or written.

Which files count is what `policy_files` says of a directory, so that a revision gives the set its checkout would give.
Two things differ: what a filter of `.gitattributes` would make of a file is not made of it, and a submodule's files are
not in the repository, so that one below the directory is refused.
"""

from __future__ import annotations

import os
import posixpath
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from webhook.policy.legibility import MAX_FILE_BYTES
from webhook.policy.parse import MAX_FILES, MAX_TOTAL_BYTES, Source
from webhook.sources.policy_files import (
    ASTRAY,
    MAX_DEPTH,
    MAX_ENTRIES,
    NOWHERE,
    SUFFIXES,
    TEST_DIRECTORIES,
    TEST_SUFFIXES,
    UnreadablePolicies,
)

_LONGEST_REVISION = 1024
_MOST_LINKS = 16
_LINK, _SUBMODULE = "120000", "160000"
# A hook runs with these set to its own repository; we mean the one around the directory that was named.
_OF_A_HOOK = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX", "GIT_COMMON_DIR", "GIT_NAMESPACE")


class UnknownRevision(UnreadablePolicies):
    """The repository has no such commit. `near` is one that it does have and that may have been meant."""

    def __init__(self, repository: Path, revision: str, near: str = "") -> None:
        super().__init__(f"{repository}: there is no revision {revision!r} in this repository")
        self.near = near


class _Entry(NamedTuple):
    mode: str
    identity: str
    size: int


def policies_at(repository: Path, revision: str, directory: str = "") -> list[Source]:
    """Every policy file at or below `directory` (a path from the repository's root) as of `revision`, by name.

    `repository` is any directory inside of it. None where the revision has no such path; a path that is a file gives
    that file. Names are paths below `directory`, the base name for a file. Raises UnreadablePolicies, UnknownRevision.
    """
    commit = _commit(repository, revision)
    path = _normal(directory)
    kind, identity = _object(repository, commit, path)
    if kind == "blob":
        # As where a directory is read: the size is looked at before the content.
        size = int(_git(repository, "cat-file", "-s", identity))
        found = {posixpath.basename(path): _Entry("100644", identity, size)}
        return _sources(repository, found)
    if kind != "tree":
        return []
    tree = _tree(repository, identity)
    return _sources(repository, dict(sorted(_policies(repository, tree))))


def merge_base(repository: Path, one: str, other: str) -> str:
    """Where two revisions parted, as an identity; empty where they have nothing in common. UnreadablePolicies."""
    first, second = _commit(repository, one), _commit(repository, other)
    done = _run(repository, "merge-base", first, second)
    return done.stdout.decode("ascii", "replace").strip() if not done.returncode else ""


def root_of(path: Path) -> Path:
    """The work tree that `path`, which need not exist any more, lies in; the directory of a bare repository.

    Raises UnreadablePolicies where it lies in none.
    """
    around = path.absolute()
    while not around.is_dir() and around != around.parent:
        around = around.parent
    if _git(around, "rev-parse", "--is-bare-repository").strip() == b"true":
        return Path(os.fsdecode(_git(around, "rev-parse", "--absolute-git-dir").rstrip(b"\n")))
    return Path(os.fsdecode(_git(around, "rev-parse", "--show-toplevel").rstrip(b"\n")))


def _commit(repository: Path, revision: str) -> str:
    # No revision begins with a dash (git check-ref-format), and no option may come in through one.
    if not revision or revision.startswith("-") or len(revision) > _LONGEST_REVISION or not revision.isprintable():
        raise UnreadablePolicies(f"{revision[:80]!r} is not the name of a Git revision")
    found = _resolved(repository, revision)
    if not found:
        near = next((one for one in (f"origin/{revision}", f"upstream/{revision}") if _resolved(repository, one)), "")
        raise UnknownRevision(repository, revision, near)
    return found


def _resolved(repository: Path, revision: str) -> str:
    """The commit that a revision names; empty where there is none."""
    done = _run(repository, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}")
    if done.returncode and done.stderr.strip():  # --quiet says nothing of a revision that does not exist
        said = done.stderr.decode("utf-8", "replace")
        if "not a git repository" in said or "dubious ownership" in said:
            raise _failed(repository, said)
    found = done.stdout.decode("ascii", "replace").strip()
    return found if not done.returncode and found.isalnum() else ""  # `^main` is answered with a `^`, too


def _object(repository: Path, commit: str, path: str) -> tuple[str, str]:
    """Type and identity of what lies at a path of a commit; empty texts for nothing."""
    name = _named(f"{commit}:{path}", path)
    # Of a link that leads nowhere, or out, it says so in the same number of words.
    words = (
        _git(repository, "cat-file", "--batch-check", "--follow-symlinks", text=name).decode("ascii", "replace").split()
    )
    return (words[1], words[0]) if len(words) == 3 and words[1] in ("blob", "tree") else ("", "")


def _named(name: str, path: str) -> bytes:
    if "\n" in path or "\0" in path:
        raise UnreadablePolicies(f"{path!r}: no path of policies has a line break")
    return os.fsencode(f"{name}\n")


def _normal(directory: str) -> str:
    """The path as Git's trees spell it; refuses one that leads out."""
    path = posixpath.normpath(directory.replace(os.sep, "/")) if directory else ""
    if path == "." or not path:
        return ""
    if path.startswith(("/", "../")) or path == "..":
        raise UnreadablePolicies(f"{directory}: not a path inside the repository")
    return path


def _tree(repository: Path, identity: str) -> dict[str, _Entry]:
    """All entries below a tree but trees themselves, by path."""
    found: dict[str, _Entry] = {}
    for line in _git(repository, "ls-tree", "-r", "-z", "-l", identity).split(b"\0"):
        if line:
            head, _, name = line.partition(b"\t")
            mode, _, blob, size = head.decode("ascii").split()
            found[os.fsdecode(name)] = _Entry(mode, blob, int(size) if size.isdigit() else 0)
    if len(found) > MAX_ENTRIES:
        raise UnreadablePolicies(f"more than {MAX_ENTRIES} files; give the policies a directory of their own")
    return found


def _is_read(name: str) -> bool:
    """Whether a file of this path is looked at: nothing hidden, no tests of policies, not too deep."""
    parts = name.split("/")
    if len(parts) > MAX_DEPTH + 1 or name.endswith(TEST_SUFFIXES) or not TEST_DIRECTORIES.isdisjoint(parts[:-1]):
        return False
    return not any(part.startswith(".") for part in parts)


def _policies(repository: Path, tree: Mapping[str, _Entry]) -> Iterator[tuple[str, _Entry | str]]:
    """Policy files by name: what to read, or why it is refused."""
    targets = _targets(repository, {name: entry for name, entry in tree.items() if entry.mode == _LINK})
    for name, entry in tree.items():
        if not _is_read(name):
            continue
        is_policy = name.endswith(SUFFIXES)
        if entry.mode == _SUBMODULE:
            yield name, "a submodule, whose files are in another repository; check it out and name the directory"
        elif entry.mode != _LINK:
            if is_policy:
                yield name, entry
        elif (end := _followed(name, tree, targets)) is None:
            if is_policy:
                yield name, ASTRAY
        elif end in tree:
            if is_policy:
                yield name, tree[end] if tree[end].mode != _SUBMODULE else ASTRAY
        else:
            below = [one for one in tree if one.startswith(f"{end}/")] if end else []
            if not below and is_policy and end:
                yield name, NOWHERE
            # What is read under its own name is not read a second time through a link.
            for one in below if end and not _is_read(f"{end}/x") else ():
                inner = f"{name}/{one.removeprefix(f'{end}/')}"
                if inner.endswith(SUFFIXES) and _is_read(inner) and tree[one].mode not in (_LINK, _SUBMODULE):
                    yield inner, tree[one]


def _targets(repository: Path, links: Mapping[str, _Entry]) -> dict[str, str]:
    if not links:
        return {}
    small = {name: entry for name, entry in links.items() if entry.size <= os.pathconf("/", "PC_PATH_MAX")}
    contents = _contents(repository, [entry.identity for entry in small.values()])
    return {name: os.fsdecode(data) for name, data in zip(small, contents, strict=True)}


def _followed(name: str, tree: Mapping[str, _Entry], targets: Mapping[str, str]) -> str | None:
    """Where a link ends, as a path of the tree ("" for its root); None where it leads out of it, or in a circle."""
    for _ in range(_MOST_LINKS):
        target = targets.get(name)
        if target is None or target.startswith("/"):
            return None
        path = posixpath.normpath(posixpath.join(posixpath.dirname(name), target))
        if path == ".." or path.startswith("../"):
            return None
        entry = tree.get(path)
        if entry is None or entry.mode != _LINK:
            return "" if path == "." else path
        name = path
    return None


def _sources(repository: Path, found: Mapping[str, _Entry | str]) -> list[Source]:
    if len(found) > MAX_FILES:
        raise UnreadablePolicies(f"more than {MAX_FILES} policy files")
    refused = {name: entry for name, entry in found.items() if isinstance(entry, str)}
    entries = {name: entry for name, entry in found.items() if not isinstance(entry, str)}
    for name, entry in entries.items():
        if entry.size > MAX_FILE_BYTES:
            refused[name] = f"the file is larger than {MAX_FILE_BYTES >> 20} MiB; split it"
    kept = {name: entry for name, entry in entries.items() if name not in refused}
    if sum(entry.size for entry in kept.values()) > MAX_TOTAL_BYTES:
        raise UnreadablePolicies(f"more than {MAX_TOTAL_BYTES >> 20} MiB of policies")
    contents = _contents(repository, [entry.identity for entry in kept.values()])
    texts = {name: data.decode("utf-8", "surrogateescape") for name, data in zip(kept, contents, strict=True)}
    return [Source(_shown(name), texts.get(name, ""), refused.get(name, "")) for name in found]


def _shown(name: str) -> str:
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _contents(repository: Path, identities: list[str]) -> list[bytes]:
    """The contents of blobs, by one process for all of them."""
    if not identities:
        return []
    data = _git(repository, "cat-file", "--batch", text="".join(f"{one}\n" for one in identities).encode())
    found: list[bytes] = []
    position = 0
    for identity in identities:
        end = data.find(b"\n", position)
        words = data[position:end].split()
        if end < 0 or len(words) != 3:
            raise UnreadablePolicies(
                f"{repository}: the repository lacks object {identity}; in a partial clone, `git fetch --refetch` it"
            )
        size = int(words[2])
        found.append(data[end + 1 : end + 1 + size])
        position = end + 2 + size
    return found


def _git(repository: Path, *arguments: str, text: bytes = b"") -> bytes:
    done = _run(repository, *arguments, text=text)
    if done.returncode:
        raise _failed(repository, done.stderr.decode("utf-8", "replace"))
    return done.stdout


def _run(repository: Path, *arguments: str, text: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    environment = {key: value for key, value in os.environ.items() if key not in _OF_A_HOOK}
    # Its words are read below, nobody is there to answer a question, and nothing may go over the network.
    environment |= {"LC_ALL": "C", "GIT_TERMINAL_PROMPT": "0", "GIT_NO_LAZY_FETCH": "1", "GIT_OPTIONAL_LOCKS": "0"}
    git = shutil.which("git")
    if git is None:
        raise UnreadablePolicies("git is not installed, or not in PATH")
    try:
        return subprocess.run(  # noqa: S603  a list and no shell; what others named stands behind --end-of-options
            [git, "-C", os.fspath(repository), "--no-replace-objects", *arguments],
            input=text,
            capture_output=True,
            check=False,
            env=environment,
        )
    except (OSError, ValueError) as error:
        raise UnreadablePolicies(f"git cannot be run: {error}") from error


def _failed(repository: Path, said: str) -> UnreadablePolicies:
    first = next((line.strip() for line in said.splitlines() if line.strip()), "git failed without a word")
    return UnreadablePolicies(f"{repository}: {first.removeprefix('fatal: ')}")
