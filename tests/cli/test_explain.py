"""`warmpod explain` without a cluster: pods as kubectl has them, policies and an inventory from files."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result
from hypothesis import given, settings
from hypothesis import strategies as st

from tests import builders, strategies
from webhook.admission import admit
from webhook.cli import explained, live, shipped
from webhook.cli.explain_evidence import Found, evidence
from webhook.cli.main import main
from webhook.doctor.evidence import Seen
from webhook.inventory.model import Inventory, NodeRoom
from webhook.inventory.report import seconds
from webhook.inventory.snapshot_writing import encode
from webhook.kube import Object, names
from webhook.report import explanation

SECRET = "AKIAIOSFODNN7EXAMPLE"
POLICIES = f"""{builders.policy(name="serving")}
---
kind: WarmPolicy
apiVersion: warmpod.dev/v1alpha1
metadata: {{name: triton}}
spec:
  mode: Enforce
  variables:
    - name: images
      expression: object.spec.containers.map(c, c.image)
  matchConditions:
    - name: runs-triton
      expression: |-
        variables.images.exists(i, i.contains('triton')) ||
        object.spec.containers.exists(c, has(c.env) && c.env.exists(e, e.name == 'SERVER' && e.value == 'triton'))
  env: [{{name: TRITON, value: "1"}}]
---
kind: WarmPolicy
apiVersion: warmpod.dev/v1alpha1
metadata: {{name: tiered}}
spec:
  mode: Audit
  match: {{namespaceSelector: {{matchLabels: {{tier: serving}}}}}}
  env: [{{name: TIER, value: serving}}]
{builders.NODE_CACHE}{builders.CLIENT_PROFILE}"""
ENV = [
    {"name": "SERVER", "value": "vllm"},
    {"name": "AWS_SECRET_ACCESS_KEY", "value": "hunter2hunter2"},
    {"name": "OPTIONS", "value": f"key={SECRET}"},
]


@pytest.fixture
def world(tmp_path: Path) -> Path:
    (tmp_path / "policies.yaml").write_text(POLICIES)
    (tmp_path / "snapshot.json").write_bytes(encode(builders.inventory(labels={})))
    return tmp_path


def explain(world: Path, pod: Object, *arguments: str, placed: bool = True) -> Result:
    snapshot = ("--inventory", str(world / "snapshot.json")) if placed else ()
    return CliRunner().invoke(
        main,
        ["explain", "-f", "-", "--policies", str(world / "policies.yaml"), *snapshot, *arguments],
        input=yaml.safe_dump({"apiVersion": "v1", "kind": "Pod", **pod}),
    )


def item(world: Path, pod: Object, *arguments: str) -> dict[str, Any]:
    result = explain(world, pod, "--output", "json", *arguments)
    assert result.exit_code == 0, result.stderr
    found: dict[str, Any] = json.loads(result.stdout)["items"][0]
    return found


def changed(pod: Object, **status: Any) -> Object:
    """The pod as an API server has it after Warmpod changed it."""
    after = copy.deepcopy(admit(builders.request(pod), builders.facts(builders.policy(name="serving"))).pod)
    assert after is not None
    after["metadata"] |= {"uid": "u", "creationTimestamp": "2026-11-22T02:07:50Z", "namespace": "default"}
    after["spec"]["nodeName"] = "gpu-1"
    after["status"] = {"phase": "Running", **status}
    return after


def hydrated(result: str, seconds: int) -> Object:
    message = json.dumps({"schema": 1, "result": result, "models": []})
    ended = {"startedAt": "2026-11-22T02:08:00Z", "finishedAt": f"2026-11-22T02:08:{seconds:02}Z", "exitCode": 0}
    return {
        "initContainerStatuses": [
            {"name": names.INIT_CONTAINER, "state": {"terminated": {**ended, "message": message}}}
        ]
    }


def policy(found: dict[str, Any], name: str) -> dict[str, Any]:
    return next(one for one in found["policies"] if one["name"] == name)


@pytest.mark.parametrize(
    ("result", "seconds", "words"),
    [
        ("hit", 1, "warm: the model was in its cache"),
        ("downloaded", 40, "cold for the model: hydrated the model in 40 s"),
    ],
)
def test_a_pod_that_was_changed(result: str, seconds: int, words: str, world: Path) -> None:
    sent = builders.gpu_pod(args=["--model", builders.MODEL], env=ENV)
    found = item(world, changed(sent, **hydrated(result, seconds)))
    assert found["state"] == "changed"
    assert found["headline"].startswith("changed by Warmpod (policies serving); it runs on gpu-1, ")
    assert words in found["headline"]
    assert found["signature"]["policies"] == ["serving"]
    assert {"placement", "hydration", "redirect", "awsConfig"} <= set(found["injected"]["parts"])
    assert found["since"] == []
    assert found["life"]["hydration"]["seconds"] == seconds
    assert policy(found, "serving")["signed"] is True


def test_what_preview_prints_is_a_pod_that_was_changed(world: Path) -> None:
    after = changed(builders.gpu_pod(args=["--model", builders.MODEL], env=ENV))
    for field in ("uid", "creationTimestamp", "namespace"):
        del after["metadata"][field]
    del after["status"], after["spec"]["nodeName"]
    found = item(world, after, "-n", "default")
    assert found["since"] == [], "created now it would be given the same"
    assert {"placement", "hydration", "redirect", "awsConfig"} <= set(found["injected"]["parts"])


def test_the_namespace_is_that_of_the_command_line_where_the_manifest_says_none(world: Path) -> None:
    assert explain(world, builders.gpu_pod(), "-n", "prod").stdout.startswith("pod prod/llm-0: ")
    assert item(world, builders.gpu_pod(), "-n", "prod")["namespace"] == "prod"


@pytest.mark.parametrize(
    ("full", "words"),
    [(False, "warmth is a preference that other scores may outweigh"), (True, "where there is no room now")],
    ids=["room", "full"],
)
def test_a_pod_that_came_to_a_cold_node_beside_warm_ones(full: bool, words: str, world: Path) -> None:
    if full:
        rooms = [NodeRoom(f"gpu-{index}", {builders.GPU: (8, 0)}) for index in range(4)]
        made = Inventory(id="test", nodes=rooms, artifacts=builders.inventory().artifacts, labels={})
        (world / "snapshot.json").write_bytes(encode(made))
    found = item(world, changed(builders.gpu_pod(), **hydrated("downloaded", 40)))
    (advice,) = found["advice"]
    assert advice.startswith(f"model {builders.MODEL} is on gpu-2, too")
    assert words in advice


def test_what_is_not_as_it_was(world: Path) -> None:
    pod = changed(builders.gpu_pod())
    text = pod["metadata"]["annotations"][names.ANNOTATION_DECISION]
    pod["metadata"]["annotations"][names.ANNOTATION_DECISION] = text.replace("=test", "=older").replace(
        "policies=", "policies=gone,triton,"
    )
    since = item(world, pod)["since"]
    assert "policy gone is no longer there" in since
    assert "policy triton would no longer match: condition runs-triton is false" in since
    assert "the nodes hold other things than when it was decided (inventory older then, test now)" in since


def test_a_condition_is_told_with_what_it_read_and_without_secrets(world: Path) -> None:
    pod = builders.gpu_pod(None, env=ENV)
    result = explain(world, pod, "--namespace-labels", "tier=batch")
    assert result.exit_code == 0
    assert "skipped  triton (Enforce): condition runs-triton is false" in result.stdout
    assert "variables.images = object.spec.containers.map(c, c.image)" in result.stdout
    assert f'object.spec.containers[vllm].image: "{builders.IMAGE}"' in result.stdout
    assert 'object.spec.containers[vllm].env[SERVER].value: "vllm"' in result.stdout
    assert 'env[AWS_SECRET_ACCESS_KEY].value: "(not shown)"' in result.stdout
    assert 'label tier: "batch", wanted "serving"' in result.stdout
    for secret in ("hunter2", SECRET):
        assert secret not in result.output
        assert secret not in json.dumps(item(world, pod))


@pytest.mark.parametrize(
    ("edit", "state", "words"),
    [
        ({"containers": [builders.container(gpus=0)]}, "unreached", "asks-for-an-accelerator is false: no container"),
        ({}, "nothing", "Warmpod would change it: prefers warm nodes by 1 term"),
    ],
    ids=["no-accelerator", "would"],
)
def test_a_manifest(edit: Object, state: str, words: str, world: Path) -> None:
    found = item(world, builders.edited(builders.gpu_pod(None), **edit))
    assert found["state"] == state
    assert words in found["headline"]


@pytest.mark.parametrize(
    ("namespace", "labels", "words"),
    [
        ("kube-system", "a=b", "its namespaceSelector leaves out namespace kube-system"),
        ("x", "warmpod.dev/mode=Off", "namespace x, which is labelled warmpod.dev/mode=Off"),
    ],
)
def test_a_namespace_that_the_registration_leaves_out(namespace: str, labels: str, words: str, world: Path) -> None:
    found = item(world, builders.gpu_pod(), "-n", namespace, "--namespace-labels", labels)
    assert found["state"] == "unreached"
    assert words in found["headline"]


def test_its_author_said_no(world: Path) -> None:
    found = item(world, builders.gpu_pod(annotations={names.ANNOTATION_SKIP: "true"}))
    assert found["headline"].endswith(
        f"not-skipped-by-its-author is false: it bears the annotation {names.ANNOTATION_SKIP}"
    )


def test_audit_says_what_would_be(world: Path) -> None:
    found = item(world, builders.gpu_pod(), "--namespace-labels", "warmpod.dev/mode=Audit")
    assert found["state"] == "audited"
    assert "policy serving is in Audit, which would change it (prefers warm nodes" in found["headline"]


SHIPPED: Object = yaml.safe_load((shipped.manifests() / "base" / "mutatingwebhookconfiguration.yaml").read_text())


@pytest.mark.parametrize(
    ("available", "written", "words"),
    [
        ("09:00", "09:00", "the API server had no answer in time and let it pass"),
        ("10:05", "09:00", "the webhook has been available since 2026-11-22T10:05:00Z only"),
        ("09:00", "10:05", "the policies were changed after it was created"),
    ],
    ids=["no-answer", "webhook-later", "policies-later"],
)
def test_a_pod_that_should_have_been_changed(available: str, written: str, words: str) -> None:
    pod = builders.gpu_pod(None)
    pod["metadata"] |= {"uid": "u", "creationTimestamp": "2026-11-22T10:00:00Z", "namespace": "default"}
    pod["spec"]["nodeName"] = "gpu-3"
    pod["status"] = {"phase": "Running"}
    since = {"type": "Available", "status": "True", "lastTransitionTime": f"2026-11-22T{available}:00Z"}
    found = Found(
        pod,
        "default",
        {},
        is_live=True,
        installed=live.Installed(changed=seconds(f"2026-11-22T{written}:00Z")),
        registration=Seen(SHIPPED),
        deployment=Seen({"status": {"conditions": [since]}}),
    )
    told = explanation.explain(evidence(found, builders.facts()))
    assert told.state == "unanswered"
    assert words in told.headline
    assert told.headline.startswith("not changed, though created now it would be (prefers warm nodes")
    assert "`warmpod doctor` says whether pods created now are reviewed" in told.advice
    assert "pod default/llm-0: not changed, though" in explained.text(told)


_JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "metadata",
                    "spec",
                    "containers",
                    "initContainers",
                    "name",
                    "args",
                    "annotations",
                    "labels",
                    "conditions",
                ]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=25,
)


@settings(max_examples=30, deadline=None)
@given(strategies.sound_pods(), st.dictionaries(st.sampled_from(["metadata", "spec"]), _JUNK), _JUNK)
def test_bears_any_pod(sound: Object, garbage: Object, status: Any) -> None:
    facts = builders.facts()
    after = admit(builders.request(sound), facts).pod or sound
    for pod in ({**after, "status": status}, {**garbage, "status": status}):
        template = garbage if isinstance(status, dict) else sound
        found = Found(pod, "default", {}, is_live=True, registration=Seen(SHIPPED), template=template)
        told = explanation.explain(evidence(found, facts))
        assert explained.text(told)
        assert json.dumps(explained.as_json(told))


def test_a_failed_condition_does_not_quote_secrets(world: Path) -> None:
    failing = """---
kind: WarmPolicy
apiVersion: warmpod.dev/v1alpha1
metadata: {name: failing}
spec:
  mode: Enforce
  matchConditions: [{name: number, expression: "int(object.spec.containers[0].env[2].value) > 1"}]
"""
    (world / "policies.yaml").write_text(failing)
    result = explain(world, builders.gpu_pod(None, env=ENV))
    assert "errored  failing (Enforce): condition number: " in result.stdout
    assert SECRET not in result.output


def test_where_it_could_run_and_why_not_elsewhere(world: Path) -> None:
    node = {"key": "metadata.name", "operator": "NotIn", "values": ["gpu-1"]}
    required = {"nodeSelectorTerms": [{"matchFields": [node]}]}
    pod = builders.edited(
        builders.gpu_pod(),
        affinity={"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": required}},
    )
    found = item(world, pod)["nodes"]
    assert (found["nodes"], found["able"], found["roomy"], found["allowed"]) == (4, 3, 3, None)
    image, model = found["artifacts"]
    assert (image["warm"], image["passedOver"][0]["node"]) == (["gpu-0"], "gpu-1")
    assert image["passedOver"][0]["why"] == "the pod's required node affinity leaves it out"
    assert model["warm"] == ["gpu-2"]
    big = builders.edited(builders.gpu_pod(), containers=[builders.container(gpus=9)])
    told = explain(world, big).stdout
    assert "0 of 4 accelerator nodes could run it (9 nvidia.com/gpu); 0 have room" in told
    assert "not gpu-0: it can give 8 nvidia.com/gpu, the pod asks for 9" in told


def test_a_pod_that_waits_for_a_warm_node(world: Path) -> None:
    text = "  acknowledge: [RequireBlocksScaleFromZero]\n  images: {placement: Require}\n"
    (world / "policies.yaml").write_text(builders.policy(text, name="strict"))
    pod = copy.deepcopy(admit(builders.request(builders.gpu_pod(None)), builders.facts(builders.policy(text))).pod)
    assert pod is not None
    condition = {"type": "PodScheduled", "status": "False", "message": "0/4 nodes are available: 4 Insufficient. more"}
    pod["status"] = {"phase": "Pending", "conditions": [condition]}
    found = item(world, pod)
    assert "it is pending: not scheduled: 0/4 nodes are available: 4 Insufficient; " in found["headline"]
    assert found["headline"].endswith("Warmpod requires warm nodes, which leaves 2 of 4 that could run it")
    assert found["nodes"]["allowed"] == 2
    assert "placement: Prefer instead of Require lets it start on a cold node" in found["advice"]


def test_what_others_injected_is_told_apart_by_what_was_applied(world: Path) -> None:
    sent = builders.gpu_pod()
    applied = json.dumps(sent)
    pod = changed(sent)
    pod["metadata"]["annotations"]["kubectl.kubernetes.io/last-applied-configuration"] = applied
    pod["spec"]["containers"].append({"name": "mesh", "image": "mesh:1"})
    pod["spec"]["volumes"].append({"name": "mesh-certs", "emptyDir": {}})
    pod["spec"]["containers"][0]["env"].append({"name": "MESH", "value": "on"})
    found = item(world, pod)
    assert found["others"] == {"containers": ["mesh"], "volumes": ["mesh-certs"], "env": ["MESH"]}
    assert {"env", "volumes"} <= set(found["injected"]["parts"])
    assert "by others: containers mesh; volumes mesh-certs; variables MESH" in explain(world, pod).stdout


def test_hostile_texts_do_not_reach_the_terminal(world: Path) -> None:
    pod = changed(builders.gpu_pod(), reason="\x1b[2J\u202e", message="a\nb")
    pod["metadata"]["name"] = "\x1b[31m"
    pod["metadata"]["annotations"][names.ANNOTATION_DECISION] = "policies=\x1b[31m seconds=1 inventory=x"
    for output in ("table", "json"):
        result = explain(world, pod, "--output", output)
        assert result.exit_code == 0
        assert not set(result.output) & {"\x1b", "\x07", "\u202e"}


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ([], 2, "name pods of a cluster, or manifests with -f FILE"),
        (["x", "-f", "-"], 2, "name pods of a cluster, or manifests with -f FILE"),
        (["-f", "-"], 2, "with -f name the directory of policies"),
        (["-f", "-", "--policies", "/nonexistent"], 2, "/nonexistent"),
    ],
)
def test_could_not_run(arguments: list[str], code: int, message: str) -> None:
    result = CliRunner().invoke(main, ["explain", *arguments], input=yaml.safe_dump(builders.gpu_pod()))
    assert result.exit_code == code
    assert message in result.stderr


def test_nothing_to_explain(world: Path) -> None:
    result = CliRunner().invoke(
        main,
        ["explain", "-f", "-", "--policies", str(world / "policies.yaml"), "--output", "json"],
        input="kind: Service\napiVersion: v1\n",
    )
    assert result.exit_code == 3
    assert json.loads(result.stdout) == {"items": []}
