"""The shipped manifests by real kubectl on a real API server: installed, changed, applied again, and taken away.

Nothing of Warmpod runs here, and pretend kubelets say that its pods do: this is about the objects.
"""

from __future__ import annotations

import base64
import re
import shlex
import subprocess
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml

from certs.issue import issue_authority
from tests.cluster.pods import eventually
from tests.manifests import rendered
from webhook.kube import Object, names
from webhook.sandbox import install
from webhook.sandbox.api import RefusedRequest
from webhook.sandbox.nodes import PretendNode
from webhook.sandbox.sandbox import Sandbox

pytestmark = pytest.mark.cluster

SYSTEM = names.SYSTEM_NAMESPACE
DEPLOYMENT = f"/apis/apps/v1/namespaces/{SYSTEM}/deployments/{names.DEPLOYMENT}"
REPLICA_SETS = f"/apis/apps/v1/namespaces/{SYSTEM}/replicasets"
CONFIGURATION = f"{install.COLLECTIONS['MutatingWebhookConfiguration']}/{names.WEBHOOK_CONFIGURATION}"
SECRETS = f"/api/v1/namespaces/{SYSTEM}/secrets"
CLUSTER_WIDE = {kind: path for kind, path in install.COLLECTIONS.items() if "{namespace}" not in path}
INSTALL = rendered.ROOT / "docs" / "install.md"

# Kinds that others bring to a cluster: known here, and not looked into. Their shape is held in tests/manifests.
FOREIGN = {
    "cert-manager.io/v1": ("Issuer", "Certificate"),
    "monitoring.coreos.com/v1": ("PodMonitor", "PrometheusRule"),
}


def definition(group_version: str, kind: str) -> Object:
    group, version = group_version.split("/")
    plural = f"{kind.lower()}s"
    schema = {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{group}"},
        "spec": {
            "group": group,
            "scope": "Namespaced",
            "names": {"kind": kind, "plural": plural, "singular": kind.lower(), "listKind": f"{kind}List"},
            "versions": [{"name": version, "served": True, "storage": True, "schema": schema}],
        },
    }


@pytest.fixture(scope="module")
def cluster() -> Iterator[Sandbox]:
    """A cluster without Warmpod, of one ordinary node."""
    node = PretendNode("cpu-1", accelerators={}, instance_type="m7i.large", cpu="16", memory="64Gi")
    with Sandbox(policies=None, controllers=0, overlay="", nodes=[node]) as sandbox:
        for group_version, kinds in FOREIGN.items():
            for kind in kinds:
                sandbox.api.call(
                    "POST", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", definition(group_version, kind)
                )
                eventually(lambda kind=kind: served(sandbox, kind), f"kind {kind}")  # type: ignore[misc]  # bound now
        yield sandbox


def served(box: Sandbox, kind: str) -> bool:
    return box.kubectl("get", f"{kind.lower()}s", check=False).returncode == 0


def apply(box: Sandbox, directory: Path, *flags: str) -> str:
    """Apply a kustomization; nothing is refused, and the API server warns of nothing."""
    done = box.kubectl("apply", "-k", directory, *flags, check=False)
    assert done.returncode == 0, done.stderr
    assert not done.stderr
    return done.stdout


def overlay(name: str) -> Path:
    return rendered.MANIFESTS / "overlays" / name


def latest(box: Sandbox) -> Object:
    """The ReplicaSet of the Deployment as it is now, once it has a pod: a restricted namespace admitted it."""
    wanted = box.api.call("GET", DEPLOYMENT)
    generation = wanted["metadata"]["generation"]

    def found() -> Object | None:
        deployment = box.api.call("GET", DEPLOYMENT)
        if deployment["status"].get("observedGeneration", 0) < generation:
            return None
        revision = deployment["metadata"]["annotations"].get("deployment.kubernetes.io/revision")
        for each in box.api.call("GET", REPLICA_SETS)["items"]:
            current = each["metadata"]["annotations"].get("deployment.kubernetes.io/revision") == revision
            if current and each["status"].get("replicas", 0) >= 1:
                return dict(each)
        return None

    made: Object = eventually(found, "pod of the newest ReplicaSet")
    return made


LIFE = ["audit", "enforce", "high-availability", "cert-manager", "git-sync", "audit"]


def test_each_overlay_can_follow_any_other(cluster: Sandbox) -> None:
    for name in LIFE:
        apply(cluster, overlay(name))
        made = latest(cluster)
        expected = rendered.pod_spec(rendered.overlay(name))
        stored = made["spec"]["template"]["spec"]
        assert [each["name"] for each in stored["containers"]] == [each["name"] for each in expected["containers"]]
        assert {each["name"]: set(each) for each in stored["volumes"]}.keys() == {
            each["name"] for each in expected["volumes"]
        }
        for mine, theirs in zip(expected["containers"], stored["containers"], strict=True):
            assert rendered.variables(mine) == rendered.variables(theirs), "nothing of the overlay before is left"
        paths = [hook["clientConfig"]["service"]["path"] for hook in cluster.api.call("GET", CONFIGURATION)["webhooks"]]
        assert paths == (["/mutate/audit"] * 2 if name == "audit" else ["/mutate", "/mutate/audit"])
    events = cluster.api.call("GET", f"/api/v1/namespaces/{SYSTEM}/events")["items"]
    assert not [each["message"] for each in events if each["reason"] == "FailedCreate"]


def test_every_pod_of_ours_is_admitted_and_runs(cluster: Sandbox) -> None:
    apply(cluster, overlay("enforce"))
    cluster.kubectl("rollout", "status", "deployment/warmpod", "-n", SYSTEM, "--timeout=200s")
    found = cluster.api.call("GET", f"/api/v1/namespaces/{SYSTEM}/pods")["items"]
    running = [each for each in found if each["status"].get("phase") == "Running"]
    assert len(running) >= 2
    for each in running:
        assert each["spec"]["nodeName"] == "cpu-1"
        assert each["spec"]["priority"] == 1_000_000
    slices = f"/apis/discovery.k8s.io/v1/namespaces/{SYSTEM}/endpointslices"
    [endpoints] = cluster.api.call("GET", slices)["items"]
    assert [each["port"] for each in endpoints["ports"]] == [8443]


@pytest.fixture
def trusted(cluster: Sandbox) -> Iterator[bytes]:
    """An installation that the controller has put in order: bundles in the hooks, a Secret of its own."""
    pem = issue_authority(datetime.now(UTC)).certificate_pem
    apply(cluster, overlay("enforce"))
    bundle = base64.b64encode(pem).decode()
    operations = [
        {"op": "add", "path": f"/webhooks/{index}/clientConfig/caBundle", "value": bundle} for index in range(2)
    ]
    cluster.kubectl("patch", "mutatingwebhookconfiguration", "warmpod", "--type=json", "-p", yaml.safe_dump(operations))
    cluster.api.call("POST", SECRETS, {"metadata": {"name": names.TLS_SECRET}, "data": {"ca.crt": bundle}})
    yield pem
    cluster.api.call("DELETE", f"{SECRETS}/{names.TLS_SECRET}")


def bundles(box: Sandbox) -> list[bytes]:
    hooks = box.api.call("GET", CONFIGURATION)["webhooks"]
    return [base64.b64decode(each["clientConfig"].get("caBundle", "")) for each in hooks]


@pytest.mark.parametrize(
    "flags",
    [(), ("--server-side", "--force-conflicts"), ("--prune", "-l", "app.kubernetes.io/name=warmpod")],
    ids=["client-side", "server-side", "prune"],
)
def test_applied_again_nothing_of_the_controllers_is_lost(
    cluster: Sandbox, trusted: bytes, flags: tuple[str, ...]
) -> None:
    before = cluster.api.call("GET", f"{SECRETS}/{names.TLS_SECRET}")["metadata"]["uid"]
    done = cluster.kubectl("apply", "-k", overlay("audit"), *flags, check=False)
    assert done.returncode == 0, done.stderr
    assert bundles(cluster) == [trusted, trusted]
    assert cluster.api.call("GET", f"{SECRETS}/{names.TLS_SECRET}")["metadata"]["uid"] == before
    paths = [each["clientConfig"]["service"]["path"] for each in cluster.api.call("GET", CONFIGURATION)["webhooks"]]
    assert paths[0] == "/mutate/audit", "and what was to change has changed"


def versions(box: Sandbox) -> dict[tuple[str, str, str], str]:
    """The resourceVersion of every object of the overlay but the Deployment, whose status goes on changing."""
    return {
        rendered.key(each): box.api.call("GET", f"{collection}/{each['metadata']['name']}")["metadata"][
            "resourceVersion" if each["kind"] != "Deployment" else "generation"
        ]
        for each in rendered.overlay("enforce")
        for collection in [install.COLLECTIONS[each["kind"]].format(namespace=each["metadata"].get("namespace", ""))]
        if each["kind"] != "PodDisruptionBudget"
    }


def test_applied_again_nothing_changes(cluster: Sandbox) -> None:
    apply(cluster, overlay("enforce"))
    before = versions(cluster)
    said = apply(cluster, overlay("enforce")).splitlines()
    assert len(said) == len(rendered.overlay("enforce"))
    assert versions(cluster) == before
    # kubectl always sends the lists of these two, which the API server replaces by the same.
    changed = {line.partition(" ")[0] for line in said if not line.endswith(" unchanged")}
    assert changed <= {
        "poddisruptionbudget.policy/warmpod",
        "validatingadmissionpolicy.admissionregistration.k8s.io/nodes.warmpod.dev",
    }


def test_policy_writers_have_one_object_and_nothing_else(cluster: Sandbox) -> None:
    """The Role that the page gives, for those who do not write policies to a Git repository."""
    apply(cluster, overlay("audit"))
    blocks = re.findall(r"^```yaml\n(.*?)^```", INSTALL.read_text(), re.MULTILINE | re.DOTALL)
    [role] = [block for block in blocks if "kind: RoleBinding" in block]
    cluster.kubectl("apply", "-f", "-", stdin=role)
    as_writer = ("--as=somebody", "--as-group=policy-writers", "-n", SYSTEM)

    def may(*call: str) -> bool:
        return cluster.kubectl("auth", "can-i", *call, *as_writer, check=False).stdout.strip() == "yes"

    policies = f"configmap/{names.POLICIES_CONFIG_MAP}"
    eventually(lambda: may("update", policies), "role")
    assert may("get", policies)
    assert may("patch", policies)
    assert not may("delete", policies)
    for call in (
        ("update", "configmap/other"),
        ("get", f"secret/{names.TLS_SECRET}"),
        ("patch", "deployment/warmpod"),
        ("create", "pods"),
    ):
        assert not may(*call), call


def left(box: Sandbox) -> list[str]:
    """What of Warmpod is in the cluster, whoever made it."""
    found = [
        f"{kind} {each['metadata']['name']}"
        for kind, path in CLUSTER_WIDE.items()
        for each in box.api.call("GET", path)["items"]
        if "warmpod" in each["metadata"]["name"]
    ]
    return sorted(found)


def shell_blocks(page: Path, section: str) -> list[str]:
    """The lines of the shell blocks of a section."""
    text = page.read_text()
    [body] = re.findall(rf"^## {re.escape(section)}\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
    blocks = re.findall(r"^```sh\n(.*?)^```", body, re.MULTILINE | re.DOTALL)
    return [line.partition("   #")[0].strip() for block in blocks for line in block.splitlines() if line.strip()]


def follow(box: Sandbox, section: str, page: Path = INSTALL) -> list[subprocess.CompletedProcess[str]]:
    """Do what the page says, in a checkout: kubectl's lines, as they are. No container runs here, so none has a log."""
    lines = [line for line in shell_blocks(page, section) if line.startswith("kubectl ") and " logs " not in line]
    assert lines
    done = [box.kubectl(*_from_the_checkout(shlex.split(line)[1:]), check=False) for line in lines]
    for line, one in zip(lines, done, strict=True):
        assert one.returncode == 0, (line, one.stderr)
    return done


def _from_the_checkout(words: list[str]) -> list[str]:
    return [str(rendered.ROOT / word) if word.startswith("manifests/") else word for word in words]


def serving(box: Sandbox) -> int:
    """How many endpoints of the Service are ready."""
    slices = box.api.call("GET", f"/apis/discovery.k8s.io/v1/namespaces/{SYSTEM}/endpointslices")["items"]
    return sum(each["conditions"]["ready"] for one in slices for each in one["endpoints"] or ())


def running(box: Sandbox) -> set[str]:
    """The names of our pods that run."""
    found = box.api.call("GET", f"/api/v1/namespaces/{SYSTEM}/pods")["items"]
    return {one["metadata"]["name"] for one in found if one["status"].get("phase") == "Running"}


def test_a_drain_takes_one_replica_at_a_time_and_is_not_blocked(cluster: Sandbox) -> None:
    apply(cluster, overlay("enforce"))
    cluster.make_node(PretendNode("cpu-2", accelerators={}, instance_type="m7i.large", cpu="16", memory="64Gi"))
    eventually(lambda: serving(cluster) == 2, "two endpoints")
    before = running(cluster)
    least: list[int] = []
    drained = threading.Event()

    def look() -> None:
        while not drained.is_set():
            least.append(serving(cluster))

    looking = threading.Thread(target=look)
    looking.start()
    try:
        for node in ("cpu-1", "cpu-2"):  # wherever they were: on each way both replicas have to go
            cluster.kubectl("drain", node, "--ignore-daemonsets", "--delete-emptydir-data", "--timeout=200s")
            cluster.kubectl("uncordon", node)
    finally:
        drained.set()
        looking.join()
    assert not before & running(cluster), "every one had to go"
    assert min(least) >= 1, "one goes, and another one stays"


def test_the_readme_can_be_followed(cluster: Sandbox) -> None:
    follow(cluster, "Install", rendered.ROOT / "README.md")
    assert cluster.api.call("GET", CONFIGURATION)["webhooks"][0]["clientConfig"]["service"]["path"] == "/mutate"


def test_the_page_about_installing_can_be_followed_to_its_end(cluster: Sandbox) -> None:
    follow(cluster, "Install")
    assert set(left(cluster)) >= {f"Namespace {SYSTEM}", "MutatingWebhookConfiguration warmpod"}
    follow(cluster, "Enforce")
    assert cluster.api.call("GET", CONFIGURATION)["webhooks"][0]["clientConfig"]["service"]["path"] == "/mutate"
    done = follow(cluster, "Remove")
    assert any("warmpod-cleanup" in one.stdout for one in done)
    eventually(lambda: not left(cluster), "end of everything")
    with pytest.raises(RefusedRequest, match="404"):
        cluster.api.call("GET", f"/api/v1/namespaces/{SYSTEM}")
