"""Our webhook against the floor, over TLS: CPU a review, latency at a fixed rate, and what 50 policies cost.

Interleaved: every repeat measures every server in turn, so that a neighbour's noise falls on all of them; ratios are
taken within a repeat and the median of the repeats is judged. The client is another process than the measured one.
"""

from __future__ import annotations

import base64
import json
import os
import statistics
import subprocess
import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.bench import client, report, reviews, servers
from tests.bench.servers import Server

CONNECTIONS = 16
RATE = 400
FLOOR, ONE, FIFTY = "floor", "one-policy", "fifty-policies"

CPU_TARGET = 2.0
LATENCY_TARGET = 10.0
POLICIES_TARGET = 2.0

# What a patch touches when all four mutations took part; without a usable snapshot there would be no affinity.
EVERY_MUTATION = {"affinity", "initContainers", "volumes", "containers"}

Sample = dict[str, float]


class WrongAnswer(Exception):
    """A pod that asks for an accelerator got no patch, or another pod got one: the figures would mean nothing."""


def patches_of(answers: Mapping[int, bytes]) -> list[Any]:
    """The JSON Patch of each review of the corpus, None where there is none.

    WrongAnswer unless pods that ask for an accelerator, and no others, got one.
    """
    patches = []
    for index, wanted in enumerate(reviews.asks_for_accelerator()):
        response = json.loads(answers[index])["response"]
        patch = json.loads(base64.b64decode(response["patch"])) if response.get("patch") else None
        places = {operation["path"].split("/")[2] for operation in patch or ()}
        if not response["allowed"] or bool(patch) != wanted or (wanted and not places >= EVERY_MUTATION):
            expected = "all mutations" if wanted else "none"
            raise WrongAnswer(f"{reviews.SHAPES[index].name}: expected {expected}, got {places or response}")
        patches.append(patch)
    return patches


def middle_patch(patches: Sequence[Any]) -> Any:
    """Of the patches there are, the one of median size."""
    by_size = sorted((patch for patch in patches if patch), key=lambda patch: len(json.dumps(patch)))
    return by_size[len(by_size) // 2]


def closed(server: Server, bodies: Sequence[bytes], count: int) -> Sample:
    """16 connections, each always waiting for one answer. CPU seconds of the server for 1,000 reviews; milliseconds."""
    client.closed_loop(server.port, bodies, connections=CONNECTIONS, count=len(bodies) * 10)
    before = server.cpu_seconds()
    run = client.closed_loop(server.port, bodies, connections=CONNECTIONS, count=count)
    cpu = server.cpu_seconds() - before
    return {
        "cpuSecondsPer1000": cpu / count * 1000,
        "reviewsPerSecond": count / run.seconds,
        "p50": statistics.median(run.milliseconds),
        "p99": statistics.quantiles(run.milliseconds, n=100)[98],
    }


def opened(server: Server, corpus: Path, seconds: int) -> Sample:
    """400 reviews a second arrive whatever the server does. Milliseconds as k6 sees them; what it could not send."""
    script = Path(__file__).with_name("arrivals.js")
    environment = {
        "URL": f"https://127.0.0.1:{server.port}/mutate?timeout=2s",
        "CORPUS": str(corpus),
        "RATE": str(RATE),
        "SECONDS": str(seconds),
    }
    before = server.cpu_seconds()
    command = [str(Path(sys.executable).with_name("k6")), "run", "--quiet", "--no-usage-report", str(script)]
    done = subprocess.run(command, env={**os.environ, **environment}, capture_output=True, text=True, check=True)
    summary: Sample = json.loads(done.stdout)
    if summary["failed"]:
        raise client.BrokenAnswer(f"{server.name}: {summary['failed']} answers were not 200: see {server.log}")
    return {"cpuSecondsPer1000": (server.cpu_seconds() - before) / summary["sent"] * 1000, **summary}


def measure(repeats: int, count: int, seconds: int) -> report.Report:
    """All three measurements, `repeats` times."""
    bodies = reviews.corpus()
    loops: dict[str, list[Sample]] = defaultdict(list)
    arrivals: dict[str, list[Sample]] = defaultdict(list)
    with (
        servers.workplace() as place,
        servers.warmpod(place, ONE, policies=1) as one,
        servers.warmpod(place, FIFTY, policies=50) as fifty,
    ):
        patches = patches_of(client.closed_loop(one.port, bodies, connections=1, count=len(bodies)).answers)
        patches_of(client.closed_loop(fifty.port, bodies, connections=1, count=len(bodies)).answers)
        ready = middle_patch(patches)
        corpus = place.root / "corpus.json"
        corpus.write_text(json.dumps([body.decode() for body in bodies]))
        with servers.floor(place, ready) as floor:
            for repeat in range(repeats):
                report.progress(f"repeat {repeat + 1} of {repeats}")
                turn = [floor, one, fifty]
                for server in turn[repeat % 3 :] + turn[: repeat % 3]:
                    loops[server.name].append(closed(server, bodies, count))
                pair = [floor, one]
                for server in pair[repeat % 2 :] + pair[: repeat % 2]:
                    arrivals[server.name].append(opened(server, corpus, seconds))
    return _report(loops, arrivals, len(json.dumps(ready, separators=(",", ":"))))


def _report(loops: Mapping[str, list[Sample]], arrivals: Mapping[str, list[Sample]], patch_bytes: int) -> report.Report:
    verdicts = [
        report.Verdict("CPU of a review against the floor", _ratio(loops, ONE, FLOOR), CPU_TARGET, "x"),
        report.Verdict(f"p99 at {RATE} reviews/s", _median(arrivals[ONE], "p99"), LATENCY_TARGET, "ms"),
        report.Verdict("CPU with 50 policies against 1", _ratio(loops, FIFTY, ONE), POLICIES_TARGET, "x"),
    ]
    closed_rows = [
        {
            "server": name,
            "CPU s/1000": _median(samples, "cpuSecondsPer1000"),
            "min": min(sample["cpuSecondsPer1000"] for sample in samples),
            "max": max(sample["cpuSecondsPer1000"] for sample in samples),
            "reviews/s": _median(samples, "reviewsPerSecond"),
            "p50 ms": _median(samples, "p50"),
            "p99 ms": _median(samples, "p99"),
        }
        for name, samples in loops.items()
    ]
    open_rows = [
        {
            "server": name,
            "p50 ms": _median(samples, "p50"),
            "p95 ms": _median(samples, "p95"),
            "p99 ms": _median(samples, "p99"),
            "worst p99": max(sample["p99"] for sample in samples),
            "sent": int(sum(sample["sent"] for sample in samples)),
            "unsent": int(sum(sample["unsent"] for sample in samples)),
            "CPU s/1000": _median(samples, "cpuSecondsPer1000"),
        }
        for name, samples in arrivals.items()
    ]
    tables = [
        report.Table(f"closed loop, {CONNECTIONS} connections", closed_rows),
        report.Table(f"open loop, {RATE} reviews/s", open_rows),
    ]
    repeats = len(loops[FLOOR])
    return report.Report("load", tables, verdicts, {"repeats": repeats, "patchBytes": patch_bytes})


def _median(samples: Sequence[Sample], key: str) -> float:
    return statistics.median(sample[key] for sample in samples)


def _ratio(samples: Mapping[str, list[Sample]], above: str, below: str) -> float:
    pairs = zip(samples[above], samples[below], strict=True)
    return statistics.median(a["cpuSecondsPer1000"] / b["cpuSecondsPer1000"] for a, b in pairs)


def main() -> None:
    """Measure and report."""
    parser = report.arguments(__doc__)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--reviews", type=int, default=4000, help="reviews in each closed loop")
    parser.add_argument("--seconds", type=int, default=6, help="length of each open loop")
    asked = parser.parse_args()
    report.show(measure(asked.repeats, asked.reviews, asked.seconds), asked.output)


if __name__ == "__main__":
    main()
