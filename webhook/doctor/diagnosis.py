"""All checks in the order of causes, and the one line above them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from webhook.doctor import cluster, deployment, fleet, guards, hooks, places, reached, registration, trust
from webhook.doctor.evidence import Absent, Evidence
from webhook.doctor.finding import Finding, State

ORDER = (
    "api-server", "namespace", "deployment", "images", "pods", "service", "endpoints", "registration", "selection",
    "trust", "certificate", "serials", "rotation", "network", "probe", "fail-open", "rights", "replicas", "controller",
    "leader", "versions", "policies", "snapshot", "hydrator", "node-policy", "namespaces", "other-webhooks", "clock",
)  # fmt: skip
"""Names of findings: what comes later may follow from what comes before, hardly ever the other way round."""

_CHECKS = (
    cluster.api_server,
    cluster.namespace,
    deployment.deployment,
    deployment.pods,
    cluster.service,
    registration.registration,
    registration.selection,
    trust.trust,
    fleet.certificates,
    reached.probe,
    reached.counters,
    guards.rights,
    fleet.replicas,
    fleet.leader,
    fleet.versions,
    fleet.policies,
    fleet.snapshot,
    fleet.hydrator,
    guards.node_policy,
    places.namespaces,
    registration.others,
    places.clock,
)
_NOT_INSTALLED = (cluster.api_server, cluster.namespace, registration.registration, reached.probe)
"""What is worth saying where there is no namespace: anything else would only repeat it."""


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """`works` says whether GPU pods are reviewed, None when nobody knows. `text` is the verdict, one line.

    Findings come worst first, and those of one state in the order of causes.
    """

    works: bool | None
    text: str
    findings: tuple[Finding, ...]

    @property
    def worst(self) -> State:
        """The state of the first finding."""
        return self.findings[0].state


def diagnose(evidence: Evidence) -> Diagnosis:
    """Judge an installation. Pure."""
    found = list(_findings(evidence))
    states = list(State)
    found.sort(key=lambda one: (states.index(one.state), not one.stops, ORDER.index(one.name)))
    return Diagnosis(*_verdict(evidence, found), tuple(found))


def _findings(evidence: Evidence) -> Iterator[Finding]:
    checks = _NOT_INSTALLED if isinstance(evidence.system, Absent) else _CHECKS
    found = [one for check in checks for one in check(evidence)]
    yield from found
    if checks is _CHECKS:
        yield from reached.network(evidence, [one for one in found if one.stops])


def _verdict(evidence: Evidence, findings: list[Finding]) -> tuple[bool | None, str]:
    bad = [one for one in findings if one.state in (State.FAILURE, State.WARNING)]
    if reply := reached.reply(evidence):
        return True, _works(evidence, reply.mode) + (f"; but {bad[0].text}" if bad else "")
    cause = next((one for one in findings if one.stops and one.name != "probe"), None)
    probe = next(one for one in findings if one.name == "probe")
    if reached.rejects(evidence):
        return False, f"GPU pods are rejected, because {(cause or probe).text}"
    if cause:
        return False, f"GPU pods start as without Warmpod, because {cause.text}"
    if probe.state is State.FAILURE:
        return False, f"GPU pods start as without Warmpod, because {probe.text}"
    return None, f"nobody knows whether GPU pods are reviewed: {probe.text}"


def _works(evidence: Evidence, mode: str) -> str:
    general = hooks.mode(hooks.named(evidence, hooks.PODS)) or mode
    text = f"Warmpod works: pods are reviewed in {general}"
    if general != mode:
        return f"{text}, those of namespace {evidence.probe_namespace} in {mode}"
    return f"{text}, so none is changed" if mode == "Audit" else text
