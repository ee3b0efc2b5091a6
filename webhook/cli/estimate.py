"""`warmpod estimate`: how long a pod takes to start, by the technique, and what a warm node saves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import click

from webhook.cli.errors import CouldNotRun
from webhook.cli.options import FiniteRange, examples, option
from webhook.cost.situation import Engine, Fetch, Pull
from webhook.cost.volume import Reader, VolumeKind

if TYPE_CHECKING:
    from webhook.cost.situation import Node, Techniques, Workload

_MOST_BYTES = 2**50
_ENDS = (1e-15, 1e18)  # of any figure: what is reckoned with these stays finite
_COUNT = click.IntRange(min=1, max=1024)


@click.command(
    epilog=examples(
        "warmpod estimate --image-size 9.4G --model-size 16.4G --instance-type g6.2xlarge",
        "warmpod estimate --image-size 9.4G --model-size 141G --instance-type p5.48xlarge --all",
        "warmpod estimate --image-size 9.4G --model-size 16.4G --instance-type g6.2xlarge --pull soci-bottlerocket"
        " --instance-store --fetch hydrate",
        "warmpod estimate --image-size 9.4G --network-gbps 25 --assume node.boot=38 --output json",
    )
)
@option("--image-size", metavar="SIZE", required=True, help="The image, compressed as the registry counts it: 9.4G.")
@option("--model-size", metavar="SIZE", default="0", help="The model; 0 for none.")
@option("--instance-type", metavar="TYPE", help="EC2 instance type with accelerators, such as g6.2xlarge.")
@option("--network-gbps", type=FiniteRange(min=0.01, max=10_000), help="The node's network, in place of its type's.")
@option("--root-throughput", metavar="SIZE", default="0", help="Bytes per second of the root volume; 0: as gp3 comes.")
@option(
    "--pull",
    type=click.Choice([each.value for each in Pull]),
    default=Pull.CONTAINERD.value,
    help="How the image gets onto the node.",
)
@option(
    "--fetch",
    type=click.Choice([each.value for each in Fetch]),
    default=Fetch.DOWNLOAD.value,
    help="How the model gets to its reader.",
)
@option(
    "--volume",
    type=click.Choice([each.value for each in VolumeKind]),
    default=VolumeKind.OTHER.value,
    help="What --fetch mount reads.",
)
@option(
    "--volume-throughput", metavar="SIZE", default="0", help="Bytes per second of it; 0: as its kind usually gives."
)
@option(
    "--reader",
    type=click.Choice([each.value for each in Reader]),
    default=Reader.SAFETENSORS.value,
    help="What loads the model.",
)
@option("--processes", type=_COUNT, help="Processes that load it. Default: the type's accelerators, else 1.")
@option(
    "--engine",
    type=click.Choice([each.value for each in Engine]),
    default=Engine.COMPILE.value,
    help="What follows the load.",
)
@option("--instance-store", is_flag=True, help="Images lie on the instance store (RAID0), not on the root volume.")
@option("--snapshot-size", metavar="SIZE", default="0", help="All that the snapshot holds; 0: this image alone.")
@option("--ready-node/--new-node", default=False, help="Whether a node is there already.")
@option("--overlap", is_flag=True, help="Image and model come at once, as no init container does it.")
@option("--assume", multiple=True, metavar="NAME=NUMBER", help="Your own figure for one of docs/when-it-helps.md.")
@option(
    "--all", "ladder", is_flag=True, help="Compare all ways; --pull, --fetch and what belongs to them do not count."
)
@option("--output", type=click.Choice(["table", "json"]), default="table", help="For people, or for programs.")
def command(
    *,
    image_size: str,
    model_size: str,
    instance_type: str | None,
    network_gbps: float | None,
    root_throughput: str,
    pull: str,
    fetch: str,
    volume: str,
    volume_throughput: str,
    reader: str,
    processes: int | None,
    engine: str,
    instance_store: bool,
    snapshot_size: str,
    ready_node: bool,
    overlap: bool,
    assume: tuple[str, ...],
    ladder: bool,
    output: str,
) -> None:
    """Estimate how long a pod takes to start: the phases, what limits each, and what a warm node would save.

    The same model weighs placement. It reckons with published figures; docs/when-it-helps.md lists them with their
    sources, says how far it was off where starts were measured, and when Warmpod does not help. Nothing is looked up.
    """
    from webhook.cli.estimated import show_ladder, show_start
    from webhook.cost.figures import Assumed
    from webhook.cost.situation import Techniques, Workload
    from webhook.cost.volume import Volume

    node, accelerators = _node(instance_type, network_gbps, _size("--root-throughput", root_throughput))
    workload = Workload(
        image=_size("--image-size", image_size),
        model=_size("--model-size", model_size),
        reader=Reader(reader),
        processes=processes or accelerators,
        snapshot=_size("--snapshot-size", snapshot_size),
    )
    techniques = Techniques(
        pull=Pull(pull),
        fetch=Fetch(fetch),
        engine=Engine(engine),
        new_node=not ready_node,
        nvme=instance_store,
        overlap=overlap,
        volume=Volume(VolumeKind(volume), float(_size("--volume-throughput", volume_throughput))),
    )
    _check(workload, node, techniques, ladder=ladder)
    assumed = Assumed(given=_given(assume))
    if ladder:
        show_ladder(workload, node, techniques.engine, assumed, output)
    else:
        show_start(workload, node, techniques, assumed, output)


def _node(name: str | None, gigabits: float | None, root: int) -> tuple[Node, int]:
    import dataclasses
    import difflib

    from webhook.cli.machine import machine_of
    from webhook.cost.seconds import line_rate
    from webhook.cost.situation import Node
    from webhook.ec2.instances import instance, instances

    network = line_rate(gigabits) if gigabits is not None else 0.0
    if name is None:
        return Node(network=network, root=root), 1
    found = instance(name)
    if found is None:
        near = difflib.get_close_matches(name, instances(), n=1)
        meant = f"did you mean {near[0]}? " if near else ""
        raise CouldNotRun(
            f"--instance-type: {name!r} is no instance type with accelerators that is known here",
            hint=f"{meant}--network-gbps describes any other",
        )
    node = machine_of(found, root)
    if network:
        node = dataclasses.replace(node, network=network, network_peak=network)
    return node, max(found.accelerators, 1)


def _size(flag: str, text: str) -> int:
    from webhook.kube.quantity import InvalidQuantity, parse

    try:
        found = parse(text.strip())
    except InvalidQuantity as error:
        raise CouldNotRun(f"{flag}: {error}", hint="write bytes as Kubernetes does: 9.4G, 17Gi") from error
    if found > _MOST_BYTES:
        raise CouldNotRun(f"{flag}: {text} is more than 1Pi", hint="write bytes as Kubernetes does: 9.4G, 17Gi")
    if found < 0 or found.denominator != 1:
        raise CouldNotRun(f"{flag}: {text} is no number of bytes", hint="write bytes as Kubernetes does: 9.4G, 17Gi")
    return int(found)


def _check(workload: Workload, node: Node, techniques: Techniques, *, ladder: bool) -> None:
    """Refuse what cannot be together, where an answer would be of something else."""
    if ladder:
        return
    if techniques.fetch is Fetch.MOUNT and workload.model > 0 and techniques.overlap:
        raise click.UsageError("--overlap: a mounted model is not fetched before it is read")
    if techniques.fetch is Fetch.STREAM and workload.reader is not Reader.STREAMER and workload.model > 0:
        raise click.UsageError("--fetch stream: it takes --reader streamer")
    if techniques.nvme and node.vcpus and not node.disks:
        raise click.UsageError("--instance-store: that instance type has none")


def _given(assume: tuple[str, ...]) -> Mapping[str, float]:
    import difflib
    import math

    from webhook.cost.figures import figures

    found: dict[str, float] = {}
    for text in assume:
        name, equals, number = text.partition("=")
        if not equals:
            raise CouldNotRun(f"--assume: {text!r} is not NAME=NUMBER", hint="for example node.boot=38")
        if name not in figures():
            near = difflib.get_close_matches(name, figures(), n=1)
            hint = f"did you mean {near[0]}?" if near else "docs/when-it-helps.md lists all figures"
            raise CouldNotRun(f"--assume: there is no figure {name!r}", hint=hint)
        try:
            value = float(number)
        except ValueError:
            value = math.nan
        unit = figures()[name].unit
        if not (value > 0 or (value == 0 and unit == "s")):
            raise CouldNotRun(f"--assume: {name}: {number!r} is no number above zero", hint=f"it is in {unit}")
        if value and not _ENDS[0] <= value <= _ENDS[1]:
            raise CouldNotRun(f"--assume: {name}: {number!r} is no number to reckon with", hint=f"it is in {unit}")
        found[name] = value
    return found
