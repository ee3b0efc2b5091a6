"""What the hydrator costs beside its peers: big files over HTTPS and HTTP, small ones, slow connections, hits.

All clients download from one server on this machine to one disk, in random order within every repeat. GB are 10^9 bytes
and seconds include sync(2); CPU is of the client and all its processes, the server's excluded.
"""

from __future__ import annotations

import random
import shlex
import shutil
import ssl
import statistics
import tempfile
from collections.abc import Callable, Sequence
from itertools import count
from pathlib import Path
from typing import NamedTuple

from tests.bench import report
from tests.bench.hydrate import document, runs, storage
from tests.bench.hydrate.clients import OURS, Job, installed
from tests.bench.hydrate.runs import Run
from tests.bench.hydrate.storage import Served

HIT_RUNS = 20


class Scenario(NamedTuple):
    """What is downloaded; the targets are ratios to the best peer, None where there is none."""

    name: str
    title: str
    port: str
    prefix: str
    connections: int
    time_target: float | None
    cpu_target: float | None
    rss_target: float | None


SCENARIOS = (
    Scenario("https", "big files over HTTPS", "https", "big", 0, 1.0, 1.1, 64.0),
    Scenario("http", "big files over HTTP", "http", "big", 0, None, None, None),
    Scenario("small", "small files over HTTPS", "https", "small", 0, 1.0, None, None),
    Scenario("slow", "big files over HTTPS, 40 connections of 24 MiB/s", "slow-https", "big", 40, 1 / 0.85, None, None),
)

Results = dict[str, list[Run]]


class Bench:
    """Downloads from one server into one directory, which is removed by whoever made it."""

    def __init__(self, served: Served, place: Path, names: list[str], warmpod: list[str]) -> None:
        self._served = served
        self._warmpod = warmpod
        self._place = place
        self._names = names
        self._numbers = count(1)

    def job(self, port: str, prefix: str, connections: int = 0) -> Job:
        """A download into a directory of its own."""
        files = sum(1 for path in (self._served.root / storage.BUCKET / prefix).rglob("*") if path.is_file())
        target = self._place / f"target-{next(self._numbers)}"
        job = Job(self._served.urls[port], self._served.authority, prefix, target, connections, files)
        return job._replace(warmpod=tuple(self._warmpod)) if self._warmpod else job

    def warm(self) -> None:
        """Let every client run once, which leaves its program in the page cache and Python's compiled."""
        for name in self._names:
            runs.download(name, self.job("https", "hit"), self._served.checksums("hit"))

    def measure(self, scenarios: Sequence[Scenario], repeats: int) -> dict[str, Results]:
        """Runs by scenario and client; every repeat holds one of each, in random order."""
        results: dict[str, Results] = {scenario.name: {name: [] for name in self._names} for scenario in scenarios}
        for repeat in range(repeats):
            for scenario in scenarios:
                sums = self._served.checksums(scenario.prefix) if repeat == 0 else None
                for name in random.sample(self._names, len(self._names)):
                    job = self.job(scenario.port, scenario.prefix, scenario.connections)
                    run = runs.download(name, job, sums)
                    if scenario.prefix == "big":
                        shutil.rmtree(job.directory)
                    # Small files stay to the end: ext4 looks long for an inode when many were freed a moment ago.
                    results[scenario.name][name].append(run)
                    figures = f"{run.gigabytes / run.synced:5.2f} GB/s, {run.cpu / run.gigabytes:5.2f} CPU s/GB"
                    report.progress(f"{repeat + 1}/{repeats} {scenario.name:6} {name:8} {figures}")
        return results


def table(scenario: Scenario, results: Results) -> report.Table:
    """Medians; `x time` and `x CPU` are against the best peer of the same repeat."""
    rows = []
    for name, all_runs in results.items():
        small = scenario.prefix == "small"
        speeds = [run.files / run.synced if small else run.gigabytes / run.synced for run in all_runs]
        rows.append(
            {
                "client": name,
                "files/s" if small else "GB/s": statistics.median(speeds),
                "CPU s/GB": statistics.median(run.cpu / run.gigabytes for run in all_runs),
                "s": statistics.median(run.synced for run in all_runs),
                "MiB of a process": max(run.rss for run in all_runs) / 2**20,
                "x time": _ratio(results, name, _synced),
                "x CPU": _ratio(results, name, _cpu),
            }
        )
    one = next(iter(results.values()))[0]
    return report.Table(f"{scenario.title}: {one.files:,} files, {one.gigabytes:.2f} GB", rows)


def _ratio(results: Results, name: str, figure: Callable[[Run], float]) -> float:
    """The median over the repeats of the client's figure by the best peer's, itself left out."""
    peers = [all_runs for peer, all_runs in results.items() if peer not in {OURS, name}]
    ratios = []
    for index, run in enumerate(results[name]):
        best = min((figure(all_runs[index]) for all_runs in peers), default=figure(run))
        ratios.append(figure(run) / best)
    return statistics.median(ratios)


def _synced(run: Run) -> float:
    return run.synced


def _cpu(run: Run) -> float:
    return run.cpu


def verdicts(scenario: Scenario, results: Results) -> list[report.Verdict]:
    """Ours against the targets."""
    if OURS not in results or len(results) == 1:
        return []
    found = []
    if scenario.time_target is not None:
        ratio = _ratio(results, OURS, _synced)
        found.append(report.Verdict(f"{scenario.title}: time, best peer", ratio, scenario.time_target, "x"))
    if scenario.cpu_target is not None:
        ratio = _ratio(results, OURS, _cpu)
        found.append(report.Verdict(f"{scenario.title}: CPU, best peer", ratio, scenario.cpu_target, "x"))
    if scenario.rss_target is not None:
        peak = max(run.rss for run in results[OURS]) / 2**20
        found.append(report.Verdict(f"{scenario.title}: memory of a process", peak, scenario.rss_target, "MiB"))
    return found


def main() -> None:
    """Measure and report."""
    parser = report.arguments(__doc__)
    parser.add_argument("--repeats", type=int, default=5, help="runs of each client in each scenario")
    parser.add_argument("--scale", type=float, default=1.0, help="of 8 x 512 MiB and 10,000 files")
    parser.add_argument("--quick", action="store_true", help="--repeats=1 --scale=0.25, two to three minutes")
    parser.add_argument("--scenario", action="append", choices=[*(each.name for each in SCENARIOS), "hit"])
    parser.add_argument("--client", action="append", choices=installed())
    parser.add_argument("--warmpod", default="", help="what starts ours, such as that of a Python with another OpenSSL")
    parser.add_argument("--directory", type=Path, default=Path(tempfile.gettempdir()), help="on the disk to write to")
    parser.add_argument("--write", action="store_true", help="put the tables into docs/benchmarks.md")
    asked = parser.parse_args()
    repeats, scale = (1, 0.25) if asked.quick else (asked.repeats, asked.scale)
    wanted = asked.scenario or [*(each.name for each in SCENARIOS), "hit"]
    scenarios = [scenario for scenario in SCENARIOS if scenario.name in wanted]
    names = asked.client or installed()
    place = Path(tempfile.mkdtemp(prefix="warmpod-bench-", dir=asked.directory))
    try:
        with storage.serving(place, scale) as served:
            bench = Bench(served, place, names, shlex.split(asked.warmpod))
            bench.warm()
            results = bench.measure(scenarios, repeats)
            taken = {}
            if "hit" in wanted and OURS in names:
                taken = {port: runs.hits(bench.job(port, "hit"), HIT_RUNS) for port in ("https", "http")}
        where = document.filesystem(place)
    finally:
        shutil.rmtree(place)
    tables = [table(scenario, results[scenario.name]) for scenario in scenarios]
    judged = [verdict for scenario in scenarios for verdict in verdicts(scenario, results[scenario.name])]
    if taken:
        rows = [
            {
                "over": port,
                "best ms": each[0] * 1e3,
                "median ms": statistics.median(each) * 1e3,
                "worst ms": each[-1] * 1e3,
            }
            for port, each in taken.items()
        ]
        tables.append(report.Table(f"hits: start to end of the process, {HIT_RUNS} runs, 20 files", rows))
        median = max(statistics.median(each) for each in taken.values()) * 1e3
        judged.append(report.Verdict("a hit, at the median", median, 150.0, "ms"))
    ssl_of_ours = "an OpenSSL that --warmpod chose" if asked.warmpod else ssl.OPENSSL_VERSION.rsplit(" ", 3)[0]
    notes = {"warmpod with": ssl_of_ours, "written to": where, "repeats": repeats, "scale": scale}
    made = report.Report("hydrate", tables, judged, notes)
    report.show(made, asked.output)
    if asked.write:
        document.write(made)


if __name__ == "__main__":
    main()
