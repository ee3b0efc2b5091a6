from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webhook.kube import Object
from webhook.kube.accelerator import DEFAULT_DEVICE_CLASSES, Accelerators

ALL = Accelerators()


def container(name: str = "c", claims: list[str] | None = None, **limits: Any) -> Object:
    resources: Object = {"limits": {key.replace("__", "/").replace("_", "."): value for key, value in limits.items()}}
    if claims:
        resources["claims"] = [{"name": claim} for claim in claims]
    return {"name": name, "resources": resources}


@pytest.mark.parametrize(
    ("resource", "expected"),
    [
        ("nvidia.com/gpu", True),
        ("nvidia.com/mig-1g.10gb", True),
        ("nvidia.com/", True),
        ("nvidia.com", False),
        ("xnvidia.com/gpu", False),
        ("amd.com/gpu", True),
        ("amd.com/gpu2", False),
        ("aws.amazon.com/neuron", True),
        ("aws.amazon.com/neuroncore", True),
        ("habana.ai/gaudi", True),
        ("gpu.intel.com/i915", True),
        ("google.com/tpu", True),
        ("cpu", False),
        ("vpc.amazonaws.com/efa", False),
    ],
)
def test_known_accelerators(resource: str, expected: bool) -> None:
    asked = {"resources": {"limits": {resource: "1"}}}
    assert ALL.requested_by(asked) == (frozenset([resource]) if expected else frozenset())
    assert ALL.is_resource(resource) is expected


@pytest.mark.parametrize(
    ("amount", "expected"),
    [
        ("1", True),
        (1, True),
        ("0", False),
        (0, False),
        ("500m", True),
        ("-1", False),
        ("x", False),
        (None, False),
        ([], False),
    ],
    ids=repr,
)
def test_only_amounts_above_zero_count(amount: Any, expected: bool) -> None:
    assert bool(ALL.requested_by({"resources": {"limits": {"nvidia.com/gpu": amount}}})) is expected


def test_requests_count_as_limits_do() -> None:
    assert ALL.requested_by({"resources": {"requests": {"nvidia.com/gpu": "1"}}}) == {"nvidia.com/gpu"}
    both = {"resources": {"limits": {"nvidia.com/gpu": "0"}, "requests": {"nvidia.com/gpu": "1"}}}
    assert ALL.requested_by(both) == {"nvidia.com/gpu"}


def test_of_pod_names_the_containers_that_ask() -> None:
    pod = {
        "spec": {
            "initContainers": [container("warm", google_com__tpu=4)],
            "containers": [container("vllm", nvidia_com__gpu="8"), container("side", cpu="1")],
            "ephemeralContainers": [container("debug", nvidia_com__gpu="1")],
        }
    }
    assert ALL.of_pod(pod) == {"warm": {"google.com/tpu"}, "vllm": {"nvidia.com/gpu"}}
    assert ALL.of_pod({"spec": {"containers": [container(cpu="1")]}}) == {}


CLAIMING: Object = {
    "metadata": {"namespace": "a"},
    "spec": {
        "resourceClaims": [
            {"name": "own", "resourceClaimName": "shared"},
            {"name": "made", "resourceClaimTemplateName": "each"},
            {"name": "net", "resourceClaimName": "nic"},
            {"name": "nothing"},
        ],
        "containers": [
            container("one", ["own", "net"]),
            container("two", ["made", "own"]),
            container("three", ["net", "nothing", "unknown"]),
        ],
    },
}


@pytest.mark.parametrize(
    ("claims", "expected"),
    [
        ({}, {}),
        ({"shared": ("gpu.nvidia.com",)}, {"one": {"gpu.nvidia.com"}, "two": {"gpu.nvidia.com"}}),
        ({"a/shared": ("gpu.amd.com",)}, {"one": {"gpu.amd.com"}, "two": {"gpu.amd.com"}}),
        ({"b/shared": ("gpu.amd.com",)}, {}),
        (
            {"a/shared": ("gpu.amd.com",), "shared": ("tpu.google.com",)},
            {"one": {"gpu.amd.com"}, "two": {"gpu.amd.com"}},
        ),
        ({"a/each": ("mig.nvidia.com", "other.example")}, {"two": {"mig.nvidia.com"}}),
        ({"a/nic": ("dra.net",)}, {}),
    ],
    ids=str,
)
def test_claims_are_resolved_by_name_and_namespace(claims: Any, expected: Any) -> None:
    assert ALL.of_pod(CLAIMING, claims) == expected


def test_the_namespace_of_the_request_serves_where_the_pod_has_none() -> None:
    pod = {**CLAIMING, "metadata": {}}
    assert ALL.of_pod(pod, {"a/each": ("gpu.amd.com",)}, "a") == {"two": {"gpu.amd.com"}}
    assert ALL.of_pod(pod, {"a/each": ("gpu.amd.com",)}, "b") == {}


def test_narrowed_is_what_both_name() -> None:
    narrow = ALL.narrowed(["nvidia.com/gpu", "cpu", "gpu.*"])
    assert narrow.is_resource("nvidia.com/gpu")
    assert not narrow.is_resource("nvidia.com/mig-1g.5gb")
    assert not narrow.is_resource("cpu")
    assert narrow.is_device_class("gpu.amd.com")
    assert not narrow.is_device_class("mig.nvidia.com")
    assert not narrow.is_device_class("gpu.example")
    assert not narrow.narrowed(["amd.com/gpu"]).is_resource("nvidia.com/gpu")
    assert ALL.is_resource("nvidia.com/mig-1g.5gb")
    assert all(ALL.is_device_class(name) for name in DEFAULT_DEVICE_CLASSES)


@pytest.mark.parametrize(
    ("pattern", "name", "expected"),
    [
        ("*", "", True),
        ("*", "anything", True),
        ("a*a", "a", False),
        ("a*a", "aa", True),
        ("a*b*c", "axxbyyc", True),
        ("a*b*c", "acb", False),
        ("a*bb*bb", "abbb", False),
        ("*/gpu", "amd.com/gpu", True),
        ("a**b", "ab", True),
        ("a?", "ab", False),
        ("[a]", "a", False),
        ("", "", True),
        ("", "a", False),
    ],
)
def test_a_star_is_any_text_and_nothing_else_is_special(pattern: str, name: str, expected: bool) -> None:
    assert Accelerators([pattern]).is_resource(name) is expected


@given(st.text("ab*", max_size=6), st.text("ab", max_size=8))
def test_patterns_match_as_the_naive_definition_says(pattern: str, name: str) -> None:
    def matches(pattern: str, name: str) -> bool:
        if not pattern:
            return not name
        if pattern[0] == "*":
            return matches(pattern[1:], name) or (bool(name) and matches(pattern, name[1:]))
        return bool(name) and pattern[0] == name[0] and matches(pattern[1:], name[1:])

    assert Accelerators([pattern]).is_resource(name) is matches(pattern, name)


def test_names_from_tenants_do_not_fill_the_memory() -> None:
    accelerators = Accelerators()
    for index in range(6000):
        accelerators.is_resource(f"nvidia.com/{index}")
    assert len(accelerators._resources._answers) <= 4096
    assert accelerators.is_resource("nvidia.com/5999")
