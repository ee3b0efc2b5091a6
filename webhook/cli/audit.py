"""`warmpod audit`: what policies do to real pods, and would do: from records, the audit log or the live cluster."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click
from click.core import ParameterSource

from webhook.cli.cluster import cluster_options
from webhook.cli.errors import CouldNotRun, ExitCode, say
from webhook.cli.options import accelerator_options, accelerators_of, facts_options, option

if TYPE_CHECKING:
    from webhook.cli.audit_view import About
    from webhook.report.judgement import Judgement
    from webhook.report.tally import Tally

_PATH: Final = click.Path(path_type=Path)
#: What `--fail-on` knows; `none` stands alone.
_FAILURES: Final = ("errors", "conflicts", "denied", "laws", "unanswered")


@click.command()
@option("--records", type=_PATH, metavar="DIR", help="What `warmpod webhook --record DIR` wrote.")
@option(
    "--audit-log",
    type=click.Path(path_type=Path, allow_dash=True),
    metavar="FILE",
    help="The API server's audit log, with the rotated files beside it; - is stdin.",
)
@option("--policies", metavar="DIR", help="Of the live cluster: policy files. Default: those that are installed in it.")
@cluster_options
@accelerator_options
@facts_options
@option("--since", metavar="WHEN", help="Not what is older: 24h, 7d, or a time in RFC 3339.")
@option("--namespace", "namespaces", multiple=True, metavar="NAME", help="Only this namespace. Repeatable.")
@option(
    "--fail-on",
    default="errors,denied,laws",
    metavar="KINDS",
    help="What makes the exit code 1: some of errors, conflicts, denied, laws, unanswered; or none.",
)
@option(
    "--output",
    type=click.Choice(["table", "json", "html"]),
    default="table",
    help="Tables for people, JSON for scripts, or one self-contained page.",
)
@click.pass_context
def command(
    ctx: click.Context,
    *,
    records: Path | None,
    audit_log: Path | None,
    policies: str | None,
    kubeconfig: Path | None,
    context: str | None,
    accelerators: tuple[str, ...],
    device_classes: tuple[str, ...],
    hydrator_image: str,
    default_pod_security_level: str,
    since: str | None,
    namespaces: tuple[str, ...],
    fail_on: str,
    output: str,
) -> None:
    """Report what policies do to real pods, and what those in Audit would do.

    Per policy and namespace: how many pods are changed, or would be; in what; how much time it saves; what stood in the
    way. From recorded admissions, from the API server's audit log, or, with neither, from the workloads of the live
    cluster as they would be created now, whatever the policies' mode.

    \b
      warmpod audit                                            # the cluster, by the policies installed in it
      warmpod audit --policies policies/ --namespace serving
      warmpod audit --records /var/lib/warmpod/records --since 24h --output html > audit.html
      zcat audit-*.log.gz | warmpod audit --audit-log - --output json

    Exit codes: 0 ok; 1 something of --fail-on was found; 2 could not run; 3 no pod to report on.
    """  # noqa: D301 - click keeps the lines after a backspace character as they are
    from webhook.admission.decision import Settings
    from webhook.cli import audit_sources, audit_view
    from webhook.cli.fail_on import kinds_of
    from webhook.cli.since import since_of
    from webhook.cli.unreadable import Unreadable
    from webhook.kube.podsecurity import Level
    from webhook.report.tally import Tally

    now = datetime.now(UTC)
    kinds, begin = kinds_of(fail_on, _FAILURES), since_of(since, now)
    if records is not None and audit_log is not None:
        if _is_given(ctx, "records") == _is_given(ctx, "audit_log"):
            raise CouldNotRun("--records and --audit-log: one source at a time", hint="leave one of them out")
        records, audit_log = (records, None) if _is_given(ctx, "records") else (None, audit_log)
    stored = records is not None or audit_log is not None
    if stored and policies is not None and _is_given(ctx, "policies"):
        raise CouldNotRun(
            "--policies: what was recorded was decided already, by the policies of that time",
            hint="`warmpod replay` decides records anew",
        )
    if not stored and begin is not None:
        raise CouldNotRun("--since: the live cluster is as it is now", hint="it goes with --records or --audit-log")

    tally, passed = Tally(), Unreadable()
    modes: dict[str, str] = {}
    if records is not None:
        kind, source = "records", str(records)
        _take(audit_sources.from_records(records, begin, passed), tally, frozenset(namespaces))
    elif audit_log is not None:
        kind, source = "auditLog", "on stdin" if str(audit_log) == "-" else str(audit_log)
        _take(audit_sources.from_log(audit_log, begin, passed), tally, frozenset(namespaces))
    else:
        kind, cluster = "cluster", audit_sources.Cluster(kubeconfig, context)
        policy_set = cluster.policies(policies)
        modes = {policy.name: str(policy.mode) for policy in policy_set.policies}
        source = audit_sources.from_cluster(
            cluster,
            policy_set,
            Settings(
                hydrator_image=hydrator_image,
                accelerators=accelerators_of(accelerators, device_classes),
                default_level=Level(default_pod_security_level),
            ),
            namespaces=namespaces,
            take=tally.add,
        )
    passed.tell()
    about = audit_view.About(
        kind=kind,
        source=source,
        made=now.timestamp(),
        since=None if begin is None else begin.timestamp(),
        namespaces=namespaces,
        passed=passed.lines,
        modes=modes,
    )
    _show(tally, about, output)
    if any(tally.findings.pods[each] for each in kinds):
        ctx.exit(ExitCode.FINDINGS)
    ctx.exit(ExitCode.OK if tally.total.pods else ExitCode.NOTHING_TO_DO)


def _show(tally: Tally, about: About, output: str) -> None:
    from webhook.cli import audit_view, render

    if output == "json":
        render.show(render.json_text(audit_view.document(tally, about)))
    elif output == "html":
        from webhook.cli.audit_html import page

        render.show(page(tally, about))
    elif tally.total.pods:
        audit_view.show_tables(tally, about)
    if not tally.total.pods:
        say("note", f"{about.title}: no pod to report on")


def _take(found: Iterator[Judgement], tally: Tally, namespaces: frozenset[str]) -> None:
    for judgement in found:
        if not namespaces or judgement.namespace in namespaces:
            tally.add(judgement)


def _is_given(ctx: click.Context, name: str) -> bool:
    """Whether an option was written, not found in the environment, where it may be for another command."""
    return ctx.get_parameter_source(name) is ParameterSource.COMMANDLINE
