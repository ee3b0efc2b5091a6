"""What a shell script in user data does with disks, containerd and images, as far as its text tells.

No shell is here: lines are looked at one by one, with comments away. So the answers are about what is written, and a
check that needs more says "is not seen to".
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from webhook.nodeclass.fault import Fault

CONTAINERD = "/var/lib/containerd"
_CODE = "N007"
_LONGEST_LINE = 1000  # more is data

_COMMENT = re.compile(r"(?:^|(?<=\s))#.*")
_DEVICE = r"(?:/dev/[\w./$\{\}-]+|(?:UUID|LABEL)=[^\s\\]+)"
_FSTAB = re.compile(rf"({_DEVICE})[\s\\t]+(/[\w./-]+)[\s\\t]+(?:xfs|ext4|auto)\b")
_MOUNT = re.compile(r"(?:^|[;&|(]|\bthen|\bdo|\bsudo)\s*mount\s+(?P<rest>[^;&|]*)")
_UNIT_WHAT = re.compile(r"^\s*What=(\S+)")
_UNIT_WHERE = re.compile(r"^\s*Where=(\S+)")
_FORMAT = re.compile(rf"\bmkfs(?:\.\w+)?\b[^;&|]*?({_DEVICE})")
_STOP = re.compile(r"\bsystemctl\s+(?:[-\w]+\s+)*(?:stop|mask)\s+[^;&|]*\bcontainerd\b")
# How people keep the sandbox image: the AMI's own archive, the image by its name, or a copy of the whole store.
_PAUSE = re.compile(
    r"/etc/eks/pause\.tar|\b(?:ctr|crictl|nerdctl)\b[^;&|]*\b(?:import|pull|tag)\b[^;&|]*pause"
    rf"|\b(?:rsync|cp)\b[^;&|]*{re.escape(CONTAINERD)}"
)
_CACHED = re.compile(r"max_cached_mb\s*=?\s*(\d+)")


@dataclass(frozen=True, slots=True)
class Mount:
    """One mount that the script makes: of what, where, and the line. `source` is empty where fstab has it."""

    source: str
    path: str
    line: int


@dataclass(frozen=True, slots=True)
class Script:
    """What the text of a script says. Lines count from 1; 0 where it says no such thing."""

    mounts: tuple[Mount, ...] = ()
    formats: tuple[Mount, ...] = ()
    stops_containerd: int = 0
    keeps_pause: int = 0
    uses_local_disks: int = 0
    lustre_cache: tuple[int, int] | None = None
    """MiB that the Lustre client may keep of files (llite.*.max_cached_mb), and the line."""
    al2_bootstrap: int = 0

    def mounted(self, path: str) -> Mount | None:
        """The mount at a path, with its source where another line says it."""
        found = [each for each in self.mounts if each.path.rstrip("/") == path]
        return next((each for each in found if each.source), found[0] if found else None)


def script(text: str) -> tuple[Script, tuple[Fault, ...]]:
    """Return what a script says, and what keeps it from being run. Never raises."""
    lines = [(number, _COMMENT.sub("", line[:_LONGEST_LINE])) for number, line in _logical(text)]
    cached = next(((int(m[1][:9]), number) for number, line in lines for m in [_CACHED.search(line)] if m), None)
    made = Script(
        mounts=tuple(_mounts(lines)),
        formats=tuple(Mount(m[1], "", number) for number, line in lines for m in _FORMAT.finditer(line)),
        stops_containerd=_first(lines, _STOP),
        keeps_pause=_first(lines, _PAUSE),
        uses_local_disks=_first(lines, re.compile(r"/mnt/k8s-disks\b")),
        lustre_cache=cached,
        al2_bootstrap=_first(lines, re.compile(r"/etc/eks/bootstrap\.sh\b")),
    )
    return made, tuple(_faults(text))


def _logical(text: str) -> Iterator[tuple[int, str]]:
    """Lines with those that a backslash continues them by, under the number of the first."""
    whole, start = "", 0
    for number, line in enumerate(text.replace("\r\n", "\n").split("\n"), 1):
        start = start or number
        if line.endswith("\\"):
            whole += f"{line[:-1]} "
            continue
        yield start, whole + line
        whole, start = "", 0
    if whole:
        yield start, whole


def _first(lines: list[tuple[int, str]], pattern: re.Pattern[str]) -> int:
    return next((number for number, line in lines if pattern.search(line)), 0)


def _mounts(lines: list[tuple[int, str]]) -> Iterator[Mount]:
    what = ""
    for number, line in lines:
        for match in _FSTAB.finditer(line):
            yield Mount(match[1], match[2], number)
        for match in _MOUNT.finditer(line):
            words = [word.strip("\"'") for word in match["rest"].split()]
            places = [word for word in words if word.startswith(("/", "UUID=", "LABEL=", "$"))]
            if len(places) >= 2:
                yield Mount(places[0], places[1], number)
            elif places:
                yield Mount("", places[0], number)
        unit = _UNIT_WHAT.match(line)
        what = unit[1] if unit else what
        where = _UNIT_WHERE.match(line)
        if where:
            yield Mount(what, where[1], number)


def _faults(text: str) -> Iterator[Fault]:
    first = text.split("\n", 1)[0]
    if not text.strip():
        yield Fault(_CODE, "a script without content", "remove it")
    elif not first.startswith("#!"):
        message = "cloud-init does not run a script whose first characters are not #!"
        yield Fault(_CODE, message, "begin with #!/bin/bash, without an empty line before it")
    if "\r" in first:
        yield Fault(
            _CODE, "the lines end as on Windows, so that no interpreter is found", "save it with Unix line ends"
        )
