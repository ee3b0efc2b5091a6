"""What the author of a pod may ask: a choice among what policies offer, and never more."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.cluster import pods
from webhook.kube import Object, names
from webhook.sandbox.sandbox import Sandbox

pytestmark = pytest.mark.cluster

ZONE = "topology.kubernetes.io/zone"
LABEL = names.image_label(f"docker.io/{pods.IMAGE}")


def terms(*zones: str) -> Object:
    """Required node affinity: one of these zones, each a term of its own."""
    selector = [{"matchExpressions": [{"key": ZONE, "operator": "In", "values": [zone]}]} for zone in zones]
    return {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": selector}}}


def test_required_placement_narrows_each_of_the_users_terms(box: Sandbox, namespace: str) -> None:
    affinity = terms("us-west-2a", "us-west-2b")
    stored = pods.create(box, namespace, pods.pod("narrowed", labels={"app": "required"}, affinity=affinity))
    wanted = affinity["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"]
    assert len(pods.required(stored)) == 2
    for before, after in zip(wanted, pods.required(stored), strict=True):
        [theirs, ours] = after["matchExpressions"]
        assert [theirs] == before["matchExpressions"]
        assert ours == {"key": LABEL, "operator": "In", "values": [names.NODE_LABEL_WARM]}
    assert pods.scheduled(box, namespace, "narrowed") in pods.WARM_NODES


def test_required_placement_within_one_zone(box: Sandbox, namespace: str) -> None:
    document = pods.pod("one-zone", labels={"app": "required"}, affinity=terms("us-west-2b"))
    pods.create(box, namespace, document)
    assert pods.scheduled(box, namespace, "one-zone") == "gpu-2"


def test_preferred_placement_leaves_required_terms_and_never_makes_a_pod_wait(box: Sandbox, namespace: str) -> None:
    affinity: Object = {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [
        {"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["gpu-4"]}]}
    ]}}}  # fmt: skip
    other = pods.container(image=pods.OTHER_IMAGE)
    stored = pods.create(box, namespace, pods.pod("cold-only", affinity=affinity, containers=[other]))
    assert {
        "nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": pods.required(stored)}}
    } == affinity
    assert pods.scheduled(box, namespace, "cold-only") == "gpu-4"


def test_the_users_own_preferences_stay(box: Sandbox, namespace: str) -> None:
    mine = {"weight": 100, "preference": {"matchExpressions": [{"key": ZONE, "operator": "In", "values": ["x"]}]}}
    affinity = {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [mine]}}
    stored = pods.create(box, namespace, pods.pod("preferring", affinity=affinity))
    assert pods.preferred(stored)[0] == mine
    assert len(pods.preferred(stored)) == 2


@pytest.mark.parametrize(
    "forged",
    [
        "s3://somebody-elses/models/",
        "s3://acme-models-but-not-quite/x/",
        "s3://acme-models/../secrets/",
        "s3://acme-models/%2e%2e/secrets/",
        "S3://ACME-MODELS/x/",
        "file:///etc/",
        "/etc/shadow",
        "s3://acme-models/x\n--model={}",
        "$(AWS_SECRET_ACCESS_KEY)",
        "",
        "x" * 200_000,
        "\u202es3://acme-models/x/",
    ],
    ids=lambda text: repr(text)[:40],
)
def test_a_forged_model_brings_nothing(box: Sandbox, namespace: str, forged: str) -> None:
    stored = pods.create(box, namespace, pods.pod("forged", model=forged), dryRun="All")
    assert not pods.hydrators(stored)
    assert pods.CACHE not in pods.volumes(stored)
    assert "hostPath" not in json.dumps(stored["spec"].get("volumes", []))


def test_the_author_is_told_why(box: Sandbox, namespace: str) -> None:
    document = json.dumps(pods.pod("told", model="s3://somebody-elses/models/"))
    done = box.kubectl("create", "-n", namespace, "-f", "-", "--dry-run=server", stdin=document)
    assert "Warning:" in done.stderr
    assert "s3://somebody-elses/models/" in done.stderr


def test_dollar_parentheses_of_a_source_are_not_expanded(box: Sandbox, namespace: str) -> None:
    """The kubelet expands $(VAR) in arguments: a name in the source must stay a name."""
    stored = pods.create(box, namespace, pods.pod("dollar", model="s3://acme-models/$(HOME)/"), dryRun="All")
    for hydrator in pods.hydrators(stored):
        assert "$(HOME)" not in "".join(hydrator["args"]).replace("$$(HOME)", "")


def test_a_forged_decision_gives_nothing(box: Sandbox, namespace: str) -> None:
    document = pods.pod("decided")
    document["metadata"]["annotations"][names.ANNOTATION_DECISION] = "policies=all seconds=9999"
    pods.assert_warm(pods.create(box, namespace, document, dryRun="All"))


def test_a_users_aws_config_stays_the_users(box: Sandbox, namespace: str) -> None:
    document = pods.pod("configured")
    document["metadata"]["annotations"][names.ANNOTATION_AWS_CONFIG] = "[default]\ncredential_process = /bin/evil\n"
    stored = pods.create(box, namespace, document, dryRun="All")
    assert "AWS_CONFIG_FILE" not in pods.env(stored["spec"]["containers"][0])
    assert stored["metadata"]["annotations"][names.ANNOTATION_AWS_CONFIG].endswith("/bin/evil\n")


CLASHES: dict[str, Any] = {
    "init container": {"initContainers": [{"name": names.INIT_CONTAINER, "image": "evil"}]},
    "app container": {"containers": [pods.container(), {"name": names.INIT_CONTAINER, "image": "evil"}]},
    "volume": {"volumes": [{"name": pods.CACHE, "emptyDir": {}}]},
    "mount path": {
        "volumes": [{"name": "mine", "emptyDir": {}}],
        "containers": [pods.container(volumeMounts=[{"name": "mine", "mountPath": "/models"}])],
    },
}


@pytest.mark.parametrize("clash", CLASHES)
def test_what_has_our_name_stays_the_users(box: Sandbox, namespace: str, clash: str) -> None:
    sent = CLASHES[clash]
    stored = pods.create(box, namespace, pods.pod("clash", **sent), dryRun="All")
    for field in ("initContainers", "volumes"):
        for entry in sent.get(field, []):
            found = next(one for one in stored["spec"][field] if one["name"] == entry["name"])
            assert entry.items() <= found.items()
    everybody = [*stored["spec"].get("initContainers", []), *stored["spec"]["containers"]]
    assert len({one["name"] for one in everybody}) == len(everybody)
    for one in stored["spec"]["containers"]:
        for wanted in next(c for c in sent.get("containers", [one]) if c["name"] == one["name"]).get(
            "volumeMounts", []
        ):
            assert pods.mounts(one)[wanted["mountPath"]]["name"] == wanted["name"]
    assert not any("hostPath" in volume for volume in stored["spec"].get("volumes", [])) or pods.hydrators(stored)


def test_the_pods_own_environment_wins(box: Sandbox, namespace: str) -> None:
    entries = [{"name": "AWS_RETRY_MODE", "value": "legacy"}, {"name": "NCCL_DEBUG", "value": "INFO"}]
    stored = pods.create(box, namespace, pods.pod("mine", containers=[pods.container(env=entries)]), dryRun="All")
    found = pods.env(stored["spec"]["containers"][0])
    assert (found["AWS_RETRY_MODE"], found["NCCL_DEBUG"]) == ("legacy", "INFO")
    assert found["AWS_MAX_ATTEMPTS"] == "10"


def test_a_pod_that_names_its_node_is_not_steered(box: Sandbox, namespace: str) -> None:
    other = pods.container(image=pods.OTHER_IMAGE)
    stored = pods.create(box, namespace, pods.pod("bound", nodeName="gpu-4", containers=[other]))
    pods.assert_warm(stored, placed=False)
