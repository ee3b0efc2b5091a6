"""`warmpod controller`: flags and environment to a running controller, or to a cleanup."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from webhook.cli.cluster import cluster_options, in_bytes
from webhook.cli.errors import CouldNotRun, say
from webhook.cli.installation import installation_of, installation_options
from webhook.cli.options import FiniteRange, accelerator_options, accelerators_of, examples, log_options, option
from webhook.cli.reporting import reporting_of, reporting_options

if TYPE_CHECKING:
    from webhook.controller.options import Access

_FILE = click.Path(path_type=Path)
_FAILURES_SHOWN = 10


@click.command(
    epilog=examples(
        "warmpod controller --snapshot snapshot.json --no-labels",
        "warmpod controller --cleanup",
    )
)
@option("--snapshot", type=_FILE, metavar="FILE", help="Where to write the inventory. Its directory must be there.")
@cluster_options
@option("--metrics-host", default="0.0.0.0", help="Address of /livez, /readyz, /metrics.")  # noqa: S104  as Options
@option("--metrics-port", type=click.IntRange(0, 65_535), default=8081, help="Their port, plain HTTP. 0 takes any.")
@option("--lease-namespace", metavar="NAME", help="Namespace of the Lease. Default: the pod's, else warmpod-system.")
@option("--lease-name", default="warmpod-controller", metavar="NAME", help="Lease that elects who labels nodes.")
@option("--identity", metavar="NAME", help="Name in the Lease; no two may have the same. Default: host and chance.")
@option("--no-labels", is_flag=True, help="Write the snapshot only: no election, no labels.")
@option(
    "--min-image-bytes",
    metavar="QUANTITY",
    callback=in_bytes,
    default="1Gi",
    help="Smaller images are not in the inventory.",
)
@option("--max-labels-per-node", type=click.IntRange(0, 500), default=20, help="The biggest artifacts get them.")
@option(
    "--label-writes-per-second",
    type=FiniteRange(min=0, min_open=True, max=1000),
    default=25.0,
    help="Nodes labelled in a second, at most.",
)
@option(
    "--node-status-max-images",
    type=click.IntRange(min=-1),
    default=50,
    help="The kubelets' nodeStatusMaxImages; -1 for no limit.",
)
@option(
    "--image-gc-min-age",
    type=FiniteRange(min=0),
    default=120.0,
    help="The kubelets' imageMinimumGCAge in seconds.",
)
@option(
    "--cluster-cache-namespaces",
    multiple=True,
    metavar="PATTERN",
    help="Namespaces whose pods are believed about caches that everyone shares; * is any text.",
)
@accelerator_options
@installation_options
@reporting_options
@option("--cleanup", is_flag=True, help="Take every label of Warmpod off every node, delete its reports, and end.")
@log_options
def command(
    *,
    snapshot: Path | None,
    kubeconfig: Path | None,
    context: str | None,
    metrics_host: str,
    metrics_port: int,
    lease_namespace: str | None,
    lease_name: str,
    identity: str | None,
    no_labels: bool,
    min_image_bytes: int,
    max_labels_per_node: int,
    label_writes_per_second: float,
    node_status_max_images: int,
    image_gc_min_age: float,
    cluster_cache_namespaces: tuple[str, ...],
    accelerators: tuple[str, ...],
    device_classes: tuple[str, ...],
    policy_reports: bool,
    policies: Path | None,
    policy_report_seconds: float,
    hydrator_image: str,
    default_pod_security_level: str,
    image_bytes_per_second: float,
    model_bytes_per_second: float,
    image_volumes: Literal["auto", "on", "off"],
    cleanup: bool,
    log_format: Literal["json", "text"],
    log_level: str,
    **installation: Any,
) -> None:
    """Follow the cluster, write the snapshot the webhook reads, and, when elected, label nodes and keep certificates.

    Runs until SIGTERM, then ends its writes, releases the Lease, and exits 0.
    """
    if snapshot is None and not cleanup:
        raise click.UsageError("--snapshot FILE is needed (or --cleanup)")
    from webhook.controller.options import Access, Options
    from webhook.controller.run import run
    from webhook.daemon.logs import configure_logging
    from webhook.daemon.process import CannotStart
    from webhook.inventory.rules import Rules

    access = Access(
        kubeconfig=kubeconfig,
        context=context,
        lease_namespace=lease_namespace or "",
        lease_name=lease_name,
        identity=identity or "",
    )
    try:
        if snapshot is None or cleanup:
            configure_logging("text", "error")  # a person waits at the terminal
            _clean(access, label_writes_per_second)
            return
        counting = accelerators_of(accelerators, device_classes)
        wanted = installation_of(**installation)
        reporting = reporting_of(
            snapshot=snapshot,
            accelerators=counting,
            policy_reports=policy_reports,
            policies=policies,
            policy_report_seconds=policy_report_seconds,
            hydrator_image=hydrator_image,
            default_pod_security_level=default_pod_security_level,
            image_bytes_per_second=image_bytes_per_second,
            model_bytes_per_second=model_bytes_per_second,
            image_volumes=image_volumes,
        )
        configure_logging(log_format, log_level)
        run(
            Options(
                snapshot=snapshot,
                rules=Rules(
                    accelerators=counting,
                    min_image_bytes=min_image_bytes,
                    max_labels=max_labels_per_node,
                    max_images=node_status_max_images,
                    image_gc_min_age=image_gc_min_age,
                    cluster_cache_namespaces=cluster_cache_namespaces,
                ),
                access=access,
                metrics_host=metrics_host,
                metrics_port=metrics_port,
                labels=not no_labels,
                label_writes_per_second=label_writes_per_second,
                installation=replace(wanted, reporting=reporting),
            )
        )
    except CannotStart as error:
        raise CouldNotRun(str(error)) from error


def _clean(access: Access, per_second: float) -> None:
    from webhook.cli.render import count
    from webhook.controller.cleanup import clean

    done = clean(access, per_second, lambda text: say("note", text))
    click.echo(f"took the labels off {done.cleaned} of {done.nodes} nodes")
    if done.reports:
        click.echo(f"deleted {count(done.reports, 'report')}")
    if done.failed:
        shown = "".join(f"\n  {node}: {why}" for node, why in done.failed[:_FAILURES_SHOWN])
        raise CouldNotRun(
            f"{count(len(done.failed), 'node')} could not be cleaned:{shown}",
            hint="mend what is said there and run it again; what is done stays done",
        )
