"""`warmpod explain`: why a pod is as it is: cold, not changed, or pending."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from webhook.cli.cluster import cluster_options
from webhook.cli.errors import CouldNotRun, ExitCode, say
from webhook.cli.options import facts_options, option

if TYPE_CHECKING:
    from webhook.cli.explain_evidence import Found
    from webhook.cli.live import Installed
    from webhook.doctor.evidence import Look
    from webhook.inventory.model import Inventory
    from webhook.kube import Object
    from webhook.policy.model import PolicySet


@click.command()
@click.argument("pods", nargs=-1, metavar="[POD]...")
@option(
    "-f",
    "--file",
    "files",
    multiple=True,
    metavar="FILE",
    help="Pods from a manifest, or as kubectl get -o yaml has them, without a cluster; - is stdin.",
)
@option("-n", "--namespace", default="default", metavar="NAME", help="Of the pods.", show_default=True)
@option("--policies", default="", metavar="DIR", help="The directory of policy files. Default: those of the cluster.")
@option("--inventory", default="", metavar="FILE", help="A snapshot of which nodes hold what. Default: the cluster's.")
@option("--namespace-labels", multiple=True, metavar="K=V,...", help="Labels of the namespace. Default: its own.")
@option("--output", type=click.Choice(["table", "json"]), default="table", help="For people, or for programs.")
@cluster_options
@facts_options
@click.pass_context
def command(
    ctx: click.Context,
    *,
    pods: tuple[str, ...],
    files: tuple[str, ...],
    namespace: str,
    policies: str,
    inventory: str,
    namespace_labels: tuple[str, ...],
    output: str,
    kubeconfig: Path | None,
    context: str | None,
    hydrator_image: str,
    default_pod_security_level: str,
) -> None:
    """Say why a pod is as it is.

    The first line is the answer: changed by Warmpod or not, and why not; where it runs, warm or cold; what it waits
    for. Below it stands what the answer is made from: every policy with the condition that decided and the values it
    read, what was injected and by whom, which nodes could run the pod, which of them are warm, and why others are not
    among them. Policies and nodes are taken as they are now; what changed since is said. Changes nothing.

    \b
      warmpod explain llama-7c9f-x2x4q -n prod
      warmpod explain pod/llama-0 -n prod --output json | jq -r .items[0].headline
      kubectl get pod llama-0 -o yaml | warmpod explain -f - --policies policies/

    Exit codes: 0 explained; 2 could not run; 3 no pod in the input.
    """  # noqa: D301 - click keeps the lines after a backspace character as they are
    from webhook.cli import explained, live, render, world
    from webhook.cli.explain_evidence import evidence
    from webhook.report.explanation import explain

    if bool(pods) == bool(files):
        raise click.UsageError("name pods of a cluster, or manifests with -f FILE")
    if files and not policies:
        raise click.UsageError("with -f name the directory of policies, --policies DIR")
    labels = world.parse_labels(namespace_labels)
    snapshot = world.read_inventory(inventory)
    if pods:
        found = _from_cluster(pods, namespace, labels, kubeconfig, context)
    else:
        found = _from_files(files, namespace, labels, snapshot)
    if not found:
        say("note", f"no pod in {', '.join(files)}: nothing to explain")
        if output == "json":
            render.show(render.json_text({"items": []}))
        ctx.exit(ExitCode.NOTHING_TO_DO)
    installed = found[0].installed
    policy_set = world.read_policies(policies) if policies else _policies_of(installed)
    world.report(policy_set.problems)
    if snapshot is not None:
        found = [replace(one, snapshot=snapshot.id) for one in found]
    elif pods:
        snapshot = live.stock(kubeconfig, context, installed.accelerators)
    said = {name for name in ctx.params if ctx.get_parameter_source(name) is not click.core.ParameterSource.DEFAULT}
    facts = live.facts_of(
        installed,
        policy_set,
        snapshot,
        hydrator_image=hydrator_image if "hydrator_image" in said or files else None,
        level=default_pod_security_level if "default_pod_security_level" in said or files else None,
    )
    explanations = [explain(evidence(one, facts)) for one in found]
    if output == "json":
        render.show(render.json_text({"items": [explained.as_json(one) for one in explanations]}))
    else:
        render.show("\n".join(explained.text(one) for one in explanations))


def _from_cluster(
    names: tuple[str, ...],
    namespace: str,
    labels: Mapping[str, str] | None,
    kubeconfig: Path | None,
    context: str | None,
) -> list[Found]:
    from webhook.cli.explain_evidence import look
    from webhook.cli.live import asked
    from webhook.sources.kube_api import KubeApi

    async def every(api: KubeApi) -> list[Found]:
        return [await look(api, name, namespace) for name in names]

    found = asked(kubeconfig, context, every)
    return found if labels is None else [replace(one, labels=labels) for one in found]


def _from_files(
    files: tuple[str, ...], namespace: str, labels: Mapping[str, str] | None, snapshot: Inventory | None
) -> list[Found]:
    from webhook.cli.documents import read_all
    from webhook.cli.explain_evidence import Found
    from webhook.cli.previews import reviews

    known = {} if snapshot is None else snapshot.namespaces
    every = reviews(read_all(files), namespace=namespace, labels=labels, known=known)
    registration = _shipped_registration()
    # A pod that ran somewhere has a namespace with labels: that nobody told them does not mean that there are none.
    found = [Found(one.sent, one.namespace, one.labels or labels, registration=registration) for one in every]
    if any(one.labels is None for one in found):
        say("note", "nobody knows the namespace's labels here; --namespace-labels says them")
    return found


def _shipped_registration() -> Look[Object]:
    """The registration as it is shipped, for pods of which no cluster is asked."""
    import yaml

    from webhook.cli import shipped
    from webhook.doctor.evidence import NOT_ASKED, Seen

    try:
        text = (shipped.manifests() / "base" / "mutatingwebhookconfiguration.yaml").read_text()
    except (CouldNotRun, OSError):
        return NOT_ASKED
    return Seen(yaml.safe_load(text))


def _policies_of(installed: Installed) -> PolicySet:
    if installed.policies is None:
        raise CouldNotRun(
            f"the policies of the cluster cannot be read: {installed.why}", hint="name their directory with --policies"
        )
    return installed.policies
