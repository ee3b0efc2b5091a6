"""The demo without a cluster: the real webhook process, asked over TLS as an API server would ask it."""

from __future__ import annotations

import base64
import http.client
import json
import ssl
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import jsonpatch

from certs.issue import Pair, issue_authority
from webhook.admission import admit
from webhook.cli import demo_scene as scene
from webhook.cli.errors import CouldNotRun
from webhook.cli.world import in_namespace, installation, read_inventory, read_policies
from webhook.inventory import nodeset, snapshot
from webhook.inventory.model import Artifact, Inventory, NodeRoom
from webhook.kube import Object, image, names
from webhook.kube.review import for_pod
from webhook.sandbox import Progress, deployment, install, ports
from webhook.sandbox.webhook import HYDRATOR_IMAGE, POD_SECURITY_LEVEL, Settings, Webhook

#: How often the changed policy is looked for, and how long at most.
_POLL_SECONDS: Final = 0.1
_RELOAD_SECONDS: Final = 15.0


def play(progress: Progress) -> scene.Outcome:
    """Start the webhook, ask it in Audit and in Enforce, and end it. Raises CouldNotRun and SandboxFailed."""
    with tempfile.TemporaryDirectory(prefix="warmpod-demo-") as name:
        directory = Path(name)
        policies = directory / "policies"
        for each in (policies, directory / "credentials", directory / "logs"):
            each.mkdir(mode=0o700)
        stock = directory / "snapshot.json"
        stock.write_bytes(snapshot.encode(_inventory(time.time())))
        scene.write_policy(policies, "Audit")
        authority = issue_authority(datetime.now(UTC))
        progress("starting the webhook")
        webhook = Webhook(
            deployment.container(install.deployment(), deployment.WEBHOOK, deployment.Pod("demo", "demo")),
            Settings(policies),
            name="webhook",
            logs=directory / "logs",
            pair=directory / "tls",
            snapshot=stock,
        )
        webhook.issue(authority)
        webhook.start()
        try:
            webhook.wait_until_ready()
            progress("asking it in Audit, then in Enforce")
            return _scenes(webhook, authority, policies, stock)
        finally:
            webhook.stop()


def _scenes(webhook: Webhook, authority: Pair, policies: Path, stock: Path) -> scene.Outcome:
    sent = scene.pod()
    audited = _ask(webhook, authority, sent)
    would_patch = withheld(policies, stock, sent)
    scene.write_policy(policies, "Enforce")
    deadline = time.monotonic() + _RELOAD_SECONDS
    while not (operations := _operations(answer := _ask(webhook, authority, sent))):
        if time.monotonic() > deadline:
            raise CouldNotRun(f"the webhook did not take up the changed policy in {_RELOAD_SECONDS:.0f} s: {answer}")
        time.sleep(_POLL_SECONDS)
    # The first review of a fresh process pays for warm caches; what follows is what a cluster sees.
    operations = _operations(_ask(webhook, authority, sent))
    decision = scene.last_decision(webhook.process.log, "patched")
    return scene.Outcome(
        api_server=False,
        pod_unchanged=not _operations(audited),
        would_patch=would_patch,
        node=None,
        patch=operations,
        seconds_saved=decision["secondsSaved"],
        webhook_milliseconds=decision["durationMilliseconds"],
        before=sent,
        after=jsonpatch.apply_patch(sent, operations),  # not by our own code: an API server would not use it either
    )


def withheld(policies: Path, stock: Path, sent: Object) -> list[Object]:
    """What the policies in Audit withhold from this pod, by the function that the webhook asks."""
    told = installation(read_policies(str(policies)), HYDRATOR_IMAGE, POD_SECURITY_LEVEL, read_inventory(str(stock)))
    facts = in_namespace(told, scene.NAMESPACE, told.inventory.namespaces.get(scene.NAMESPACE, {}))
    return admit(for_pod(sent, namespace=scene.NAMESPACE), facts).would_patch


def _inventory(now: float) -> Inventory:
    canonical = image.canonical(scene.IMAGE)
    assert canonical is not None
    warm = nodeset.mask(scene.NODES.index(name) for name in scene.WARM_NODES)
    return Inventory(
        id="demo",
        time=now,
        nodes=tuple(NodeRoom(name, {"nvidia.com/gpu": (8, 8)}) for name in scene.NODES),
        artifacts=(
            Artifact("image", canonical, "", scene.IMAGE_BYTES, names.image_label(canonical), warm),
            Artifact(
                "model",
                scene.MODEL,
                scene.NAMESPACE,
                scene.MODEL_BYTES,
                names.model_label(scene.MODEL, scene.NAMESPACE),
                warm,
            ),
        ),
        namespaces={scene.NAMESPACE: {names.LABEL_NAMESPACE_NAME: scene.NAMESPACE}},
        claims={},
    )


def _ask(webhook: Webhook, authority: Pair, pod: Object) -> dict[str, Any]:
    """POST one AdmissionReview; the `response` of the answer."""
    request = for_pod(pod, namespace=scene.NAMESPACE).raw
    body = json.dumps({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request})
    context = ssl.create_default_context(cadata=authority.certificate_pem.decode())
    connection = http.client.HTTPSConnection(ports.LOOPBACK, webhook.port, timeout=10, context=context)
    try:
        connection.request("POST", "/mutate?timeout=2s", body, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        text = answer.read()
    except (OSError, http.client.HTTPException) as error:
        raise CouldNotRun(f"the webhook at {webhook.url} does not answer: {error}") from error
    finally:
        connection.close()
    if answer.status != http.HTTPStatus.OK:
        raise CouldNotRun(f"the webhook answered HTTP {answer.status}: {text.decode(errors='replace')[:200]}")
    response: dict[str, Any] = json.loads(text)["response"]
    return response


def _operations(response: dict[str, Any]) -> list[Object]:
    operations: list[Object] = json.loads(base64.b64decode(response.get("patch", "W10=")))
    return operations
