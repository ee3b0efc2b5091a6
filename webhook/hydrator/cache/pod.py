"""Who is given a model: the pod of this process, and the boot of this node."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping
from typing import NamedTuple

_UID = re.compile(r"/pods/([0-9a-f]{32}|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})/")
_PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9.-]{0,252}")
_MOUNTS = "/proc/self/mountinfo"
_BOOT = "/proc/sys/kernel/random/boot_id"


class Pod(NamedTuple):
    """A pod. `uid` is empty where it cannot be seen; `name` is for people."""

    uid: str
    name: str

    @property
    def key(self) -> str:
        """What tells it from other pods of the node, fit to be a file's name."""
        known = self.uid or self.name
        return known if _PLAIN.fullmatch(known) else hashlib.sha256(known.encode("utf-8", "replace")).hexdigest()


def this_pod(environ: Mapping[str, str]) -> Pod:
    """The pod of this process.

    The kubelet mounts files of its own directory of the pod into each container (`/etc/hosts`, the termination log),
    and proc(5) shows where they come from. The name is HOSTNAME, which with hostNetwork is the node's.
    """
    return Pod(_uid(_mounts()), environ.get("HOSTNAME") or os.uname().nodename)


def boot_id() -> str:
    """What tells this boot of the node from others; empty where the kernel does not say."""
    try:
        with open(_BOOT, encoding="utf-8", errors="replace") as file:
            return file.read(64).strip()
    except OSError:
        return ""


def _mounts() -> str:
    try:
        with open(_MOUNTS, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return ""


def _uid(mounts: str) -> str:
    """The one pod whose directory things are mounted from. On the node itself many are: none of them is ours."""
    found = set()
    for line in mounts.splitlines():
        fields = line.split(" ", 5)  # id, parent, device, root, mount point, ...
        if len(fields) > 5 and "/pods/" not in fields[4]:
            match = _UID.search(fields[3])
            if match:
                found.add(match[1])
    return found.pop() if len(found) == 1 else ""
