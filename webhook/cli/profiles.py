"""`warmpod profiles`: the S3 client settings that `clientProfiles: auto` chooses from, to read or to copy."""

from __future__ import annotations

import difflib
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from webhook.cli.errors import CouldNotRun, say
from webhook.cli.options import examples, option
from webhook.ec2.instances import CLASSES

if TYPE_CHECKING:
    from webhook.clients.tuning import Tuning


@click.command(
    epilog=examples(
        "warmpod profiles --client vllm",
        "warmpod profiles --client vllm --instance-type p5.48xlarge --memory 64Gi",
        "warmpod profiles --client aws-cli --network 100 --output yaml > profile.yaml",
    )
)
@option("--client", "names", multiple=True, metavar="CLIENT", help="What the container runs. Default: every client.")
@option(
    "--network",
    type=click.Choice([str(each) for each in CLASSES]),
    help="Gb/s that S3 traffic can count on. Default: each of them.",
)
@option("--instance-type", metavar="TYPE", help="EC2 instance type whose network counts, in place of --network.")
@option("--memory", metavar="SIZE", help="The container's memory limit, such as 64Gi. Default: none.")
@option("--output", type=click.Choice(["table", "json", "yaml"]), default="table", help="yaml: ClientProfiles to copy.")
def command(
    *, names: tuple[str, ...], network: str | None, instance_type: str | None, memory: str | None, output: str
) -> None:
    """Print the S3 client settings that suit a client at each network class, and why.

    They are what a policy's `clientProfiles: auto` chooses from. Clients are named as in docs/s3-clients.md, and get
    what all that they are built on reads. What no variable can set is said on stderr, with what to do instead.
    """
    from webhook.cli import render
    from webhook.clients.catalogue import catalogue
    from webhook.clients.profiles import profiles
    from webhook.clients.tuning import tuning

    names = tuple(dict.fromkeys(names))
    clients = _clients(names)
    classes = _classes(network, instance_type)
    limit = _memory(memory)
    found = {each: tuning(clients, each, limit) for each in classes}
    if output == "table":
        _table(found)
    elif output == "json":
        render.show(render.json_text([_document(gbps, each) for gbps, each in found.items()]))
    else:
        label = "-".join(names) or "all-clients"
        render.show("---\n".join(_yaml(f"{label}-{gbps}g", each) for gbps, each in found.items()))
    for each in profiles().outside:
        if each.client in clients:
            say("note", f"{catalogue().titles([each.client])}: {each.why}")


def _clients(names: Sequence[str]) -> frozenset[str]:
    from webhook.clients.catalogue import catalogue

    known = catalogue()
    for name in names:
        if name not in known.clients:
            near = difflib.get_close_matches(name.lower(), known.clients, n=1)
            hint = f"did you mean {near[0]}?" if near else f"they are {', '.join(sorted(known.clients))}"
            raise CouldNotRun(f"--client: no client is called {name!r}", hint=hint)
    return known.whole(names or known.clients)


def _classes(network: str | None, instance_type: str | None) -> tuple[int, ...]:
    from webhook.ec2.instances import instance, instances, network_class

    if instance_type is None:
        return (int(network),) if network else CLASSES
    if network:
        raise CouldNotRun("--network and --instance-type: one of them", hint="leave the other one out")
    found = instance(instance_type)
    if found is None:
        near = difflib.get_close_matches(instance_type, instances(), n=1)
        meant = f"did you mean {near[0]}? " if near else ""
        raise CouldNotRun(
            f"--instance-type: {instance_type!r} is no instance type with accelerators that is known here",
            hint=f"{meant}--network says it of any other",
        )
    return (network_class(found.s3),)


def _memory(text: str | None) -> int | None:
    from webhook.kube.quantity import InvalidQuantity, parse

    if text is None:
        return None
    try:
        limit = int(parse(text))
    except InvalidQuantity:
        limit = 0
    if limit <= 0:
        raise CouldNotRun(f"--memory: {text!r} is no amount of memory", hint="write 64Gi or 68719476736")
    return limit


def _table(found: dict[int, Tuning]) -> None:
    from webhook.cli import render

    first = next(iter(found.values()))
    names = [(row.kind, row.name) for row, _ in first.rows]
    values = [{(row.kind, row.name): value for row, value in each.rows} for each in found.values()]
    heads = ["CLIENT", "SETTING", *([f"{gbps} Gb/s" for gbps in found] if len(found) > 1 else ["VALUE", "WHY"])]
    rows = []
    for (row, value), name in zip(first.rows, names, strict=True):
        shown = row.name if row.kind == "env" else f"awsConfig {row.name}"
        cells = [each[name] for each in values] if len(found) > 1 else [value, row.why]
        rows.append([row.client, shown, *cells])
    render.table(heads, rows)


def _document(gbps: int, found: Tuning) -> dict[str, Any]:
    rows = [
        {"client": row.client, "kind": row.kind, "name": row.name, "value": value, "why": row.why, "source": row.source}
        for row, value in found.rows
    ]
    return {"network": gbps, "env": found.env, "awsConfig": found.aws_config, "settings": rows}


def _yaml(name: str, found: Tuning) -> str:
    """A ClientProfile, each setting with the reason for it."""
    from webhook.kube.names import API_VERSION

    why = {(row.kind, row.name): row.why for row, _ in found.rows}
    lines = [f"apiVersion: {API_VERSION}", "kind: ClientProfile", f"metadata: {{name: {name}}}", "spec:"]
    if found.env:
        lines.append("  env:")
        for key, value in found.env.items():
            lines += [f"    # {why['env', key]}", f"    {key}: {json.dumps(value)}"]
    if found.aws_config:
        lines.append("  awsConfig:")
        for section, settings in found.aws_config.items():
            lines.append(f"    {section}:")
            for key, value in settings.items():
                lines += [f"      # {why['awsConfig', f'{section}.{key}']}", f"      {key}: {json.dumps(value)}"]
    if not (found.env or found.aws_config):
        lines.append("  env: {}")
    return "\n".join(lines) + "\n"
