"""Where `warmpod` begins. The hydrator starts in every pod, and does not wait for what the other commands share."""

from __future__ import annotations

import os
import sys


def main() -> None:
    """Run the command. `warmpod hydrate` goes straight to the hydrator, without the frame that the others share."""
    if sys.argv[1:2] == ["hydrate"]:
        from webhook.hydrator.command import main as hydrate

        sys.exit(hydrate(sys.argv[2:]))
    from webhook.cli.main import main as frame

    # kubectl runs a program called kubectl-warmpod for `kubectl warmpod`.
    is_plugin = os.path.basename(sys.argv[0]).startswith("kubectl-")  # noqa: PTH119  pathlib costs the hydrator's start
    frame(prog_name="kubectl warmpod" if is_plugin else "warmpod")


if __name__ == "__main__":
    main()
