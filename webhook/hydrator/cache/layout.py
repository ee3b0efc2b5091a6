"""Where things lie in a cache, and which names it knows. Whatever bears another name is none of its own.

<cache>/room.lock                      flock: reservation and eviction, one at a time; its mtime is the cache's clock
<cache>/trash/                         what is being deleted
<cache>/<directory>/lock               flock: one writer per model; never deleted
<cache>/<directory>/progress           what the writer tells those who wait
<cache>/<directory>/current            link to versions/<version>/data, moved by rename
<cache>/<directory>/versions/<version>/{data/,manifest.json}
<cache>/<directory>/staging/<version>/{data/,journal,ballast,reservation}
<cache>/<directory>/leases/<pod>       its flock guards leases, `current`, and versions that come and go
"""

from __future__ import annotations

import os
import re

from webhook.hydrator.outcome import Exit, HydrationError
from webhook.hydrator.staged import Staged

ROOM_LOCK = "room.lock"
TRASH = "trash"
LOCK = "lock"
PROGRESS = "progress"
CURRENT = "current"
VERSIONS = "versions"
STAGING = "staging"
LEASES = "leases"
DATA = "data"
JOURNAL = "journal"
BALLAST = "ballast"
RESERVATION = "reservation"
MANIFEST = "manifest.json"
ASIDE = ".aside-"  # begins the names of what stood where `current` belongs, and of links on their way there

_DIRECTORY = re.compile(r"[0-9a-f]{16}")
_VERSION = re.compile(r"[0-9a-f]{32}")
_LYING = re.compile(r"([0-9a-f]{32})(?:-[0-9a-f]{8})?")
_LINK = re.compile(rf"{VERSIONS}/([0-9a-f]{{32}})/{DATA}")


def is_directory(name: str) -> bool:
    """Whether a name is that of a model's directory."""
    return _DIRECTORY.fullmatch(name) is not None


def checked_directory(name: str) -> str:
    """The name of a model's directory, or HydrationError USAGE."""
    if is_directory(name):
        return name
    raise HydrationError(
        Exit.USAGE,
        f"{name[:80]!r} cannot be the directory of a model",
        "it consists of 16 hexadecimal digits; leave it out to have it made from the source",
    )


def is_version(name: str) -> bool:
    """Whether a name is that of a version."""
    return _VERSION.fullmatch(name) is not None


def version_of(name: str) -> str | None:
    """The version that a directory in `versions` holds. A damaged one that was displaced bears a suffix."""
    match = _LYING.fullmatch(name)
    return match[1] if match else None


def displaced(version: str) -> str:
    """A name under which a damaged version lies on while its successor of the same version takes its place."""
    return f"{version}-{os.urandom(4).hex()}"


def link_to(version: str) -> str:
    """What `current` holds when it names a version."""
    return f"{VERSIONS}/{version}/{DATA}"


def linked_version(target: str) -> str | None:
    """The version that the text of a `current` names; None where it leads anywhere else."""
    match = _LINK.fullmatch(target)
    return match[1] if match else None


def staged(cache: str, directory: str, version: str) -> Staged:
    """The paths in which a version is brought."""
    root = os.path.join(cache, directory, STAGING, version)
    return Staged(os.path.join(root, DATA), os.path.join(root, JOURNAL), os.path.join(root, BALLAST))
