"""Objects of any kind, read for people: one by the name they give it, or all workloads of a cluster, page by page."""

from __future__ import annotations

import asyncio
import difflib
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from webhook.kube import Object
from webhook.kube.pod import mapping, objects
from webhook.sources.kube_api.backoff import Backoff, Pace
from webhook.sources.kube_api.discovery import Served, UnknownObject, discover, meant, parted
from webhook.sources.kube_api.failure import ApiFailure
from webhook.sources.kube_api.objects import (
    DEPLOYMENTS,
    PODS,
    Kind,
    ObjectApi,
    ObjectRequest,
    document_of,
)

if TYPE_CHECKING:
    from webhook.sources.kube_api.connection import KubeApi

PAGE = 500
ATTEMPTS = 4
"""How often a page is asked for; the API server holds the place for some five minutes."""

REPLICA_SETS = Kind("apps", "v1", "replicasets")
STATEFUL_SETS = Kind("apps", "v1", "statefulsets")
DAEMON_SETS = Kind("apps", "v1", "daemonsets")
JOBS = Kind("batch", "v1", "jobs")
CRON_JOBS = Kind("batch", "v1", "cronjobs")
_NAMES = {
    DEPLOYMENTS: "Deployment",
    REPLICA_SETS: "ReplicaSet",
    STATEFUL_SETS: "StatefulSet",
    DAEMON_SETS: "DaemonSet",
    JOBS: "Job",
    CRON_JOBS: "CronJob",
    PODS: "Pod",
}
WORKLOADS = (DEPLOYMENTS, STATEFUL_SETS, DAEMON_SETS, CRON_JOBS, JOBS, REPLICA_SETS, PODS)
"""Those that own others come before these, so that each pod is told of once."""

_PASSING = {"throttled", "server", "timeout", "unreachable"}
_SHOWN = 4


async def find(api: KubeApi, text: str, namespace: str) -> Object:
    """The object that `KIND/NAME` names, KIND being whatever kubectl takes for it; its own `kind` is filled in.

    Raises UnknownObject when there is no such kind or object, or the kind is ambiguous; ApiFailure for all else.
    """
    word, name = parted(text)
    if namespace in (".", ".."):
        raise UnknownObject(f"{namespace!r} is no namespace")
    kind, named = PODS, "Pod"
    if word not in ("pod", "pods", "po"):  # the usual one needs no discovery
        served = meant(await discover(api), word)
        kind, named = served.kind, served.name
    found = await ObjectApi(api.transport).find(kind, namespace if kind.namespaced else "", name)
    if found is None:
        raise UnknownObject(*await _absent(api, kind, namespace, name))
    return _told(found, kind, named)


async def served_by(api: KubeApi, word: str) -> Served:
    """The kind that a word means here. Raises UnknownObject, ApiFailure."""
    return meant(await discover(api), word)


async def _absent(api: KubeApi, kind: Kind, namespace: str, name: str) -> tuple[str, str]:
    """What to say of an object that is not there, and where there is one."""
    where = f" in namespace {namespace}" if kind.namespaced else ""
    text = f"there is no {kind.resource.removesuffix('s')} {name!r}{where}"
    with suppress(ApiFailure):  # who may read one object may perhaps not list them
        if kind.namespaced:
            elsewhere = await _page(api, kind, "", {"fieldSelector": f"metadata.name={name}", "limit": str(PAGE)})
            places = sorted({str(mapping(one.get("metadata")).get("namespace")) for one in objects(elsewhere["items"])})
            if places:
                more = f" and {len(places) - _SHOWN} more" if len(places) > _SHOWN else ""
                return text, f"there is one in namespace {', '.join(places[:_SHOWN])}{more}: name it with -n"
        there = await _page(api, kind, namespace if kind.namespaced else "", {"limit": str(PAGE)})
        names = [str(mapping(one.get("metadata")).get("name")) for one in objects(there["items"])]
        near = difflib.get_close_matches(name, names, n=_SHOWN) or [one for one in names if name in one][:_SHOWN]
        if near:
            return text, f"did you mean {' or '.join(near)}?"
        return text, f"there {'is none' if not names else 'are others'}{where}"
    return text, ""


async def workloads(api: KubeApi, namespaces: Sequence[str] | None = None) -> AsyncIterator[Object]:
    """Everything of these namespaces (None: of all) that makes pods, each pod's maker once, with kind and apiVersion.

    Deployments, StatefulSets, DaemonSets, CronJobs, Jobs and ReplicaSets, and the pods that none of them owns (of
    operators such as Ray's, or of nobody). Jobs and pods that are over are left out. Objects that come or go meanwhile
    may be missed. Raises ApiFailure.
    """
    known: set[tuple[str, str]] = set()
    for kind in WORKLOADS:
        for namespace in namespaces if namespaces is not None else ("",):
            async for one in listed(api, kind, namespace):
                is_made = _maker(one) in known
                known.add((_NAMES[kind], _uid(one)))  # what it owns in turn is told of by its own maker
                if not is_made and not _is_over(one):
                    yield one


async def listed(
    api: KubeApi, kind: Kind, namespace: str = "", *, accept: str = "application/json", **query: str
) -> AsyncIterator[Object]:
    """The objects of a namespace ("" for all), page by page, with kind and apiVersion. Raises ApiFailure.

    `accept` may ask for their metadata only. When the API server forgets its place before the last page, the list
    begins anew, in one piece; what was handed out is not handed out again.
    """
    seen: set[str] = set()
    token = ""
    size = PAGE
    while True:
        page = {"limit": str(size), **({"continue": token} if token else {})} if size else {}
        try:
            answer = await _page(api, kind, namespace, {**query, **page}, accept)
        except ApiFailure as failure:
            if failure.kind != "expired" or not token:
                raise
            size, token = 0, ""
            continue
        for one in objects(answer.get("items")):
            if _uid(one) not in seen:
                seen.add(_uid(one))
                yield _told(one, kind, _NAMES.get(kind, ""))
        following = mapping(answer.get("metadata")).get("continue")
        if not following:
            return
        token = str(following)


async def _page(
    api: KubeApi, kind: Kind, namespace: str, query: dict[str, str], accept: str = "application/json"
) -> Object:
    request = ObjectRequest("list", kind, namespace, query=query, accept=accept)
    backoff = Backoff(Pace())
    for attempt in range(1, ATTEMPTS + 1):
        try:
            return document_of(request, await api.transport.call(request))
        except ApiFailure as failure:
            if failure.kind not in _PASSING or attempt == ATTEMPTS:
                raise
            await asyncio.sleep(backoff.next(failure.retry_after))
    raise AssertionError("the last attempt returns or raises")


def _told(found: Object, kind: Kind, name: str) -> Object:
    """The object with its kind, which members of lists do not say."""
    version = f"{kind.group}/{kind.version}" if kind.group else kind.version
    return {"apiVersion": version, "kind": name, **found}


def _maker(one: Object) -> tuple[str, str]:
    """Kind and uid of the owner that controls it; empty texts where nobody does."""
    return next(
        ((str(owner.get("kind")), str(owner.get("uid"))) for owner in _owners(one) if owner.get("controller") is True),
        ("", ""),
    )


def _owners(one: Object) -> Iterable[Object]:
    return objects(mapping(one.get("metadata")).get("ownerReferences"))


def _uid(one: Object) -> str:
    return str(mapping(one.get("metadata")).get("uid") or "")


def _is_over(one: Object) -> bool:
    status: Any = mapping(one.get("status"))
    if one["kind"] == "Pod":
        return status.get("phase") in ("Succeeded", "Failed")
    if one["kind"] != "Job":
        return False
    ended = {"Complete", "Failed"}
    return any(each.get("type") in ended and each.get("status") == "True" for each in objects(status.get("conditions")))
