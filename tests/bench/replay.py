"""What recording a review costs, and how fast recorded admissions are replayed: against the decision alone.

The recorder is the webhook's own, with its queue, its thread and its files; the replay is `warmpod replay` in processes
of its own, on one processor and on all, their start included. Figures are CPU time, so that they hold on a busy machine
too; the wall time of the replays is beside them.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from tests.bench import report, reviews, situation
from webhook.admission import admit
from webhook.admission.decision import Facts, Settings
from webhook.inventory.snapshot import decode
from webhook.kube import review
from webhook.kube.accelerator import Accelerators
from webhook.kube.podsecurity import Level
from webhook.policy.model import Mode
from webhook.policy.parse import parse
from webhook.server.metrics import Metrics
from webhook.server.record_files import Recording
from webhook.server.recorder import Recorder
from webhook.sources.policy_files import read

_ROUND = 1_000  # reviews put before the recorder is waited for: half of what its queue holds


def main() -> None:
    """Measure and print."""
    parser = report.arguments(__doc__)
    parser.add_argument("--reviews", type=int, default=10_000, help="recorded admissions")
    parser.add_argument("--policies", type=int, default=5, help="policies in force")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        report.show(_measure(Path(directory), chosen.reviews, chosen.policies), chosen.output)


def _measure(root: Path, count: int, policies: int) -> report.Report:
    directory = situation.write_policies(root / "policies", count=policies)
    inventory = decode(situation.snapshot())
    facts = Facts(
        policies=parse(read(directory)),
        settings=Settings(situation.HYDRATOR, Accelerators(), Level.BASELINE),
        inventory=inventory,
        mode_cap=Mode.ENFORCE,
        placement_usable=True,
    )
    requests = [review.parse(body) for body in reviews.corpus()]
    bodies = [len(body) for body in reviews.corpus()]
    placed = [replace(facts, namespace_labels=situation.NAMESPACES.get(each.namespace)) for each in requests]

    report.progress(f"deciding {count} reviews")
    started = time.process_time()
    for number in range(count):
        at = number % len(requests)
        admit(requests[at], placed[at])
    deciding = time.process_time() - started
    decisions = [admit(request, mine) for request, mine in zip(requests, placed, strict=True)]

    report.progress(f"recording {count} reviews")
    metrics = Metrics()
    recorder = Recorder(Recording(root / "records"), metrics)
    putting = 0.0
    started = time.process_time()
    for begin in range(0, count, _ROUND):
        before = time.thread_time()
        for number in range(begin, min(begin + _ROUND, count)):
            at = number % len(requests)
            recorder(requests[at], placed[at], decisions[at], bodies[at])
        putting += time.thread_time() - before
        while metrics.records.total() < min(begin + _ROUND, count):
            time.sleep(0.005)
    recorder.close()
    recording = time.process_time() - started
    if metrics.records["written"] != count:
        raise SystemExit(f"not all was recorded: {dict(metrics.records)}")
    size = sum(path.stat().st_size for path in (root / "records").iterdir())

    cores = len(os.sched_getaffinity(0))
    replays = {jobs: _replay(root, jobs) for jobs in sorted({1, cores})}
    rows = [
        {"what": "decide, once", "us a review": deciding / count * 1e6, "against deciding": 1.0},
        {"what": "put into the queue", "us a review": putting / count * 1e6, "against deciding": putting / deciding},
        {
            "what": "redact and write, in its thread",
            "us a review": (recording - putting) / count * 1e6,
            "against deciding": (recording - putting) / deciding,
        },
        *(
            {
                "what": f"replay, {jobs} process{'es' if jobs > 1 else ''}",
                "us a review": cpu / count * 1e6,
                "against deciding": cpu / deciding,
            }
            for jobs, (_, cpu) in replays.items()
        ),
    ]
    notes = {
        "bytes a record": size / count,
        f"seconds for {count} on {cores} processors": replays[cores][0],
        "one process against all": replays[1][0] / replays[cores][0],
    }
    return report.Report("records and replay", [report.Table(f"{count} reviews, {policies} policies", rows)], [], notes)


def _replay(root: Path, jobs: int) -> tuple[float, float]:
    """Wall and CPU seconds."""
    report.progress(f"replaying with --jobs {jobs}")
    command = [sys.executable, "-m", "webhook.cli.main", "replay", str(root / "records"), "--output=json"]
    started, before = time.monotonic(), _of_children()
    done = subprocess.run(
        [*command, "--policies", str(root / "policies"), f"--jobs={jobs}"], check=True, capture_output=True, text=True
    )
    wall, cpu = time.monotonic() - started, _of_children() - before
    said = json.loads(done.stdout)
    if said["reproduced"]["same"] != said["admissions"] or said["auditEqualsEnforce"]["proven"] != said["admissions"]:
        raise SystemExit(f"the replay is not the recording: {said['findings'][:3]}")
    return wall, cpu


def _of_children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    main()
