"""Looking at pods: what the kubelet would see, and nothing that a malformed pod can break."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webhook.kube import Object
from webhook.kube import pod as pods
from webhook.kube.accelerator import Accelerators
from webhook.kube.footprint import effective_requests, qos_class
from webhook.kube.podsecurity import Level, violations

POD: Object = {
    "metadata": {
        "labels": {"app": "vllm", "odd": 1},
        "annotations": {"a": "b", "odd": None},
        "ownerReferences": [{"kind": "ReplicaSet"}],
    },
    "spec": {
        "initContainers": [
            {"name": "load", "image": "busybox"},
            {"name": "proxy", "image": "envoy", "restartPolicy": "Always"},
        ],
        "containers": [{"name": "vllm", "image": "vllm"}, {"name": "side", "image": "envoy"}, {"name": "bare"}],
        "ephemeralContainers": [{"name": "debug", "image": "debugger"}],
        "volumes": [{"name": "v", "emptyDir": {}}, {"name": "w", "image": {"reference": "weights"}}],
    },
}


def test_containers() -> None:
    assert [container["name"] for container in pods.app_containers(POD)] == ["vllm", "side", "bare"]
    assert [container["name"] for container in pods.init_containers(POD)] == ["load", "proxy"]
    assert [pods.is_sidecar(container) for container in pods.init_containers(POD)] == [False, True]
    assert [(where, index, container["name"]) for where, index, container in pods.every_container(POD)] == [
        ("initContainers", 0, "load"),
        ("initContainers", 1, "proxy"),
        ("containers", 0, "vllm"),
        ("containers", 1, "side"),
        ("containers", 2, "bare"),
        ("ephemeralContainers", 0, "debug"),
    ]


def test_an_index_counts_entries_that_are_no_containers() -> None:
    pod = {"spec": {"containers": [None, {"name": "a"}]}}
    assert list(pods.every_container(pod)) == [("containers", 1, {"name": "a"})]
    assert pods.app_containers(pod) == [{"name": "a"}]


def test_images_are_those_a_node_must_hold() -> None:
    assert pods.images(POD) == ("busybox", "envoy", "vllm", "weights")


def test_labels_and_annotations() -> None:
    assert pods.label(POD, "app") == "vllm"
    assert pods.label(POD, "odd") is None
    assert pods.labels(POD) == {"app": "vllm"}
    assert pods.annotation(POD, "a") == "b"
    assert pods.annotation(POD, "odd") is None
    assert pods.annotation(POD, "none") is None


@pytest.mark.parametrize(
    ("look", "pod", "expected"),
    [
        (pods.is_mirror, {"metadata": {"annotations": {"kubernetes.io/config.mirror": "x"}}}, True),
        (pods.is_mirror, POD, False),
        (pods.names_its_node, {"spec": {"nodeName": "n"}}, True),
        (pods.names_its_node, {"spec": {"nodeName": ""}}, False),
        (pods.owned_by_daemonset, {"metadata": {"ownerReferences": [{"kind": "X"}, {"kind": "DaemonSet"}]}}, True),
        (pods.owned_by_daemonset, POD, False),
        (pods.is_windows, {"spec": {"os": {"name": "windows"}}}, True),
        (pods.is_windows, {"spec": {"nodeSelector": {"kubernetes.io/os": "windows"}}}, True),
        (pods.is_windows, {"spec": {"os": {"name": "linux"}}}, False),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_kinds_of_pods(look: Any, pod: Object, expected: bool) -> None:
    assert look(pod) is expected


def env(*entries: Any, **more: Any) -> Object:
    named = [{"name": entry[0], "value": entry[1]} if isinstance(entry, tuple) else entry for entry in entries]
    return {"name": "c", "env": named, **more}


SECRET: Object = {"name": "SECRET", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}


@pytest.mark.parametrize(
    ("container", "expected"),
    [
        pytest.param(env(("X", "text")), "text", id="literal"),
        pytest.param(env(("Y", "text")), None, id="absent"),
        pytest.param(env({"name": "X"}), "", id="without a value"),
        pytest.param(env({"name": "X", "value": ""}), "", id="empty"),
        pytest.param(env({"name": "X", "valueFrom": {}}), "", id="an empty source is none"),
        pytest.param(env({**SECRET, "name": "X"}), None, id="from elsewhere"),
        pytest.param(env({**SECRET, "name": "X", "value": "v"}), "v", id="the kubelet takes the value first"),
        pytest.param(env(("X", "1"), ("X", "2")), "2", id="the later of two"),
        pytest.param(env(("B", "b"), ("X", "s3://$(B)/p")), "s3://b/p", id="a reference"),
        pytest.param(env(("A", "a"), ("B", "$(A)b"), ("X", "$(B)$(A)")), "aba", id="references of references"),
        pytest.param(env(("X", "$(B)"), ("B", "b")), "$(B)", id="a later variable is not known yet"),
        pytest.param(env(("X", "old"), ("X", "$(X)+")), "old+", id="its own earlier value"),
        pytest.param(env(("X", "$(NONE)")), "$(NONE)", id="a reference to nothing stays"),
        pytest.param(env(("X", "$(NONE)"), envFrom=[{}]), None, id="it may come from envFrom"),
        pytest.param(env(SECRET, ("X", "$(SECRET)")), None, id="a reference to a secret"),
        pytest.param(env(("B", "b"), ("X", "$$(B)")), "$(B)", id="escaped"),
        pytest.param(env(("B", "b"), ("X", "$$$(B)")), "$b", id="escaped, then a reference"),
        pytest.param(env(("X", "$$$$")), "$$", id="two escaped"),
        pytest.param(env(("X", "$")), "$", id="a lone operator"),
        pytest.param(env(("X", "$(open")), "$(open", id="an open reference"),
        pytest.param(env(("X", "$x $ y")), "$x $ y", id="no reference"),
        pytest.param(env(("A$(B", "v"), ("X", "$(A$(B))")), "v)", id="a reference ends at the first bracket"),
        pytest.param(env(("X", 5)), "", id="a value of a wrong type"),
        pytest.param({"env": "x"}, None, id="env of a wrong type"),
        pytest.param({"env": [None, "X", {"name": "X", "value": "v"}]}, "v", id="entries of a wrong type"),
    ],
)
def test_env_value_is_what_the_program_would_see(container: Object, expected: str | None) -> None:
    assert pods.env_value(container, "X") == expected


def test_an_environment_that_doubles_is_not_unfolded() -> None:
    doubling = [("V0", "x" * 10), *((f"V{index}", f"$(V{index - 1})" * 2) for index in range(1, 64))]
    assert pods.env_value(env(*doubling, ("X", "$(V63)")), "X") is None
    assert pods.env_value(env(*doubling, ("X", "$(V3)")), "X") == "x" * 80


def test_an_environment_that_no_program_could_get_is_not_unfolded() -> None:
    wide = [("BIG", "x" * 100_000), *((f"V{index}", "$(BIG)") for index in range(100))]
    assert pods.env_value(env(*wide, ("X", "$(V0)")), "X") == "x" * 100_000
    assert pods.env_value(env(*wide, ("X", "$(V99)")), "X") is None


@pytest.mark.parametrize(
    ("container", "expected"),
    [
        pytest.param({"args": ["--model", "m"]}, "m", id="two words"),
        pytest.param({"args": ["--model=m"]}, "m", id="one word"),
        pytest.param({"command": ["vllm", "--model", "m"]}, "m", id="in the command"),
        pytest.param({"command": ["vllm", "--model"], "args": ["m"]}, "m", id="across command and args"),
        pytest.param({"command": ["--model=a"], "args": ["--model", "b"]}, "b", id="the last one wins"),
        pytest.param({"args": ["--model="]}, "", id="empty"),
        pytest.param({"args": ["--model"]}, None, id="without its value"),
        pytest.param({"args": ["--model=a", "--model"]}, None, id="the last one has no value"),
        pytest.param({"args": ["--model-name", "m", "--modelx=m"]}, None, id="other flags"),
        pytest.param({"args": ["--model", 5]}, None, id="a value of a wrong type"),
        pytest.param({"args": ["sh", "-c", "vllm --model m"]}, None, id="inside a script"),
        pytest.param({"args": "--model m", "command": {}}, None, id="wrong types"),
        pytest.param(env(("B", "b"), args=["--model=s3://$(B)/x"]), "s3://b/x", id="a reference"),
        pytest.param(env(args=["--model=$(B)"], envFrom=[{}]), None, id="an unknown reference"),
        pytest.param({"args": ["--model=$$(B)"]}, "$(B)", id="escaped"),
    ],
)
def test_arg_value(container: Object, expected: str | None) -> None:
    assert pods.arg_value(container, "--model") == expected


ODD: st.SearchStrategy[Any] = st.sampled_from(
    [None, "x", 0, 1, True, [], {}, [None], ["x"], [[]], {"name": "x"}, {"x": None}, [{}], [{"name": []}]]
)
FIELDS = [
    [
        "name",
        "image",
        "env",
        "envFrom",
        "args",
        "command",
        "ports",
        "resources",
        "securityContext",
        "volumeMounts",
        "livenessProbe",
        "lifecycle",
    ],
    [
        "containers",
        "initContainers",
        "ephemeralContainers",
        "volumes",
        "affinity",
        "os",
        "securityContext",
        "resources",
        "overhead",
        "resourceClaims",
        "nodeName",
        "nodeSelector",
        "hostUsers",
        "hostNetwork",
    ],
    ["labels", "annotations", "ownerReferences", "name", "namespace", "generateName"],
]
RESOURCES = st.dictionaries(
    st.sampled_from(["limits", "requests", "claims"]),
    ODD | st.dictionaries(st.sampled_from(["cpu", "nvidia.com/gpu"]), ODD | st.sampled_from(["1", "0", "x"])),
)
CONTEXTS = st.dictionaries(
    st.sampled_from(
        [
            "capabilities",
            "seccompProfile",
            "appArmorProfile",
            "seLinuxOptions",
            "windowsOptions",
            "runAsUser",
            "sysctls",
            "procMount",
        ]
    ),
    ODD | st.dictionaries(st.sampled_from(["add", "drop", "type", "user", "hostProcess"]), ODD),
)
CONTAINERS = st.dictionaries(st.sampled_from(FIELDS[0]), ODD | RESOURCES | CONTEXTS, max_size=5)
SPECS = st.dictionaries(
    st.sampled_from(FIELDS[1]), ODD | RESOURCES | CONTEXTS | st.lists(CONTAINERS, max_size=2), max_size=6
)
PODS = st.fixed_dictionaries(
    {}, optional={"spec": ODD | SPECS, "metadata": ODD | st.dictionaries(st.sampled_from(FIELDS[2]), ODD)}
)


@given(PODS)
def test_a_malformed_pod_breaks_nothing(pod: Object) -> None:
    assert all(isinstance(image, str) for image in pods.images(pod))
    assert all(isinstance(value, str) for value in pods.labels(pod).values())
    for look in (pods.is_mirror, pods.names_its_node, pods.owned_by_daemonset, pods.is_windows):
        assert look(pod) in {True, False}
    for _, _, container in pods.every_container(pod):
        assert pods.is_sidecar(container) in {True, False}
        for value in (pods.env_value(container, "x"), pods.arg_value(container, "--x")):
            assert value is None or isinstance(value, str)
    assert qos_class(pod) in {"Guaranteed", "Burstable", "BestEffort"}
    assert all(amount > 0 for amount in effective_requests(pod).values())
    assert all(Accelerators().of_pod(pod, {"x": ("gpu.nvidia.com",)}).values())
    for level in Level:
        assert all(isinstance(sentence, str) for sentence in violations(pod, level))
