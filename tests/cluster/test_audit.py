"""The same 60 pods without Warmpod, through Audit, and through Enforce: Audit changes nothing and says it all."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from click.testing import CliRunner

from tests.cluster import pods
from tests.cluster.conftest import MakeNamespace
from webhook.cli.main import main
from webhook.kube import Object, names, patch
from webhook.policy.model import Mode
from webhook.report.record import Recorded, decided
from webhook.sandbox.sandbox import Sandbox
from webhook.sources.records import read

pytestmark = pytest.mark.cluster

COUNT = 60
SECRET = "planted-secret-9f3c"
VARIETIES: tuple[dict[str, Any], ...] = (
    {},
    {"nodeSelector": {"kubernetes.io/os": "linux"}},
    {"tolerations": [{"key": "nvidia.com/gpu", "operator": "Exists"}]},
    {"hostNetwork": True},
    {"initContainers": [{"name": "first", "image": "busybox", "command": ["sh", "-c", f"PASSWORD={SECRET} run"]}]},
    {
        "affinity": {
            "nodeAffinity": {
                "requiredDuringSchedulingIgnoredDuringExecution": {
                    "nodeSelectorTerms": [
                        {"matchExpressions": [{"key": "topology.kubernetes.io/zone", "operator": "Exists"}]}
                    ]
                }
            }
        }
    },
    {"volumes": [{"name": "dshm", "emptyDir": {"medium": "Memory"}}]},
    {"securityContext": {"runAsUser": 1000, "fsGroup": 2000}, "restartPolicy": "Never"},
    {"priorityClassName": "system-node-critical", "shareProcessNamespace": True},
    {"runtimeClassName": None, "terminationGracePeriodSeconds": 300},
)
CONTAINERS: tuple[dict[str, Any], ...] = (
    {},
    {"args": ["serve", f"--model={pods.MODEL}", "--api-key", SECRET]},
    {"env": [{"name": "HF_TOKEN", "value": SECRET}, {"name": "MODEL", "value": pods.MODEL.rstrip("/")}]},
    {"env": [{"name": "AWS_RETRY_MODE", "value": "adaptive"}, {"name": "OTHER", "value": SECRET}]},
    {"image": pods.OTHER_IMAGE, "securityContext": pods.RESTRICTED},
    {"env": [{"name": "POD", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}], "imagePullPolicy": "Always"},
)
MODELS = (pods.MODEL, None, "s3://acme-models/other/", "s3://somebody-elses/model/")
LABELS: tuple[dict[str, str], ...] = ({}, {"app": "required"}, {"app": "gemma-server"})


def varied() -> list[Object]:
    """60 pods of which no two are alike, none of which is ever scheduled: their nodes stay as they are."""
    made = []
    for number in range(COUNT):
        document = pods.pod(
            f"pod-{number}",
            model=MODELS[number // len(CONTAINERS) % len(MODELS)],
            labels=dict(LABELS[number % len(LABELS)]),
            **pods.NOBODY,
            **{key: value for key, value in VARIETIES[number % len(VARIETIES)].items() if value is not None},
        )
        document["spec"]["containers"] = [pods.container(**CONTAINERS[number % len(CONTAINERS)])]
        if number % 7 == 3:
            document["spec"]["containers"].append({"name": "logs", "image": "busybox"})
        if number % 15 == 14:
            document["spec"]["containers"][0]["resources"] = {"limits": {"google.com/tpu": "4"}}
        made.append(document)
    return made


class Passes(NamedTuple):
    """What the API server stored in each pass, and what was recorded in the two with Warmpod; by the pods' names."""

    without: dict[str, Object]
    audited: dict[str, Object]
    enforced: dict[str, Object]
    audit_records: dict[str, Recorded]
    enforce_records: dict[str, Recorded]
    reviews_without: int


@pytest.fixture(scope="module")
def passes(box: Sandbox, make_namespace: MakeNamespace, records: Path) -> Passes:
    namespace = make_namespace("sixty", {names.LABEL_NAMESPACE_MODE: "Off"})
    before = box.webhook.reviews()
    without = stored(box, namespace)
    reviews = box.webhook.reviews() - before
    relabel(box, namespace, "Audit")
    pods.eventually(lambda: asked(box, namespace), "review of the namespace in Audit", 60)
    audited = stored(box, namespace)
    relabel(box, namespace, None)
    pods.eventually(lambda: is_enforced(box, namespace), "change in the namespace", 60)
    enforced = stored(box, namespace)

    def recorded() -> list[Recorded]:
        found = [each for each in read(records) if each.request.namespace == namespace and not each.is_again]
        return found if len(found) >= 2 * COUNT else []

    both: list[Recorded] = pods.eventually(recorded, "records of all pods", 60)
    assert len(both) == 2 * COUNT, "dry runs leave none, and second looks say that they are"
    by_mode = {
        cap: {each.request.name: each for each in both if each.facts.mode_cap is cap}
        for cap in (Mode.AUDIT, Mode.ENFORCE)
    }
    return Passes(without, audited, enforced, by_mode[Mode.AUDIT], by_mode[Mode.ENFORCE], reviews)


def stored(box: Sandbox, namespace: str) -> dict[str, Object]:
    """Create all pods and delete them again; what the API server answered to each creation."""
    found = {}
    for document in varied():
        found[document["metadata"]["name"]] = pods.create(box, namespace, document)
    path = f"/api/v1/namespaces/{namespace}/pods"
    box.api.call("DELETE", path, {"gracePeriodSeconds": 0})
    pods.eventually(lambda: not pods.listed(box, namespace), "end of the pods", 60)
    return found


def relabel(box: Sandbox, namespace: str, mode: str | None) -> None:
    box.api.patch(f"/api/v1/namespaces/{namespace}", {"metadata": {"labels": {names.LABEL_NAMESPACE_MODE: mode}}})
    box.take_stock()


def asked(box: Sandbox, namespace: str) -> bool:
    """Whether the API server asks the webhook about a pod of the namespace."""
    before = box.webhook.reviews()
    pods.create(box, namespace, pods.pod("probe"), dryRun="All")
    return box.webhook.reviews() > before


def is_enforced(box: Sandbox, namespace: str) -> bool:
    return bool(pods.hydrators(pods.create(box, namespace, pods.pod("probe"), dryRun="All")))


def as_sent_to_disk(document: Object) -> str:
    """The pod without what the API server makes anew for every pod."""
    metadata = {
        key: value
        for key, value in document["metadata"].items()
        if key not in ("uid", "creationTimestamp", "resourceVersion", "managedFields")
    }
    text = json.dumps({**document, "metadata": metadata}, sort_keys=True)
    return re.sub(r"kube-api-access-[a-z0-9]{5}", "kube-api-access-token", text)


def without_snapshot(operations: list[Object]) -> str:
    """A patch without the snapshot's id, which labels of namespaces are part of."""
    return re.sub(r"inventory=[^ \"]+", "inventory=any", json.dumps(operations, sort_keys=True))


def test_the_pods_are_of_many_kinds(passes: Passes) -> None:
    assert len({as_sent_to_disk(document) for document in passes.without.values()}) == COUNT
    assert passes.reviews_without == 0, "the first pass was to be one without Warmpod"
    would = [each for each in passes.audit_records.values() if each.decision["wouldPatch"]]
    assert 45 <= len(would) < COUNT
    assert len({without_snapshot(each.decision["wouldPatch"]) for each in would}) > 30


def test_under_audit_the_stored_pods_are_those_without_warmpod(passes: Passes) -> None:
    for name, document in passes.without.items():
        assert as_sent_to_disk(passes.audited[name]) == as_sent_to_disk(document)
        assert names.ANNOTATION_DECISION not in document["metadata"].get("annotations", {})
        assert not pods.hydrators(document)


def test_what_audit_would_have_done_is_what_enforce_did(passes: Passes) -> None:
    changed = 0
    for name, audit in passes.audit_records.items():
        enforce = passes.enforce_records[name]
        assert audit.decision["patch"] == []
        assert without_snapshot(audit.decision["wouldPatch"]) == without_snapshot(enforce.decision["patch"]), name
        assert audit.decision["wouldSecondsSaved"] == enforce.decision["secondsSaved"]
        told, done = (
            [(v["name"], v["result"], v["reason"]) for v in each.decision["policies"]] for each in (audit, enforce)
        )
        assert told == done
        changed += bool(enforce.decision["patch"])
    assert changed >= 45


def test_what_is_recorded_as_done_was_stored(passes: Passes) -> None:
    for name, record in passes.enforce_records.items():
        made = decided(record).pod
        assert made is not None
        kept, done = passes.enforced[name], bool(record.decision["patch"])
        assert (names.ANNOTATION_DECISION in kept["metadata"].get("annotations", {})) is done
        assert (as_sent_to_disk(kept) != as_sent_to_disk(passes.without[name])) is done
        assert _names(kept, "volumes") == _names(made, "volumes")
        assert _names(kept, "initContainers") == _names(made, "initContainers")
        for ours, theirs in zip(made["spec"]["containers"], kept["spec"]["containers"], strict=True):
            assert [each["name"] for each in ours.get("env", [])] == [each["name"] for each in theirs.get("env", [])]
            assert ours.get("args") == theirs.get("args") or SECRET in str(theirs["args"])
        assert patch.equal(made["spec"].get("affinity"), kept["spec"].get("affinity"))


def _names(document: Object, field: str) -> list[str]:
    return [each["name"] for each in document["spec"].get(field, [])]


def test_no_secret_of_the_pods_was_recorded(passes: Passes, records: Path) -> None:
    assert SECRET in json.dumps(passes.enforced)
    assert all(SECRET.encode() not in file.read_bytes() for file in records.iterdir())
    assert any(b"redacted:" in file.read_bytes() for file in records.glob("*.jsonl"))


def test_every_record_of_this_cluster_replays(passes: Passes, records: Path, policies: Path) -> None:
    """Those of all tests before this one, too."""
    del passes
    result = CliRunner().invoke(
        main,
        ["replay", str(records), f"--policies={policies}", "--fail-on=unfaithful,laws", "--output=json", "--jobs=1"],
    )
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert found["admissions"] >= 2 * COUNT
    assert found["auditEqualsEnforce"] == {"proven": found["admissions"], "of": found["admissions"]}
    assert found["reproduced"]["same"] == found["reproduced"]["comparable"] > 0
