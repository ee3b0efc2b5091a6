"""A real Kubernetes control plane on this machine, with Warmpod installed in it and pretend GPU nodes. I/O.

One implementation for everyone: `warmpod sandbox`, `warmpod demo` and the cluster tests. Linux only: what it starts is
tied to its parent's life by the kernel.
"""

from __future__ import annotations

from collections.abc import Callable

Progress = Callable[[str], None]
"""Takes one line for a person who waits. Never data: whoever prints it prints to stderr."""


class SandboxFailed(Exception):
    """The sandbox cannot go on. The text says what happened, where, and what to do; a person reads it as it is."""
