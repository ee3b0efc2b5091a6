"""`warmpod replay`: recorded admissions, decided once more by the policies as they are, or by two versions of them."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import click

from webhook.cli.errors import CouldNotRun, ExitCode, say
from webhook.cli.options import argument, option

#: Fewer records are done before other processes have started.
_FEW: Final = 500


@click.command()
@argument("records", metavar="DIR", type=click.Path(path_type=Path))
@option("--policies", required=True, metavar="DIR", help="Policy files, or a Git revision as main or main:policies.")
@option("--against", metavar="DIR", help="Compare with these policies, or this Git revision, not with the records.")
@option("--inventory", default="", metavar="FILE", help="Decide all from this snapshot, not from those beside records.")
@option("--since", metavar="WHEN", help="Not what is older: 24h, 7d, or a time in RFC 3339.")
@option("--jobs", type=click.IntRange(min=1), metavar="N", help="Processes. Default: one a processor.")
@option(
    "--fail-on",
    default="denied,errors,laws",
    metavar="KINDS",
    help="What makes the exit code 1: some of changed, denied, errors, conflicts, laws, unfaithful; or none.",
)
@option(
    "--output",
    type=click.Choice(["table", "json", "markdown"]),
    default="table",
    help="A table for people, JSON for scripts, or Markdown for a pull request.",
)
@click.pass_context
def command(
    ctx: click.Context,
    *,
    records: Path,
    policies: str,
    against: str | None,
    inventory: str,
    since: str | None,
    jobs: int | None,
    fail_on: str,
    output: str,
) -> None:
    """Decide recorded admissions once more, and show what is different.

    DIR is what `warmpod webhook --record DIR` wrote, or one file of it. With one set of policies the answers now are
    held against the recorded ones; with --against, those of two sets against each other. Every admission is decided
    under Audit and under Enforce too, and has to come to the same.

    \b
      warmpod replay records/ --policies policies/
      warmpod replay records/ --policies policies/ --against main --output markdown
      warmpod replay records/ --policies new/ --against old/ --since 7d --fail-on changed,denied,errors,laws

    Exit codes: 0 ok; 1 something of --fail-on was found; 2 could not run; 3 no records.
    """  # noqa: D301 - click keeps the lines after a backspace character as they are
    from webhook.cli import replay_view, world
    from webhook.cli.fail_on import kinds_of
    from webhook.cli.processors import processors
    from webhook.cli.progress import Bar
    from webhook.cli.replay_jobs import Plan, replayed
    from webhook.cli.since import since_of
    from webhook.cli.unreadable import Unreadable
    from webhook.report.replay_tally import FINDINGS, ReplayTally
    from webhook.sources.records import UnreadableRecords, count, lines

    kinds, begin = kinds_of(fail_on, FINDINGS), since_of(since, datetime.now(UTC))
    plan = Plan(records, policies, against, inventory)
    after, before = plan.read()
    for each in (before, after) if before is not None else (after,):
        if world.report(each.problems):
            raise CouldNotRun("policies with errors decide nothing", hint="`warmpod lint` says more of each")
    passed = Unreadable()
    tally = ReplayTally()
    try:
        total = count(records)
        found = lines(records, begin, passed)
        chosen = jobs or (processors() if total > _FEW else 1)
        with Bar("admissions", total if begin is None else None) as bar:
            for chunk in replayed(found, plan, after, before, chosen):
                tally.merge(chunk.tally)
                for each_passed in chunk.passed:
                    passed(each_passed)
                bar.advance(chunk.lines)
    except UnreadableRecords as error:
        raise CouldNotRun(str(error), hint="it is the directory of `warmpod webhook --record`") from error
    passed.tell()
    if not tally.admissions:
        say("note", f"{records}: no recorded admission to replay")
        if output == "table":
            ctx.exit(ExitCode.NOTHING_TO_DO)
    titles = ("as recorded" if against is None else against, policies)
    replay_view.show(tally, output, titles=titles, digests=(after.digest, None if before is None else before.digest))
    if any(tally.found[kind] for kind in kinds):
        ctx.exit(ExitCode.FINDINGS)
    ctx.exit(ExitCode.OK if tally.admissions else ExitCode.NOTHING_TO_DO)
