"""Options of the commands that talk to a cluster."""

from __future__ import annotations

from pathlib import Path

import click

from webhook.cli.options import Decorated, option

_FILE = click.Path(path_type=Path)


def in_bytes(ctx: click.Context, param: click.Parameter, value: str) -> int:
    """Read a quantity as Kubernetes writes it (`1Gi`, `500M`, `1073741824`); a usage error when it is none."""
    from webhook.kube.quantity import InvalidQuantity, parse

    try:
        found = parse(value)
    except InvalidQuantity as error:
        raise click.BadParameter(f"{value!r}: {error}; write for example 1Gi", ctx, param) from error
    if found < 0:
        raise click.BadParameter(f"{value!r} is negative", ctx, param)
    return int(found)


def cluster_options(function: Decorated) -> Decorated:
    """Which cluster: `kubeconfig` and `context`."""
    kubeconfig = option(
        "--kubeconfig",
        type=_FILE,
        metavar="FILE",
        help="Kubeconfig of the cluster. Default: the pod's service account, else KUBECONFIG, else ~/.kube/config.",
    )
    context = option("--context", metavar="NAME", help="Context of the kubeconfig. Default: its current one.")
    return kubeconfig(context(function))
