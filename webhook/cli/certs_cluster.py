"""`warmpod certs status` and `rotate`: the certificates of an installation that runs."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from webhook.cli.cluster import cluster_options
from webhook.cli.errors import CouldNotRun, ExitCode, say
from webhook.cli.options import Decorated, FiniteRange, examples, option
from webhook.kube import names

if TYPE_CHECKING:
    from webhook.cli.certs_view import Place, View
    from webhook.sources.kube_api.objects import ObjectApi

_SECONDS = FiniteRange(min=0, max=30 * 24 * 3600)
_TRIES = 5
_LOOK_SECONDS = 1.0

Answer = TypeVar("Answer")


def _place_options(function: Decorated) -> Decorated:
    """Where the installation is."""
    namespace = option(
        "--namespace",
        "-n",
        metavar="NAME",
        default=names.SYSTEM_NAMESPACE,
        twin="WARMPOD_LEASE_NAMESPACE",
        help="Namespace of the installation.",
    )
    secret = option("--tls-secret", metavar="NAME", default=names.TLS_SECRET, help="Secret with the certificates.")
    configuration = option(
        "--webhook-configuration",
        metavar="NAME",
        default=names.WEBHOOK_CONFIGURATION,
        help="The MutatingWebhookConfiguration.",
    )
    return cluster_options(namespace(secret(configuration(function))))


@click.command(
    epilog=examples(
        "warmpod certs status",
        "warmpod certs status --output json",
    )
)
@_place_options
@option("--tls-settle-seconds", type=_SECONDS, default=60.0, help="As the controllers have it.")
@option("--tls-overlap-seconds", type=_SECONDS, default=3600.0, help="As the controllers have it.")
@option("--output", type=click.Choice(["table", "json", "yaml"]), default="table", help="For people, or for programs.")
@click.pass_context
def status(
    ctx: click.Context,
    *,
    kubeconfig: Path | None,
    context: str | None,
    namespace: str,
    tls_secret: str,
    webhook_configuration: str,
    tls_settle_seconds: float,
    tls_overlap_seconds: float,
    output: str,
) -> None:
    """Show what is served, who signed it, who trusts that, who serves it, and what happens next.

    Reads the Secret with the keys, so it needs the right to. Exit code 1 when something is wrong, 3 when there is no
    Secret.
    """
    from webhook.cli import render
    from webhook.cli.certs_view import Place

    place = Place(namespace, tls_secret, webhook_configuration)

    async def work(_api: ObjectApi, view: Callable[[], Awaitable[View]]) -> View:
        return await view()

    found = _connected(place, kubeconfig, context, work)
    step = found.next(timedelta(seconds=tls_settle_seconds), timedelta(seconds=tls_overlap_seconds))
    document = found.document(step)
    if output == "json":
        render.show(render.json_text(document))
    elif output == "yaml":
        render.show(render.yaml_text(document))
    else:
        render.table(("part", "what", "until", "state"), _rows(document))
    for problem in document["problems"]:
        say("warning", problem)
    if found.stored.document is None:
        ctx.exit(ExitCode.NOTHING_TO_DO)
    ctx.exit(ExitCode.FINDINGS if document["problems"] else ExitCode.OK)


@click.command(
    epilog=examples(
        "warmpod certs rotate --wait",
        "warmpod certs rotate --authority",
    )
)
@_place_options
@option("--authority", is_flag=True, help="A new authority, not only a new leaf of the one there is.")
@option("--wait", is_flag=True, help="Return when every replica serves the new leaf.")
@option("--timeout", type=_SECONDS, default=600.0, metavar="SECONDS", help="How long --wait waits.")
def rotate(
    *,
    kubeconfig: Path | None,
    context: str | None,
    namespace: str,
    tls_secret: str,
    webhook_configuration: str,
    authority: bool,
    wait: bool,
    timeout: float,
) -> None:
    """Ask the leading controller for a new leaf, or for a new authority and a leaf of it.

    Nothing is interrupted by it. It writes an annotation on the Secret; the controller does the rest, and takes a
    minute for an authority: API servers come to trust it first.
    """
    from webhook.cli.certs_view import Place

    place = Place(namespace, tls_secret, webhook_configuration)

    async def work(api: ObjectApi, view: Callable[[], Awaitable[View]]) -> str:
        before = await _ask(api, view, "authority" if authority else "leaf")
        return await _follow(view, before, timeout, authority=authority) if wait else ""

    done = _connected(place, kubeconfig, context, work)
    what = "authority" if authority else "leaf"
    click.echo(done or f"asked for a new {what}; `warmpod certs status` shows how it goes")


async def _ask(api: ObjectApi, view: Callable[[], Awaitable[View]], what: str) -> View:
    """Annotate the Secret; what was there before."""
    from webhook.sources.kube_api.failure import ApiFailure
    from webhook.sources.kube_api.objects import SECRETS

    for attempt in range(_TRIES):
        before = await view()
        place, document = before.place, before.stored.document
        if document is None:
            raise CouldNotRun(
                f"there is no Secret {place.namespace}/{place.secret}",
                hint="controllers with --tls-secret make it; --namespace and --tls-secret name another one",
            )
        if before.stored.owner:
            raise CouldNotRun(
                f"the Secret {place.namespace}/{place.secret} belongs to {before.stored.owner}",
                hint="ask that for a new certificate",
            )
        root = "/metadata/annotations"
        key = names.ANNOTATION_ROTATE.replace("~", "~0").replace("/", "~1")
        version = document["metadata"].get("resourceVersion")
        operations: list[Any] = [{"op": "replace", "path": "/metadata/resourceVersion", "value": version}]
        if not document["metadata"].get("annotations"):
            operations.append({"op": "add", "path": root, "value": {}})
        operations.append({"op": "add", "path": f"{root}/{key}", "value": what})
        try:
            await api.patch(SECRETS, place.namespace, place.secret, operations)
        except ApiFailure as failure:
            if failure.kind != "conflict" or attempt == _TRIES - 1:
                raise
        else:
            break
    return before


async def _follow(view: Callable[[], Awaitable[View]], before: View, timeout: float, *, authority: bool) -> str:  # noqa: ASYNC109  seconds of a person's patience
    """Tell how it goes until every replica serves the new leaf; a sentence about the end."""
    from webhook.sources.kube_api.failure import ApiFailure

    end, told = time.monotonic() + timeout, ""
    while True:
        try:
            now = await view()
        except ApiFailure as failure:
            state = str(failure)
        else:
            issued = now.serial and (now.signer != before.signer if authority else now.serial != before.serial)
            count = len(now.replicas or ())
            if issued and count and now.serving == count:
                return f"every replica ({count}) serves the new leaf, serial {now.serial}"
            state = _progress(now, issued=bool(issued), authority=authority)
        if state != told:
            say("note", state)
            told = state
        if time.monotonic() > end:
            raise CouldNotRun(
                f"not done within {timeout:.0f} s: {state}",
                hint="it goes on by itself where a controller leads: `warmpod certs status`, and the controllers' logs",
            )
        await asyncio.sleep(min(_LOOK_SECONDS, max(0.0, end - time.monotonic()) + 0.01))


def _progress(now: View, *, issued: bool, authority: bool) -> str:
    if issued:
        return f"{now.serving} of {len(now.replicas or ())} replicas serve the new leaf"
    if authority and now.held.successor is not None:
        trusting = now.trusting(now.held.successor.certificate)
        return f"{trusting} of {len(now.configuration.hooks)} hooks trust the next authority; API servers learn it"
    if authority and now.held.retiring is not None:
        return "waiting for the end of the last rotation: the authority before is still trusted"
    return "waiting for the leading controller"


def _rows(document: Any) -> list[tuple[str, str, str, str]]:
    replicas, hooks = document["replicas"], document["hooks"]
    current = sum(one["current"] for one in replicas)
    leaf = document["leaf"]
    rows = [("rotation", document["phase"], "", f"asked: {document['asked']}" if document["asked"] else "")]
    if leaf:
        served = f"served by {current} of {len(replicas)} replicas"
        rows.append(("leaf", f"serial {leaf['serial']}", leaf["notAfter"], served))
    rows += [
        (
            f"authority ({one['role']})",
            f"sha256 {one['sha256'][:16]}",
            one["notAfter"],
            f"trusted by {one['hooks']} of {hooks} hooks",
        )
        for one in document["authorities"]
    ]
    rows += [
        ("replica", one["name"], "", "serves the leaf" if one["current"] else f"serves {one['serial']}")
        for one in replicas
    ]
    return [*rows, ("next", document["next"]["reason"], document["next"]["at"] or "", "")]


def _connected(
    place: Place,
    kubeconfig: Path | None,
    context: str | None,
    work: Callable[[ObjectApi, Callable[[], Awaitable[View]]], Awaitable[Answer]],
) -> Answer:
    """Run `work` with the API and a function that looks. CouldNotRun."""
    from webhook.cli.certs_view import look
    from webhook.controller.clock import ServerClock
    from webhook.sources.kube_api import ApiFailure, KubeApi, NoCluster
    from webhook.sources.kube_api.objects import SECRETS, ObjectApi

    async def connected() -> Answer:
        async with KubeApi.connect(kubeconfig, context) as kube:
            api = ObjectApi(kube.transport)
            clock = ServerClock(lambda: kube.transport.clock_skew)

            async def view() -> View:
                if kube.transport.clock_skew is None:
                    await api.find(SECRETS, place.namespace, place.secret)  # any answer tells the time
                return await look(api, place, clock.now())

            return await work(api, view)

    try:
        return asyncio.run(connected())
    except NoCluster as error:
        raise CouldNotRun(str(error)) from error
    except ApiFailure as failure:
        raise CouldNotRun(str(failure)) from failure
