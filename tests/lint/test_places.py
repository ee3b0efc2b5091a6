"""Memory, places and levels: what is found only where it is so."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.lint.trade import HEAD, codes, pod, policies, policy, problems, profile
from webhook.kube import Object
from webhook.lint import lint as frame
from webhook.lint.check import Manifest
from webhook.lint.node_paths import SYSTEMS, hazard, system_of, systems_without, unfit

MODEL = "models: [{{name: m, source: {{value: 's3://bucket/m/'}}, cache: c, mountPath: {}}}]"
BOTTLEROCKET, COS, TALOS, AMAZON = "Bottlerocket", "Container-Optimized OS", "Talos Linux", "Amazon Linux 2023"


def cache(path: str) -> str:
    volume = f"volume: {{hostPath: {{path: {path}}}}}, fallbackVolume: {{emptyDir: {{}}}}"
    return f"{HEAD}kind: NodeCache\nmetadata: {{name: c}}\nspec: {{{volume}}}\n"


@pytest.mark.parametrize(
    ("path", "without"),
    [
        ("/mnt/k8s-disks/0/warmpod", []),
        ("/mnt/disks/ssd0/warmpod", []),
        ("/local/warmpod", []),
        ("/var/mnt/nvme", []),
        ("/var/lib/warmpod", []),
        ("/mnt/nvme", [COS, TALOS]),
        ("/data", [BOTTLEROCKET, COS, TALOS]),
        ("/variable", [BOTTLEROCKET, COS, TALOS]),
    ],
)
def test_where_a_path_cannot_be(path: str, without: list[str]) -> None:
    assert hazard(path) == ""
    assert [each.title for each in systems_without(path)] == without


@pytest.mark.parametrize("path", ["/tmp", "/run/x", "/dev/shm/x", "/etc/x", "/usr/x", "/var/lib/kubelet", "/proc/x"])
def test_where_a_cache_must_not_be(path: str) -> None:
    assert hazard(path)


@pytest.mark.parametrize(
    ("path", "system", "fault"),
    [
        ("/mnt/k8s-disks/0", AMAZON, ""),
        ("/data", AMAZON, ""),
        ("/var/lib/warmpod", BOTTLEROCKET, ""),
        ("/mnt/k8s-disks/0", BOTTLEROCKET, "that is a path of Amazon Linux 2023"),
        ("/data", BOTTLEROCKET, "its root is read-only"),
        ("/etc/x", BOTTLEROCKET, "it lies in memory there"),
        ("/mnt/k8s-disks/0", COS, "its root is read-only"),
        ("/mnt/disks/ssd0", COS, ""),
        ("/mnt/disks/ssd0", TALOS, "its root is read-only"),
        ("/var/mnt/x", TALOS, ""),
    ],
)
def test_what_is_wrong_with_a_path_on_a_system(path: str, system: str, fault: str) -> None:
    (found,) = [each for each in SYSTEMS if each.title == system]
    assert unfit(path, found).startswith(fault)
    assert bool(unfit(path, found)) == bool(fault)


def affine(*terms: list[Object]) -> Object:
    required = {"nodeSelectorTerms": [{"matchExpressions": term} for term in terms]}
    return {"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": required}}}


@pytest.mark.parametrize(
    ("spec", "title"),
    [
        ({}, None),
        ({"nodeSelector": {"eks.amazonaws.com/compute-type": "auto"}}, BOTTLEROCKET),
        ({"nodeSelector": {"eks.amazonaws.com/compute-type": "hybrid"}}, None),
        ({"nodeSelector": {"cloud.google.com/gke-os-distribution": "cos"}}, COS),
        ({"nodeSelector": {"cloud.google.com/gke-os-distribution": "ubuntu"}}, None),
        (affine([{"key": "bottlerocket.aws/updater-interface-version", "operator": "Exists"}]), BOTTLEROCKET),
        (affine([{"key": "cloud.google.com/gke-os-distribution", "operator": "In", "values": ["cos"]}]), COS),
        (
            affine([{"key": "cloud.google.com/gke-os-distribution", "operator": "In", "values": ["cos", "ubuntu"]}]),
            None,
        ),
        (affine([{"key": "cloud.google.com/gke-os-distribution", "operator": "Exists"}]), None),
        (affine([{"key": "extensions.talos.dev/schematic", "operator": "Exists"}], [{"key": "x"}]), None),
        ({"nodeSelector": "x", "affinity": 3}, None),
    ],
)
def test_which_system_a_pod_asks_for(spec: Object, title: str | None) -> None:
    found = system_of({"spec": spec})
    assert (found and found.title) == title


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        (MODEL.format("/models"), []),
        (MODEL.format("/root/.cache/huggingface"), []),
        (MODEL.format("/opt/models"), []),
        (MODEL.format("/usr/share/models"), []),
        (MODEL.format("/opt"), ["W052"]),
        (MODEL.format("/root"), ["W052"]),
        ("volumes: [{volume: {name: v, emptyDir: {}}, mountPath: /tmp}]", []),
        ("volumes: [{volume: {name: v, emptyDir: {}}, mountPath: /tmp, readOnly: true}]", ["W052"]),
        ("volumes: [{volume: {name: v, emptyDir: {}}, mountPath: /dev/shm}]", []),
        ("volumes: [{volume: {name: v, emptyDir: {}}, mountPath: /dev/hugepages}]", []),
        ("volumes: [{volume: {name: v, emptyDir: {}}, mountPath: /run/secrets/x}]", ["W052"]),
    ],
)
def test_mounts_over_what_is_there(spec: str, expected: list[str]) -> None:
    documents = [cache("/mnt/k8s-disks/0")] if "models" in spec.split(":", maxsplit=1)[0] else []
    assert codes(policy("p", spec), *documents) == expected


VOLUME = "{{volume: {{name: {}, emptyDir: {{}}}}, mountPath: {}{}}}"


@pytest.mark.parametrize(
    ("volumes", "expected"),
    [
        ([("a", "/a", ""), ("b", "/a/b", "")], []),
        ([("a", "/a", ", readOnly: true"), ("b", "/a/b", "")], ["W051"]),
        ([("a", "/a", ", readOnly: true"), ("b", "/ab", "")], []),
        ([("a", "/a", ", readOnly: true"), ("b", "/a/b", ""), ("c", "/a/b/c", "")], ["W051"]),
        ([("a", "/a", ", readOnly: true, containers: [x]"), ("b", "/a/b", ", containers: [y]")], []),
        ([("a", "/a", ", readOnly: true, containers: [x]"), ("b", "/a/b", "")], ["W051"]),
    ],
)
def test_mounts_within_mounts(volumes: list[tuple[str, str, str]], expected: list[str]) -> None:
    text = ", ".join(VOLUME.format(*each) for each in volumes)
    assert codes(policy("p", f"volumes: [{text}]")) == expected


OUTER = f"volumes: [{VOLUME.format('a', '/a', ', readOnly: true')}]"
INNER = f"volumes: [{VOLUME.format('b', '/a/b', '')}]"


def test_mounts_of_two_policies_are_told_with_a_pod_that_gets_both() -> None:
    for first, second, line in ((OUTER, INNER, 8), (INNER, OUTER, 4)):
        (found,) = problems(policy("p", first) + "---\n" + policy("q", second))
        assert (found.code, found.line) == ("W051", line + (line == 8))
        assert "for example a pod in namespace default that asks for nvidia.com/gpu" in found.message


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("match: {objectSelector: {matchLabels: {a: x}}}", "match: {objectSelector: {matchLabels: {a: y}}}"),
        ("matchConditions: [{name: n, expression: \"object.metadata.name.matches('^[0-9]+$')\"}]", "mode: Enforce"),
        ("mode: 'Off'", "mode: Enforce"),
    ],
)
def test_mounts_of_two_policies_that_nobody_gets_together_are_not(first: str, second: str) -> None:
    found = policies(policy("p", f"{OUTER}, {first}"), policy("q", f"{INNER}, {second}"))
    assert "W051" not in {each.code for each in frame.lint(found)}


LEVEL = "match: {{namespaceSelector: {{{}}}}}"
KEY = "pod-security.kubernetes.io/enforce"
HOST = "volumes: [{volume: {name: v, hostPath: {path: /mnt/data}}, mountPath: /data}]"


@pytest.mark.parametrize(
    ("selector", "expected"),
    [
        (f"matchLabels: {{{KEY}: privileged}}", []),
        (f"matchLabels: {{{KEY}: baseline}}", ["W053"]),
        (f"matchLabels: {{{KEY}: odd}}", ["W053"]),
        (f"matchExpressions: [{{key: {KEY}, operator: In, values: [privileged]}}]", []),
        (f"matchExpressions: [{{key: {KEY}, operator: In, values: [privileged, baseline]}}]", ["W053"]),
        (f"matchExpressions: [{{key: {KEY}, operator: NotIn, values: [baseline]}}]", ["W053"]),
        ("matchLabels: {team: x}", ["W053"]),
    ],
)
def test_levels_that_refuse_a_volume(selector: str, expected: list[str]) -> None:
    assert codes(policy("p", f"{HOST}, {LEVEL.format(selector)}")) == expected


def test_a_cache_is_refused_only_where_the_selector_says_so() -> None:
    model, at = MODEL.format("/models"), cache("/mnt/k8s-disks/0/c")
    assert codes(policy("p", model), at) == []
    assert codes(policy("p", f"{model}, {LEVEL.format(f'matchLabels: {{{KEY}: privileged}}')}"), at) == []
    assert codes(policy("p", f"{model}, {LEVEL.format(f'matchLabels: {{{KEY}: baseline}}')}"), at) == ["W053"]


@pytest.mark.parametrize(
    ("limit", "value", "expected"),
    [("32Gi", "16000000000", []), ("32Gi", "40000000000", ["W045"]), ("32Gi", "-1", []), ("odd", "40000000000", [])],
)
def test_limits_are_compared_with_the_containers(limit: str, value: str, expected: list[str]) -> None:
    text = policy("p", f"env: [{{name: RUNAI_STREAMER_MEMORY_LIMIT, value: '{value}'}}]")
    container = {"image": "vllm/vllm-openai:v1", "resources": {"limits": {"nvidia.com/gpu": "1", "memory": limit}}}
    assert codes(text, pods=(Manifest("x", pod(**container)),)) == expected


def test_what_a_container_has_no_limit_for_or_sets_itself_is_left_alone() -> None:
    text = policy("p", "env: [{name: RUNAI_STREAMER_MEMORY_LIMIT, value: '40000000000'}]")
    own = [{"name": "RUNAI_STREAMER_MEMORY_LIMIT", "value": "40000000000"}]
    limits = {"limits": {"nvidia.com/gpu": "1", "memory": "32Gi"}}
    for container in ({}, {"env": own, "resources": limits}, {"resources": {"limits": {"memory": "32Gi"}}}):
        assert codes(text, pods=(Manifest("x", pod(**container)),)) == []


@pytest.mark.parametrize(
    ("bandwidth", "told"),
    [("10Gb/s", "2 GiB"), ("25Gb/s", "4 GiB"), ("100Gb/s", "16 GiB"), ("400Gb/s", "24 GiB"), ("50MB/s", "2 to 24 GiB")],
)
def test_what_the_common_runtime_takes_is_told(bandwidth: str, told: str) -> None:
    config = f"awsConfig: {{s3: {{preferred_transfer_client: crt, target_bandwidth: {bandwidth}}}}}"
    (found,) = problems("---\n".join([policy("p", "clientProfiles: [s]"), profile("s", config)]))
    assert (found.code, told in found.message) == ("W044", True)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.sampled_from(["nvidia.com/gpu", "1", "/models", "c", "image"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["metadata", "spec", "containers", "resources", "limits", "nvidia.com/gpu", "env", "name"]),
            inner,
        )
    ),
)
RICH = policies(
    policy("a", f"{MODEL.format('/models')}, {HOST}, env: [{{name: AWS_MAX_ATTEMPTS, value: '3'}}]"),
    policy("b", f"{MODEL.format('/models/b')}, clientProfiles: [s]"),
    profile("s", "env: {AWS_MAX_ATTEMPTS: '4', RUNAI_STREAMER_MEMORY_LIMIT: '9'}, awsConfig: {s3: {direct_io: true}}"),
    cache("/data"),
)


@given(JSON, st.none() | st.dictionaries(st.text(max_size=3), st.text(max_size=3)))
def test_no_manifest_is_too_odd(value: Any, labels: dict[str, str] | None) -> None:
    document = value if isinstance(value, dict) else {"spec": value}
    assert frame.lint(RICH, (Manifest("x", document, "n", labels),))
