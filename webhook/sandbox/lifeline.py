"""Run a command that dies with its parent: `lifeline.py PARENT_PID COMMAND [ARGUMENT...]`.

A program of its own, started by path with `python -I -S`, because code between fork and exec is unsafe in a process
with threads. It asks the kernel for SIGKILL at its parent's death (prctl(2), PR_SET_PDEATHSIG; the setting survives
exec), makes sure that the parent did not die before that, and becomes the command. "Parent" is the *thread* that
started it.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1
COULD_NOT_START = 127


def main(arguments: list[str]) -> None:
    """Become `arguments[1:]`, tied to the process `arguments[0]`. Returns never; exits 127 when that is impossible."""
    parent, *command = arguments
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL) != 0:
        sys.exit(f"cannot tie {command[0]} to its parent: {os.strerror(ctypes.get_errno())}; the sandbox needs Linux")
    if os.getppid() != int(parent):  # it died before prctl: nobody is left to end us
        sys.exit(COULD_NOT_START)
    try:
        os.execv(command[0], command)  # noqa: S606 - no shell is the point; the caller chose the command
    except OSError as error:
        print(f"cannot run {command[0]}: {error.strerror}", file=sys.stderr)  # noqa: T201 - goes to the command's log
        sys.exit(COULD_NOT_START)


if __name__ == "__main__":
    main(sys.argv[1:])
