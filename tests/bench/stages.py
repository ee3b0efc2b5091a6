"""Microseconds of one review through the function, stage by stage, in one process and without HTTP.

The policy has five CEL conditions and all four mutations, so every review of an accelerator pod takes the longest way.
The whole is timed untouched; the stages are timed in runs of their own, by a clock around the functions where they
begin and end. What the self-check does (it reviews the pod a second time) counts as self-check. The patches' effect is
compared with jsonpatch's in the run.
"""

from __future__ import annotations

import gc
import itertools
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest import mock

import jsonpatch
import msgspec

from tests.bench import report, reviews, situation
from webhook.admission import admit, decide, laws
from webhook.admission.decision import Facts, Settings
from webhook.inventory.snapshot import decode
from webhook.kube import patch, review
from webhook.kube.accelerator import Accelerators
from webhook.kube.podsecurity import Level
from webhook.policy.parse import parse
from webhook.sources.policy_files import read

WHOLE_TARGET = 400.0
DIFF_TARGET = 100.0

# Where each stage of the decision begins and ends; `fold` and `match` are looked up in the module that calls them.
SEAMS: tuple[tuple[str, ModuleType, str], ...] = (
    ("match", decide, "match"),
    ("mutate", decide, "fold"),
    ("diff", patch, "diff"),
    ("self-check", laws, "broken"),
)
REST = "rest of the decision"
WHOLE, OTHERS, JSONPATCH, YARDSTICK = (
    "whole, accelerator pods",
    "whole, other pods",
    "(jsonpatch's diff)",
    "(msgspec's decode alone)",
)
ORDER = ("decode", "match", "mutate", "diff", "self-check", REST, "encode", WHOLE, OTHERS, JSONPATCH, YARDSTICK)

Samples = dict[str, list[float]]


class UnequalEffect(Exception):
    """Our patch and jsonpatch's do not make the same pod; the text says of which review."""


class Clock:
    """Microseconds spent in each stage of the review at hand. A stage within a stage belongs to the outer one."""

    def __init__(self) -> None:
        self.spent: dict[str, float] = {}
        self._inside = False

    def around(self, stage: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function, timed."""

        def clocked(*arguments: Any) -> Any:
            if self._inside:
                return function(*arguments)
            self._inside = True
            started = time.perf_counter()
            try:
                return function(*arguments)
            finally:
                self.spent[stage] = self.spent.get(stage, 0.0) + (time.perf_counter() - started) * 1e6
                self._inside = False

        return clocked


def facts(policies: int = 1) -> Callable[[str], Facts]:
    """What is known in a namespace, as the webhook would know it."""
    with tempfile.TemporaryDirectory(prefix="warmpod-bench-") as directory:
        rules = parse(read(situation.write_policies(Path(directory) / "policies", count=policies)))
    assert not rules.problems, rules.problems
    inventory = decode(situation.snapshot())
    settings = Settings(situation.HYDRATOR, Accelerators(), Level.BASELINE)
    known = {
        namespace: Facts(rules, settings, inventory, labels, placement_usable=True)
        for namespace, labels in situation.NAMESPACES.items()
    }
    return known.__getitem__


def answer(body: bytes, known: Callable[[str], Facts]) -> bytes:
    """One whole review, as the server does it."""
    request = review.parse(body)
    decision = admit(request, known(request.namespace))
    return review.render(_said(request, decision))


def timed(bodies: list[bytes], function: Callable[[bytes], object]) -> list[float]:
    """Microseconds that the function takes for each body."""
    taken = []
    for body in bodies:
        started = time.perf_counter()
        function(body)
        taken.append((time.perf_counter() - started) * 1e6)
    return taken


def staged(bodies: list[bytes], known: Callable[[str], Facts], samples: Samples) -> None:
    """Add the microseconds of each stage of each review to the samples."""
    clock = Clock()
    with _seams(clock):
        for body in bodies:
            clock.spent = dict.fromkeys((stage for stage, _, _ in SEAMS), 0.0)
            times = [time.perf_counter()]
            request = review.parse(body)
            times.append(time.perf_counter())
            decision = admit(request, known(request.namespace))
            times.append(time.perf_counter())
            review.render(_said(request, decision))
            times.append(time.perf_counter())
            decoding, deciding, encoding = ((b - a) * 1e6 for a, b in itertools.pairwise(times))
            rest = deciding - sum(clock.spent.values())
            for stage, spent in {**clock.spent, "decode": decoding, "encode": encoding, REST: rest}.items():
                samples[stage].append(spent)


def check_effect(bodies: list[bytes], known: Callable[[str], Facts]) -> list[float]:
    """Compare with jsonpatch, review by review; gives the microseconds that its diff takes. UnequalEffect."""
    taken = []
    for body in bodies:
        request = review.parse(body)
        decision = admit(request, known(request.namespace))
        sent, wanted = request.object, decision.pod
        if decision.violations or not decision.patch or sent is None or wanted is None:
            raise UnequalEffect(f"{request.display_name}: no patch; {decision.violations or decision.policies}")
        started = time.perf_counter()
        theirs = jsonpatch.make_patch(sent, wanted)
        taken.append((time.perf_counter() - started) * 1e6)
        if not patch.equal(jsonpatch.JsonPatch(decision.patch).apply(sent), theirs.apply(sent)):
            raise UnequalEffect(request.display_name)
    return taken


def measure(rounds: int) -> report.Report:
    """Everything, after a warm-up."""
    known = facts()
    gc.collect()
    gc.freeze()  # as the webhook does after its start
    bodies = reviews.corpus()
    asking = [body for body, asks in zip(bodies, reviews.asks_for_accelerator(), strict=True) if asks]
    others = [body for body, asks in zip(bodies, reviews.asks_for_accelerator(), strict=True) if not asks]
    samples: Samples = defaultdict(list)
    samples[JSONPATCH] = check_effect(asking, known)
    timed(asking * (rounds // 10 + 1), lambda body: answer(body, known))
    for _ in range(rounds):
        # In turn, so that all of them meet the machine in the same mood.
        samples[WHOLE] += timed(asking, lambda body: answer(body, known))
        staged(asking, known, samples)
        samples[OTHERS] += timed(others, lambda body: answer(body, known))
        samples[YARDSTICK] += timed(asking, msgspec.json.decode)
    rows = [_row(stage, samples[stage], len(others if stage == OTHERS else asking)) for stage in ORDER]
    verdicts = [
        report.Verdict("one whole review at the median", statistics.median(samples[WHOLE]), WHOLE_TARGET, "us"),
        report.Verdict("the diff at the median", statistics.median(samples["diff"]), DIFF_TARGET, "us"),
    ]
    notes = {
        "reviews timed": len(samples[WHOLE]),
        "patches equal in effect to jsonpatch's": f"{len(samples[JSONPATCH])} of {len(asking)}",
    }
    return report.Report("stages", [report.Table("one review, microseconds", rows)], verdicts, notes)


def _said(request: review.AdmissionRequest, decision: Any) -> review.Answer:
    return review.Answer(
        uid=request.uid,
        allowed=decision.allowed,
        patch=decision.patch,
        warnings=decision.warnings,
        audit_annotations=decision.audit_annotations,
    )


@contextmanager
def _seams(clock: Clock) -> Iterator[None]:
    patches = [
        mock.patch.object(module, name, clock.around(stage, getattr(module, name))) for stage, module, name in SEAMS
    ]
    for each in patches:
        each.start()
    try:
        yield
    finally:
        for each in patches:
            each.stop()


def _row(stage: str, samples: list[float], bodies: int) -> report.Row:
    """`samples` are of so many bodies in turn; `quiet` is the median body in its own quickest run."""
    last = statistics.quantiles(samples, n=100)[98] if len(samples) > 1 else samples[0]
    quiet = statistics.median(min(samples[body::bodies]) for body in range(bodies))
    return {"stage": stage, "median": statistics.median(samples), "p99": last, "quiet": quiet}


def main() -> None:
    """Measure and report."""
    parser = report.arguments(__doc__)
    parser.add_argument("--rounds", type=int, default=200, help="how often each of the 20 reviews is timed")
    asked = parser.parse_args()
    report.show(measure(asked.rounds), asked.output)


if __name__ == "__main__":
    main()
