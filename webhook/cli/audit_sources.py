"""Where an audit's judgements come from: records, the API server's audit log, or the live cluster."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from webhook.admission.decision import Facts, Settings
from webhook.cli import world
from webhook.cli.errors import CouldNotRun
from webhook.cli.progress import Bar, tracked
from webhook.cli.recorded import creations
from webhook.cli.unreadable import Unreadable
from webhook.kube import names
from webhook.kube.owner import owner_of
from webhook.policy.model import PolicySet
from webhook.policy.parse import parse
from webhook.report.judgement import Judgement, of_decision
from webhook.sources import audit_log


def from_records(directory: Path, since: datetime | None, passed: Unreadable) -> Iterator[Judgement]:
    """What was recorded of pods' creations, each pod once; dry runs made no pod. Raises CouldNotRun."""
    for recorded, sent, decision in creations(directory, since, passed):
        request = recorded.request
        yield of_decision(
            sent,
            decision,
            namespace=request.namespace,
            owner=owner_of(sent, request.display_name),
            time=recorded.time.timestamp(),
        )


def from_log(file: Path, since: datetime | None, passed: Unreadable) -> Iterator[Judgement]:
    """What the API server's audit log says of pods' creations. Raises CouldNotRun."""
    try:
        yield from tracked(audit_log.read(file, since, passed), "admissions")
    except audit_log.UnreadableLog as error:
        raise CouldNotRun(f"--audit-log: {error}", hint="it is what `kube-apiserver --audit-log-path` names") from error


class Cluster(NamedTuple):
    """Which cluster."""

    kubeconfig: Path | None
    context: str | None

    def policies(self, location: str | None) -> PolicySet:
        """The policies of a directory, by default those that are installed in the cluster. Raises CouldNotRun."""
        if location is not None:
            found = world.read_policies(location)
        else:
            from webhook.cli import audit_live

            with _told():
                sources = audit_live.installed_policies(self.kubeconfig, self.context)
            if not sources:
                missing = "is not there" if sources is None else "is empty"
                raise CouldNotRun(
                    f"ConfigMap {names.POLICIES_CONFIG_MAP} of namespace {names.SYSTEM_NAMESPACE} {missing}",
                    hint="name the policy files with --policies DIR",
                )
            found = parse(sources)
        if world.report(found.problems) and not found.policies:
            raise CouldNotRun("there is no policy that can be read", hint="`warmpod lint` says what is wrong with each")
        return found


def from_cluster(
    cluster: Cluster,
    policies: PolicySet,
    settings: Settings,
    *,
    namespaces: Sequence[str],
    take: Callable[[Judgement], None],
) -> str:
    """Give `take` the judgement of every workload; returns the API server's URL. Raises CouldNotRun."""
    from webhook.cli import audit_live
    from webhook.controller.stock import take_stock

    with _told(), Bar("workloads") as bar:

        def counted(judgement: Judgement) -> None:
            take(judgement)
            bar.advance()

        server, inventory = take_stock(cluster.kubeconfig, cluster.context, settings.accelerators)
        facts = Facts(policies=policies, settings=settings, inventory=inventory, placement_usable=True)
        audit_live.audit(cluster.kubeconfig, cluster.context, facts, namespaces, counted)
    return server


@contextmanager
def _told() -> Iterator[None]:
    """Faults of the API as what a person at a terminal is told."""
    from webhook.sources.kube_api import ApiFailure, NoCluster

    try:
        yield
    except NoCluster as error:
        raise CouldNotRun(str(error), hint="--records and --audit-log need no cluster") from error
    except ApiFailure as failure:
        hint = "it takes the right to list workloads, nodes, pods and namespaces" if failure.kind == "forbidden" else ""
        raise CouldNotRun(str(failure), hint=hint) from failure
