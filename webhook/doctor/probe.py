"""A dry run of a GPU pod: the one proof that the API server's calls reach a replica, without a trace.

A replica that sees it adds a warning that says who it is (`webhook/server/status.py`). The API server hands warnings on
even where a later admission plugin refuses the pod.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from webhook.doctor.evidence import Barred, Failed, Look, Passage, Probe, Reply, Seen
from webhook.doctor.session import Answer, Call, send
from webhook.kube import Object, names
from webhook.sources.kube_api import ApiFailure, KubeApi

PREFIX = "warmpod-probe "
"""Begins the warning; compact JSON follows."""

PASSAGE_SECONDS = 6.0
"""The API server itself waits half a minute for a connection; what takes so long is no webhook's answer."""


def pod() -> Object:
    """The pod of the dry run. Every PodSecurity level allows it, and nothing can ever pull its image."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"generateName": "warmpod-doctor-", "annotations": {names.ANNOTATION_PROBE: "doctor"}},
        "spec": {
            "automountServiceAccountToken": False,
            "restartPolicy": "Never",
            "securityContext": {"runAsNonRoot": True, "runAsUser": 65532, "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [
                {
                    "name": "probe",
                    "image": f"{names.DOMAIN}/probe:none",
                    "resources": {"limits": {"cpu": "10m", "memory": "16Mi", "nvidia.com/gpu": "1"}},
                    "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
                }
            ],
        },
    }


async def ask(api: KubeApi, namespace: str) -> Look[Probe]:
    """Send the pod, as a dry run."""
    path = f"/api/v1/namespaces/{namespace}/pods"
    call = Call(f"create a pod in {namespace} as a dry run", path, "POST", {"dryRun": "All"}, pod())
    try:
        answer = await send(api, call)
    except ApiFailure as failure:
        return Failed(str(failure))
    return judge(answer, namespace)


def judge(answer: Answer, namespace: str) -> Look[Probe]:
    """What the API server's answer tells."""
    found = reply(answer.warnings)
    if found is None and answer.status == 403 and "cannot create resource" in answer.message:
        return Barred(f"create pods in namespace {namespace}")
    if found is None and answer.status == 404:
        return Failed(f"there is no namespace {namespace}; name one with --probe-namespace")
    return Seen(Probe(answer.status, "" if answer.status < 300 else answer.message, found))


def reply(warnings: Sequence[str]) -> Reply | None:
    """What a replica said among the warnings of an answer; whatever else is in it, no exception."""
    for one in warnings:
        if one.startswith(PREFIX):
            try:
                said = json.loads(one.removeprefix(PREFIX))
            except (ValueError, RecursionError):
                continue
            if isinstance(said, dict):
                return Reply(
                    version=_text(said.get("v")),
                    mode=_text(said.get("m")) or "an unknown mode",
                    digest=_text(said.get("p")),
                    policies=_number(said.get("n"), int),
                    serial=_text(said.get("s")),
                    snapshot_age=_number(said.get("a"), float),
                )
    return None


async def pass_through(api: KubeApi, namespace: str, service: str, port: int, path: str) -> Look[Passage]:
    """Let the API server itself fetch `path` through the Service: it takes the way that its reviews take.

    A GET of `/mutate` is answered 405, and does nothing. The API server does not check the certificate here.
    """
    where = f"/api/v1/namespaces/{namespace}/services/https:{service}:{port}/proxy{path}"
    try:
        answer = await send(api, Call("reach the webhook through the API server", where, seconds=PASSAGE_SECONDS))
    except ApiFailure as failure:
        if failure.kind == "timeout":
            return Seen(Passage(0, f"nothing within {PASSAGE_SECONDS:g} s", reached=False))
        return Failed(str(failure))
    return judge_passage(answer, namespace)


def judge_passage(answer: Answer, namespace: str) -> Look[Passage]:
    """What the API server's answer tells of its way to the replicas."""
    if answer.status == 403 and "cannot get resource" in answer.message:
        return Barred(f"get services/proxy in namespace {namespace}")
    return Seen(Passage(answer.status, answer.message, _reached(answer)))


def _reached(answer: Answer) -> bool | None:
    if answer.status == 405 or (answer.status in (401, 403) and "(--" in answer.text):
        return (
            True  # the webhook's own words: a GET is none of its calls; or it wants to know who asks, and names a flag
        )
    if "error trying to reach service" not in answer.message:
        return None  # no endpoints, no Service: others say so
    # A TLS failure was told by somebody at the other end.
    return "tls:" in answer.message or "x509" in answer.message


def _text(value: Any) -> str | None:
    return value[:64] if isinstance(value, str) and value else None


def _number(value: Any, kind: type[Any]) -> Any:
    return kind(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
