"""Look at everything that an installation consists of, all at once. Nothing is changed, and nothing is judged."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TypeVar

from certs.contents import AUTHORITY, LEAF, NEXT, OLD
from certs.issue import UnusablePair, check_pair
from webhook.doctor import counters, probe
from webhook.doctor.deployment import account, settings
from webhook.doctor.evidence import (
    NODE_POLICY,
    NOT_ASKED,
    Absent,
    Barred,
    Certificates,
    Evidence,
    Failed,
    Look,
    Passage,
    Right,
    Seen,
    within,
)
from webhook.doctor.session import Call, send
from webhook.kube import Object, names
from webhook.kube.pod import mapping, objects
from webhook.sources import replicas
from webhook.sources.kube_api import ApiFailure, KubeApi
from webhook.sources.kube_api.failure import from_answer
from webhook.sources.kube_api.objects import (
    DEPLOYMENTS,
    ENDPOINT_SLICES,
    LEASES,
    NAMESPACES,
    PODS,
    SECRETS,
    SERVICES,
    WEBHOOK_CONFIGURATIONS,
    Kind,
    ObjectApi,
    decoded,
)

VALIDATING = Kind("admissionregistration.k8s.io", "v1", "validatingwebhookconfigurations", namespaced=False)
POLICIES = Kind("admissionregistration.k8s.io", "v1", "validatingadmissionpolicies", namespaced=False)
BINDINGS = Kind("admissionregistration.k8s.io", "v1", "validatingadmissionpolicybindings", namespaced=False)
ACCESS_REVIEWS = Kind("authorization.k8s.io", "v1", "subjectaccessreviews", namespaced=False)

_AT_ONCE = 8

Found = TypeVar("Found")


@dataclass(frozen=True, slots=True)
class Options:
    """What to look at. `rights` says which rights the controller's account needs, by the settings of its container."""

    namespace: str = names.SYSTEM_NAMESPACE
    probe_namespace: str = "default"
    rights: Callable[[Mapping[str, str]], Sequence[Right]] = lambda _settings: ()
    conditions: Mapping[str, str] = field(default_factory=dict)
    version: str = ""


async def gather(api: KubeApi, options: Options) -> Evidence:
    """Everything that can be found out. Raises ApiFailure when the API server does not answer, or not to us."""
    call = Call("ask the API server for its version", "/version")
    answer = await send(api, call)
    if answer.status in (401, 403) or not (version := str(answer.document.get("gitVersion") or "")):
        raise from_answer(call.what, answer.status, answer.text.encode())
    evidence = await _look_at_all(api, options, version)
    evidence = replace(evidence, rights=await _rights(api, options, evidence.deployment))
    before = await counters.read(api)
    evidence = replace(evidence, before=before, probe=await probe.ask(api, options.probe_namespace))
    if isinstance(evidence.probe, Seen) and evidence.probe.value.reply is not None:
        return evidence
    after = await counters.read(api) if isinstance(before, Seen) else before
    return replace(evidence, after=after, passage=await _passage(api, evidence))


async def _look_at_all(api: KubeApi, options: Options, version: str) -> Evidence:
    objects, namespace = ObjectApi(api.transport), options.namespace

    async def one(kind: Kind, name: str, within: str = namespace) -> Look[Object]:
        where = f" in namespace {within}" if kind.namespaced else ""
        right = f"get {kind.resource}{where}"
        return await _look(right, objects.read(kind, within if kind.namespaced else "", name))

    async def several(kind: Kind, within: str, labels: str = "") -> Look[list[Object]]:
        where = f" in namespace {within}" if within else ""
        return await _look(f"list {kind.resource}{where}", objects.list(kind, within, labels))

    (system, deployment, service, registration, lease, policy, binding, probed, secret) = await asyncio.gather(
        one(NAMESPACES, namespace),
        one(DEPLOYMENTS, names.DEPLOYMENT),
        one(SERVICES, names.WEBHOOK_SERVICE),
        one(WEBHOOK_CONFIGURATIONS, names.WEBHOOK_CONFIGURATION),
        one(LEASES, names.CONTROLLER_LEASE),
        one(POLICIES, NODE_POLICY),
        one(BINDINGS, NODE_POLICY),
        one(NAMESPACES, options.probe_namespace),
        one(SECRETS, names.TLS_SECRET),
    )
    (pods, slices, mutating, validating, labelled) = await asyncio.gather(
        several(PODS, namespace),
        several(ENDPOINT_SLICES, namespace, f"kubernetes.io/service-name={names.WEBHOOK_SERVICE}"),
        several(WEBHOOK_CONFIGURATIONS, ""),
        several(VALIDATING, ""),
        several(NAMESPACES, "", names.LABEL_NAMESPACE_MODE),
    )
    reported = await _look(f"list leases in namespace {namespace}", replicas.read(objects, namespace))
    skew = api.transport.clock_skew
    now = replicas.server_time(skew)
    return Evidence(
        server=api.server,
        version=version,
        now=now,
        skew=skew,
        our_version=options.version,
        namespace=namespace,
        probe_namespace=options.probe_namespace,
        conditions=options.conditions,
        system=system,
        deployment=deployment,
        pods=pods,
        service=service,
        slices=slices,
        registration=registration,
        mutating=mutating,
        validating=validating,
        certificates=_without_keys(secret, now),
        replicas=reported,
        lease=lease,
        policy=policy,
        binding=binding,
        namespaces=labelled,
        probed=probed,
    )


async def _look(right: str, call: Awaitable[Found]) -> Look[Found]:
    try:
        return Seen(await call)
    except ApiFailure as failure:
        if failure.kind == "missing":
            return Absent()
        return Barred(right) if failure.kind == "forbidden" else Failed(str(failure))


async def _rights(api: KubeApi, options: Options, deployment: Look[Object]) -> dict[Right, Look[bool]]:
    """Ask the API server's authorizers, whichever they are, what the controller's account may do."""
    rights, name = options.rights(settings(deployment, "controller")), account(deployment)
    objects, room = ObjectApi(api.transport), asyncio.Semaphore(_AT_ONCE)
    namespace = options.namespace
    who = {
        "user": f"system:serviceaccount:{namespace}:{name}",
        "groups": ["system:serviceaccounts", f"system:serviceaccounts:{namespace}", "system:authenticated"],
    }

    async def allowed(right: Right) -> Look[bool]:
        attributes = {
            "group": right.group,
            "resource": right.resource,
            "verb": right.verb,
            "namespace": right.namespace,
            "name": right.name,
        }
        body = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SubjectAccessReview",
            "spec": {**who, "resourceAttributes": attributes},
        }
        async with room:
            found = await _look("create subjectaccessreviews", objects.create(ACCESS_REVIEWS, "", body))
        return Seen(within(found.value, "status", "allowed") is True) if isinstance(found, Seen) else found

    answers = await asyncio.gather(*(allowed(right) for right in rights))
    return dict(zip(rights, answers, strict=True))


async def _passage(api: KubeApi, evidence: Evidence) -> Look[Passage]:
    """Where the registration names a Service: whether the API server can reach what is behind it."""
    if not isinstance(evidence.registration, Seen):
        return NOT_ASKED
    for hook in objects(evidence.registration.value.get("webhooks")):
        service = mapping(within(hook, "clientConfig", "service"))
        if service.get("name") and service.get("namespace"):
            port = service.get("port")
            return await probe.pass_through(
                api,
                str(service["namespace"]),
                str(service["name"]),
                port if isinstance(port, int) else 443,
                str(service.get("path") or "/mutate"),
            )
    return NOT_ASKED


def _without_keys(secret: Look[Object], now: datetime) -> Look[Certificates]:
    if not isinstance(secret, Seen):
        return secret
    data = mapping(secret.value.get("data"))
    leaf, authority = decoded(data.get(LEAF[0])), decoded(data.get(AUTHORITY[0]))
    asked = within(secret.value, "metadata", "annotations", names.ANNOTATION_ROTATE)
    known = Certificates(
        leaf=leaf,
        authority=authority,
        next_authority=NEXT[0] in data,
        old_authority=OLD in data,
        asked=asked if isinstance(asked, str) else "",
    )
    try:
        served = check_pair(leaf, decoded(data.get(LEAF[1])), now)
    except UnusablePair as error:
        return Seen(replace(known, problem=str(error)))
    return Seen(replace(known, names=served.names, serial=served.serial, not_after=served.not_after))
