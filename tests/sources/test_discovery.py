"""What people call kinds, and finding and listing objects: against scripted servers; real ones are in tests/cluster."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.scripted_http import Answer, HttpRequest, HttpServer, reply
from webhook.sources.kube_api import ApiFailure, KubeApi, resources
from webhook.sources.kube_api.discovery import Served, UnknownObject, discover, meant, parted
from webhook.sources.kube_api.objects import Kind


def served(group: str, plural: str, *words: str, version: str = "v1") -> Served:
    return Served(Kind(group, version, plural), plural, frozenset({plural, *words}))


KINDS = [
    served("", "pods", "pod", "po"),
    served("", "events", "event", "ev"),
    served("apps", "deployments", "deployment", "deploy"),
    served("metrics.k8s.io", "pods", "podmetrics"),
    served("events.k8s.io", "events", "event", "ev"),
    served("leaderworkerset.x-k8s.io", "leaderworkersets", "leaderworkerset", "lws"),
    served("serving.knative.dev", "services", "service", "ksvc"),
    served("other.dev", "services", "service"),
    served("kubeflow.org", "jobs", "job", version="v2"),
]


@pytest.mark.parametrize(
    ("word", "full"),
    [
        ("deploy", "deployments.apps"),
        ("Deployment", "deployments.apps"),
        ("deployments.apps", "deployments.apps"),
        ("deployments.v1.apps", "deployments.apps"),
        ("pods", "pods"),
        ("pods.v1", "pods"),
        ("ev", "events"),
        ("events.events.k8s.io", "events.events.k8s.io"),
        ("podmetrics", "pods.metrics.k8s.io"),
        ("lws", "leaderworkersets.leaderworkerset.x-k8s.io"),
        ("leaderworkersets.leaderworkerset.x-k8s.io", "leaderworkersets.leaderworkerset.x-k8s.io"),
        ("services.other.dev", "services.other.dev"),
        ("job", "jobs.kubeflow.org"),
    ],
)
def test_a_word_means_what_it_means_to_kubectl(word: str, full: str) -> None:
    assert meant(KINDS, word).full == full


@pytest.mark.parametrize(
    ("word", "hint"),
    [
        ("deplyment", "did you mean deployments.apps?"),
        ("service", "write one of services.serving.knative.dev, services.other.dev"),
        ("pods.apps", "did you mean pods, pods.metrics.k8s.io?"),
        ("xyzzy", "`kubectl api-resources` lists them"),
        ("deployments.v2.apps", "did you mean deployments.apps?"),
    ],
)
def test_a_word_that_means_nothing_or_too_much(word: str, hint: str) -> None:
    with pytest.raises(UnknownObject) as caught:
        meant(KINDS, word)
    assert caught.value.hint == hint


@pytest.mark.parametrize("text", ["llama", "/x", "deploy/", "a/b/c", "", "pod/..", "pod/."])
def test_what_is_not_kind_and_name(text: str) -> None:
    with pytest.raises(UnknownObject, match="is not KIND/NAME"):
        parted(text)
    assert parted("deploy/llama") == ("deploy", "llama")


class Server(HttpServer):
    """Collections by path, in pages of two, whatever is asked for; a page may be forgotten, or the server be busy."""

    def __init__(self, collections: dict[str, list[dict[str, Any]]]) -> None:
        super().__init__()
        self.collections = collections
        self.forget = 0
        self.busy = 0
        self.seen: list[HttpRequest] = []

    async def handle(self, request: HttpRequest, writer: asyncio.StreamWriter) -> bool:
        self.seen.append(request)
        await reply(writer, self._answer(request))
        return True

    def _answer(self, request: HttpRequest) -> Answer:
        if self.busy:
            self.busy -= 1
            return Answer(429, b'{"kind":"Status"}', {"Retry-After": "0"})
        collection, _, name = request.path.rpartition("/")
        if request.path in ("/api", "/apis"):
            return Answer(200, json.dumps(DISCOVERY[request.path]).encode())
        if request.path not in self.collections:
            found = [one for one in self.collections.get(collection, []) if one["metadata"]["name"] == name]
            return Answer(200, json.dumps(found[0]).encode()) if found else Answer(404)
        every = self.collections[request.path]
        selector = request.query.get("fieldSelector", "")
        if selector.startswith("metadata.name="):
            every = [one for one in every if one["metadata"]["name"] == selector.partition("=")[2]]
        start = int(request.query.get("continue", "0"))
        if start and self.forget:
            self.forget -= 1
            return Answer(410, b'{"kind":"Status","reason":"Expired"}')
        size = 2 if "limit" in request.query else len(every)
        metadata = {"continue": str(start + size)} if start + size < len(every) else {}
        return Answer(200, json.dumps({"metadata": metadata, "items": every[start : start + size] or None}).encode())


def resource(plural: str, kind: str, *short: str, group: str = "", scope: str = "Namespaced") -> dict[str, Any]:
    return {
        "resource": plural,
        "responseKind": {"group": group, "version": "v1", "kind": kind},
        "scope": scope,
        "singularResource": kind.lower(),
        "shortNames": list(short),
        "verbs": ["get", "list"],
    }


def answer(**groups: list[Any]) -> dict[str, Any]:
    return {
        "kind": "APIGroupDiscoveryList",
        "items": [
            {
                "metadata": {"name": name} if name != "core" else {},
                "versions": [{"version": "v2", "resources": resources}, {"version": "v1", "resources": resources}],
            }
            for name, resources in groups.items()
        ],
    }


DISCOVERY = {
    "/api": answer(core=[resource("pods", "Pod", "po"), resource("nodes", "Node", "no", scope="Cluster")]),
    "/apis": answer(apps=[resource("deployments", "Deployment", "deploy")], broken=[{}, {"resource": 1}]),
}


def made(kind: str, name: str, owner: tuple[str, str] | None = None, **status: Any) -> dict[str, Any]:
    metadata: dict[str, Any] = {"name": name, "namespace": "a", "uid": f"{kind}-{name}"}
    if owner:
        metadata["ownerReferences"] = [{"kind": owner[0], "uid": f"{owner[0]}-{owner[1]}", "controller": True}]
    return {"metadata": metadata, "status": status}


def run(server: Server, directory: Path, work: Any) -> Any:
    async def both() -> Any:
        await server.start()
        try:
            async with KubeApi.connect(server.write_kubeconfig(directory, {"token": "t"})) as api:
                return await work(api)
        finally:
            await server.stop()

    return asyncio.run(both())


PODS_OF_A = {
    "/api/v1/namespaces/a/pods": [made("Pod", name) for name in ("llama-0", "llama-1")],
    "/api/v1/pods": [made("Pod", name) for name in ("llama-0", "llama-1")],
    "/apis/apps/v2/namespaces/a/deployments": [made("Deployment", "llama")],
}


def test_find_fills_in_what_the_object_is(tmp_path: Path) -> None:
    found = run(Server(PODS_OF_A), tmp_path, lambda api: resources.find(api, "deploy/llama", "a"))
    assert (found["apiVersion"], found["kind"], found["metadata"]["name"]) == ("apps/v2", "Deployment", "llama")


@pytest.mark.parametrize(
    ("text", "namespace", "message", "hint"),
    [
        ("pod/lama-0", "a", "there is no pod 'lama-0' in namespace a", "did you mean llama-0 or llama-1?"),
        (
            "pod/llama-0",
            "b",
            "there is no pod 'llama-0' in namespace b",
            "there is one in namespace a: name it with -n",
        ),
        ("deploy/gemma", "a", "there is no deployment 'gemma' in namespace a", ""),
        ("dploy/gemma", "a", "the API server serves no kind 'dploy'", "did you mean deployments.apps?"),
    ],
    ids=["near", "elsewhere", "may-not-list", "kind"],
)
def test_what_is_not_there(text: str, namespace: str, message: str, hint: str, tmp_path: Path) -> None:
    with pytest.raises(UnknownObject) as caught:
        run(Server(PODS_OF_A), tmp_path, lambda api: resources.find(api, text, namespace))
    assert (str(caught.value), caught.value.hint) == (message, hint)


def test_a_name_cannot_lead_elsewhere(tmp_path: Path) -> None:
    server = Server({})
    with pytest.raises(UnknownObject):
        run(server, tmp_path, lambda api: resources.find(api, "pod/..%2f?x=1", "a/../b"))
    assert server.seen[0].path == "/api/v1/namespaces/a%2F..%2Fb/pods/..%252f%3Fx=1"


EMPTY: dict[str, list[dict[str, Any]]] = {
    f"/apis/{group}/v1/{plural}": []
    for group, plural in [
        ("apps", "deployments"),
        ("apps", "statefulsets"),
        ("apps", "daemonsets"),
        ("apps", "replicasets"),
        ("batch", "jobs"),
        ("batch", "cronjobs"),
    ]
}
COMPLETE: dict[str, Any] = {"conditions": [{"type": "Complete", "status": "True"}]}
CLUSTER = EMPTY | {
    "/apis/apps/v1/deployments": [made("Deployment", name) for name in "vwxyz"],
    "/apis/apps/v1/replicasets": [made("ReplicaSet", "v-1", ("Deployment", "v")), made("ReplicaSet", "alone")],
    "/apis/apps/v1/statefulsets": [made("StatefulSet", "s", ("LeaderWorkerSet", "l"))],
    "/apis/batch/v1/cronjobs": [made("CronJob", "c")],
    "/apis/batch/v1/jobs": [made("Job", "c-1", ("CronJob", "c")), made("Job", "j"), made("Job", "old", **COMPLETE)],
    "/api/v1/pods": [
        made("Pod", "v-1-a", ("ReplicaSet", "v-1")),
        made("Pod", "alone-a", ("ReplicaSet", "alone")),
        made("Pod", "s-0", ("StatefulSet", "s")),
        made("Pod", "c-1-a", ("Job", "c-1")),
        made("Pod", "ray", ("RayCluster", "r")),
        made("Pod", "bare"),
        made("Pod", "done", phase="Succeeded"),
    ],
}
TOLD = [
    *(f"Deployment/{name}" for name in "vwxyz"),
    "StatefulSet/s",
    "CronJob/c",
    "Job/j",
    "ReplicaSet/alone",
    "Pod/ray",
    "Pod/bare",
]


@pytest.mark.parametrize(("forget", "busy"), [(0, 0), (1, 0), (0, 2)], ids=["pages", "forgotten", "busy"])
def test_each_maker_of_pods_is_told_of_once(forget: int, busy: int, tmp_path: Path) -> None:
    server = Server(CLUSTER)
    server.forget, server.busy = forget, busy

    async def work(api: KubeApi) -> Sequence[str]:
        return [f"{one['kind']}/{one['metadata']['name']}" async for one in resources.workloads(api)]

    assert run(server, tmp_path, work) == TOLD


def test_a_namespace_alone(tmp_path: Path) -> None:
    collections = {path.replace("/v1/", "/v1/namespaces/a/"): found for path, found in CLUSTER.items()}

    async def work(api: KubeApi) -> int:
        return len([one async for one in resources.workloads(api, ["a"])])

    assert run(Server(collections), tmp_path, work) == len(TOLD)


def test_garbage_is_an_api_failure(tmp_path: Path) -> None:
    with pytest.raises(ApiFailure, match=r"since Kubernetes 1\.30"):
        run(Garbled({}), tmp_path, discover)


class Garbled(Server):
    """An API server of long ago."""

    def _answer(self, request: HttpRequest) -> Answer:
        del request
        return Answer(200, b'{"kind":"APIVersions"}')
