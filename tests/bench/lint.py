"""What `warmpod lint` takes over many policies: each part beside reading them alone, and the command as it is typed.

Figures are CPU seconds, which other work on the machine bends less than the clock; `command` is the whole process.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from tests.bench import report
from webhook.lint.lint import CODES, lint, review
from webhook.lint.mending import mend
from webhook.policy.parse import parse
from webhook.policy.problem import Source

_POLICY = """apiVersion: warmpod.dev/v1alpha1
kind: WarmPolicy
metadata: {{name: p{index:04}}}
spec:
  mode: Enforce
  match:
    objectSelector: {{matchLabels: {{app: server-{group}}}}}
  variables:
    - {{name: team, expression: "has(object.metadata.labels) && 'team' in object.metadata.labels"}}
  matchConditions:
    - {{name: has-team, expression: "variables.team && object.metadata.labels['team'] == 'team-{index}'"}}
    - {{name: a-server, expression: "object.spec.containers.exists(c, c.image.contains('vllm'))"}}
  images: {{placement: Prefer}}
  models:
    - name: weights
      source: {{annotation: warmpod.dev/model}}
      allow: ["s3://acme-models/*"]
      cache: nvme
      mountPath: /models
  env: [{{name: NCCL_DEBUG, value: WARN}}]
"""
_CACHE = """apiVersion: warmpod.dev/v1alpha1
kind: NodeCache
metadata: {name: nvme}
spec:
  volume: {hostPath: {path: /mnt/k8s-disks/0/warmpod}}
  fallbackVolume: {emptyDir: {sizeLimit: 200Gi}}
"""


def main() -> None:
    """Measure and print."""
    parser = report.arguments(__doc__)
    parser.add_argument("--policies", type=int, default=200, help="policies, each in a file of its own")
    chosen = parser.parse_args()
    report.show(_measure(chosen.policies), chosen.output)


def _measure(count: int) -> report.Report:
    sources = [
        Source(f"p{index:04}.yaml", _POLICY.format(index=index, group=index // 10)) for index in range(count)
    ] + [Source("cache.yaml", _CACHE)]
    policies = parse(sources)
    assert not policies.problems
    reading = _cpu(lambda: parse(sources))
    with tempfile.TemporaryDirectory() as directory:
        for source in sources:
            (Path(directory) / source.file).write_text(source.text)
        command = _command(directory)
    parts = {
        "read": reading,
        "lint": _cpu(lambda: lint(policies, (), sources)),
        "read, lint and comments": _cpu(lambda: review(sources)),
        "look for something to mend": _cpu(lambda: mend(sources)),
        "the command, start-up included": command,
    }
    rows: list[report.Row] = [
        {"part": name, "CPU s": round(seconds, 2), "x reading": round(seconds / reading, 1)}
        for name, seconds in parts.items()
    ]
    title = f"{count} policies, {len(CODES)} codes of lint"
    verdicts = [report.Verdict(f"the command over {count} policies", command, 1.0, "s of CPU")]
    return report.Report("lint", [report.Table(title, rows)], verdicts)


def _cpu(work: Callable[[], object]) -> float:
    """The least CPU seconds of three runs."""
    found = []
    for _ in range(3):
        before = time.process_time()
        work()
        found.append(time.process_time() - before)
    return min(found)


def _command(directory: str) -> float:
    """The least CPU seconds of three processes, with start-up."""
    found = []
    for _ in range(3):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        arguments = [sys.executable, "-m", "webhook.cli.start", "lint", directory, "--output", "json"]
        subprocess.run(arguments, check=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        found.append(after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime)
    return min(found)


if __name__ == "__main__":
    main()
