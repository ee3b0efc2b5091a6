"""How long reviews wait while a large snapshot is read: their latency with one swapped in every second, and with none.

One worker, 15,000 nodes with 30 labels each, 8 large images a node of 2,000, 300 models. Reviews arrive over TLS at a
fixed rate whatever the server does; stretches with and without swaps take turns, so that what else the machine does
falls on both. Also: how long reading such a file takes, and in how much memory, in a process of its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import os
import re
import ssl
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import uvloop

from tests.bench import report, reviews, servers, situation
from webhook.inventory.snapshot import Encoder, decode

RATE = 100
CONNECTIONS = 8
RELOAD_SECONDS = 0.25
TURNS = 4

SECONDS_TARGET = 5.0
MEGABYTES_TARGET = 500.0

_ANSWER = re.compile(rb"HTTP/1.1 200 .*\r\ncontent-length: *(\d+)\r\n", re.IGNORECASE | re.DOTALL)


class Unanswered(Exception):
    """A review was not answered as it should be; the text has what came."""


async def _arrivals(port: int, bodies: Sequence[bytes], seconds: float) -> list[float]:
    """Milliseconds from the moment each review was due to its answer."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # a certificate of a moment ago, for this run alone
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    head = f"POST /mutate?timeout=10s HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: application/json\r\n"
    requests = [f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body for body in bodies]
    free: asyncio.Queue[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = asyncio.Queue()
    streams = [await asyncio.open_connection("127.0.0.1", port, ssl=context) for _ in range(CONNECTIONS)]
    for stream in streams:
        free.put_nowait(stream)
    taken: list[float] = []

    async def ask(due: float, request: bytes) -> None:
        reader, writer = stream = await free.get()
        writer.write(request)
        answer = await reader.readuntil(b"\r\n\r\n")
        length = _ANSWER.match(answer)
        if length is None:
            raise Unanswered(answer.decode(errors="replace"))
        await reader.readexactly(int(length[1]))
        taken.append((time.perf_counter() - due) * 1000)
        free.put_nowait(stream)

    started = time.perf_counter()
    async with asyncio.TaskGroup() as asking:
        for number in range(int(seconds * RATE)):
            due = started + number / RATE
            await asyncio.sleep(max(due - time.perf_counter(), 0))
            asking.create_task(ask(due, requests[number % len(requests)]))
    for _, writer in streams:
        writer.close()
    return taken


@contextlib.contextmanager
def swapping(path: Path, others: Iterator[Path], swaps: list[Path]) -> Iterator[None]:
    """Another snapshot in the place of `path` every second, by a rename as the controller does it; adds to `swaps`."""
    stop = threading.Event()

    def swap() -> None:
        while not stop.wait(1.0):
            aside, other = path.with_suffix(".aside"), next(others)
            os.link(other, aside)
            aside.replace(path)
            swaps.append(other)

    swapper = threading.Thread(target=swap)
    swapper.start()
    try:
        yield
    finally:
        stop.set()
        swapper.join()


def latencies(stretches: int, seconds: float) -> tuple[list[report.Row], float]:
    """The table, and how many times as long the hundredth review takes with swaps, by the median of the stretches."""
    bodies = reviews.corpus()
    found: dict[bool, list[list[float]]] = {False: [], True: []}
    with (
        servers.workplace() as place,
        servers.warmpod(place, "swapped", snapshot=situation.large(), reload_seconds=RELOAD_SECONDS) as server,
    ):
        files = [place.root / f"turn-{turn}" for turn in range(1, TURNS + 1)]
        for turn, file in enumerate(files, 1):
            file.write_bytes(situation.large(turn))
        others, swaps = itertools.cycle(files), list[Path]()
        inventory = place.root / server.name / servers.INVENTORY
        uvloop.run(_arrivals(server.port, bodies, 2.0))
        for stretch in range(stretches):
            report.progress(f"stretch {stretch + 1} of {stretches}")
            for swapped in (False, True) if stretch % 2 else (True, False):
                with swapping(inventory, others, swaps) if swapped else contextlib.nullcontext():
                    found[swapped].append(uvloop.run(_arrivals(server.port, bodies, seconds)))
                time.sleep(1.0)  # what was swapped in last is read now, and not in the next stretch
        memory = server.resident_megabytes()
    rows = [
        {
            "swaps": len(swaps) if swapped else 0,
            "reviews": sum(map(len, runs)),
            "p50 ms": statistics.median(map(statistics.median, runs)),
            "p99 ms": statistics.median(map(_last, runs)),
            "most ms": max(map(max, runs)),
            "MB after, peak": "{:.0f}, {:.0f}".format(*memory) if swapped else "",
        }
        for swapped, runs in found.items()
    ]
    ratio = statistics.median(_last(b) / _last(a) for a, b in zip(found[False], found[True], strict=True))
    return rows, ratio


def _last(taken: list[float]) -> float:
    return statistics.quantiles(taken, n=100)[98]


def reading(runs: int) -> report.Row:
    """Seconds and MB of reading the snapshot, as a process of its own sees it, and of writing it."""
    program = (
        "import json, sys; from tests.bench import swap; json.dump(swap.read(sys.stdin.buffer.read()), sys.stdout)"
    )
    data = situation.large()
    rows = []
    for _ in range(runs):
        command = [sys.executable, "-c", program]
        done = subprocess.run(command, input=data, stdout=subprocess.PIPE, check=True, cwd=servers.ROOT)
        rows.append(json.loads(done.stdout))
    return {
        "nodes": 15_000,
        "file MB": len(data) / 1e6,
        **{key: statistics.median(row[key] for row in rows) for key in rows[0]},
    }


def read(data: bytes) -> dict[str, float]:
    """Read a snapshot in this process."""
    before = _resident()
    started = time.perf_counter()
    inventory = decode(data)
    taken = time.perf_counter() - started
    after = _resident()
    encoder = Encoder()
    started = time.perf_counter()
    encoder.encode(inventory)
    first = time.perf_counter() - started
    started = time.perf_counter()
    encoder.encode(inventory)
    return {
        "read s": taken,
        "read MB": after - before,
        "write s": first,
        "write again s": time.perf_counter() - started,
    }


def _resident() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def main() -> None:
    """Measure and report."""
    parser = report.arguments(__doc__)
    parser.add_argument("--stretches", type=int, default=4, help="with swaps, and as many without")
    parser.add_argument("--seconds", type=float, default=8.0, help="length of a stretch")
    asked = parser.parse_args()
    row = reading(3)
    rows, ratio = latencies(asked.stretches, asked.seconds)
    tables = [
        report.Table(f"{RATE} reviews/s over TLS, a snapshot swapped in every second or not", rows),
        report.Table("one snapshot", [row]),
    ]
    verdicts = [
        report.Verdict("reading 15,000 nodes", row["read s"], SECONDS_TARGET, "s"),
        report.Verdict("memory of 15,000 nodes", row["read MB"], MEGABYTES_TARGET, "MB"),
    ]
    report.show(report.Report("swap", tables, verdicts, {"p99 with swaps against without, x": ratio}), asked.output)


if __name__ == "__main__":
    main()
