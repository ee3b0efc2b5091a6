"""What a worker holds in memory on a large cluster, and how soon the command line answers.

One worker with 200 policies and a snapshot of 5,000 nodes (400 more images, each on about 300 nodes: 25 a node) answers
2,000 reviews while the snapshot is replaced several times, as the controller does. MB are 10^6 bytes.
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

from tests.bench import client, report, reviews, servers, situation

POLICIES = 200
NODES = 5000
ARTIFACTS = 400
REVIEWS = 2000
REPLACEMENTS = 4
HELP_RUNS = 5

MEMORY_TARGET = 120.0
HELP_TARGET = 0.3


def resident() -> tuple[report.Row, float]:
    """The table's row, and the MB resident at the end."""
    bodies = reviews.corpus()
    with (
        servers.workplace() as place,
        servers.warmpod(place, "large", policies=POLICIES, snapshot=_snapshot(0)) as server,
    ):
        inventory = place.root / server.name / servers.INVENTORY
        start = server.resident_megabytes()[0]
        for turn in range(1, REPLACEMENTS + 1):
            client.closed_loop(server.port, bodies, connections=16, count=REVIEWS // REPLACEMENTS)
            _replace(inventory, turn)
            time.sleep(servers.RELOAD_SECONDS + 1)
        now, peak = server.resident_megabytes()
        row = {
            "policies": POLICIES,
            "nodes": NODES,
            "snapshot MB": inventory.stat().st_size / 1e6,
            "reviews": REVIEWS,
            "MB at start": start,
            "MB after": now,
            "MB peak": peak,
        }
    return row, now


def help_seconds() -> list[float]:
    """Wall seconds of `warmpod preview --help`, each a process of its own, sorted."""
    command = [str(Path(sys.executable).with_name("warmpod")), "preview", "--help"]
    taken = []
    for _ in range(HELP_RUNS):
        started = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        taken.append(time.perf_counter() - started)
    return sorted(taken)


def _snapshot(turn: int) -> bytes:
    return situation.snapshot(nodes=NODES, other_artifacts=ARTIFACTS, turn=turn)


def _replace(inventory: Path, turn: int) -> None:
    """Put a new snapshot in the place of the old one by a rename, as the controller does."""
    aside = inventory.with_suffix(".new")
    aside.write_bytes(_snapshot(turn))
    aside.replace(inventory)


def main() -> None:
    """Measure and report."""
    asked = report.arguments(__doc__).parse_args()
    row, megabytes = resident()
    helps = help_seconds()
    tables = [
        report.Table("one worker", [row]),
        report.Table(
            "warmpod preview --help", [{"best s": helps[0], "median s": helps[len(helps) // 2], "worst s": helps[-1]}]
        ),
    ]
    verdicts = [
        report.Verdict("resident memory of one worker", megabytes, MEMORY_TARGET, "MB"),
        report.Verdict(f"warmpod preview --help, best of {HELP_RUNS}", helps[0], HELP_TARGET, "s"),
    ]
    report.show(report.Report("memory", tables, verdicts), asked.output)


if __name__ == "__main__":
    main()
