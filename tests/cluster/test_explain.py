"""`warmpod explain` and `warmpod preview` of live objects: real API server, scheduler and webhook."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from tests.cluster import pods
from tests.cluster.conftest import MakeNamespace
from webhook.cli.main import main
from webhook.kube import Object, names
from webhook.kube.recreated import recreated
from webhook.sandbox.sandbox import Sandbox

pytestmark = pytest.mark.cluster

Run = Any


@pytest.fixture
def warmpod(box: Sandbox, policies: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs a command against the sandbox's cluster, by the policies that its webhook follows."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")

    def run(command: str, *arguments: str) -> Result:
        where = ("--kubeconfig", str(box.kubeconfig), "--policies", str(policies))
        return CliRunner().invoke(main, [command, *where, *arguments])

    return run


def explained(run: Run, namespace: str, *arguments: str) -> dict[str, Any]:
    result = run("explain", "-n", namespace, "--output", "json", *arguments)
    assert result.exit_code == 0, result.output
    found: dict[str, Any] = json.loads(result.stdout)["items"][0]
    return found


def deployment(name: str, **labels: str) -> Object:
    template = pods.pod(name, model=None, labels={"app": "gemma-server", **labels}, **pods.NOBODY)
    metadata = {"labels": template["metadata"]["labels"]}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name},
        "spec": {
            "replicas": 1,
            "selector": {"matchLabels": {"app": "gemma-server"}},
            "template": {"metadata": metadata, "spec": template["spec"]},
        },
    }


def pod_of(box: Sandbox, namespace: str, app: str) -> str:
    """The name of the pod that a workload made, once it is there."""
    path = f"/api/v1/namespaces/{namespace}/pods"
    found = pods.eventually(lambda: box.api.call("GET", path, labelSelector=f"app={app}")["items"], f"pod of {app}")
    name: str = found[0]["metadata"]["name"]
    return name


def test_a_pod_of_a_deployment(box: Sandbox, make_namespace: MakeNamespace, warmpod: Run) -> None:
    namespace = make_namespace("deployed", {"tier": "serving"})
    box.api.call("POST", f"/apis/apps/v1/namespaces/{namespace}/deployments", deployment("gemma"))
    name = pod_of(box, namespace, "gemma-server")
    found = explained(warmpod, namespace, name)
    assert found["state"] == "changed"
    assert found["headline"].startswith("changed by Warmpod (policies a-images, c-public-vllm, e-tier); it is pending")
    signed = {one["name"] for one in found["policies"] if one["signed"]}
    assert signed == {"a-images", "c-public-vllm", "e-tier"}
    # The template tells what was sent, so that what the policies name themselves is known as theirs.
    assert set(found["injected"]["parts"]) == {"placement", "hydration", "env", "awsConfig"}
    assert found["others"] == {"containers": [], "volumes": [], "env": []}
    image = next(one for one in found["nodes"]["artifacts"] if one["kind"] == "image")
    assert set(image["warm"]) == pods.WARM_NODES
    previewed = warmpod("preview", "-n", namespace, "deploy/gemma", "--output", "json")
    (item,) = json.loads(previewed.stdout)["items"]
    assert item["source"] == "deploy/gemma spec.template"
    assert {one["name"] for one in item["decision"]["policies"] if one["result"] == "matched"} == signed
    refused = warmpod("explain", "-n", namespace, "deploy/gemma")
    assert refused.exit_code == 2
    assert f"explain one of its pods: pod/{name}" in refused.stderr


@pytest.mark.parametrize(
    ("suffix", "labels", "pod", "state", "words"),
    [
        ("off", {names.LABEL_NAMESPACE_MODE: "Off"}, pods.pod("a"), "unreached", "labelled warmpod.dev/mode=Off"),
        ("audit", {names.LABEL_NAMESPACE_MODE: "Audit"}, pods.pod("a"), "audited", "in Audit, which would change it"),
        (
            "plain",
            {},
            pods.pod("a", containers=[{"name": "main", "image": "busybox"}]),
            "unreached",
            "no container of it asks for an accelerator",
        ),
        (
            "strict",
            {},
            pods.pod("a", labels={"app": "required"}, nodeSelector={"topology.kubernetes.io/zone": "nowhere"}),
            "changed",
            "it is pending: not scheduled: 0/4 nodes are available",
        ),
    ],
    ids=["off", "audit", "no-accelerator", "nowhere"],
)
def test_why_a_pod_is_not_as_somebody_hoped(
    *,
    suffix: str,
    labels: dict[str, str],
    pod: Object,
    state: str,
    words: str,
    box: Sandbox,
    make_namespace: MakeNamespace,
    warmpod: Run,
) -> None:
    namespace = make_namespace(suffix, labels)
    pods.create(box, namespace, pod)
    if "nowhere" in json.dumps(pod):
        path = f"/api/v1/namespaces/{namespace}/pods/a"
        pods.eventually(lambda: box.api.call("GET", path)["status"].get("conditions"), "word of the scheduler")
    found = explained(warmpod, namespace, "pod/a")
    assert (found["state"], words in found["headline"]) == (state, True), found["headline"]


def test_what_was_sent_is_what_a_second_review_sees(box: Sandbox, namespace: str, warmpod: Run) -> None:
    sent = pods.pod("again", **pods.NOBODY)
    pods.create(box, namespace, sent)
    stored = pods.get(box, namespace, "again")
    assert names.ANNOTATION_DECISION in stored["metadata"]["annotations"]
    back = recreated(stored)
    assert back["metadata"]["annotations"] == sent["metadata"]["annotations"]
    assert "warmpod" not in json.dumps(back["spec"])
    assert "kube-api-access" not in json.dumps(back["spec"])
    assert {"tolerations", "priority", "nodeName"}.isdisjoint(back["spec"])
    (item,) = json.loads(warmpod("preview", "-n", namespace, "pod/again", "--output", "json").stdout)["items"]
    assert item["decision"]["patch"]
    assert item["pod"]["spec"]["initContainers"][0]["name"] == names.INIT_CONTAINER


def test_without_policies_those_that_are_installed_count(
    box: Sandbox, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("WARMPOD_KUBECONFIG", str(box.kubeconfig))
    config_map = box.api.call(
        "GET", f"/api/v1/namespaces/{names.SYSTEM_NAMESPACE}/configmaps/{names.POLICIES_CONFIG_MAP}"
    )
    pods.create(box, namespace, pods.pod("installed", **pods.NOBODY))
    result = CliRunner().invoke(main, ["explain", "-n", namespace, "installed", "--output", "json"])
    assert result.exit_code == 0, result.output
    considered = {one["name"] for one in json.loads(result.stdout)["items"][0]["policies"]}
    assert considered
    assert all(f"name: {name}" in "".join(config_map["data"].values()) for name in considered)


def test_what_is_not_there_is_told_where_it_is(box: Sandbox, namespace: str, warmpod: Run) -> None:
    pods.create(box, namespace, pods.pod("findable", **pods.NOBODY))
    for arguments, hint in (
        (["explain", "findable"], f"there is one in namespace {namespace}"),
        (["explain", "-n", namespace, "findabel"], "did you mean findable"),
        (["preview", "-n", namespace, "dploy/x"], "did you mean deployments.apps?"),
    ):
        result = warmpod(*arguments)
        assert result.exit_code == 2
        assert hint in result.stderr
