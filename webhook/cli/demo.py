"""`warmpod demo`: the main job in one command."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from webhook.cli.errors import CouldNotRun, ExitCode, say
from webhook.cli.options import examples, option

if TYPE_CHECKING:
    from webhook.cli.demo_scene import Outcome
    from webhook.sandbox import Progress


@click.command(
    epilog=examples(
        "warmpod demo",
        "warmpod demo --no-cluster --output json",
    )
)
@option("--output", type=click.Choice(["text", "json"]), default="text", help="A story for people, JSON for scripts.")
@option(
    "--assets",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Where etcd, kube-apiserver and the others are. Default: wherever `warmpod sandbox` finds them.",
)
@option("--no-cluster", is_flag=True, help="Do without a control plane even where its programs are found.")
@click.pass_context
def command(ctx: click.Context, *, output: str, assets: Path | None, no_cluster: bool) -> None:
    """Watch a cold vLLM pod come out warm.

    Four pretend GPU nodes, of which two hold the pod's image and model; the shipped policy vllm-s3-nvme, first in
    Audit, then in Enforce. On a real API server and scheduler where their programs are found, else against the real
    webhook alone. Nothing of yours is touched, and everything ends with the command.

    Exit codes: 0 it went as the policy promises; 1 it did not; 2 could not run.
    """
    from webhook.cli import demo_local, render
    from webhook.sandbox import SandboxFailed
    from webhook.sandbox.binaries import MissingBinaries

    def progress(line: str) -> None:
        say("note", line)

    began = time.monotonic()
    missing = False
    try:
        try:
            outcome = demo_local.play(progress) if no_cluster else _on_a_cluster(progress, assets)
        except MissingBinaries as error:
            if assets is not None:
                raise
            missing = True
            say(
                "note",
                f"no control plane on this machine ({', '.join(error.names)} not found): asking the webhook itself",
            )
            outcome = demo_local.play(progress)
    except SandboxFailed as error:
        raise CouldNotRun(str(error)) from error
    seconds = time.monotonic() - began
    if output == "json":
        render.show(render.json_text(outcome.as_json(seconds)))
    else:
        render.show(_story(outcome, seconds, missing=missing))
    ctx.exit(ExitCode.OK if outcome.convincing else ExitCode.FINDINGS)


_HOW_TO_SEE_MORE = """To see the same on a real control plane, build one once, and run the demo again:

  warmpod sandbox build"""
_INVENTORY = {
    "controller": "by `warmpod controller`, which saw the nodes' images and what hydrators reported",
    "file": "a file made up for this demo; on a control plane, `warmpod controller` finds out",
}
_RUN_IT_WHOLE = "Without --no-cluster the same happens on a real control plane, if this machine has one."


def _on_a_cluster(progress: Progress, assets: Path | None) -> Outcome:
    from webhook.cli import demo_cluster

    return demo_cluster.play(progress, assets)


def _story(outcome: Outcome, seconds: float, *, missing: bool) -> str:
    from webhook.cli import demo_scene as scene
    from webhook.cli.render import diff_text

    policy = scene.policy_file()
    text = policy.read_text(encoding="utf-8").split("\n---\n", 1)[0]
    told = "what the API server stored" if outcome.api_server else "the pod that the patch makes"
    parts = [
        _heading(f"The policy: {policy.name} of {policy.parent.name}, its first document"),
        f"{text.strip()}\n",
        _heading("In Audit"),
        f"The pod is {'unchanged' if outcome.pod_unchanged else 'CHANGED'}. ",
        f"Withheld were {len(outcome.would_patch)} operations.\n",
        _heading(f"In Enforce: {told}"),
        diff_text(outcome.before, outcome.after, ("pod in Audit", "pod in Enforce")),
        _heading("What came of it"),
        *_facts(outcome),
        f"  the demo took          {seconds:.0f} s\n",
    ]
    if not outcome.api_server:
        parts += [
            "\nNo API server and no scheduler took part: the webhook was asked over TLS, as an API server asks it.\n",
            f"{_HOW_TO_SEE_MORE if missing else _RUN_IT_WHOLE}\n",
        ]
    if not outcome.convincing:
        parts.append(click.style("\nThis is not what the policy promises.\n", fg="red", bold=True))
    return "".join(parts)


def _facts(outcome: Outcome) -> list[str]:
    from webhook.cli import demo_scene as scene

    warm = " and ".join(scene.WARM_NODES)
    node = f"{outcome.node}, chosen by the scheduler" if outcome.node else f"{warm} are preferred"
    return [
        f"  warm nodes             {warm}, of {len(scene.NODES)}\n",
        f"  the inventory          {_INVENTORY[outcome.inventory]}\n",
        f"  the pod's node         {node}\n",
        f"  start-up time saved    about {outcome.seconds_saved:.0f} s\n",
        f"  the webhook took       {outcome.webhook_milliseconds:.2f} ms\n",
    ]


def _heading(text: str) -> str:
    return f"\n{click.style(text, bold=True)}\n\n"
