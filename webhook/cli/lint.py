"""`warmpod lint`: every problem of policy files, and the mending of those that can be mended for certain."""

from __future__ import annotations

import click

from webhook.cli.errors import ExitCode
from webhook.cli.options import argument, examples, option


@click.command(
    epilog=examples(
        "warmpod lint policies/",
        "warmpod lint policies/ --with rendered/ --strict",
        "warmpod lint policies/ --nodes nodes.yaml",
        "warmpod lint --nodes karpenter/",
        "warmpod lint policies/ --fix --diff",
        "warmpod lint policies/ --output sarif > warmpod.sarif",
    )
)
@argument("directories", metavar="[DIR...]", nargs=-1)
@option(
    "--output",
    type=click.Choice(["table", "json", "sarif", "github"]),
    default="table",
    help="Lines for people, JSON for scripts, SARIF for code scanning, workflow commands for GitHub Actions.",
)
@option("--strict", is_flag=True, help="Exit with 1 on what is only good to know, too.")
@option("--fix", is_flag=True, help="Mend what can be mended for certain; comments and layout stay.")
@option("--diff", is_flag=True, twin="WARMPOD_LINT_DIFF", help="Show what --fix would change, and change nothing.")
@option("--with", "manifests", multiple=True, metavar="FILE", help="Hold the policies against these manifests, too.")
@option(
    "--nodes",
    multiple=True,
    metavar="FILE",
    help="Look at these node classes, node pools and volumes too, and at the policies beside them.",
)
@option("--no-ignore", is_flag=True, help="Report what comments in the files silence, too.")
@click.pass_context
def command(
    ctx: click.Context,
    *,
    directories: tuple[str, ...],
    output: str,
    strict: bool,
    fix: bool,
    diff: bool,
    manifests: tuple[str, ...],
    nodes: tuple[str, ...],
    no_ignore: bool,
) -> None:
    """Check the policy files in DIR, or the files: all problems at once, each with its line and what to do.

    All DIR together are one set of policies. docs/lint.md explains each code. Files below a `cases` directory are test
    cases, not policies; their pods are held against the policies, as those of --with are.

    --nodes takes files and directories of EC2NodeClass, NodePool, PersistentVolume, PersistentVolumeClaim, StorageClass
    and workloads, or - for stdin: user data is read, and what hides images, slows pulls or keeps caches off the local
    disks is a finding (codes N...). It needs no DIR.

    A comment silences a finding: `# warmpod-lint: ignore W015 -- why`.

    Exit codes: 0 clean; 1 an error or a warning was found; 2 could not run; 3 nothing to look at.
    """
    from webhook.cli import linting, render
    from webhook.cli.errors import say
    from webhook.cli.findings import github_text, json_report, table_text
    from webhook.cli.world import NoPolicies

    if not directories and not nodes:
        raise click.UsageError("Missing argument 'DIR...', or option '--nodes'.", ctx)
    try:
        sources = linting.gathered(directories)
    except NoPolicies as error:
        sources = ()
        say("note", error.message)
    node_files = linting.node_files(nodes, sources)
    run = linting.run(sources, linting.pods(directories, manifests), node_files, heed_comments=not no_ignore)
    if fix or diff:
        run = linting.mended(run, write=fix and not diff, heed_comments=not no_ignore)
    findings = run.findings()
    if output == "json":
        render.show(json_report(findings))
    elif output == "sarif":
        from webhook.cli.sarif import sarif_text

        render.show(sarif_text(findings))
    elif output == "github":
        render.show(github_text(findings.problems))
    elif not diff:
        render.show(table_text(findings))
    if sources or node_files:
        say("note", linting.summary(findings, directories, nodes))
    worst = ("error", "warning", "info") if strict else ("error", "warning")
    if any(findings.count(severity) for severity in worst):
        ctx.exit(ExitCode.FINDINGS)
    ctx.exit(ExitCode.OK if findings.policies or findings.documents else ExitCode.NOTHING_TO_DO)
