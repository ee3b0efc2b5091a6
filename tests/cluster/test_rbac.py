"""What the controller's service account may do on a real API server, and what not: RBAC, then the admission policy.

RBAC cannot tell one field of a node from another, so the policy must: it is tried with RBAC as shipped, and once more
by an account that somebody made an administrator.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from http import HTTPStatus
from pathlib import Path

import pytest

from tests.cluster.pods import eventually
from webhook.kube import Object, names
from webhook.sandbox import controller, credentials
from webhook.sandbox.api import Api, RefusedRequest
from webhook.sandbox.nodes import PretendNode
from webhook.sandbox.sandbox import Sandbox

pytestmark = pytest.mark.cluster

NODE = "/api/v1/nodes/gpu-1"
HEX = "0123456789abcdef"
IMAGE, MODEL = (f"{names.NODE_LABEL_PREFIX}{kind}-{HEX}" for kind in ("image", "model"))
BOOT = names.NODE_LABEL_BOOT
MARK = f"{HEX}.1795326759"
OURS = {IMAGE: "warm", MODEL: "warm", BOOT: MARK}
BINDINGS = "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings"
SYSTEM = f"/api/v1/namespaces/{controller.NAMESPACE}"
SECRETS = f"{SYSTEM}/secrets"
REGISTRATIONS = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations"
LEASES = f"/apis/coordination.k8s.io/v1/namespaces/{controller.NAMESPACE}/leases"
TEAM = {"team": "a", "example.com/gpu.model": "h100"}


@pytest.fixture(scope="module")
def place() -> Iterator[Sandbox]:
    """A control plane with the manifests, and nobody who labels nodes but the tests."""
    with Sandbox(
        policies=None, controllers=0, nodes=[PretendNode("gpu-1", labels=TEAM), PretendNode("gpu-2")]
    ) as sandbox:
        # A policy takes effect when the API server has read it.
        probe: Object = {"metadata": {"labels": {"probe": "x"}}}
        with account(sandbox, sandbox.directory / "probe.kubeconfig") as api:
            eventually(
                lambda: "ValidatingAdmissionPolicy" in refusal(lambda: api.patch(NODE, probe, dryRun="All")), "policy"
            )
        yield sandbox


@pytest.fixture(scope="module")
def ours(place: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """Calls as the controller's service account, by a token of it."""
    with account(place, tmp_path_factory.mktemp("account") / "kubeconfig") as api:
        yield api


@pytest.fixture
def node(place: Sandbox) -> Iterator[Api]:
    """The node as it was before, after the test."""
    yield place.api
    labels = place.api.call("GET", NODE)["metadata"]["labels"]
    gone = dict.fromkeys([key for key in labels if key.startswith(names.NODE_LABEL_PREFIX)])
    if gone:
        place.api.patch(NODE, {"metadata": {"labels": gone}})


class account:  # noqa: N801 - used as a function
    """Within the block, the API server as the service account sees it."""

    def __init__(self, box: Sandbox, path: Path) -> None:
        credentials.write_private(path, box.kubeconfig_of(controller.token(box.api)))
        self._api = Api(path)

    def __enter__(self) -> Api:
        return self._api

    def __exit__(self, *_: object) -> None:
        self._api.close()


def label(api: Api, labels: dict[str, str | None]) -> Object:
    return api.patch(NODE, {"metadata": {"labels": labels}})


def apply(api: Api, labels: dict[str, str]) -> Object:
    body: Object = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "gpu-1", "labels": labels}}
    return api.apply(NODE, body, names.FIELD_MANAGER)


def refusal(call: Callable[[], object]) -> str:
    """The API server's words when it forbids a call; empty when it did what was asked."""
    try:
        call()
    except RefusedRequest as error:
        if error.status != HTTPStatus.FORBIDDEN:
            raise
        return str(error)
    return ""


def ours_of(api: Api) -> dict[str, str]:
    labels = api.call("GET", NODE)["metadata"]["labels"]
    return {key: value for key, value in labels.items() if key.startswith(names.NODE_LABEL_PREFIX)}


def test_our_labels_come_and_go_by_server_side_apply(ours: Api, node: Api) -> None:
    apply(ours, OURS)
    assert ours_of(node) == OURS
    apply(ours, {IMAGE: "warm"})
    assert ours_of(node) == {IMAGE: "warm"}, "what is no longer applied is removed"
    apply(ours, {})
    assert ours_of(node) == {}


def test_our_labels_come_and_go_by_merge_patch(ours: Api, node: Api) -> None:
    label(ours, dict(OURS))
    assert ours_of(node) == OURS
    label(ours, {BOOT: HEX[::-1]})
    assert ours_of(node) == {**OURS, BOOT: HEX[::-1]}
    label(ours, dict.fromkeys(OURS))
    assert ours_of(node) == {}


def test_foreign_values_of_our_labels_do_not_stand_in_the_way(ours: Api, node: Api) -> None:
    """What somebody else wrote under our prefix may stay, and may be taken away; we add nothing like it."""
    odd = {f"{names.NODE_LABEL_PREFIX}odd": "x", MODEL: "cold"}
    node.patch(NODE, {"metadata": {"labels": odd}})
    apply(ours, {IMAGE: "warm"})
    assert ours_of(node) == {**odd, IMAGE: "warm"}
    label(ours, dict.fromkeys(odd))
    assert ours_of(node) == {IMAGE: "warm"}


REFUSED_PATCHES: dict[str, tuple[Object, str]] = {
    "add another label": ({"metadata": {"labels": {"team2": "b"}}}, "this changes team2"),
    "change another label": ({"metadata": {"labels": {"team": "b"}}}, "this changes team"),
    "remove another label": ({"metadata": {"labels": {"team": None}}}, "this changes team"),
    "a kubelet's label": ({"metadata": {"labels": {"kubernetes.io/arch": "arm64"}}}, "changes kubernetes.io/arch"),
    "a node-restriction label of others": (
        {"metadata": {"labels": {"node-restriction.kubernetes.io/tier": "gold"}}},
        "this changes node-restriction.kubernetes.io/tier",
    ),
    "a label that begins like ours": (
        {"metadata": {"labels": {"warmpod.node-restriction.kubernetes.io.evil/a": "warm"}}},
        "this changes warmpod.node-restriction.kubernetes.io.evil/a",
    ),
    "ours and another": ({"metadata": {"labels": {IMAGE: "warm", "team": None}}}, "this changes team"),
    "all labels at once": ({"metadata": {"labels": None}}, "example.com/gpu.model"),
    "another value of ours": ({"metadata": {"labels": {IMAGE: "hot"}}}, f"this sets {IMAGE}=hot"),
    "another name under our prefix": (
        {"metadata": {"labels": {f"{names.NODE_LABEL_PREFIX}tier": "warm"}}},
        f"this sets {names.NODE_LABEL_PREFIX}tier=warm",
    ),
    "a boot and more": ({"metadata": {"labels": {BOOT: f"{MARK}.x"}}}, f"this sets {BOOT}={MARK}.x"),
    "a boot that is no digest": ({"metadata": {"labels": {BOOT: "warm"}}}, f"this sets {BOOT}=warm"),
    "annotation": ({"metadata": {"annotations": {"a": "b"}}}, "may not change annotations"),
    "no annotations": ({"metadata": {"annotations": None}}, "may not change annotations"),
    "finalizer": ({"metadata": {"finalizers": ["example.com/stay"]}}, "may not change finalizers"),
    "owner": (
        {"metadata": {"ownerReferences": [{"apiVersion": "v1", "kind": "Node", "name": "x", "uid": "x"}]}},
        "may not change finalizers or owners",
    ),
    "cordon": ({"spec": {"unschedulable": True}}, "may not change the spec"),
    "taint": ({"spec": {"taints": [{"key": "a", "effect": "NoExecute"}]}}, "may not change the spec"),
    "provider": ({"spec": {"providerID": "aws:///x"}}, "may not change the spec"),
}


@pytest.mark.parametrize("change", REFUSED_PATCHES)
def test_nothing_else_of_a_node_can_be_changed(place: Sandbox, ours: Api, node: Api, change: str) -> None:
    body, reason = REFUSED_PATCHES[change]
    if change == "no annotations":
        node.patch(NODE, {"metadata": {"annotations": {"mine": "x"}}})
    said = refusal(lambda: ours.patch(NODE, body))
    assert reason in said
    assert "warmpod-system:warmpod" in said or "Warmpod sets" in said
    assert place.api.patch(NODE, body, dryRun="All"), "the policy is about one account alone"


def test_the_status_is_not_changed_through_the_node(ours: Api, node: Api) -> None:
    """The API server leaves the status out of such a patch, without a word, whoever sends it."""
    before = node.call("GET", NODE)["status"]["allocatable"]
    ours.patch(NODE, {"status": {"allocatable": {"nvidia.com/gpu": "99"}}})
    assert node.call("GET", NODE)["status"]["allocatable"] == before


def test_a_forced_apply_takes_no_other_label(ours: Api, node: Api) -> None:
    body: Object = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "gpu-1", "labels": {"team": "b"}}}
    assert "this changes team" in refusal(lambda: ours.apply(NODE, body, names.FIELD_MANAGER, force="true"))
    assert node.call("GET", NODE)["metadata"]["labels"]["team"] == "a"


CALLS: dict[str, tuple[str, str, Object | None]] = {
    "read one node": ("GET", NODE, None),
    "delete a node": ("DELETE", NODE, None),
    "create a node": ("POST", "/api/v1/nodes", {"metadata": {"name": "gpu-9"}}),
    "replace a node": ("PUT", NODE, {"metadata": {"name": "gpu-1"}}),
    "replace a node's status": ("PUT", f"{NODE}/status", {"metadata": {"name": "gpu-1"}}),
    "a node's proxy": ("GET", f"{NODE}/proxy/", None),
    "create a pod": ("POST", "/api/v1/namespaces/default/pods", {"metadata": {"name": "x"}}),
    "delete pods": ("DELETE", "/api/v1/namespaces/default/pods", None),
    "evict a pod": ("POST", "/api/v1/namespaces/default/pods/x/eviction", {"metadata": {"name": "x"}}),
    "a pod's logs": ("GET", "/api/v1/namespaces/default/pods/x/log", None),
    "secrets": ("GET", "/api/v1/secrets", None),
    "secrets of our namespace": ("GET", SECRETS, None),
    "config maps": ("GET", "/api/v1/configmaps", None),
    "a token of its own": (
        "POST",
        f"{SYSTEM}/serviceaccounts/{controller.ACCOUNT}/token",
        {"spec": {}},
    ),
    "leases of others": ("GET", "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases/x", None),
    "heartbeats of nodes": ("DELETE", "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/gpu-1", None),
    "all leases": ("GET", "/apis/coordination.k8s.io/v1/leases", None),
    "another secret of our namespace": ("GET", f"{SECRETS}/git-credentials", None),
    "a secret of another namespace": ("POST", "/api/v1/namespaces/default/secrets", {"metadata": {"name": "x"}}),
    "delete our secret": ("DELETE", f"{SECRETS}/{names.TLS_SECRET}", None),
    "config maps of our namespace": ("GET", f"{SYSTEM}/configmaps/{names.POLICIES_CONFIG_MAP}", None),
    "a config map of our namespace": ("POST", f"{SYSTEM}/configmaps", {"metadata": {"name": "x"}}),
    "our policies": ("PUT", f"{SYSTEM}/configmaps/{names.POLICIES_CONFIG_MAP}", {"metadata": {"name": "x"}}),
    "events of our namespace": ("GET", f"{SYSTEM}/events", None),
    "an event elsewhere": ("POST", "/api/v1/namespaces/default/events", {"metadata": {"name": "x"}}),
    "our deployment": ("DELETE", f"/apis/apps/v1/namespaces/{controller.NAMESPACE}/deployments/warmpod", None),
    "all registrations": ("GET", REGISTRATIONS, None),
    "another registration": ("GET", f"{REGISTRATIONS}/other", None),
    "a new registration": ("POST", REGISTRATIONS, {"metadata": {"name": "warmpod"}}),
    "replace the registration": ("PUT", f"{REGISTRATIONS}/warmpod", {"metadata": {"name": "warmpod"}}),
    "delete the registration": ("DELETE", f"{REGISTRATIONS}/warmpod", None),
    "its own policy": (
        "DELETE",
        "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicybindings/nodes.warmpod.dev",
        None,
    ),
    "its own role": ("DELETE", "/apis/rbac.authorization.k8s.io/v1/clusterroles/warmpod", None),
    "persistent volumes": ("DELETE", "/api/v1/persistentvolumes", None),
    "claims of volumes": ("GET", "/api/v1/persistentvolumeclaims", None),
    "resource claims": ("DELETE", "/apis/resource.k8s.io/v1/namespaces/default/resourceclaims/x", None),
}


@pytest.mark.parametrize("call", CALLS)
def test_rbac_allows_nothing_else(ours: Api, call: str) -> None:
    method, path, body = CALLS[call]
    assert "cannot" in refusal(lambda: ours.call(method, path, body))


@pytest.mark.parametrize(
    "path",
    [
        "/api/v1/nodes",
        "/api/v1/pods",
        "/api/v1/namespaces",
        "/api/v1/persistentvolumes",
        "/apis/resource.k8s.io/v1/resourceslices",
        "/apis/resource.k8s.io/v1/resourceclaims",
        "/apis/resource.k8s.io/v1/resourceclaimtemplates",
    ],
)
def test_what_it_watches_can_be_listed(ours: Api, path: str) -> None:
    assert "items" in ours.call("GET", path, limit="1")


def test_it_may_ask_for_the_version(ours: Api) -> None:
    """By Kubernetes' own role, which every account has."""
    assert ours.call("GET", "/version")["gitVersion"].startswith("v1.")


@pytest.mark.parametrize("name", [controller.LEASE, f"{names.REPLICA_LEASE_PREFIX}some-pod"])
def test_leases_of_our_namespace_are_its_own(ours: Api, name: str) -> None:
    lease: Object = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": name}}
    made = ours.call("POST", LEASES, lease)
    assert ours.call("GET", f"{LEASES}/{name}")["metadata"]["uid"] == made["metadata"]["uid"]
    ours.call("PUT", f"{LEASES}/{name}", {**made, "spec": {"holderIdentity": "me"}})
    assert name in [each["metadata"]["name"] for each in ours.call("GET", LEASES)["items"]]
    ours.call("DELETE", f"{LEASES}/{name}")


def test_its_secret_is_its_own(ours: Api) -> None:
    secret: Object = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": names.TLS_SECRET}, "type": "Opaque"}
    made = ours.call("POST", SECRETS, secret)
    ours.call("PUT", f"{SECRETS}/{names.TLS_SECRET}", {**made, "data": {"ca.crt": "eA=="}})
    assert ours.call("GET", f"{SECRETS}/{names.TLS_SECRET}")["data"] == {"ca.crt": "eA=="}


def test_it_may_read_what_it_tells_of_and_tell_it(ours: Api) -> None:
    found = ours.call("GET", f"/apis/apps/v1/namespaces/{controller.NAMESPACE}/deployments/{names.DEPLOYMENT}")
    about = {"kind": "Deployment", "apiVersion": "apps/v1", **{k: found["metadata"][k] for k in ("name", "uid")}}
    event: Object = {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"generateName": "told-"},
        "involvedObject": {**about, "namespace": controller.NAMESPACE},
    }
    assert ours.call("POST", f"{SYSTEM}/events", event)["metadata"]["uid"]


AS_ADMINISTRATOR: dict[str, tuple[str, str, Object | None]] = {
    **{
        name: CALLS[name]
        for name in ("delete a node", "create a node", "replace a node", "replace a node's status", "a node's proxy")
    },
    "cordon": ("PATCH", NODE, {"spec": {"unschedulable": True}}),
    "status": ("PATCH", f"{NODE}/status", {"status": {"allocatable": {"nvidia.com/gpu": "99"}}}),
    "labels by way of the status": ("PATCH", f"{NODE}/status", {"metadata": {"labels": {IMAGE: "warm"}}}),
    "delete all nodes": ("DELETE", "/api/v1/nodes", None),
}


@pytest.fixture(scope="module")
def administrator(place: Sandbox, ours: Api) -> Iterator[Api]:
    """The same account, after somebody bound it to cluster-admin."""
    name = "somebody-was-careless"
    subject = {"kind": "ServiceAccount", "name": controller.ACCOUNT, "namespace": controller.NAMESPACE}
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"}
    place.api.call("POST", BINDINGS, {"metadata": {"name": name}, "subjects": [subject], "roleRef": role})
    eventually(lambda: not refusal(lambda: ours.call("GET", NODE)), "grant")
    yield ours
    place.api.call("DELETE", f"{BINDINGS}/{name}")
    eventually(lambda: refusal(lambda: ours.call("GET", NODE)), "end of the grant")


@pytest.mark.parametrize("call", AS_ADMINISTRATOR)
def test_the_policy_holds_whatever_rbac_grants(administrator: Api, place: Sandbox, call: str) -> None:
    method, path, body = AS_ADMINISTRATOR[call]
    before = place.api.call("GET", NODE)
    if method == "PATCH":
        assert body is not None
        said = refusal(lambda: administrator.patch(path, body))
    elif method == "PUT":
        said = refusal(lambda: administrator.call(method, path, changed(before)))
    else:
        said = refusal(lambda: administrator.call(method, path, body))
    assert re.search(r"ValidatingAdmissionPolicy '[^']+' .* denied request: the service account", said)
    assert place.api.call("GET", NODE)["spec"] == before["spec"]


def changed(found: Object) -> Object:
    """The node as a client that read it would put it back, cordoned and with more room."""
    status = {**found["status"], "allocatable": {**found["status"]["allocatable"], "nvidia.com/gpu": "99"}}
    return {**found, "spec": {**found["spec"], "unschedulable": True}, "status": status}


def test_other_things_remain_an_administrators(administrator: Api) -> None:
    """The policy is about nodes: it does not stand in the way of whoever else is to use the account."""
    assert administrator.call("POST", "/api/v1/namespaces", {"metadata": {"name": "made-by-us"}}, dryRun="All")
