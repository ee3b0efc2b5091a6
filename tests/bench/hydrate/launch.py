"""Run one command and say what it cost, as JSON on the last line of stdout: `python -I -S launch.py COMMAND...`.

A small process of its own: a child's peak of memory begins at what its parent has when it forks (getrusage(2) counts
from before the exec), and the runner's would hide a small program's. CPU and memory are of the command and all it
waited for; `rss` is the peak of the largest process among them, `synced` counts sync(2) after the end.
"""

import json
import os
import sys
import time


def main(command: list[str]) -> None:
    """Run it, with its stdout and stderr on ours."""
    started = time.monotonic()
    child = os.posix_spawn(command[0], command, os.environ)
    _, status, usage = os.wait4(child, 0)
    ended = time.monotonic()
    os.sync()
    figures = {
        "code": os.waitstatus_to_exitcode(status),
        "seconds": ended - started,
        "synced": time.monotonic() - started,
        "cpu": usage.ru_utime + usage.ru_stime,
        "rss": usage.ru_maxrss * 1024,
    }
    print("\n" + json.dumps(figures), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
