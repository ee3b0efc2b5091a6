"""`warmpod test`: run the cases that stand beside policies."""

from __future__ import annotations

import click

from webhook.cli.errors import ExitCode
from webhook.cli.options import option


@click.command()
@click.argument("directories", metavar="DIR...", nargs=-1, required=True)
@option(
    "--update",
    is_flag=True,
    help="Write what is decided now into the expected.yaml files. Read the diff before you commit it.",
)
@option("--output", type=click.Choice(["table", "json"]), default="table", help="A table for people, JSON for scripts.")
@click.pass_context
def command(ctx: click.Context, *, directories: tuple[str, ...], update: bool, output: str) -> None:
    """Run the cases at or below each DIR.

    A case is a directory of three files below its policy:

    \b
      <policy>/cases/<case>/input.yaml      a pod, or a workload whose first pod counts
      <policy>/cases/<case>/facts.yaml      namespace, namespaceLabels, inventory, settings
      <policy>/cases/<case>/expected.yaml   the decision; --update writes it

    Beyond the expected decision every case must keep two laws: the patch makes the pod that was decided, and
    reviewing that pod again changes nothing.

    Exit codes: 0 all pass; 1 a case fails; 2 could not run; 3 no case found.
    """  # noqa: D301 - click keeps the lines after a backspace character as they are
    from webhook.cli import cases, render
    from webhook.cli.errors import say

    outcomes = [cases.run(case, update=update) for case in cases.find(directories)]
    tally = {
        result: sum(outcome.result == result for outcome in outcomes) for result in ("passed", "failed", "updated")
    }
    if output == "json":
        listed = [
            {
                "name": outcome.case.name,
                "directory": str(outcome.case.directory),
                "result": outcome.result,
                "failures": list(outcome.failures),
            }
            for outcome in outcomes
        ]
        render.show(render.json_text({"cases": listed, **tally}))
    else:
        render.table(("CASE", "RESULT"), [(outcome.case.name, outcome.result) for outcome in outcomes])
        # A policy with errors fails all of its cases: that is said once.
        failed: dict[str, list[str]] = {}
        for outcome in outcomes:
            for failure in outcome.failures:
                failed.setdefault(failure, []).append(outcome.case.name)
        for failure, named in failed.items():
            render.show(render.failure_text(", ".join(named), failure))
    if not outcomes:
        say("note", f"no case below {', '.join(directories)}: a policy's cases stand in <policy>/cases/<case>/")
        ctx.exit(ExitCode.NOTHING_TO_DO)
    say("note", ", ".join(f"{count} {result}" for result, count in tally.items() if count or result == "failed"))
    ctx.exit(ExitCode.FINDINGS if tally["failed"] else ExitCode.OK)
