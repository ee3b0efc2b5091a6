"""Where Warmpod is: the API server, the namespace, and the Service that leads to it."""

from __future__ import annotations

import re
from collections.abc import Iterator

from webhook.doctor.advice import APPLY, readyz
from webhook.doctor.evidence import Absent, Evidence, Seen, within
from webhook.doctor.finding import Finding, failure, note, ok, unseen, warning
from webhook.doctor.hooks import uses_service
from webhook.kube import Object, names
from webhook.kube.pod import objects

OLDEST_MINOR = 30
"""Kubernetes 1.30 made matchConditions and ValidatingAdmissionPolicy stable."""


def api_server(evidence: Evidence) -> Iterator[Finding]:
    """It answered, or there would be no evidence."""
    text = f"Kubernetes {evidence.version} answers at {evidence.server}"
    minor = re.match(r"v?1\.(\d+)", evidence.version)
    if minor and int(minor[1]) < OLDEST_MINOR:
        yield warning("api-server", f"{text}, and Warmpod needs 1.{OLDEST_MINOR}", "upgrade the cluster")
    else:
        yield ok("api-server", text)


def namespace(evidence: Evidence) -> Iterator[Finding]:
    """Where Warmpod is installed."""
    match evidence.system:
        case Seen(found) if within(found, "metadata", "deletionTimestamp"):
            yield failure(
                "namespace",
                f"namespace {evidence.namespace} is being deleted",
                "wait until it is gone, then apply your overlay again",
                stops=True,
            )
        case Seen():
            yield ok("namespace", f"{evidence.namespace} is there")
        case Absent() if isinstance(evidence.registration, Seen):
            yield failure(
                "namespace",
                f"there is no namespace {evidence.namespace}, and the registration is still there",
                "name the namespace with --namespace; if Warmpod was removed, "
                f"`kubectl delete mutatingwebhookconfiguration {names.WEBHOOK_CONFIGURATION}`",
                stops=uses_service(evidence),
            )
        case Absent():
            yield failure(
                "namespace",
                f"Warmpod is not installed: there is no namespace {evidence.namespace}",
                "install it, `kubectl apply -k manifests/overlays/audit`; or name its namespace with --namespace",
                stops=True,
            )
        case look:
            yield unseen("namespace", f"namespace {evidence.namespace}", look)


def service(evidence: Evidence) -> Iterator[Finding]:
    """Whether the Service leads to ready endpoints. A registration with a URL needs neither."""
    name = names.WEBHOOK_SERVICE
    if not uses_service(evidence):
        yield note("endpoints", f"the registration names a URL, so Service {name} is not on the way")
        return
    match evidence.service:
        case Seen(found):
            if 443 not in (ports := [one.get("port") for one in objects(within(found, "spec", "ports"))]):
                yield failure("service", f"Service {name} has no port 443, only {ports}", APPLY, stops=True)
        case Absent():
            yield failure("service", f"there is no Service {name} in namespace {evidence.namespace}", APPLY, stops=True)
            return
        case look:
            yield unseen("service", f"Service {name}", look)
    if not isinstance(evidence.slices, Seen):
        yield unseen("endpoints", f"the EndpointSlices of Service {name}", evidence.slices)
        return
    yield _endpoints(evidence, evidence.slices.value)


def _endpoints(evidence: Evidence, slices: list[Object]) -> Finding:
    name, kubectl = names.WEBHOOK_SERVICE, f"kubectl -n {evidence.namespace}"
    wanted = _port_names(evidence)
    named = [one for one in slices if wanted & {port.get("name") or "" for port in objects(one.get("ports"))}]
    every = [one for slice_ in slices for one in objects(slice_.get("endpoints"))]
    ready = [
        one
        for slice_ in named
        for one in objects(slice_.get("endpoints"))
        if within(one, "conditions", "ready") is not False
    ]
    if ready:
        return ok("endpoints", f"Service {name} leads to {len(ready)} of {len(every)} endpoints that are ready")
    if every and not named:
        return failure(
            "endpoints",
            f"no endpoint of Service {name} has the port {' or '.join(sorted(map(repr, wanted)))}",
            f"the Service's targetPort and the container's port differ; {APPLY}",
            stops=True,
        )
    return failure(
        "endpoints",
        f"Service {name} has no ready endpoint" + (f" ({len(every)} are not ready)" if every else ""),
        f"`{kubectl} get pods`; a pod says why it is not ready: {readyz(evidence.namespace, 8080)}",
        stops=True,
    )


def _port_names(evidence: Evidence) -> set[str]:
    found = within(evidence.service.value, "spec", "ports") if isinstance(evidence.service, Seen) else None
    return {str(one.get("name") or "") for one in objects(found) if one.get("port") == 443} or {"", "https", "webhook"}
