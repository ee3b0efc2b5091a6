"""`warmpod preview`: what the webhook would do to each pod of what people apply."""

from __future__ import annotations

import click

from webhook.cli.errors import ExitCode
from webhook.cli.options import facts_options, option


@click.command()
@option(
    "-f",
    "--file",
    "files",
    multiple=True,
    required=True,
    metavar="FILE",
    help="A manifest, a directory of them, or - for stdin; may be given more than once.",
)
@option("--policies", required=True, metavar="DIR", help="The directory of policy files.")
@option("--inventory", default="", metavar="FILE", help="A snapshot of which nodes hold what; without it no placement.")
@option("--namespace", default="default", metavar="NAME", help="For documents that name none.", show_default=True)
@option(
    "--namespace-labels",
    multiple=True,
    metavar="K=V,...",
    help="Labels of the pods' namespaces. Default: what Namespace documents and the inventory say, else none.",
)
@option(
    "--output",
    type=click.Choice(["diff", "json", "yaml"]),
    default="diff",
    help="A diff for people, JSON for scripts, or the pods as the API server would store them.",
)
@facts_options
@click.pass_context
def command(
    ctx: click.Context,
    *,
    files: tuple[str, ...],
    policies: str,
    inventory: str,
    namespace: str,
    namespace_labels: tuple[str, ...],
    output: str,
    hydrator_image: str,
    default_pod_security_level: str,
) -> None:
    """Show what would happen to each pod of your manifests.

    Takes whatever holds a pod: Deployments, Jobs, LeaderWorkerSets, RayServices, Lists, output of helm and kustomize.

    \b
      warmpod preview -f deployment.yaml --policies policies/
      helm template my-chart | warmpod preview -f - --policies policies/ --output json

    Exit codes: 0 ok; 1 a policy has errors, or a pod is denied; 2 could not run; 3 no pod in the input.
    """  # noqa: D301 - click keeps the lines after a backspace character as they are
    from webhook.cli import documents, render, world
    from webhook.cli.errors import say
    from webhook.cli.previews import previews, printed

    labels = world.parse_labels(namespace_labels)
    found = documents.read_all(files)
    policy_set = world.read_policies(policies)
    snapshot = world.read_inventory(inventory)
    findings = world.report(policy_set.problems)
    facts = world.installation(policy_set, hydrator_image, default_pod_security_level, snapshot)
    items = previews(found, facts, namespace=namespace, labels=labels)
    if not items:
        say("note", f"no pod in {len(found)} document{'' if len(found) == 1 else 's'}: nothing to preview")
        if output == "json":
            render.show(render.json_text({"items": []}))
        ctx.exit(ExitCode.FINDINGS if findings else ExitCode.NOTHING_TO_DO)
    render.show(printed(items, output))
    if output == "diff" and not inventory:
        say("note", "without --inventory nothing is known of the nodes, so no placement is shown")
    ctx.exit(ExitCode.FINDINGS if findings or any(item.failed for item in items) else ExitCode.OK)
