"""What there is to know of a pod, gathered: from the cluster that it is in, or from a manifest and files."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from webhook.admission import admit
from webhook.admission.decision import Facts
from webhook.cli import live, reach
from webhook.cli.errors import CouldNotRun
from webhook.cli.world import in_namespace
from webhook.doctor.evidence import NOT_ASKED, Absent, Barred, Failed, Look, Seen
from webhook.kube import Object, names
from webhook.kube import pod as pods
from webhook.kube.recreated import recreated, was_changed
from webhook.kube.review import for_pod
from webhook.kube.workload import pods_of
from webhook.policy.model import Mode
from webhook.report.condition import cause
from webhook.report.course import course
from webhook.report.pod_evidence import Considered, Evidence, signature_of
from webhook.report.whereabouts import whereabouts
from webhook.server.secret_text import SecretText, is_secret_name

if TYPE_CHECKING:
    from webhook.sources.kube_api import KubeApi

HIDDEN = "(not shown)"


@dataclass(frozen=True, slots=True)
class Found:
    """A pod and what its cluster says around it. `template` is the pod in its owner, None where there is not just one.

    `labels` are its namespace's, None when nobody knows them. `ready` is what each replica of the webhook says of
    itself, `snapshot` the inventory that they decide by.
    """

    pod: Object
    namespace: str
    labels: Mapping[str, str] | None = None
    is_live: bool = False
    installed: live.Installed = field(default_factory=live.Installed)
    registration: Look[Object] = NOT_ASKED
    deployment: Look[Object] = NOT_ASKED
    events: tuple[Object, ...] = ()
    template: Object | None = None
    ready: tuple[bool, ...] = ()
    snapshot: str = ""


async def look(api: KubeApi, text: str, namespace: str) -> Found:
    """Everything about one pod (`NAME`, `pod/NAME`). Raises UnknownObject, ApiFailure; CouldNotRun for another kind."""
    from webhook.sources.kube_api.objects import DEPLOYMENTS, WEBHOOK_CONFIGURATIONS, ObjectApi
    from webhook.sources.kube_api.resources import find

    found = await find(api, text if "/" in text else f"pod/{text}", namespace)
    if found.get("kind") != "Pod":
        raise await _not_a_pod(api, found, text, namespace)
    objects = ObjectApi(api.transport)
    around = asyncio.gather(live.labels_of(api, namespace), live.installed(api), _replicas(api))
    about = asyncio.gather(
        _look(objects, WEBHOOK_CONFIGURATIONS, "", names.WEBHOOK_CONFIGURATION),
        _look(objects, DEPLOYMENTS, names.SYSTEM_NAMESPACE, names.DEPLOYMENT),
        _events(api, found, namespace),
        _template(api, found, namespace),
    )
    (labels, installed, (ready, snapshot)), (registration, deployment, events, template) = await asyncio.gather(
        around, about
    )
    return Found(
        pod=found,
        namespace=namespace,
        labels=labels,
        is_live=True,
        installed=installed,
        registration=registration,
        deployment=deployment,
        events=events,
        template=template,
        ready=ready,
        snapshot=snapshot,
    )


def evidence(found: Found, facts: Facts) -> Evidence:
    """The evidence for `webhook.report.explanation.explain`, decided by these facts as the registration routes it."""
    pod = found.pod
    template = found.template or _applied(pod)
    # What preview prints bears our annotation as a stored pod does, and has no status.
    was_stored = found.is_live or "status" in pod or was_changed(pod)
    sent = _as_sent(pod, template) if was_stored else pod
    history = course(pod, found.events)
    request = for_pod(sent, namespace=found.namespace)
    mine = in_namespace(facts, found.namespace, found.labels)
    labels = mine.namespace_labels
    if reach.mode_of(request, labels, found.registration) == "Audit":
        mine = replace(mine, mode_cap=Mode.AUDIT)
    decision = admit(request, mine)
    signature = signature_of(pod)
    signed = frozenset(signature.policies if signature else ())
    policies = {policy.name: policy for policy in mine.policies.policies}
    clean = _Clean()
    would = decision.would_pod if decision.would_patch else decision.pod
    stored = pod if signature or would is None else would
    return Evidence(
        sent=sent,
        stored=_placed(pod, found.namespace),
        decision=decision,
        considered=tuple(
            Considered(
                one.name,
                one.mode,
                one.result,
                clean("", one.reason),  # errors of CEL quote the pod
                cause(policies[one.name], one, request, mine, clean),
                one.name in signed,
            )
            for one in decision.policies
        ),
        is_live=found.is_live or bool(history.phase),
        unreached=reach.unreached(request, labels, found.registration, history.created),
        doubts=tuple(reach.doubts(found.registration, found.deployment, found.ready, history.created)),
        inventory=found.snapshot,
        policies_changed=found.installed.changed,
        template=template,
        whereabouts=whereabouts(sent, stored, found.namespace, mine),
        course=history,
    )


class _Clean:
    """What may be shown of a text: nothing of what has a secret's name, and no part that looks like one."""

    def __init__(self) -> None:
        self._text = SecretText(b"shown to nobody", set())

    def __call__(self, name: str, text: str) -> str:
        if is_secret_name(name):
            return HIDDEN
        self._text.found.clear()
        cleaned = self._text.clean(text)
        for token in self._text.found.values():
            cleaned = cleaned.replace(token, HIDDEN)
        return cleaned


def _placed(pod: Object, namespace: str) -> Object:
    """The pod with its namespace, which a manifest may leave to the command line."""
    metadata = pod.get("metadata")
    if not isinstance(metadata, dict) or metadata.get("namespace"):
        return pod
    return {**pod, "metadata": {**metadata, "namespace": namespace}}


def _as_sent(pod: Object, template: Object | None) -> Object:
    """The pod as its owner sent it: what its template says, where that is its own; else what is left of the pod."""
    sent = recreated(pod)
    if template is None or not _fits(pod, template):
        return sent
    return {**sent, "spec": pods.spec(template)}


def _applied(pod: Object) -> Object | None:
    """The pod as somebody applied it, which kubectl keeps in an annotation."""
    text = pods.annotation(pod, names.ANNOTATION_LAST_APPLIED)
    if text is None:
        return None
    try:
        applied = json.loads(text)
    except (ValueError, RecursionError):
        return None
    found = list(pods_of(applied))
    return found[0].pod if len(found) == 1 and found[0].kind == "Pod" else None


def _fits(pod: Object, template: Object) -> bool:
    """Whether the template, which may have changed since, is still the pod's."""
    mine = [(one.get("name"), one.get("image")) for one in pods.app_containers(pod)]
    return all((one.get("name"), one.get("image")) in mine for one in pods.app_containers(template))


async def _look(objects: Any, kind: Any, namespace: str, name: str) -> Look[Object]:
    from webhook.sources.kube_api import ApiFailure

    try:
        return Seen(await objects.read(kind, namespace, name))
    except ApiFailure as failure:
        if failure.kind == "missing":
            return Absent()
        if failure.kind == "forbidden":
            return Barred(f"get {kind.resource}")
        return Failed(str(failure))


async def _events(api: KubeApi, pod: Object, namespace: str) -> tuple[Object, ...]:
    """Those about the pod; none where the caller may not read them."""
    from webhook.sources.kube_api import ApiFailure
    from webhook.sources.kube_api.objects import EVENTS
    from webhook.sources.kube_api.resources import listed

    selector = f"involvedObject.uid={pods.metadata(pod).get('uid')}"
    try:
        return tuple([one async for one in listed(api, EVENTS, namespace, fieldSelector=selector)])
    except ApiFailure:
        return ()


async def _template(api: KubeApi, pod: Object, namespace: str) -> Object | None:
    """The pod as its owner has it; None without an owner, or where the owner makes several kinds of pods."""
    from webhook.sources.kube_api import ApiFailure
    from webhook.sources.kube_api.discovery import UnknownObject
    from webhook.sources.kube_api.resources import find

    owners = pods.objects(pods.metadata(pod).get("ownerReferences"))
    owner = next((one for one in owners if one.get("controller") is True), None)
    if owner is None:
        return None
    group, _, _ = str(owner.get("apiVersion")).rpartition("/")
    kind = f"{owner.get('kind')}.{group}" if group else str(owner.get("kind"))
    try:
        found = list(pods_of(await find(api, f"{kind}/{owner.get('name')}", namespace)))
    except (ApiFailure, UnknownObject):
        return None
    return found[0].pod if len(found) == 1 else None


async def _replicas(api: KubeApi) -> tuple[tuple[bool, ...], str]:
    """What the live replicas say: whether each is ready, and the inventory that a ready one decides by."""
    from webhook.sources import replicas
    from webhook.sources.kube_api import ApiFailure
    from webhook.sources.kube_api.objects import ObjectApi

    try:
        every = await replicas.read(ObjectApi(api.transport), names.SYSTEM_NAMESPACE)
    except ApiFailure:
        return (), ""
    now = replicas.server_time(api.transport.clock_skew)
    told = [pods.mapping(one.webhook) for one in every if one.is_live(now) and one.webhook is not None]
    ids = [pods.mapping(one.get("snapshot")).get("id") for one in told if one.get("ready") is True]
    return tuple(one.get("ready") is True for one in told), next((one for one in ids if isinstance(one, str)), "")


async def _not_a_pod(api: KubeApi, found: Object, text: str, namespace: str) -> CouldNotRun:
    """That it is no pod, with the names of those it has."""
    from webhook.sources.kube_api import ApiFailure
    from webhook.sources.kube_api.objects import PODS
    from webhook.sources.kube_api.resources import listed

    labels = pods.mapping(pods.mapping(pods.spec(found).get("selector")).get("matchLabels"))
    hint = "`warmpod preview` shows what becomes of workloads"
    if labels:
        selector = ",".join(f"{key}={value}" for key, value in labels.items())
        try:
            mine = [one async for one in listed(api, PODS, namespace, labelSelector=selector)]
        except ApiFailure:
            mine = []
        told = [f"pod/{pods.metadata(one).get('name')}" for one in mine[:4]]
        if told:
            hint = f"explain one of its pods: {', '.join(told)}"
    return CouldNotRun(f"{text} is a {found.get('kind')}, and not a pod", hint=hint)
