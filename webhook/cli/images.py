"""`warmpod images`: which node holds which image and model."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from webhook.cli.cluster import cluster_options
from webhook.cli.errors import CouldNotRun, ExitCode, say
from webhook.cli.options import accelerator_options, accelerators_of, examples, option

if TYPE_CHECKING:
    from webhook.inventory.model import Artifact, Inventory
    from webhook.kube.accelerator import Accelerators

_FILE = click.Path(path_type=Path)
_NAMES_SHOWN = 4


@click.command(
    epilog=examples(
        "warmpod images --context prod",
        "warmpod images --node ip-10-0-3-7.us-west-2.compute.internal",
        "kubectl get nodes,pods,namespaces -A -o json > dump.json && warmpod images --dump dump.json",
    )
)
@option("--node", metavar="NAME", help="Only what this node holds.")
@option("--model", "models_only", is_flag=True, help="Only models.")
@option("--snapshot", type=_FILE, metavar="FILE", help="Read a controller's snapshot instead of the cluster.")
@option(
    "--dump",
    type=_FILE,
    metavar="PATH",
    help="Read what kubectl dumped: a file of `get nodes,pods,namespaces -A -o json`, or a directory of JSON files.",
)
@cluster_options
@accelerator_options
@option("--output", type=click.Choice(["table", "json", "yaml"]), default="table", help="For people, or for programs.")
@click.pass_context
def command(
    ctx: click.Context,
    *,
    node: str | None,
    models_only: bool,
    snapshot: Path | None,
    dump: Path | None,
    kubeconfig: Path | None,
    context: str | None,
    accelerators: tuple[str, ...],
    device_classes: tuple[str, ...],
    output: str,
) -> None:
    """Show which accelerator node holds which image and model, and how large they are.

    From the cluster, taken stock of once and whole: images of every size. With --snapshot, what a controller wrote
    for its webhook; with --dump, a cluster that you cannot reach. Exit code 3 when there is nothing to show.
    """
    from webhook.cli import render

    if snapshot is not None and dump is not None:
        raise CouldNotRun("--snapshot and --dump: one inventory at a time", hint="leave one of them out")
    if snapshot is not None:
        source, inventory = str(snapshot), _from_file(snapshot)
    elif dump is not None:
        source, inventory = str(dump), _from_dump(dump, accelerators_of(accelerators, device_classes))
    else:
        source, inventory = _from_cluster(kubeconfig, context, accelerators_of(accelerators, device_classes))
    found = _chosen(inventory, node, models_only=models_only)
    if output == "table":
        if found:
            render.table(["ARTIFACT", "KIND", "TENANT", "GIB", "NODES", "ON"], [_row(inventory, one) for one in found])
    else:
        document = _document(source, inventory, found)
        render.show(render.json_text(document) if output == "json" else render.yaml_text(document))
    if not found:
        what = "model" if models_only else "image or model"
        where = f"node {node}" if node else f"the {render.count(len(inventory.nodes), 'accelerator node')}"
        say("note", f"{source}: no {what} known on {where}")
        ctx.exit(ExitCode.NOTHING_TO_DO)


def _from_file(path: Path) -> Inventory:
    from webhook.inventory.snapshot import UnreadableSnapshot, decode

    try:
        return decode(path.read_bytes())
    except OSError as error:
        raise CouldNotRun(f"--snapshot: {path}: {error.strerror or error}") from error
    except UnreadableSnapshot as error:
        raise CouldNotRun(
            f"--snapshot: {path}: {error}", hint="it is the file that `warmpod controller` writes"
        ) from error


def _from_dump(path: Path, marks: Accelerators) -> Inventory:
    from webhook.controller.stock import from_dump
    from webhook.sources.dump_files import COMMAND, UnreadableDump

    try:
        return from_dump(path, marks)
    except OSError as error:
        raise CouldNotRun(f"--dump: {error.filename or path}: {error.strerror or error}") from error
    except UnreadableDump as error:
        raise CouldNotRun(f"--dump: {error}", hint=f"write it with `{COMMAND}`") from error


def _from_cluster(kubeconfig: Path | None, context: str | None, marks: Accelerators) -> tuple[str, Inventory]:
    from webhook.controller.stock import take_stock
    from webhook.sources.kube_api import ApiFailure, NoCluster

    try:
        return take_stock(kubeconfig, context, marks)
    except NoCluster as error:
        raise CouldNotRun(
            str(error), hint="--snapshot FILE reads what a controller wrote, without a cluster"
        ) from error
    except ApiFailure as failure:
        hint = "it takes the right to list nodes, pods and namespaces" if failure.kind == "forbidden" else ""
        raise CouldNotRun(str(failure), hint=hint) from failure


def _chosen(inventory: Inventory, node: str | None, *, models_only: bool) -> list[Artifact]:
    found = [one for one in inventory.artifacts if one.kind == "model" or not models_only]
    if node is not None:
        names = [one.name for one in inventory.nodes]
        if node not in names:
            near = difflib.get_close_matches(node, names, n=1)
            known = f"there are {', '.join(names[:_NAMES_SHOWN])}" if names else "there is none at all"
            raise CouldNotRun(
                f"--node: there is no accelerator node {node!r}",
                hint=f"did you mean {near[0]}?" if near else f"{known}; nodes without accelerators are not looked at",
            )
        bit = 1 << names.index(node)
        found = [one for one in found if one.mask & bit]
    return sorted(found, key=lambda one: (-one.bytes, one.kind, one.name, one.tenant, one.label))


def _row(inventory: Inventory, artifact: Artifact) -> list[str]:
    names = [inventory.nodes[index].name for index in artifact.nodes]
    if len(names) == len(inventory.nodes) > _NAMES_SHOWN:
        shown = "all"
    elif len(names) > _NAMES_SHOWN:
        shown = f"{', '.join(names[: _NAMES_SHOWN - 1])} and {len(names) - _NAMES_SHOWN + 1} more"
    else:
        shown = ", ".join(names) or "none"
    return [
        artifact.name or f"(known by its label) {artifact.label.rpartition('/')[2]}",
        artifact.kind,
        artifact.tenant or "-",
        f"{artifact.bytes / 2**30:.1f}" if artifact.bytes else "?",
        f"{len(names)} of {len(inventory.nodes)}",
        shown,
    ]


def _document(source: str, inventory: Inventory, artifacts: Sequence[Artifact]) -> dict[str, Any]:
    from datetime import UTC, datetime

    names = [node.name for node in inventory.nodes]
    return {
        "source": source,
        "time": datetime.fromtimestamp(inventory.time, UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
        "nodes": len(names),
        "artifacts": [
            {
                "kind": one.kind,
                "name": one.name,
                "tenant": one.tenant,
                "bytes": one.bytes,
                "label": one.label,
                "nodes": [names[index] for index in one.nodes],
                "labelled": one.labelled.bit_count(),
            }
            for one in artifacts
        ],
    }
