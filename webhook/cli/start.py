"""Where `warmpod` begins. The hydrator starts in every pod, and does not wait for what the other commands share."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command. `warmpod hydrate` goes straight to the hydrator, without the frame that the others share."""
    if sys.argv[1:2] == ["hydrate"]:
        from webhook.hydrator.command import main as hydrate

        sys.exit(hydrate(sys.argv[2:]))
    from webhook.cli.main import main as frame

    frame(prog_name="warmpod")


if __name__ == "__main__":
    main()
