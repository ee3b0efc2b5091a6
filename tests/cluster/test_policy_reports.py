"""Reports of policies on a real API server: its schemas take them whole, and RBAC of the component is enough."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cluster import pods
from tests.cluster.conftest import MakeNamespace
from webhook.admission.decision import Settings
from webhook.controller.options import Reporting
from webhook.controller.policy_reports import PolicyReports
from webhook.kube import Object, names
from webhook.kube.accelerator import Accelerators
from webhook.kube.podsecurity import Level
from webhook.sandbox import controller, install
from webhook.sandbox.sandbox import Sandbox
from webhook.sources.kube_api import KubeApi

pytestmark = pytest.mark.cluster

CRDS = Path(__file__).parent / "crds"
DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
KINDS = {
    "policyreports.wgpolicyk8s.io": "/apis/wgpolicyk8s.io/v1alpha2",
    "reports.openreports.io": "/apis/openreports.io/v1alpha1",
}
OLD = "/apis/wgpolicyk8s.io/v1alpha2"


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


@pytest.fixture(scope="module")
def kinds(box: Sandbox) -> Iterator[None]:
    """Both kinds of reports, and the rights of the component, for as long as this module runs."""
    rights = install.manifests_directory() / "components" / "policy-reports" / "rbac.yaml"
    box.kubectl("apply", "-f", str(rights))
    define(box)
    yield
    box.kubectl("delete", "--wait=false", "-f", str(CRDS), "-f", str(rights))


def define(box: Sandbox) -> None:
    box.kubectl("apply", "-f", str(CRDS))
    box.kubectl("wait", "--for=condition=Established", "--timeout=90s", *(f"crd/{name}" for name in KINDS))

    def served() -> bool:
        return set(KINDS) <= set(box.kubectl("api-resources", "--output=name").stdout.split())

    pods.eventually(served, "discovery of the reports")


class Reporter:
    """Turns of one process with the rights of the controller's account, and the requests that they made."""

    def __init__(self, box: Sandbox, policies: Path) -> None:
        self.seen: list[str] = []
        self.wanted = Reporting(
            policies=policies,
            snapshot=box.snapshot,
            settings=Settings("warmpod:test", Accelerators(), Level.PRIVILEGED),
        )
        self.kubeconfig = box.directory / "credentials" / controller.KUBECONFIG

    def turns(self, number: int = 1) -> PolicyReports:
        async def act() -> PolicyReports:
            async with KubeApi.connect(self.kubeconfig) as api:
                call = api.transport.call

                async def counted(request: Any) -> bytes:
                    self.seen.append(f"{request.method} {request.path.rpartition('/')[2]}")
                    return await call(request)

                made = PolicyReports(api, names.SYSTEM_NAMESPACE, "warmpod", self.wanted, lambda: True)
                with pytest.MonkeyPatch.context() as patch:
                    patch.setattr(api.transport, "call", counted)
                    for _ in range(number):
                        self.seen.clear()
                        await made.turn()
                return made

        return asyncio.run(act())

    def written(self) -> Counter[str]:
        return Counter(one for one in self.seen if not one.startswith("GET"))


@pytest.fixture(scope="module")
def reporter(box: Sandbox, policies: Path, kinds: None) -> Reporter:
    del kinds
    return Reporter(box, policies)


def deploy(box: Sandbox, namespace: str, name: str, model: str = pods.MODEL) -> None:
    template = pods.pod(name, model=model, labels={"name": name}, **pods.NOBODY)
    template["metadata"] = {**template["metadata"], "name": None}
    spec = {"replicas": 2, "selector": {"matchLabels": {"name": name}}, "template": template}
    body = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name}, "spec": spec}
    box.api.call("POST", f"/apis/apps/v1/namespaces/{namespace}/deployments", body)


def report(box: Sandbox, namespace: str, root: str = OLD) -> Object | None:
    plural = next(name for name, path in KINDS.items() if path == root).partition(".")[0]
    found = box.api.call("GET", f"{root}/namespaces/{namespace}/{plural}")["items"]
    return next((one for one in found if one["metadata"]["name"] == "warmpod"), None)


def test_a_real_api_server_takes_reports_whole(box: Sandbox, reporter: Reporter, make_namespace: MakeNamespace) -> None:
    enforced, audited, empty = (
        make_namespace("e"),
        make_namespace("a", {"warmpod.dev/mode": "Audit"}),
        make_namespace("n"),
    )
    for namespace in (enforced, audited):
        deploy(box, namespace, "llama")
        deploy(box, namespace, "long-" + "x" * 50, "s3://somebody-elses/model/")
    box.take_stock()
    made = reporter.turns()
    assert made.problem is None, made.problem
    uid = box.api.call("GET", "/api/v1/namespaces/warmpod-system")["metadata"]["uid"]
    for root in KINDS.values():
        one, other = report(box, enforced, root), report(box, audited, root)
        assert one is not None
        assert other is not None
        assert one["metadata"]["ownerReferences"] == [
            {"apiVersion": "v1", "kind": "Namespace", "name": "warmpod-system", "uid": uid}
        ]
        assert {result["result"] for result in one["results"]} == {"pass"}
        placed = next(result for result in one["results"] if result["policy"] == "a-images")
        assert placed["rule"] == "placement"
        assert placed["properties"] == {"mode": "Enforce", "pods": "2", "secondsSaved": "128", "conflicts": "0"}
        [resource] = placed["resources"]
        assert resource == {"apiVersion": "apps/v1", "kind": "Deployment", "name": "llama", "namespace": enforced}
        assert {result["result"] for result in other["results"] if result.get("rule")} == {"warn"}
        assert {result["properties"]["mode"] for result in other["results"]} == {"Audit"}
        assert one["summary"]["skip"] > 0
    assert report(box, empty) is None
    again = Reporter(box, reporter.wanted.policies)
    again.turns()
    assert again.written() == {}, "what is stored is what was sent: the schemas dropped no field"
    reporter.turns(2)
    assert reporter.written() == {}
    assert reporter.seen.count("GET warmpod") == 1, "the webhook configuration; no report is read again"


def test_what_is_somebody_elses_stays_and_what_is_over_goes(
    box: Sandbox, reporter: Reporter, make_namespace: MakeNamespace
) -> None:
    theirs, ours = make_namespace("theirs"), make_namespace("over")
    body = {"apiVersion": "wgpolicyk8s.io/v1alpha2", "kind": "PolicyReport", "metadata": {"name": "warmpod"}}
    stored = box.api.call("POST", f"{OLD}/namespaces/{theirs}/policyreports", body)
    deploy(box, theirs, "llama")
    deploy(box, ours, "llama")
    box.take_stock()
    made = reporter.turns()
    assert made.counts["foreign"] == 1
    assert report(box, theirs) == stored
    assert report(box, ours) is not None
    box.kubectl("delete", "deployment/llama", "-n", ours, "--cascade=foreground", "--wait=true", "--timeout=90s")
    made = reporter.turns()
    assert report(box, ours) is None
    assert report(box, theirs) == stored


def test_definitions_that_go_are_told_of_and_come_back(
    box: Sandbox, reporter: Reporter, make_namespace: MakeNamespace
) -> None:
    namespace = make_namespace("definitions")
    deploy(box, namespace, "llama")
    box.take_stock()
    reporter.turns()
    box.kubectl("delete", "-f", str(CRDS), "--wait=true", "--timeout=90s")
    pods.eventually(lambda: "serves neither" in str(reporter.turns().problem), "word of the definitions")
    define(box)
    made = reporter.turns()
    assert made.problem is None
    assert report(box, namespace) is not None


def test_without_the_component_the_api_server_forbids_it(box: Sandbox, reporter: Reporter) -> None:
    name = "warmpod-policy-reports"
    binding = f"/apis/rbac.authorization.k8s.io/v1/clusterrolebindings/{name}"
    kept = box.api.call("GET", binding)
    box.api.call("DELETE", binding)
    pods.eventually(lambda: "forbidden" in str(reporter.turns().problem), "word of the rights")
    del kept["metadata"]["resourceVersion"], kept["metadata"]["uid"]
    box.api.call("POST", binding.rpartition("/")[0], kept)
    pods.eventually(lambda: reporter.turns().problem is None, "the rights again")
