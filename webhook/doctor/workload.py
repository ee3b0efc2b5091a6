"""What runs: API server, namespace, Deployment, pods, Service and its endpoints."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any

from webhook.doctor.advice import APPLY, logs, readyz
from webhook.doctor.evidence import Absent, Evidence, Seen, items, mapping, within
from webhook.doctor.finding import Finding, failure, note, ok, unseen, warning
from webhook.doctor.hooks import uses_service
from webhook.kube import Object, names
from webhook.kube.selector import InvalidSelector, LabelSelector

OLDEST_MINOR = 30
"""Kubernetes 1.30 made matchConditions and ValidatingAdmissionPolicy stable."""

RECENT = timedelta(hours=1)
_SHOWN = 3


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
        case Absent():
            yield failure(
                "namespace",
                f"Warmpod is not installed: there is no namespace {evidence.namespace}",
                "install it: `kubectl apply -k manifests/overlays/audit`; or name its namespace with --namespace",
                stops=True,
            )
        case look:
            yield unseen("namespace", f"namespace {evidence.namespace}", look)


def deployment(evidence: Evidence) -> Iterator[Finding]:
    """Whether as many pods are ready as there should be, of one version."""
    match evidence.deployment:
        case Seen(found):
            yield from _deployment(evidence, found)
        case Absent():
            yield failure(
                "deployment",
                f"there is no Deployment {names.DEPLOYMENT} in namespace {evidence.namespace}",
                APPLY,
                stops=uses_service(evidence),
            )
        case look:
            yield unseen("deployment", f"Deployment {names.DEPLOYMENT}", look)


def _deployment(evidence: Evidence, found: Object) -> Iterator[Finding]:
    name, kubectl = names.DEPLOYMENT, f"kubectl -n {evidence.namespace}"
    spec, status = mapping(found.get("spec")), mapping(found.get("status"))
    desired, ready = _count(spec.get("replicas"), 1), _count(status.get("readyReplicas"), 0)
    if desired == 0:
        yield failure(
            "deployment",
            f"Deployment {name} is scaled to 0",
            f"`{kubectl} scale deployment {name} --replicas=2`",
            stops=uses_service(evidence),
        )
    elif ready == 0:
        why = next(iter(troubles(evidence)), "")
        yield failure(
            "deployment",
            f"none of the {desired} pods of Deployment {name} is ready" + (f" ({why})" if why else ""),
            f"look at the findings about pods; `{kubectl} describe pods`, {logs(evidence.namespace, 'webhook')}",
            stops=uses_service(evidence),
        )
    elif ready < desired:
        yield warning(
            "deployment",
            f"{ready} of {desired} pods of Deployment {name} are ready",
            f"`{kubectl} get pods`, then `{kubectl} describe pod NAME` of one that is not",
        )
    elif rolling(evidence):
        yield note("deployment", f"Deployment {name} is being rolled out; {ready} pods are ready")
    elif desired == 1:
        yield note(
            "deployment",
            "one replica is ready, and while it restarts pods start as without Warmpod",
            f"`{kubectl} scale deployment {name} --replicas=2`",
        )
    else:
        yield ok("deployment", f"{ready} of {desired} pods are ready")
    images = {
        str(one.get("image")) for one in items(within(found, "spec", "template", "spec", "containers"))
        if one.get("name") in ("webhook", "controller")
    }  # fmt: skip
    if len(images) > 1:
        yield warning(
            "images",
            f"webhook and controller run different images: {', '.join(sorted(images))}",
            "give both the same image; `images:` in a kustomization changes both",
        )


def rolling(evidence: Evidence) -> bool:
    """Whether the Deployment replaces its pods right now."""
    if not isinstance(evidence.deployment, Seen):
        return False
    found = evidence.deployment.value
    status = mapping(found.get("status"))
    behind = _count(status.get("observedGeneration"), 0) < _count(within(found, "metadata", "generation"), 0)
    desired = _count(within(found, "spec", "replicas"), 1)
    updated, total = _count(status.get("updatedReplicas"), 0), _count(status.get("replicas"), 0)
    return behind or updated < desired or total > updated


def pods(evidence: Evidence) -> Iterator[Finding]:
    """What keeps pods from being ready, and what restarted."""
    if not isinstance(evidence.pods, Seen):
        yield unseen("pods", "the pods of Warmpod", evidence.pods)
        return
    found = list(troubles(evidence))
    if found:
        more = f"; and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
        yield warning(
            "pods",
            "; ".join(found[:_SHOWN]) + more,
            f"`kubectl -n {evidence.namespace} describe pods`; for a restart "
            f"`kubectl -n {evidence.namespace} logs POD -c CONTAINER --previous`",
        )
    else:
        yield ok("pods", f"{len(ours(evidence))} pods, none waits for anything or restarted within the hour")


def ours(evidence: Evidence) -> list[Object]:
    """The pods of the Deployment, as far as they could be seen."""
    if not isinstance(evidence.pods, Seen) or not isinstance(evidence.deployment, Seen):
        return []
    try:
        selector = LabelSelector.parse(within(evidence.deployment.value, "spec", "selector") or {})
    except InvalidSelector:
        return []
    return [one for one in evidence.pods.value if selector.matches(mapping(within(one, "metadata", "labels")))]


def troubles(evidence: Evidence) -> Iterator[str]:
    """Sentences about pods that wait for something or restarted of late."""
    for pod in ours(evidence):
        name, status = str(within(pod, "metadata", "name")), mapping(pod.get("status"))
        for condition in items(status.get("conditions")):
            if condition.get("type") == "PodScheduled" and condition.get("status") == "False":
                yield f"pod {name} has no node: {_first(condition.get('message'))}"
        for container in items(status.get("containerStatuses")):
            yield from _trouble(name, container, evidence.now)


def _trouble(pod: str, container: Mapping[str, Any], now: datetime) -> Iterator[str]:
    which = f"container {container.get('name')} of pod {pod}"
    reason = within(container, "state", "waiting", "reason")
    last = mapping(within(container, "lastState", "terminated"))
    ended = f"{last.get('reason')}, exit code {last.get('exitCode')}" if last else ""
    if reason and reason not in ("ContainerCreating", "PodInitializing"):
        said = _first(within(container, "state", "waiting", "message"))
        yield f"{which} waits: {reason}" + (f" ({ended or said})" if ended or said else "")
    elif last and _since(last.get("finishedAt"), now) < RECENT:
        restarts = _count(container.get("restartCount"), 0)
        yield f"{which} restarted {restarts} times, the last time within the hour ({ended})"


def service(evidence: Evidence) -> Iterator[Finding]:
    """Whether the Service leads to ready endpoints. A registration with a URL needs neither."""
    name = names.WEBHOOK_SERVICE
    if not uses_service(evidence):
        yield note("endpoints", f"the registration names a URL, so Service {name} is not on the way")
        return
    match evidence.service:
        case Seen(found):
            if 443 not in (ports := [one.get("port") for one in items(within(found, "spec", "ports"))]):
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
    named = [one for one in slices if wanted & {port.get("name") or "" for port in items(one.get("ports"))}]
    every = [one for slice_ in slices for one in items(slice_.get("endpoints"))]
    ready = [
        one
        for slice_ in named
        for one in items(slice_.get("endpoints"))
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
    return {str(one.get("name") or "") for one in items(found) if one.get("port") == 443} or {"", "https", "webhook"}


def _count(value: Any, default: int) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) else default


def _since(value: Any, now: datetime) -> timedelta:
    try:
        found = datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        found = None
    return now - found if found and found.tzinfo else timedelta.max


def _first(message: Any) -> str:
    line = next(iter(str(message or "").splitlines()), "")
    return line if len(line) <= 200 else f"{line[:200]}..."
