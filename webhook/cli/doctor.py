"""`warmpod doctor`: check a live installation through its API server, and say what to do."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from webhook import __version__
from webhook.cli.cluster import cluster_options
from webhook.cli.errors import COLOURS, CouldNotRun, ExitCode, printable
from webhook.cli.options import examples, option
from webhook.kube import names

if TYPE_CHECKING:
    from webhook.doctor.diagnosis import Diagnosis
    from webhook.doctor.evidence import Evidence, Right

_COLOURS = {"failure": COLOURS["error"], "warning": COLOURS["warning"], "unknown": "magenta", "note": COLOURS["note"]}
_OFF = ("", "0", "false", "no", "off", "f", "n")


@click.command(
    epilog=examples(
        "warmpod doctor",
        "warmpod doctor --probe-namespace serving --output json",
    )
)
@cluster_options
@option("--namespace", default=names.SYSTEM_NAMESPACE, metavar="NAME", help="Where Warmpod is installed.")
@option(
    "--probe-namespace",
    default="default",
    metavar="NAME",
    help="Where a GPU pod is created as a dry run: nothing is stored. Best one of those whose pods you miss.",
)
@option("--output", type=click.Choice(["table", "json"]), default="table", help="For people, or for programs.")
@click.pass_context
def command(
    ctx: click.Context,
    *,
    kubeconfig: Path | None,
    context: str | None,
    namespace: str,
    probe_namespace: str,
    output: str,
) -> None:
    """Check a live installation of Warmpod, and say what to do.

    The first line is the verdict: whether GPU pods are reviewed, and if not, why. Findings follow, what is broken
    first and causes before what follows from them.

    It changes nothing. What you may not look at is reported as unknown, with the right that is missing. Exit code 0
    when all is well, 1 with warnings or failures, 2 when nobody can say whether pods are reviewed.
    """
    from webhook.cli import render
    from webhook.doctor.diagnosis import diagnose

    evidence = _gathered(kubeconfig, context, namespace, probe_namespace)
    found = diagnose(evidence)
    render.show(render.json_text(_document(evidence, found)) if output == "json" else _text(found))
    ctx.exit(_exit_code(found))


def _gathered(kubeconfig: Path | None, context: str | None, namespace: str, probe_namespace: str) -> Evidence:
    from webhook.doctor.gathering import Options, gather
    from webhook.sources.kube_api import ApiFailure, KubeApi, NoCluster

    options = Options(
        namespace=namespace,
        probe_namespace=probe_namespace,
        rights=lambda settings: rights(namespace, settings),
        conditions=_shipped_conditions(),
        version=__version__,
    )

    async def look() -> Evidence:
        async with KubeApi.connect(kubeconfig, context) as api:
            return await gather(api, options)

    try:
        return asyncio.run(look())
    except NoCluster as error:
        raise CouldNotRun(str(error)) from error
    except ApiFailure as failure:
        raise CouldNotRun(str(failure), hint="does `kubectl version` work with the same --kubeconfig?") from failure


def rights(namespace: str, settings: Mapping[str, str]) -> list[Right]:
    """Every right that a controller with these settings needs, in a fixed order.

    Settings that could not be read are those of manifests/base.
    """
    from webhook.controller import permissions
    from webhook.doctor.evidence import Right
    from webhook.sources import kube_api

    calls = permissions.LEASES | permissions.REGISTRATION
    if not settings or settings.get("WARMPOD_TLS_SECRET"):
        calls |= permissions.CERTIFICATES
    if settings.get("WARMPOD_MANAGE_WEBHOOK", "").lower() not in _OFF:
        calls |= permissions.RESTORATION
    everywhere = {Right(group, resource, verb) for group, resource, verb in kube_api.CALLS}
    here = {
        Right(one.group, one.resource, one.verb, namespace if _is_namespaced(one.group, one.resource) else "", one.name)
        for one in calls
    }
    return sorted(everywhere | here, key=str)


def _is_namespaced(group: str, resource: str) -> bool:
    return group != "admissionregistration.k8s.io" and resource != "namespaces"


def _shipped_conditions() -> Mapping[str, str]:
    """The matchConditions that this version ships; none where the installation has no manifests."""
    import yaml

    from webhook.cli import shipped

    try:
        text = (shipped.manifests() / "base" / "mutatingwebhookconfiguration.yaml").read_text()
    except (CouldNotRun, OSError):
        return {}
    conditions = yaml.safe_load(text)["webhooks"][0]["matchConditions"]
    return {one["name"]: one["expression"] for one in conditions}


def _exit_code(found: Diagnosis) -> ExitCode:
    from webhook.doctor.finding import State

    if found.worst in (State.FAILURE, State.WARNING):
        return ExitCode.FINDINGS
    return ExitCode.OK if found.works else ExitCode.COULD_NOT_RUN


def _text(found: Diagnosis) -> str:
    verdict = click.style(_line(found.text), bold=True, fg={True: "green", False: "red"}.get(bool(found.works)))
    width = max(len(one.name) for one in found.findings)
    lines = [verdict, ""]
    for one in found.findings:
        state = click.style(f"{one.state:<8}", fg=_COLOURS.get(one.state))
        lines.append(f"{state} {one.name:<{width}}  {_line(one.text)}")
        if one.advice:
            lines.append(f"{'':<{9 + width}}  -> {_line(one.advice)}")
    return "".join(f"{line}\n" for line in lines)


def _line(text: str) -> str:
    return printable(" ".join(text.split()))


def _document(evidence: Evidence, found: Diagnosis) -> dict[str, Any]:
    return {
        "verdict": {"works": found.works, "text": found.text},
        "server": evidence.server,
        "time": evidence.now.isoformat(timespec="seconds").replace("+00:00", "Z"),
        "findings": [
            {"state": one.state.value, "name": one.name, "text": one.text, "advice": one.advice}
            for one in found.findings
        ],
    }
