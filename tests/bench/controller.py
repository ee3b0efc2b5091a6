"""`warmpod controller` on a real API server with thousands of nodes: first snapshot, heartbeats, labels.

For each size of the cluster a fresh controller is started and measured: how long until its first snapshot, what it
holds in memory, and how much of a core 100 node heartbeats a second cost it, beside a floor that only receives them.
At the largest size an image appears on a thousand nodes, and the time until all of them are labelled is taken.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.bench import populace, report, servers
from tests.bench.populace import GIB, Populace
from tests.bench.servers import Server
from webhook.inventory.snapshot import decode
from webhook.kube import names

SIZES = ((500, 2_000), (1_500, 6_000), (5_000, 20_000))
BEATS = 100.0
BEAT_SECONDS = 30.0
PULLS = 1_000
"""At a size with fewer nodes, all of them."""
PULLED_BYTES = 9 * GIB
WRITES_PER_SECOND = 100
PATIENCE_SECONDS = 300.0
HEARTBEAT_TARGET = 10.0


@contextlib.contextmanager
def controller(people: Populace, place: Path, *options: str) -> Iterator[tuple[Server, Path]]:
    """`warmpod controller` as installed, and the snapshot that it writes."""
    snapshot = place / "snapshot.json"
    command = [
        str(Path(sys.executable).with_name("warmpod")),
        "controller",
        f"--kubeconfig={people.kubeconfig}",
        f"--snapshot={snapshot}",
        f"--metrics-port={servers.free_port()}",
        "--lease-namespace=default",
        *options,
    ]
    with _process("controller", command, place) as server:
        yield server, snapshot


@contextlib.contextmanager
def receiver(people: Populace, place: Path) -> Iterator[Server]:
    """The floor: a process that receives the same watch and looks at nothing."""
    authority, token = place / "authority.crt", place / "token"
    authority.write_bytes(people.authority_pem)
    token.write_text(people.token)
    command = [sys.executable, str(Path(__file__).with_name("receiver.py")), people.server, str(authority), str(token)]
    with _process("floor", command, place) as server:
        await_(lambda: "watching" in server.log.read_text(), "the floor to watch")
        yield server


def await_(holds: Callable[[], bool], what: str) -> float:
    """Seconds until it holds, looked at every 50 ms."""
    started = time.monotonic()
    while not holds():
        if time.monotonic() - started > PATIENCE_SECONDS:
            raise servers.NotStarted(f"waited {PATIENCE_SECONDS:.0f} s for {what} in vain")
        time.sleep(0.05)
    return time.monotonic() - started


def measure(people: Populace, nodes: int, pods: int, *, with_labels: bool) -> tuple[report.Row, report.Row | None]:
    """A row of the growth table, and one of the labels' where they were asked for."""
    report.progress(f"making {nodes} nodes and {pods} pods")
    people.grow(nodes, pods)
    with tempfile.TemporaryDirectory(prefix="warmpod-bench-") as directory:
        place = Path(directory)
        report.progress(f"controller on {nodes} nodes")
        with controller(people, place, "--no-labels") as (server, snapshot):
            first = await_(lambda: snapshot.exists() or _ended(server), "the first snapshot")
            begin = server.cpu_seconds()
            inventory = decode(snapshot.read_bytes())
            if len(inventory.nodes) != nodes:
                raise servers.NotStarted(f"the snapshot has {len(inventory.nodes)} nodes of {nodes}")
            with receiver(people, place) as floor:
                time.sleep(3)
                ours, theirs, started = server.cpu_seconds(), floor.cpu_seconds(), time.monotonic()
                with people.heartbeats(BEATS) as beats:
                    time.sleep(BEAT_SECONDS)
                    count = beats()
                elapsed = time.monotonic() - started
                ours, theirs = server.cpu_seconds() - ours, floor.cpu_seconds() - theirs
            now, peak = server.resident_megabytes()
        row: report.Row = {
            "nodes": nodes,
            "pods": pods,
            "first snapshot s": first,
            "of that CPU s": begin,
            "snapshot MB": snapshot.stat().st_size / 1e6,
            "MB now": now,
            "MB peak": peak,
            "beats/s": count / elapsed,
            "% of a core": 100 * ours / elapsed,
            "floor %": 100 * theirs / elapsed,
        }
        report.progress(json.dumps(row))
        return row, _labels(people, place) if with_labels else None


def _labels(people: Populace, place: Path) -> report.Row:
    option = f"--label-writes-per-second={WRITES_PER_SECOND}"
    (place / "snapshot.json").unlink()
    with controller(people, place, option) as (server, snapshot):
        report.progress("labelling every node")
        all_nodes = await_(lambda: _is_labelled(snapshot), "the labels of every node")
        count = min(PULLS, people.nodes)
        report.progress(f"an image appears on {count} nodes")
        begin = server.cpu_seconds()
        name = people.pull(range(count), PULLED_BYTES)
        seconds = await_(lambda: people.labelled(names.image_label(name)) == count, "the labels of the new image")
        return {
            "writes/s allowed": WRITES_PER_SECOND,
            "every node labelled s": all_nodes,
            f"{count} nodes labelled s after the last pull": seconds,
            "CPU s": server.cpu_seconds() - begin,
        }


def _is_labelled(snapshot: Path) -> bool:
    """Whether every node bears every label that it should, as the controller saw it come back from the API server."""
    time.sleep(0.5)
    if not snapshot.exists():
        return False
    artifacts = decode(snapshot.read_bytes()).artifacts
    return bool(artifacts) and not any(artifact.unlabelled for artifact in artifacts)


def _ended(server: Server) -> bool:
    if not Path(f"/proc/{server.pid}").exists() or "Z" in Path(f"/proc/{server.pid}/stat").read_text().split(")")[1]:
        raise servers.NotStarted(f"the controller ended:\n{server.log.read_text()[-2000:]}")
    return False


@contextlib.contextmanager
def _process(name: str, command: list[str], place: Path) -> Iterator[Server]:
    log = place / f"{name}.log"
    environment = {key: value for key, value in os.environ.items() if not key.startswith("WARMPOD_")}
    with log.open("wb") as file:
        child = subprocess.Popen(command, stdout=file, stderr=file, env=environment)
    try:
        yield Server(name, 0, child.pid, log)
    finally:
        child.terminate()
        try:
            child.wait(10)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


def main() -> None:
    """Measure and report."""
    parser = report.arguments(__doc__)
    parser.add_argument("--small", action="store_true", help="the smallest size only, to see that it works")
    asked = parser.parse_args()
    sizes = SIZES[:1] if asked.small else SIZES
    rows, labels = [], None
    with populace.api_server() as people:
        for size in sizes:
            row, labels = measure(people, *size, with_labels=size == sizes[-1])
            rows.append(row)
    tables = [report.Table("growth, one controller each", rows)]
    if labels:
        tables.append(report.Table("labels, at the largest size", [labels]))
    verdict = report.Verdict("CPU at 100 heartbeats/s", rows[-1]["% of a core"], HEARTBEAT_TARGET, "% of a core")
    report.show(report.Report("controller", tables, [verdict]), asked.output)


if __name__ == "__main__":
    main()
