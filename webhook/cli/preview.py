"""`warmpod preview`: what the webhook would do to each pod of what people apply, or of what runs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from webhook.cli.cluster import cluster_options
from webhook.cli.errors import ExitCode, say
from webhook.cli.options import facts_options, option

if TYPE_CHECKING:
    from webhook.admission.decision import Facts
    from webhook.cli.git_policies import Side
    from webhook.cli.previews import Review


@click.command()
@click.argument("objects", nargs=-1, metavar="[KIND/NAME]...")
@option(
    "-f",
    "--file",
    "files",
    multiple=True,
    metavar="FILE",
    help="A manifest, a directory of them, or - for stdin; may be given more than once.",
)
@option("--policies", default="", metavar="DIR", help="The directory of policy files. Default: those of the cluster.")
@option("--inventory", default="", metavar="FILE", help="A snapshot of which nodes hold what; without it no placement.")
@option(
    "-n",
    "--namespace",
    default="default",
    metavar="NAME",
    help="Of the objects, and for documents that name none.",
    show_default=True,
)
@option(
    "--namespace-labels",
    multiple=True,
    metavar="K=V,...",
    help="Labels of the pods' namespaces. Default: what Namespace documents, cluster and inventory say, else none.",
)
@option(
    "--diff",
    "span",
    default="",
    metavar="RANGE",
    help="Only what differs between two versions of --policies in Git: main..HEAD; main alone against the files.",
)
@option("--exit-code", "telling", is_flag=True, help="With --diff: exit code 1 when there is a difference.")
@option(
    "--output",
    type=click.Choice(["diff", "json", "yaml", "markdown"]),
    default="diff",
    help="For people; JSON for scripts; the pods as the API server would store them; with --diff, for a pull request.",
)
@cluster_options
@facts_options
@click.pass_context
def command(
    ctx: click.Context,
    *,
    objects: tuple[str, ...],
    files: tuple[str, ...],
    policies: str,
    inventory: str,
    namespace: str,
    namespace_labels: tuple[str, ...],
    span: str,
    telling: bool,
    output: str,
    kubeconfig: Path | None,
    context: str | None,
    hydrator_image: str,
    default_pod_security_level: str,
) -> None:
    """Show what would happen to each pod of your manifests, or of objects in a cluster.

    Takes whatever holds a pod: Deployments, Jobs, LeaderWorkerSets, RayServices, Lists, output of helm and kustomize.
    Objects of a cluster are reviewed as they would be created now, by the policies installed there unless --policies
    names others.

    \b
      warmpod preview -f deployment.yaml --policies policies/
      helm template my-chart | warmpod preview -f - --policies policies/ --output json
      warmpod preview -n prod deploy/llama pod/gemma-0 --policies policies/
      warmpod preview --diff main...HEAD --policies policies/ --output markdown

    Exit codes: 0 ok; 1 a policy has errors, or a pod is denied; 2 could not run; 3 no pod in the input.
    """  # noqa: D301 - click keeps the lines after a backspace character as they are
    from webhook.cli import render, world
    from webhook.cli.git_policies import Side, sides
    from webhook.cli.previews import previews, printed
    from webhook.cli.subjects import Cluster, gathered

    _check(objects, files, policies, span, output, telling=telling)
    labels = world.parse_labels(namespace_labels)
    pair = sides(span, policies) if span else None
    cluster = Cluster(kubeconfig, context)
    found = gathered(files, objects, namespace, cluster)
    if pair is None:
        policy_set = world.read_policies(policies) if policies else found.installed_policies()
        pair = (Side("", policy_set),) * 2
    findings = world.report(pair[1].policies.problems)
    snapshot = found.inventory(inventory, cluster)
    said = frozenset(
        name for name in ctx.params if ctx.get_parameter_source(name) is not click.core.ParameterSource.DEFAULT
    )
    facts = found.facts(
        pair[1].policies, snapshot, hydrator_image=hydrator_image, level=default_pod_security_level, said=said
    )
    pods = found.reviews(facts, namespace, labels)
    if span:
        differs = _compared(pods if objects or files else None, facts, pair, policies, output)
        ctx.exit(_exit_code(findings=findings or (telling and bool(differs)), some=differs is not None))
    items = previews(pods, facts)
    if not items:
        say("note", f"no pod in {render.count(len(found.documents), 'document')}: nothing to preview")
        if output == "json":
            render.show(render.json_text({"items": []}))
        ctx.exit(_exit_code(findings=findings, some=False))
    render.show(printed(items, output))
    if output == "diff" and snapshot is None and not objects:
        say("note", "without --inventory nothing is known of the nodes, so no placement is shown")
    ctx.exit(_exit_code(findings=findings or any(item.failed for item in items), some=True))


def _check(
    objects: tuple[str, ...], files: tuple[str, ...], policies: str, span: str, output: str, *, telling: bool
) -> None:
    """Usage errors, of which click knows nothing."""
    if not (objects or files or span):
        raise click.UsageError("name manifests with -f FILE, or objects of a cluster as KIND/NAME")
    if not policies and (span or not objects):
        raise click.UsageError("name the directory of policies with --policies DIR")
    if span and output == "yaml":
        raise click.UsageError("--diff has the outputs diff, json and markdown")
    if not span and output == "markdown":
        raise click.UsageError("--output markdown shows what differs: give --diff RANGE, too")
    if not span and telling:
        raise click.UsageError("--exit-code is about --diff RANGE")


def _exit_code(*, findings: bool, some: bool) -> ExitCode:
    if findings:
        return ExitCode.FINDINGS
    return ExitCode.OK if some else ExitCode.NOTHING_TO_DO


def _compared(
    pods: list[Review] | None, facts: Facts, pair: tuple[Side, Side], policies: str, output: str
) -> int | None:
    """Print what differs; how many pods do, None where there was none to look at. No `pods`: the policies' cases."""
    from webhook.cli import comparison, differences
    from webhook.report.difference import grouped

    if pods is None:
        looked_at, found = comparison.of_cases(policies, pair)
    else:
        looked_at, found = len(pods), comparison.of_reviews(pods, facts, pair)
    groups = grouped(found)
    titles = (pair[0].title, pair[1].title)
    differences.show(groups, output if output != "diff" else "table", looked_at=looked_at, titles=titles)
    if not looked_at:
        what = "case beside the policies" if pods is None else "pod in the input"
        hint = "; name manifests with -f FILE" if pods is None else ""
        say("note", f"no {what}: nothing to compare{hint}")
        return None
    if output == "diff":
        say("note", f"{titles[0]} -> {titles[1]}: {differences.summary(groups, looked_at)}")
    return len(found)
