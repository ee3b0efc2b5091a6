"""Whether what lies in a cache is still what was brought: every byte against the manifest, with no source to ask."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

from webhook.hydrator.cache import layout, manifest, tree
from webhook.hydrator.cache.failure import failure
from webhook.hydrator.outcome import Exit, HydrationError

_BATCH = 4096  # files whose checksums are computed at once


class Damage(NamedTuple):
    """A file, or a version as a whole, that is not what it should be."""

    path: str
    why: str


class Verification(NamedTuple):
    """What was looked at, in totals, and what was found to be wrong."""

    versions: int
    files: int
    bytes: int
    damages: list[Damage]


def verify(path: str, crc64_many: Callable[[Sequence[str]], Mapping[str, int]]) -> Verification:
    """Compare all versions at `path` with their manifests: a cache, a model's directory, a version, or its `data`.

    `crc64_many` answers the CRC64NVME of each of the files, and leaves out those that it cannot read. HydrationError
    NOT_FOUND: nothing there was ever published; DISK: it cannot be read. Nothing is written.
    """
    total = Verification(0, 0, 0, [])
    for version in _versions(os.path.realpath(path)):
        found = _verify(version, crc64_many)
        if not os.path.isdir(version):
            continue  # evicted meanwhile
        total = Verification(
            total.versions + 1,
            total.files + found.files,
            total.bytes + found.bytes,
            total.damages + found.damages,
        )
    if not total.versions:
        raise HydrationError(
            Exit.NOT_FOUND,
            f"{path!r} holds no model that was brought by warmpod hydrate",
            "name a cache, a model's directory in it, or one version of that",
        )
    return total


def _versions(path: str) -> Iterator[str]:
    """The directories of versions at a path, whichever of the levels of a cache it is."""
    above, name = os.path.split(path)
    if name == layout.DATA and layout.version_of(os.path.basename(above)):
        yield above
    elif layout.version_of(name):
        yield path
    else:
        names = _names(path)
        models = (
            [path] if layout.VERSIONS in names else [os.path.join(path, n) for n in names if layout.is_directory(n)]
        )
        for model in models:
            versions = os.path.join(model, layout.VERSIONS)
            if os.path.isdir(versions) and not os.path.islink(versions):
                yield from (os.path.join(versions, name) for name in _names(versions) if layout.version_of(name))


def _names(path: str) -> list[str]:
    try:
        return sorted(os.listdir(path))
    except OSError as error:
        raise failure(path, "look for models", error) from error


def _verify(path: str, crc64_many: Callable[[Sequence[str]], Mapping[str, int]]) -> Verification:
    damages: list[Damage] = []
    try:
        opened = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        return Verification(1, 0, 0, [Damage(path, f"cannot be read: {error.strerror}")])
    try:
        there = _sizes(path, opened, damages)
        try:
            head, entries = manifest.read(opened), list(manifest.entries(opened))
        except OSError as error:
            return Verification(1, 0, 0, [Damage(f"{path}/{layout.MANIFEST}", f"cannot be read: {error.strerror}")])
        except manifest.InvalidManifest as error:
            return Verification(1, 0, 0, [Damage(f"{path}/{layout.MANIFEST}", f"cannot be read: {error}")])
    finally:
        os.close(opened)
    version = layout.version_of(os.path.basename(path))
    if not head.version == version == manifest.version_of(entries):
        damages.append(Damage(f"{path}/{layout.MANIFEST}", f"is not that of version {version}"))
    sound = []
    for entry in entries:
        found = there.pop(entry.path, None)
        if found == entry.size:
            sound.append(entry)
            continue
        why = "missing" if found is None else f"has {found:,} bytes instead of {entry.size:,}"
        damages.append(Damage(f"{path}/{layout.DATA}/{entry.path}", why))
    for start in range(0, len(sound), _BATCH):
        damages += _compare(path, sound[start : start + _BATCH], crc64_many)
    damages += [Damage(f"{path}/{layout.DATA}/{extra}", "is not in the manifest") for extra in sorted(there)]
    return Verification(1, len(entries), sum(entry.size for entry in entries), damages)


def _sizes(path: str, version: int, damages: list[Damage]) -> dict[str, int]:
    """The regular files of a version and their sizes; everything else is damage."""
    sizes: dict[str, int] = {}
    try:
        with tree.directory(layout.DATA, version) as data:
            for name, entry, _ in tree.files(data):
                if entry.is_file(follow_symlinks=False):
                    sizes[name] = entry.stat(follow_symlinks=False).st_size
                else:
                    damages.append(Damage(f"{path}/{layout.DATA}/{name}", "is no regular file"))
    except OSError as error:
        damages.append(Damage(f"{path}/{layout.DATA}", f"cannot be read: {error.strerror}"))
    return sizes


def _compare(
    path: str, entries: Sequence[manifest.Entry], crc64_many: Callable[[Sequence[str]], Mapping[str, int]]
) -> Iterator[Damage]:
    paths = [f"{path}/{layout.DATA}/{entry.path}" for entry in entries]
    found = crc64_many(paths)
    for place, entry in zip(paths, entries, strict=True):
        if place not in found:
            yield Damage(place, "cannot be read")
        elif found[place] != entry.crc64:
            yield Damage(place, f"has CRC64NVME {found[place]:016x} instead of {entry.crc64:016x}")
