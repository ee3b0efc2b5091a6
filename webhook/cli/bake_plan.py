"""`warmpod bake plan`: which images and models to bake into the next snapshot."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from webhook.cli.bake_evidence import Source, evidence_options, gather
from webhook.cli.bake_registries import platform_of, registry_options
from webhook.cli.cluster import in_bytes
from webhook.cli.errors import CouldNotRun, ExitCode, say
from webhook.cli.options import FiniteRange, examples, option

if TYPE_CHECKING:
    from collections.abc import Mapping

    from webhook.cli.bake_evidence import Evidence
    from webhook.report.bake import Contents, Plan
    from webhook.sources.registry import Platform

_PATH: Final = click.Path(path_type=Path)
_POSITIVE: Final = FiniteRange(min=0, min_open=True)
_MOST_FACTOR: Final = 100


@click.command(
    epilog=examples(
        "warmpod bake plan --budget 100Gi",
        "warmpod bake plan --records /var/lib/warmpod/records --since 14d --registry --budget 100Gi --output json",
        "warmpod bake plan --dump dump.json --pool karpenter.sh/nodepool=gpu --output user-data > user-data.txt",
    )
)
@evidence_options
@option("--budget", default="100Gi", callback=in_bytes, metavar="SIZE", help="What all that is baked may take.")
@option("--births", type=click.IntRange(min=1), metavar="N", help="Nodes there were meanwhile. Default: those known.")
@option("--models", is_flag=True, help="Models too, where their cache is a directory on such a volume.")
@registry_options
@option("--layers", type=_PATH, metavar="FILE", help="Manifests of images, where registries cannot be asked.")
@option("--platform", default="linux/amd64", callback=platform_of, metavar="OS/ARCH", help="What the nodes run.")
@option("--unpacked", type=FiniteRange(0, _MOST_FACTOR), default=2.15, help="Unpacked bytes of a compressed one.")
@option("--image-bytes-per-second", type=_POSITIVE, default=70e6, help="What a node pulls.")
@option("--model-bytes-per-second", type=_POSITIVE, default=400e6, help="What the hydrator reads.")
@option(
    "--output",
    type=click.Choice(["table", "json", "bottlerocket", "user-data"]),
    default="table",
    help="For people; for `bake check`; the command of the Bottlerocket script; a builder's user data for AL2023.",
)
@click.pass_context
def plan(
    ctx: click.Context,
    *,
    records: Path | None,
    since: str | None,
    inventory: Path | None,
    dump: Path | None,
    pool: tuple[str, ...],
    kubeconfig: Path | None,
    context: str | None,
    accelerators: tuple[str, ...],
    device_classes: tuple[str, ...],
    budget: int,
    births: int | None,
    models: bool,
    registry: bool,
    docker_config: Path | None,
    layers: Path | None,
    platform: Platform,
    unpacked: float,
    image_bytes_per_second: float,
    model_bytes_per_second: float,
    output: str,
) -> None:
    """Choose which images to bake into the snapshot that new nodes start from.

    Those that save a new node the most seconds: of a pull, times the share of nodes that come to need it, under a
    budget of bytes, with layers that images share counted once where they are known. Starts are counted in recorded
    admissions; without --records by the pods that run; with an --inventory alone by the nodes that hold an image.
    """
    from webhook.cli import bake_registries, bake_view, render
    from webhook.report import bake, bake_document

    source = Source(
        records, since, inventory, dump, kubeconfig, context, accelerators, device_classes, pool
    )  # fmt: skip
    evidence = gather(source, births)
    demands = evidence.demands(models=models)
    contents = {name: bake.Contents(digest) for name, digest in evidence.uses.digests.items()}
    if layers is not None:
        contents |= _known(bake_registries.read_layers(layers), contents)
    if registry:
        wanted = [one.wanted.name for one in demands if one.wanted.kind == "image" and one.starts]
        found, failures = bake_registries.contents_of(wanted, platform, docker_config)
        contents |= found
        bake_registries.tell(failures)
    made = bake.plan(
        demands, contents, bake.Terms(budget, image_bytes_per_second, model_bytes_per_second, unpacked)
    )  # fmt: skip
    if output == "json":
        text = "/".join(filter(None, platform))
        told = bake_document.document(made, platform=text, counted=evidence.counted, nodes=evidence.born)
        render.show(render.json_text(told))
    elif output == "table":
        bake_view.show(made)
    elif made.baked:
        render.show(_script(made, output, platform))
    _tell(made, evidence)
    ctx.exit(ExitCode.OK if made.baked else ExitCode.NOTHING_TO_DO)


def _known(told: Mapping[str, Contents], before: Mapping[str, Contents]) -> dict[str, Contents]:
    """What a file tells, with the digests that pods tell where it has none."""
    return {
        name: one if one.digest or name not in before else one._replace(digest=before[name].digest)
        for name, one in told.items()
    }


def _script(made: Plan, output: str, platform: Platform) -> str:
    from webhook.report import bake_script

    try:
        if output == "bottlerocket":
            return bake_script.bottlerocket(made, platform.architecture)
        return bake_script.user_data(made, "/".join(filter(None, platform)))
    except bake_script.Unbakeable as error:
        raise CouldNotRun(str(error)) from error


def _tell(made: Plan, evidence: Evidence) -> None:
    from webhook.cli import bake_view

    for text in bake_view.sentences(made, evidence.counted, evidence.uses.pods, evidence.born):
        say("note", text)
