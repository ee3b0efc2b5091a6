"""`warmpod lint`: every problem of a directory of policies."""

from __future__ import annotations

from dataclasses import asdict

import click

from webhook.cli.errors import ExitCode
from webhook.cli.options import option


@click.command()
@click.argument("directory", metavar="DIR")
@option("--output", type=click.Choice(["table", "json"]), default="table", help="Lines for people, JSON for scripts.")
@click.pass_context
def command(ctx: click.Context, *, directory: str, output: str) -> None:
    """Check the policy files in DIR: all problems at once, each with file, line and what to do.

    The codes are explained in docs/policies.md. Files below a `cases` directory are test cases, not policies.

    Exit codes: 0 clean; 1 something was found; 2 could not run; 3 no policy in DIR.
    """
    from webhook.cli import render
    from webhook.cli.errors import say
    from webhook.cli.world import NoPolicies, read_policies
    from webhook.lint.lint import lint

    try:
        policies = read_policies(directory)
    except NoPolicies as error:
        if output == "json":
            render.show(render.json_text({"problems": []}))
        say("note", error.message)
        ctx.exit(ExitCode.NOTHING_TO_DO)
    problems = sorted(
        {*policies.problems, *lint(policies)}, key=lambda each: (each.file, each.line, each.column, each.code)
    )
    if output == "json":
        render.show(render.json_text({"problems": [asdict(problem) for problem in problems]}))
    else:
        render.show("".join(render.problem_text(problem) for problem in problems))
    errors = sum(problem.severity == "error" for problem in problems)
    count = len(policies.policies)
    summary = f"{count} {'policy' if count == 1 else 'policies'}: "
    if problems:
        say("note", f"{summary}{render.count(errors, 'error')}, {render.count(len(problems) - errors, 'warning')}")
        ctx.exit(ExitCode.FINDINGS)
    say("note", f"{summary}no problems" if count else f"{directory}: no WarmPolicy in these files")
    ctx.exit(ExitCode.OK if count else ExitCode.NOTHING_TO_DO)
