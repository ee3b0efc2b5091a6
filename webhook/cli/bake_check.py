"""`warmpod bake check`: what of a snapshot is stale."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from webhook.cli.bake_evidence import Source, evidence_options, gather
from webhook.cli.bake_registries import registry_options
from webhook.cli.errors import CouldNotRun, ExitCode, say
from webhook.cli.options import examples, option

if TYPE_CHECKING:
    from collections.abc import Sequence

    from webhook.kube import Object
    from webhook.report.bake_check import Now, Standing
    from webhook.report.bake_document import Baked, Written

_PATH: Final = click.Path(path_type=Path)
_FAILURES: Final = ("stale", "missing", "unused", "unknown")


@click.command(
    epilog=examples(
        "warmpod bake check --plan plan.json",
        "warmpod bake check --plan plan.json --registry",
        "warmpod bake check --plan plan.json --digests digests.json --fail-on stale,missing,unused --output json",
    )
)
@option("--plan", "plan_file", type=_PATH, required=True, metavar="FILE", help="What was baked: `bake plan`'s JSON.")
@registry_options
@option("--digests", type=_PATH, metavar="FILE", help="What tags name now, where registries cannot be asked.")
@evidence_options
@option("--fail-on", default="stale", metavar="KINDS", help="What makes the exit code 1: some of the states, or none.")
@option("--output", type=click.Choice(["table", "json"]), default="table", help="For people, or for programs.")
@click.pass_context
def check(
    ctx: click.Context,
    *,
    plan_file: Path,
    registry: bool,
    docker_config: Path | None,
    digests: Path | None,
    records: Path | None,
    since: str | None,
    inventory: Path | None,
    dump: Path | None,
    pool: tuple[str, ...],
    kubeconfig: Path | None,
    context: str | None,
    accelerators: tuple[str, ...],
    device_classes: tuple[str, ...],
    fail_on: str,
    output: str,
) -> None:
    """Say which baked images are stale: their tag names another digest now.

    What tags name now is told by registries, by a file, or by the containers that started last. Each image is current,
    stale (another digest), missing (the registry has no such tag any more), unused (no pod wants it) or unknown. With
    --registry or --digests alone nobody looks at pods, and none is unused.
    """
    from webhook.cli import bake_registries, bake_view, render
    from webhook.cli.fail_on import kinds_of
    from webhook.report.bake_check import Now, is_pinned, standings

    kinds = kinds_of(fail_on, _FAILURES)
    written = _read(plan_file)
    now: dict[str, Now] = {}
    used: set[str] | None = None
    failures: dict[str, str] = {}
    looks = (records, inventory, dump, kubeconfig, context)
    if any(one is not None for one in looks) or not (registry or digests):
        evidence = gather(
            Source(records, since, inventory, dump, kubeconfig, context, accelerators, device_classes, pool)
        )
        used = {one.wanted.name for one in evidence.demands(models=True) if one.starts}
        now |= {name: Now(digest, source="a pod") for name, digest in evidence.uses.digests.items()}
    if digests is not None:
        told = bake_registries.read_digests(digests)
        now |= {name: Now(digest, source=str(digests)) for name, digest in told.items()}
    if registry:
        asked = [one.name for one in written.baked if one.kind == "image" and not is_pinned(one.name)]
        now |= _registered(asked, written, docker_config, failures)
    found = standings(written.baked, now, used, failures)
    if output == "json":
        render.show(render.json_text({"items": [_document(one) for one in found]}))
    elif found:
        bake_view.show_standings(found)
    if not found:
        say("note", f"{plan_file}: nothing was baked")
    counts = _counts(found)
    say("note", ", ".join(f"{count} {state}" for state, count in counts.items() if count) or "nothing to check")
    if any(counts.get(kind) for kind in kinds):
        ctx.exit(ExitCode.FINDINGS)
    ctx.exit(ExitCode.OK if found else ExitCode.NOTHING_TO_DO)


def _read(path: Path) -> Written:
    from webhook.report.bake_document import MOST_BYTES, UnreadablePlan, read

    try:
        with path.open("rb") as stream:
            return read(stream.read(MOST_BYTES + 1))
    except OSError as error:
        raise CouldNotRun(f"--plan: {path}: {error.strerror or error}") from error
    except UnreadablePlan as error:
        raise CouldNotRun(f"--plan: {path}: {error}", hint="`warmpod bake plan --output json` writes it") from error


def _registered(
    asked: Sequence[str], written: Written, docker_config: Path | None, failures: dict[str, str]
) -> dict[str, Now]:
    """What registries say. An image that is not there any more is known to be gone; why others are not goes in."""
    from webhook.cli import bake_registries
    from webhook.report.bake_check import Now
    from webhook.sources.registry import Platform

    try:
        platform = Platform.of(written.platform)
    except ValueError as error:
        raise CouldNotRun(f"--plan: {error}") from error
    found, unknown = bake_registries.contents_of(asked, platform, docker_config)
    bake_registries.tell({name: failure for name, failure in unknown.items() if failure.why != "missing"})
    failures |= {name: str(failure) for name, failure in unknown.items()}
    told = {name: Now(one.digest, one.platform_digest, source="the registry") for name, one in found.items()}
    gone = {name for name, failure in unknown.items() if failure.why == "missing"}
    return told | {name: Now(gone=True, source="the registry") for name in gone}


def _counts(found: Sequence[Standing]) -> dict[str, int]:
    from webhook.report.bake_check import State

    return {str(state): sum(one.state is state for one in found) for state in State}


def _document(standing: Standing) -> Object:
    baked: Baked = standing.baked
    return {
        "kind": baked.kind,
        "name": baked.name,
        "state": str(standing.state),
        "reason": standing.reason,
        "bakedDigest": baked.digest,
        "digest": standing.now,
    }
