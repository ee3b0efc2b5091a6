"""One case of a test, ready to be decided, and how it went."""

from __future__ import annotations

import textwrap
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal, NamedTuple

import click

from webhook.admission import admit
from webhook.admission.changes import changes
from webhook.admission.decision import Decision, Facts
from webhook.cli.errors import CouldNotRun, printable
from webhook.cli.policy_sets import PolicySets
from webhook.cli.render import diff_text
from webhook.kube.review import AdmissionRequest
from webhook.report.coverage import Seen, look
from webhook.report.rehearsal import rehearse

Result = Literal["passed", "failed", "updated"]


class Situation(NamedTuple):
    """What is decided: one review, and the facts of its world."""

    request: AdmissionRequest
    facts: Facts


class Judgement(NamedTuple):
    """What a case's own expectations came to, and whether what it expects was written anew."""

    failures: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    updated: bool = False


@dataclass(frozen=True, slots=True)
class Trial:
    """One case. `file` and `line` are where a person looks first, `policies` the places of those it is about.

    `load` gives its situation, and may raise CouldNotRun; `judge` holds a lawful decision to what the case expects.
    """

    suite: str
    case: str
    file: str
    line: int
    directory: str
    policies: tuple[str, ...]
    load: Callable[[PolicySets], Situation]
    judge: Callable[[Situation, Decision], Judgement]
    is_file_at_fault: bool = False

    @property
    def name(self) -> str:
        """`<test>/<case>`, as people call it."""
        return f"{self.suite}/{self.case}"


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a case went: `failures` is empty unless `result` is "failed". `seconds` of wall clock."""

    suite: str
    case: str
    file: str
    line: int
    directory: str
    result: Result
    failures: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    seconds: float = 0.0
    seen: Seen | None = None

    @property
    def name(self) -> str:
        """`<test>/<case>`, as people call it."""
        return f"{self.suite}/{self.case}"


def run(trial: Trial, policies: PolicySets, *, seed: str = "") -> Outcome:
    """Run one case: decide, hold to the laws, hold to what it expects. Never raises for what a file holds."""
    start = time.perf_counter()
    notes: tuple[str, ...] = ()
    seen: Seen | None = None
    judgement = Judgement()
    try:
        situation = trial.load(policies)
        with policies.observing() as answers:
            decision = admit(*situation)
        tried = rehearse(situation.request, situation.facts, decision, f"{seed}\n{trial.name}")
        if policies.observed:
            seen = look(situation.request, situation.facts, decision, answers)
        # A decision that breaks a law is no decision to be compared, let alone written down.
        judgement = Judgement(tried.broken) if tried.broken else trial.judge(situation, decision)
        notes = tuple(map(printable, (*judgement.notes, *tried.notes)))
    except CouldNotRun as error:
        judgement = Judgement((error.message,))
    failures = tuple(map(printable, judgement.failures))
    result: Result = "failed" if failures else "updated" if judgement.updated else "passed"
    return Outcome(
        suite=trial.suite,
        case=trial.case,
        file=trial.file,
        line=trial.line,
        directory=trial.directory,
        result=result,
        failures=failures,
        notes=notes,
        seconds=time.perf_counter() - start,
        seen=seen,
    )


def decided(situation: Situation, decision: Decision, *, with_pod: bool) -> str:
    """What was decided, for somebody who expected something else: each policy and why, and what became of the pod."""
    lines = [
        f"  {verdict.result:<8} {verdict.name} ({verdict.mode}): {verdict.reason}" for verdict in decision.policies
    ] or ["  no policy looked at this pod"]
    if not decision.allowed:
        lines.append(f"  denied: {decision.message}")
    sent = situation.request.object
    for word, after in (("changes", decision.pod), ("would change", decision.would_pod)):
        told = changes(sent, after).text if sent is not None else ""
        if told and (word == "changes" or after is not decision.pod):
            lines.append(f"  {word}: {told}")
    text = "\n".join(["what was decided:", *lines])
    after = decision.would_pod if decision.would_patch else decision.pod
    if with_pod and sent is not None and after is not sent:
        text += "\n" + difference(sent, after, ("as sent", "decided"))
    return text


def difference(before: object, after: object, titles: tuple[str, str]) -> str:
    """Two values as a diff of their YAML, for a failure: indented, and plain wherever it will be read."""
    return textwrap.indent(click.unstyle(diff_text(before, after, titles)).rstrip(), "    ")


def tally(outcomes: Iterable[Outcome]) -> dict[str, int]:
    """How many cases passed, failed and were updated."""
    found = {"passed": 0, "failed": 0, "updated": 0}
    for outcome in outcomes:
        found[outcome.result] += 1
    return found
