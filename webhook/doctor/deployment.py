"""What runs: the Deployment and its pods."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any

from webhook.doctor.advice import APPLY, logs
from webhook.doctor.evidence import Absent, Evidence, Look, Seen, within
from webhook.doctor.finding import Finding, failure, note, ok, unseen, warning
from webhook.doctor.hooks import uses_service
from webhook.kube import Object, names
from webhook.kube.pod import mapping, objects
from webhook.kube.selector import InvalidSelector, LabelSelector

RECENT = timedelta(hours=1)
_SHOWN = 3


ACCOUNT = "warmpod"
"""The service account, where the Deployment names none."""


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
        str(one.get("image")) for one in objects(within(found, "spec", "template", "spec", "containers"))
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
        yield ok("pods", f"of {len(ours(evidence))} none waits for anything or restarted within the hour")


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
        for condition in objects(status.get("conditions")):
            if condition.get("type") == "PodScheduled" and condition.get("status") == "False":
                yield f"pod {name} has no node: {_first(condition.get('message'))}"
        for container in objects(status.get("containerStatuses")):
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


def account(deployment: Look[Object]) -> str:
    """The name of the service account that the Deployment runs as."""
    if isinstance(deployment, Seen):
        named = within(deployment.value, "spec", "template", "spec", "serviceAccountName")
        return str(named or ACCOUNT)
    return ACCOUNT


def settings(deployment: Look[Object], container: str) -> dict[str, str]:
    """What a container is told, flags as their environment twins (`--tls-secret=x` as WARMPOD_TLS_SECRET)."""
    found = within(deployment.value, "spec", "template", "spec", "containers") if isinstance(deployment, Seen) else None
    one = next((each for each in objects(found) if each.get("name") == container), {})
    told = {str(each.get("name")): str(each.get("value") or "") for each in objects(one.get("env"))}
    arguments = one.get("args")
    for argument in map(str, arguments if isinstance(arguments, list) else []):
        flag, _, value = argument.partition("=")
        if flag.startswith("--"):
            told[f"WARMPOD_{flag.removeprefix('--').replace('-', '_').upper()}"] = value or "true"
    return told


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
