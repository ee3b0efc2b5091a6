"""What a namespace says about its pods: excluded, quiet, restricted, limited."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from tests.cluster import pods
from webhook.kube import Object, names
from webhook.sandbox.api import RefusedRequest
from webhook.sandbox.sandbox import Sandbox

pytestmark = pytest.mark.cluster

CLEAN: Object = {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}


def clean_pod(name: str, **fields: Any) -> Object:
    """A GPU pod that the restricted level admits."""
    return pods.pod(name, containers=[pods.container(securityContext=pods.RESTRICTED, **fields)], securityContext=CLEAN)


def decisions(box: Sandbox, namespace: str) -> list[dict[str, Any]]:
    """What the webhook logged for pods of a namespace."""
    lines = box.webhook.process.log.read_text().splitlines()
    entries = [json.loads(line) for line in lines if line.startswith("{")]
    return [entry for entry in entries if entry.get("message") == "decision" and entry.get("namespace") == namespace]


@pytest.mark.parametrize("namespace", ["kube-system", "kube-node-lease", "warmpod-system"])
def test_excluded_namespaces_are_untouched(box: Sandbox, namespace: str) -> None:
    reviews = box.webhook.reviews()
    stored = pods.create(box, namespace, clean_pod("gpu"), dryRun="All")
    pods.assert_untouched(stored)
    assert box.webhook.reviews() == reviews


def test_mode_off_is_not_even_asked(box: Sandbox, make_namespace: Any) -> None:
    namespace = make_namespace("off", {names.LABEL_NAMESPACE_MODE: "Off"})
    reviews = box.webhook.reviews()
    pods.assert_untouched(pods.create(box, namespace, pods.pod("gpu", **pods.NOBODY)))
    assert box.webhook.reviews() == reviews


def test_mode_audit_computes_everything_and_changes_nothing(box: Sandbox, make_namespace: Any) -> None:
    namespace = make_namespace("audit", {names.LABEL_NAMESPACE_MODE: "Audit"})
    pods.assert_untouched(pods.create(box, namespace, pods.pod("gpu", **pods.NOBODY)))
    entry = pods.eventually(lambda: decisions(box, namespace), "decision in the log")[0]
    assert entry["outcome"] == "audit"
    assert entry["operations"] == 0
    assert entry["wouldOperations"] > 0
    assert entry["wouldSecondsSaved"] > 0


def test_the_label_holds_from_the_moment_it_is_set(box: Sandbox, make_namespace: Any) -> None:
    """No cache of ours stands between: the API server itself routes by the label."""
    namespace = make_namespace("switched")
    pods.assert_warm(pods.create(box, namespace, pods.pod("before")))
    box.kubectl("label", "namespace", namespace, f"{names.LABEL_NAMESPACE_MODE}=Audit")
    # The API server reads namespaces by a watch of its own.
    pods.eventually(lambda: not pods.hydrators(pods.create(box, namespace, pods.pod("between"), dryRun="All")), "audit")
    pods.assert_untouched(pods.create(box, namespace, pods.pod("after", **pods.NOBODY)))


def test_a_restricted_namespace_gets_the_fallback_volume(box: Sandbox, make_namespace: Any) -> None:
    namespace = make_namespace("restricted", {names.LABEL_POD_SECURITY_ENFORCE: "restricted"})
    stored = pods.create(box, namespace, clean_pod("gpu"))
    pods.assert_warm(stored)
    assert pods.volumes(stored)[pods.CACHE] == {"name": pods.CACHE, "emptyDir": {"sizeLimit": "200Gi"}}
    [hydrator] = pods.hydrators(stored)
    assert hydrator["securityContext"]["runAsNonRoot"] is True
    assert hydrator["securityContext"]["runAsUser"] == 65532


def test_an_unlabelled_namespace_shares_the_nodes_disk(box: Sandbox, namespace: str) -> None:
    stored = pods.create(box, namespace, pods.pod("shared"))
    assert pods.volumes(stored)[pods.CACHE]["hostPath"]["path"] == "/mnt/k8s-disks/0/warmpod"
    [hydrator] = pods.hydrators(stored)
    assert f"namespaces/{namespace}" in json.dumps(hydrator["volumeMounts"])
    assert pods.mounts(stored["spec"]["containers"][0])["/models"]["subPath"].startswith(f"namespaces/{namespace}/")


def test_a_baseline_namespace_gets_the_fallback_volume(box: Sandbox, make_namespace: Any) -> None:
    namespace = make_namespace("baseline", {names.LABEL_POD_SECURITY_ENFORCE: "baseline"})
    stored = pods.create(box, namespace, pods.pod("gpu"))
    pods.assert_warm(stored)
    assert "hostPath" not in json.dumps(stored["spec"]["volumes"])


def test_a_quota_that_fits_the_pod_fits_the_warm_pod(box: Sandbox, make_namespace: Any) -> None:
    namespace = make_namespace("quota")
    hard = {"requests.cpu": "2", "limits.cpu": "2", "requests.memory": "4Gi", "limits.memory": "4Gi"}
    quota = {"requests.nvidia.com/gpu": "1", "pods": "1", **hard}
    make(box, namespace, "ResourceQuota", {"hard": quota})
    pods.eventually(lambda: status(box, namespace, "resourcequotas").get("hard"), "quota in force")
    pods.assert_warm(pods.create(box, namespace, pods.pod("gpu")))
    assert status(box, namespace, "resourcequotas")["used"] == quota
    with pytest.raises(RefusedRequest, match="exceeded quota"):
        pods.create(box, namespace, pods.pod("one-too-many"))


@pytest.mark.parametrize(
    ("name", "limits", "resources"),
    [
        ("defaults", [{"type": "Container", "default": {"cpu": "1"}, "defaultRequest": {"cpu": "500m"}}], {}),
        (
            "bounds",
            [{"type": "Container", "min": {"cpu": "2", "memory": "4Gi"}, "max": {"cpu": "2", "memory": "4Gi"}}],
            {"cpu": "2", "memory": "4Gi"},
        ),
        ("whole-pod", [{"type": "Pod", "max": {"cpu": "2", "memory": "4Gi"}}], {"cpu": "2", "memory": "4Gi"}),
        (
            "ratio",
            [{"type": "Container", "maxLimitRequestRatio": {"cpu": "1"}}],
            {"cpu": "2"},
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_limit_ranges_admit_the_warm_pod(
    box: Sandbox, make_namespace: Any, name: str, limits: list[Object], resources: dict[str, str]
) -> None:
    namespace = make_namespace(f"limits-{name}")
    make(box, namespace, "LimitRange", {"limits": limits})
    document = pods.pod("gpu", containers=[pods.container(resources={"limits": {**resources, "nvidia.com/gpu": "1"}})])
    if name == "defaults":
        # The range is in force once it fills in what a pod leaves out.
        pods.eventually(
            lambda: pods.create(box, namespace, document, dryRun="All")["spec"]["containers"][0]["resources"][
                "limits"
            ].get("cpu"),
            "default",
        )
    stored = pods.create(box, namespace, document)
    pods.assert_warm(stored)
    [hydrator] = pods.hydrators(stored)
    app = stored["spec"]["containers"][0]["resources"]
    assert hydrator["resources"].get("limits", {}).get("cpu") == app["limits"].get("cpu")
    assert hydrator["resources"].get("requests", {}).get("cpu") == app["requests"].get("cpu")


def test_labels_of_a_namespace_select_policies(box: Sandbox, make_namespace: Any) -> None:
    serving = pods.create(box, make_namespace("serving", {"tier": "serving"}), pods.pod("gpu"))
    other = pods.create(box, make_namespace("batch", {"tier": "batch"}), pods.pod("gpu"))
    assert pods.env(serving["spec"]["containers"][0])["TIER"] == "serving"
    assert "TIER" not in pods.env(other["spec"]["containers"][0])


def make(box: Sandbox, namespace: str, kind: str, spec: Object) -> None:
    path = f"/api/v1/namespaces/{namespace}/{kind.lower()}s"
    box.api.call("POST", path, {"apiVersion": "v1", "kind": kind, "metadata": {"name": "it"}, "spec": spec})


def status(box: Sandbox, namespace: str, resource: str) -> Object:
    found: Object = box.api.call("GET", f"/api/v1/namespaces/{namespace}/{resource}/it").get("status", {})
    return found


def test_pods_without_an_accelerator_are_not_asked_about(box: Sandbox, namespace: str) -> None:
    reviews = box.webhook.reviews()
    limits: Object = {"resources": {"limits": {"cpu": "1", "vendor.example/gpu": "1"}}}
    pods.assert_untouched(
        pods.create(box, namespace, pods.pod("cpu", containers=[pods.container(**limits)], **pods.NOBODY))
    )
    box.kubectl("label", "pod", "cpu", "-n", namespace, "team=a")
    assert box.webhook.reviews() == reviews


@pytest.mark.parametrize(
    "resource",
    ["nvidia.com/gpu", "nvidia.com/mig-1g.5gb", "amd.com/gpu", "aws.amazon.com/neuroncore", "google.com/tpu"],
)
def test_every_kind_of_accelerator_is_asked_about(box: Sandbox, namespace: str, resource: str) -> None:
    reviews = box.webhook.reviews()
    limits: Object = {"resources": {"limits": {resource: "1"}}}
    pods.create(box, namespace, pods.pod("some", containers=[pods.container(**limits)]), dryRun="All")
    assert box.webhook.reviews() > reviews


def test_a_resource_claim_is_asked_about(box: Sandbox, namespace: str) -> None:
    """Only the inventory knows which device class a claim is of, so the API server sends every pod that has one."""
    reviews = box.webhook.reviews()
    claims = [{"name": "gpu", "resourceClaimTemplateName": "single-gpu"}]
    wanted: Object = {"resources": {"claims": [{"name": "gpu"}]}}
    document = pods.pod("claiming", resourceClaims=claims, containers=[pods.container(**wanted)])
    stored = pods.create(box, namespace, document, dryRun="All")
    assert box.webhook.reviews() > reviews
    assert stored["spec"]["resourceClaims"] == claims


def test_an_accelerator_of_an_init_container_counts(box: Sandbox, namespace: str) -> None:
    reviews = box.webhook.reviews()
    plain = {"name": "app", "image": "app"}
    document = pods.pod("init", containers=[plain], initContainers=[pods.container("warm-up")])
    stored = pods.create(box, namespace, document, dryRun="All")
    assert box.webhook.reviews() > reviews
    assert stored["spec"]["containers"][0]["name"] == "app"


def test_the_skip_annotation_is_seen_by_the_api_server(box: Sandbox, namespace: str) -> None:
    reviews = box.webhook.reviews()
    document = pods.pod("skip")
    document["metadata"]["annotations"][names.ANNOTATION_SKIP] = "true"
    stored = pods.create(box, namespace, document, dryRun="All")
    assert not pods.hydrators(stored)
    assert not re.search(r"warmpod-", json.dumps(stored["spec"]))
    assert box.webhook.reviews() == reviews
