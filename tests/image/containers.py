"""The image as it was built, and processes in it as a kubelet starts them under restricted Pod Security."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# The root is bound read-only; /dev holds the plain devices alone, so that nothing at all can be written to.
_ENTER = """
set -e
root=$1; shift
mount --bind "$root" "$root"
mount -t proc proc "$root/proc"
mount -t tmpfs -o mode=755 tmpfs "$root/dev"
for device in null zero random urandom; do
  touch "$root/dev/$device"; mount --bind "/dev/$device" "$root/dev/$device"
done
mount -o remount,ro "$root/dev"
while [ "$1" != -- ]; do
  mkdir -p "$root$2"; mount --bind "$1" "$root$2"; mount -o "remount,bind,$3" "$root$2"; shift 3
done
shift
mount -o remount,bind,ro,nosuid "$root"
exec setpriv --no-new-privs -- chroot --userspec=65532:65532 --groups= "$root" "$@"
"""


@dataclass(frozen=True)
class Image:
    """What was built."""

    root: Path
    """Its files."""

    layers: tuple[Path, ...]
    """A tar each, not compressed."""

    sources: frozenset[str]
    """Paths in the project it was built from, without those of careless people."""

    settings: Mapping[str, Any]
    """Of the image's configuration: User, Entrypoint, Env, Labels and so on."""

    def command(self, *arguments: str, mounts: Mapping[str, Path] | None = None, writable: str = "") -> list[str]:
        """How to run `arguments` in it, with `mounts` (a directory there -> here), of which one may be writable."""
        bound = [
            word
            for there, here in (mounts or {}).items()
            for word in (str(here), there, "rw" if there == writable else "ro")
        ]
        enter = ["unshare", "--mount", "--propagation", "private", "sh", "-c", _ENTER, "enter", str(self.root)]
        return [*enter, *bound, "--", *arguments]

    def run(
        self, *arguments: str, mounts: Mapping[str, Path] | None = None, writable: str = "", entry: bool = True
    ) -> subprocess.CompletedProcess[str]:
        """Run the entry point with `arguments`, or `arguments` alone."""
        start = [*self.settings["Entrypoint"], *arguments] if entry else list(arguments)
        command = self.command(*start, mounts=mounts, writable=writable)
        env = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", **self.variables()}
        return subprocess.run(command, env=env, check=False, capture_output=True, text=True)

    def variables(self) -> dict[str, str]:
        """The image's own."""
        return dict(line.split("=", 1) for line in self.settings["Env"])

    def python(self, program: str) -> subprocess.CompletedProcess[str]:
        """Run a program of Python in it as the entry point's interpreter would."""
        return self.run("/usr/bin/python3.13", "-IB", "-c", program, entry=False)
