"""`warmpod test`: run the cases that stand beside policies."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from webhook.cli.errors import ExitCode
from webhook.cli.options import FiniteRange, argument, examples, option

if TYPE_CHECKING:
    from collections.abc import Sequence

    from webhook.cli.trial import Outcome
    from webhook.report.coverage import Coverage


@click.command(
    epilog=examples(
        "warmpod test policies/",
        "warmpod test policies/ --filter 'vllm-*/*'",
        "warmpod test policies/ --coverage --fail-under 90 --junit report.xml",
        "warmpod test policies/ --thorough",
        "warmpod test policies/ --update",
    )
)
@argument("places", metavar="DIR...", nargs=-1, required=True)
@option(
    "--update",
    is_flag=True,
    help="Write what is decided now into the expected.yaml files. Read the diff before you commit it.",
)
@option("--filter", "filters", multiple=True, metavar="GLOB", help="Only cases whose TEST/CASE or CASE is like this.")
@option("--coverage", "with_coverage", is_flag=True, help="Show what of the policies no case exercises.")
@option(
    "--thorough",
    is_flag=True,
    help="Take each element out of the policies in turn, and show those that no case misses; implies --coverage.",
)
@option(
    "--fail-under",
    type=FiniteRange(0, 100),
    default=None,
    metavar="PERCENT",
    help="Fail when the cases exercise less of the policies; implies --coverage.",
)
@option("--junit", metavar="FILE", default="", help="Write a JUnit report to FILE, for CI.")
@option("--jobs", type=click.IntRange(min=1), metavar="N", help="Processes. Default: as many as pay, one a processor.")
@option("--seed", default="", metavar="TEXT", help="Another order of the other injectors; any text.")
@option("--output", type=click.Choice(["table", "json"]), default="table", help="A table for people, JSON for scripts.")
@click.pass_context
def command(
    ctx: click.Context,
    *,
    places: tuple[str, ...],
    update: bool,
    filters: tuple[str, ...],
    with_coverage: bool,
    thorough: bool,
    fail_under: float | None,
    junit: str,
    jobs: int | None,
    seed: str,
    output: str,
) -> None:
    """Run the cases at or below each DIR, or in each WarmTest file.

    A case is one of a WarmTest (`kind: WarmTest`, in NAME.test.yaml, below cases/ or tests/, or beside a policy):

    \b
      cases:
        - name: vLLM gets its model
          workload: vllm.yaml
          expect: {matched: [vllm-s3-nvme], changes: [hydration, env]}

    or a directory of three files below its policy:

    \b
      <policy>/cases/<case>/input.yaml      a pod, or a workload whose first pod counts
      <policy>/cases/<case>/facts.yaml      namespace, namespaceLabels, inventory, settings
      <policy>/cases/<case>/expected.yaml   the decision; --update writes it

    Beyond what it expects every case must keep the laws: the patch makes the pod that was decided, reviewing that pod
    again changes nothing, and among other injectors, in any order, nothing is lost or comes twice, and it settles.

    Exit codes: 0 all pass; 1 a case fails, or too little is exercised; 2 could not run; 3 no case found.
    """  # noqa: D301 - click keeps the lines after a backspace character as they are
    from webhook.cli import discovery, thoroughness, trial_runs
    from webhook.cli.errors import CouldNotRun, say
    from webhook.cli.trial import tally

    trials = discovery.trials(places, update=update, filters=filters)
    measured = with_coverage or thorough or fail_under is not None
    if not trials:
        where = ", ".join(places)
        text = f"no case below {where}: a policy's cases stand in <policy>/cases/<case>/ or NAME.test.yaml"
        say("note", f"no case below {where} is like {' or '.join(filters)}" if filters else text)
    if not trials and not measured:
        if output == "json":
            _show([], None, output)
        ctx.exit(ExitCode.NOTHING_TO_DO)
    outcomes = trial_runs.run(trials, seed=seed, observe=measured, jobs=jobs)
    coverage = trial_runs.coverage(places, trials, outcomes) if measured else None
    if junit:
        from webhook.report.junit import junit_text

        try:
            with open(junit, "w", encoding="utf-8") as stream:  # noqa: PTH123  as click's own files
                stream.write(junit_text(outcomes))
        except OSError as error:
            raise CouldNotRun(f"--junit {junit}: {error.strerror}") from error
    if coverage is not None and thorough:
        passed = [each for each, outcome in zip(trials, outcomes, strict=True) if outcome.result == "passed"]
        coverage.unmissed = thoroughness.unmissed(passed)
    _show(outcomes, coverage, output)
    counts = tally(outcomes)
    say("note", ", ".join(f"{count} {result}" for result, count in counts.items() if count or result == "failed"))
    short = coverage is not None and fail_under is not None and coverage.percent < fail_under
    if short and coverage is not None:
        say("error", f"the cases exercise {coverage.percent:g} % of the policies, --fail-under wants {fail_under:g} %")
    if counts["failed"] or short:
        ctx.exit(ExitCode.FINDINGS)
    ctx.exit(ExitCode.OK if trials else ExitCode.NOTHING_TO_DO)


def _show(outcomes: Sequence[Outcome], coverage: Coverage | None, output: str) -> None:
    from webhook.cli import render, trial_view

    if output == "json":
        render.show(render.json_text(trial_view.as_json(outcomes, coverage)))
        return
    trial_view.table(outcomes)
    if coverage is not None:
        trial_view.coverage_table(coverage)
