"""Following and labelling on the real API server."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.sources.kube_api_mirror import Following, following
from webhook.inventory.objects import Node, Resource
from webhook.kube import names
from webhook.sandbox.nodes import PretendNode
from webhook.sandbox.sandbox import Sandbox
from webhook.sources.kube_api import Conflict, KubeApi, NodeGone, Pace, Refused, listing
from webhook.sources.kube_api.failure import ErrorEvent
from webhook.sources.kube_api.request import Request, Sendable
from webhook.sources.kube_api.watch import Watch

pytestmark = pytest.mark.cluster

ONE, TWO = names.image_label("docker.io/library/one:1"), names.image_label("docker.io/library/two:2")
PACE = Pace(base=0.05, cap=0.5, calm=0.0)
PATIENCE = 90.0
MANY = 1500
POD = {"terminationGracePeriodSeconds": 0, "containers": [{"name": "main", "image": "docker.io/library/one:1"}]}


@pytest.fixture(scope="module")
def lasting() -> Iterator[Executor]:
    """A thread that outlives the sandbox: what it starts dies with it."""
    with ThreadPoolExecutor(1) as executor:
        yield executor


@pytest.fixture(scope="module")
def plain(lasting: Executor) -> Iterator[Sandbox]:
    """A control plane of our own: these tests kill it, and change its nodes."""
    del lasting
    with Sandbox(policies=None, controllers=0, nodes=[PretendNode("gpu-1"), PretendNode("gpu-2")]) as sandbox:
        yield sandbox


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


def run(box: Sandbox, test: Callable[[KubeApi], Awaitable[None]], kubeconfig: Path | None = None) -> None:
    async def connected() -> None:
        async with KubeApi.connect(kubeconfig or box.kubeconfig) as api:
            await test(api)

    asyncio.run(connected())


def seen_by_kubectl(box: Sandbox, resource: str) -> dict[str, str]:
    found = json.loads(box.kubectl("get", resource, "--all-namespaces", "-o", "json").stdout)["items"]
    return {
        "/".join(filter(None, [one["metadata"].get("namespace"), one["metadata"]["name"]])): one["metadata"][
            "resourceVersion"
        ]
        for one in found
    }


async def same_as_kubectl(box: Sandbox, one: Following, resource: str) -> None:
    """Nodes change by themselves all the time, so it is a matter of looking at the right moment."""
    async with asyncio.timeout(PATIENCE):
        while one.mirror.shown() != await asyncio.to_thread(seen_by_kubectl, box, resource):
            assert one.task
            if one.task.done():
                await one.task
            await asyncio.sleep(0.05)


def make(box: Sandbox, kind: str, name: str, **more: Any) -> None:
    path = {"Node": "nodes", "Namespace": "namespaces", "Pod": "namespaces/default/pods"}[kind]
    body = {"apiVersion": "v1", "kind": kind, "metadata": {"name": name}, **more}
    box.api.call("POST", f"/api/v1/{path}", body)


@pytest.mark.parametrize("streaming", [True, False], ids=["streaming list", "pages"])
@pytest.mark.parametrize("resource", ["nodes", "pods", "namespaces"])
def test_mirror_is_what_kubectl_sees(plain: Sandbox, resource: Resource, streaming: bool) -> None:
    run_of = f"{resource}-{'stream' if streaming else 'pages'}"

    async def test(api: KubeApi) -> None:
        before = Pages(api, refuse_streams=not streaming)
        async with following(api, resource, pace=PACE) as one:
            await one.until(lambda: one.stats.synced)
            assert (before.pages > 0) is not streaming
            await asyncio.to_thread(make, plain, "Namespace", run_of)
            await asyncio.to_thread(make, plain, "Node", run_of)
            await asyncio.to_thread(make, plain, "Pod", run_of, spec=POD)
            await same_as_kubectl(plain, one, resource)
            await asyncio.to_thread(plain.kubectl, "label", "node", run_of, "colour=green")
            await asyncio.to_thread(plain.kubectl, "label", "ns", run_of, "colour=green")
            await asyncio.to_thread(plain.kubectl, "delete", "pod", run_of, "--now")
            await asyncio.to_thread(plain.kubectl, "delete", "node", run_of)
            await asyncio.to_thread(plain.kubectl, "delete", "ns", run_of, "--wait=false")
            await one.until(lambda: run_of not in {name.rpartition("/")[2] for name in one.mirror.objects})
            await same_as_kubectl(plain, one, resource)
            assert one.stats.problem is None
            assert one.stats.lists == 1
            assert {"ADDED", "MODIFIED", "DELETED"} <= set(one.stats.events)

    run(plain, test)


class Pages:
    """Counts the pages that a client asks for; makes the API server one that knows no streaming lists, if wished."""

    def __init__(self, api: KubeApi, *, refuse_streams: bool = False) -> None:
        self.pages = 0
        self.before_page: Callable[[int], Awaitable[None]] | None = None
        send = api.transport._send

        async def counted(request: Sendable, limit: Any) -> Any:
            assert isinstance(request, Request)
            if request.verb == "list":
                self.pages += 1
                if self.before_page:
                    await self.before_page(self.pages)
            if refuse_streams and "sendInitialEvents" in request.query:
                # What a server without them says: this one does, of a combination that it does not know either.
                request = Request("watch", request.resource, {**request.query, "resourceVersionMatch": "Exact"})
            return await send(request, limit)

        api.transport._send = counted  # type: ignore[method-assign]  # the real one is called


def test_dynamic_resources_are_followed_where_they_are_served(plain: Sandbox) -> None:
    async def test(api: KubeApi) -> None:
        async with following(api, "resourceslices", optional=True, pace=PACE) as one:
            await one.until(lambda: one.stats.synced)
            assert one.stats.problem is None

    run(plain, test)


def test_too_old_a_version_is_told_as_expired(plain: Sandbox, lasting: Executor) -> None:
    async def test(api: KubeApi) -> None:
        await kill_and_compact(plain, lasting)  # before, the API server remembers every change since its start
        watch = Watch("nodes", "1", PACE)
        try:
            await watch.open(api.transport)
            with pytest.raises(ErrorEvent) as caught:
                watch.event((await watch.lines())[0])
        finally:
            watch.close()
        assert caught.value.kind == "expired"
        assert caught.value.status == 410

    run(plain, test)


def test_api_server_killed_and_etcd_compacted(plain: Sandbox, lasting: Executor) -> None:
    async def test(api: KubeApi) -> None:
        async with following(api, "nodes", pace=PACE) as nodes, following(api, "namespaces", pace=PACE) as namespaces:
            both = {"nodes": nodes, "namespaces": namespaces}
            for one in both.values():
                await one.until(lambda one=one: one.stats.synced)  # type: ignore[misc]  # bound at once
            # Something that neither hears of: the versions of what they saw are history then.
            await asyncio.to_thread(plain.kubectl, "create", "configmap", "history")
            await kill_and_compact(plain, lasting)
            await asyncio.to_thread(make, plain, "Namespace", "after-the-kill")
            for resource, one in both.items():
                await same_as_kubectl(plain, one, resource)
                assert one.stats.problem is None
                assert one.stats.restarts["dropped"] >= 1
            # The API server's memory of changes is gone with it.
            assert namespaces.stats.restarts["expired"] >= 1
            assert namespaces.stats.lists >= 2

    run(plain, test)
    plain.kubectl("delete", "configmap", "history")
    plain.kubectl("delete", "ns", "after-the-kill", "--wait=false")


async def kill_and_compact(box: Sandbox, lasting: Executor) -> None:
    def work() -> None:
        with box.without_api_server():
            box.compact_etcd()

    await asyncio.get_running_loop().run_in_executor(lasting, work)


def test_pages_that_expire_are_listed_anew(plain: Sandbox, lasting: Executor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listing, "PAGE_SIZES", (1, 100, 0))

    async def test(api: KubeApi) -> None:
        pages = Pages(api)

        async def forget(number: int) -> None:
            if number == 2:
                await asyncio.to_thread(make, plain, "Namespace", "meanwhile")
                await kill_and_compact(plain, lasting)

        pages.before_page = forget
        objects, version = await api.list("namespaces")
        assert {one.metadata.name for one in objects} == set(seen_by_kubectl(plain, "ns"))
        assert int(version) > 0
        assert pages.pages == 3, "one page, one that expired, all on one"

    run(plain, test)
    plain.kubectl("delete", "ns", "meanwhile", "--wait=false")


def test_token_that_is_not_good_any_more(plain: Sandbox, tmp_path: Path) -> None:
    document = json.loads(plain.kubeconfig.read_text())
    token = document["users"][0]["user"].pop("token")
    document["users"][0]["user"]["tokenFile"] = "token"
    (tmp_path / "token").write_text("expired\n")
    path = tmp_path / "kubeconfig"
    path.write_text(json.dumps(document))

    async def test(api: KubeApi) -> None:
        async with following(api, "nodes", pace=PACE) as one:
            await one.until(lambda: one.stats.problem is not None)
            assert "does not accept our credentials" in str(one.stats.problem)
            (tmp_path / "token").write_text(token + "\n")
            await one.until(lambda: one.stats.synced)
            assert one.stats.problem is None

    run(plain, test, path)


# --- labels


def uid(box: Sandbox, node: str) -> str:
    return str(box.api.call("GET", f"/api/v1/nodes/{node}")["metadata"]["uid"])


def ours(box: Sandbox, node: str) -> dict[str, str]:
    labels = box.api.call("GET", f"/api/v1/nodes/{node}")["metadata"].get("labels", {})
    return {key: value for key, value in labels.items() if key.startswith(names.NODE_LABEL_PREFIX)}


@pytest.fixture
def node(plain: Sandbox) -> Iterator[str]:
    make(plain, "Node", "labelled")
    yield "labelled"
    plain.kubectl("delete", "node", "labelled", "--ignore-not-found")


def test_labels_are_applied_changed_and_taken_away(plain: Sandbox, node: str) -> None:
    plain.kubectl("label", "node", node, "colour=green")

    async def test(api: KubeApi) -> None:
        identity = uid(plain, node)
        for wanted in ({ONE: "warm"}, {ONE: "warm", TWO: "warm"}, {TWO: "other"}, {}):
            assert await api.apply_labels(node, identity, wanted) == wanted
            assert ours(plain, node) == wanted
        await api.apply_labels(node, identity, {ONE: "warm", TWO: "warm"})
        assert await api.strip_labels(node, [ONE, names.image_label("never:there")]) == {TWO: "warm"}

    run(plain, test)
    assert plain.api.call("GET", f"/api/v1/nodes/{node}")["metadata"]["labels"]["colour"] == "green"


@pytest.mark.parametrize("applied", [False, True], ids=["never applied to", "applied to before"])
def test_labels_that_a_person_set_are_a_conflict(plain: Sandbox, node: str, applied: bool) -> None:
    async def test(api: KubeApi) -> None:
        identity = uid(plain, node)
        if applied:
            await api.apply_labels(node, identity, {})
        plain.kubectl("label", "node", node, f"{ONE}=mine")
        with pytest.raises(Conflict) as caught:
            await api.apply_labels(node, identity, {ONE: "warm", TWO: "warm"})
        # Who wrote what is written down from the first apply on.
        assert dict(caught.value.keys) == {ONE: "kubectl-label" if applied else "before-first-apply"}
        assert ours(plain, node) == {ONE: "mine"}, "nothing was written"
        assert await api.apply_labels(node, identity, {TWO: "warm"}) == {ONE: "mine", TWO: "warm"}
        assert await api.strip_labels(node, [ONE, TWO], uid=identity) == {}

    run(plain, test)


def test_a_new_node_of_an_old_name_is_never_labelled(plain: Sandbox, node: str) -> None:
    async def test(api: KubeApi) -> None:
        old = uid(plain, node)
        await api.apply_labels(node, old, {ONE: "warm"})
        plain.kubectl("delete", "node", node)
        with pytest.raises(NodeGone):
            await api.apply_labels(node, old, {ONE: "warm"})
        with pytest.raises(NodeGone):
            await api.strip_labels(node, [ONE])
        assert node not in seen_by_kubectl(plain, "nodes"), "to label is not to make"
        make(plain, "Node", node, metadata={"name": node, "labels": {TWO: "warm"}})
        with pytest.raises(NodeGone):
            await api.apply_labels(node, old, {ONE: "warm"})
        with pytest.raises(NodeGone):
            await api.strip_labels(node, [TWO], uid=old)
        assert ours(plain, node) == {TWO: "warm"}

    run(plain, test)


def test_an_account_that_may_not_create_or_not_patch(plain: Sandbox, node: str, tmp_path: Path) -> None:
    plain.kubectl("create", "serviceaccount", "labeller")
    token = plain.kubectl("create", "token", "labeller").stdout.strip()
    path = tmp_path / "kubeconfig"
    path.write_bytes(plain.kubeconfig_of(token))

    async def refused(api: KubeApi) -> None:
        with pytest.raises(Refused, match="apply the RBAC of manifests/base"):
            await api.apply_labels(node, uid(plain, node), {ONE: "warm"})

    async def allowed(api: KubeApi) -> None:
        identity = uid(plain, node)
        async with asyncio.timeout(PATIENCE):
            while ours(plain, node) != {ONE: "warm"}:
                try:
                    await api.apply_labels(node, identity, {ONE: "warm"})
                except Refused:
                    await asyncio.sleep(0.1)  # the authorizer has not heard of the role yet
        with pytest.raises(NodeGone):
            await api.apply_labels("no-such-node", identity, {ONE: "warm"})
        with pytest.raises(NodeGone):
            await api.strip_labels("no-such-node", [ONE], uid=identity)

    run(plain, refused, path)
    plain.kubectl("create", "clusterrole", "labeller", "--verb=patch", "--resource=nodes")
    plain.kubectl(
        "create", "clusterrolebinding", "labeller", "--clusterrole=labeller", "--serviceaccount=default:labeller"
    )
    run(plain, allowed, path)


# --- many


@pytest.fixture(scope="module")
def many(plain: Sandbox) -> Sandbox:
    """The last tests' control plane: some pages of nodes more, and nobody who would look after them."""
    for process in plain.processes[2:]:
        process.stop()

    def register(number: int) -> None:
        images = [{"names": [f"docker.io/library/many@sha256:{number:064x}"], "sizeBytes": number}]
        make(plain, "Node", f"many-{number}", status={"images": images})

    with ThreadPoolExecutor(4) as executor:
        list(executor.map(register, range(MANY)))
    return plain


@pytest.mark.parametrize("streaming", [True, False], ids=["streaming list", "pages"])
def test_many_pages_of_nodes(many: Sandbox, streaming: bool) -> None:
    async def test(api: KubeApi) -> None:
        pages = Pages(api, refuse_streams=not streaming)
        async with following(api, "nodes", pace=PACE) as one:
            await one.until(lambda: one.stats.synced)
            assert pages.pages == (0 if streaming else MANY // 500 + 1), "500 a page"
            assert one.mirror.shown() == await asyncio.to_thread(seen_by_kubectl, many, "nodes")
            assert one.stats.lists == 1
            found = one.mirror.objects[f"many-{MANY - 1}"]
            assert isinstance(found, Node)
            assert found.status
            assert bytes(
                found.status.images
            ) == b'[{"names":["docker.io/library/many@sha256:%064x"],"sizeBytes":%d}]' % (MANY - 1, MANY - 1)

    run(many, test)
