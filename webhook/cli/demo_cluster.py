"""The demo on a real control plane: real kubectl, API server and scheduler; the nodes are pretend."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final

from webhook.cli import demo_scene as scene
from webhook.cli.demo_local import withheld
from webhook.cli.errors import CouldNotRun
from webhook.kube import Object
from webhook.sandbox import Progress
from webhook.sandbox.sandbox import Sandbox

_POLL_SECONDS: Final = 0.1
_WAIT_SECONDS: Final = 30.0
#: Annotations by which the API server's audit log says what a mutating webhook did (k8s.io/apiserver, dispatcher.go).
_PATCHED: Final = "patch.webhook.admission.k8s.io/"
#: Labels that the API server copies from the node when the scheduler binds a pod to it.
_OF_THE_NODE: Final = "topology.kubernetes.io/"


def play(progress: Progress, assets: Path | None) -> scene.Outcome:
    """Bring a control plane up, apply the Deployment in Audit and in Enforce, and end everything.

    Raises MissingBinaries before anything starts, then SandboxFailed and CouldNotRun.
    """
    with tempfile.TemporaryDirectory(prefix="warmpod-demo-") as name:
        policies = Path(name) / "policies"
        policies.mkdir()
        scene.write_policy(policies, "Audit")
        events = Path(name) / "audit.log"
        box = Sandbox(policies=policies, nodes=scene.nodes(), assets=assets, audit_log=events, progress=progress)
        with box:
            progress("making a namespace; its models are on two nodes, as pods reported that hydrated them")
            box.make_namespace(scene.NAMESPACE)
            progress("kubectl apply, the policy in Audit")
            before, event = _apply(box, events)
            would_patch = withheld(policies, box.snapshot, _as_sent(before))
            _kubectl(box, "delete", "-f", scene.DEPLOYMENT, "--namespace", scene.NAMESPACE, "--wait=false")
            _until(lambda: not _pods(box), "the first pod to go")
            scene.write_policy(policies, "Enforce")
            _until(lambda: _is_warm(box), "the webhook to take up the changed policy")
            progress("kubectl apply, the policy in Enforce")
            after, enforced = _apply(box, events)
            decision = scene.last_decision(box.webhook.process.log, "patched")
            return scene.Outcome(
                api_server=True,
                pod_unchanged=not _operations(event),
                would_patch=would_patch,
                node=after["spec"]["nodeName"],
                patch=_operations(enforced),
                seconds_saved=decision["secondsSaved"],
                webhook_milliseconds=decision["durationMilliseconds"],
                before=_stored(before),
                after=_stored(after),
            )


def _apply(box: Sandbox, events: Path) -> tuple[Object, dict[str, Any]]:
    """Apply the Deployment; its pod once it has a node, and the audit event of the pod's creation."""
    seen = len(_creations(events))
    _kubectl(box, "apply", "-f", scene.DEPLOYMENT, "--namespace", scene.NAMESPACE)
    _until(lambda: any(pod["spec"].get("nodeName") for pod in _pods(box)), "the scheduler to place the pod")
    _until(lambda: len(_creations(events)) > seen, "the audit event of the pod's creation")
    return next(pod for pod in _pods(box) if pod["spec"].get("nodeName")), _creations(events)[-1]


def _as_sent(stored: Object) -> Object:
    """What the webhook was sent for a stored pod that it left alone: all built-in admission comes before it."""
    return {**stored, "spec": {key: value for key, value in stored["spec"].items() if key != "nodeName"}}


def _kubectl(box: Sandbox, *arguments: str | Path) -> None:
    done = box.kubectl(*arguments, check=False)
    if done.returncode:
        raise CouldNotRun(f"kubectl {arguments[0]}: {done.stderr.strip()}")


def _pods(box: Sandbox) -> list[Object]:
    path = f"/api/v1/namespaces/{scene.NAMESPACE}/pods"
    items = box.api.call("GET", path, labelSelector=f"app={scene.APP}").get("items") or []
    return [pod for pod in items if isinstance(pod, dict)]


def _is_warm(box: Sandbox) -> bool:
    """Whether a pod like ours would be changed now: asked of the API server as a dry run."""
    body = {"apiVersion": "v1", "kind": "Pod", **scene.pod()}
    answer = box.api.call("POST", f"/api/v1/namespaces/{scene.NAMESPACE}/pods", body, dryRun="All")
    return bool(answer["spec"].get("initContainers"))


def _creations(events: Path) -> list[dict[str, Any]]:
    """The audit events of pods of our namespace that were really created, oldest first."""
    found: list[dict[str, Any]] = []
    for line in events.read_text(encoding="utf-8").splitlines() if events.exists() else ():
        try:
            event = json.loads(line)
        except ValueError:  # the line that is being written
            continue
        reference = event.get("objectRef", {})
        ours = reference.get("resource") == "pods" and reference.get("namespace") == scene.NAMESPACE
        stored = (
            event.get("responseStatus", {}).get("code") == HTTPStatus.CREATED and "dryRun" not in event["requestURI"]
        )
        if ours and stored and "subresource" not in reference:
            found.append(event)
    return found


def _operations(event: dict[str, Any]) -> list[Object]:
    """The operations that webhooks gave for this creation, over all rounds, as the API server applied them."""
    operations: list[Object] = []
    for key, value in sorted(event.get("annotations", {}).items()):
        if key.startswith(_PATCHED):
            operations += json.loads(value)["patch"]
    return operations


def _stored(pod: Object) -> Object:
    """The stored pod without what differs between any two pods of one template."""
    labels = {key: value for key, value in pod["metadata"]["labels"].items() if not key.startswith(_OF_THE_NODE)}
    metadata = {"labels": labels, "annotations": pod["metadata"]["annotations"], "namespace": scene.NAMESPACE}
    spec = {key: value for key, value in pod["spec"].items() if key != "nodeName"}
    tokens = [volume["name"] for volume in spec.get("volumes", ()) if volume["name"].startswith("kube-api-access-")]
    text = json.dumps({"metadata": metadata, "spec": spec})
    for token in tokens:
        text = text.replace(token, "kube-api-access")
    stored: Object = json.loads(text)
    return stored


def _until(holds: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + _WAIT_SECONDS
    while not holds():
        if time.monotonic() > deadline:
            raise CouldNotRun(f"waited {_WAIT_SECONDS:.0f} s for {what} in vain")
        time.sleep(_POLL_SECONDS)
