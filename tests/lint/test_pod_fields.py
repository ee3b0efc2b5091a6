"""The table of a Pod's fields against the API's own schema, and the judgements on it."""

from __future__ import annotations

import pytest

from tests.lint.generate_pod_schema import TARGET, VERSION, generated
from webhook.lint.pod_fields import WORDS, optional_parts, prefixes, type_of, unknown_field, version, words_of

LIMITS = "object.spec.containers[].resources.limits"


def test_the_file_is_what_its_script_makes_of_the_api() -> None:
    assert TARGET.read_text() == generated(), "run: python -m tests.lint.generate_pod_schema"
    assert version() == VERSION


@pytest.mark.parametrize("field", WORDS)
def test_words_are_of_fields_that_exist(field: str) -> None:
    root = {"AdmissionRequest": "request", "PodSpec": "object.spec", "PodOS": "object.spec.os"}
    root |= {"Container": "object.spec.containers[]", "ContainerPort": "object.spec.containers[].ports[]"}
    root |= {"Toleration": "object.spec.tolerations[]", "VolumeMount": "object.spec.containers[].volumeMounts[]"}
    kind, _, name = field.partition(".")
    assert type_of(f"{root[kind]}.{name}") == "string"
    assert words_of(f"{root[kind]}.{name}") == WORDS[field]


@pytest.mark.parametrize(
    ("path", "parts"),
    [
        ("object", ["object"]),
        ("object.spec.containers[].image", ["object", "object.spec", "object.spec.containers"]),
        ("object['spec'].x", ["object", "object.spec", "object.spec.x"]),
        ("object.a['b/c.d'].e", ["object", "object.a", "object.a['b/c.d']", "object.a['b/c.d'].e"]),
    ],
)
def test_prefixes(path: str, parts: list[str]) -> None:
    assert prefixes(path)[: len(parts)] == parts
    assert prefixes(path)[0] == "object"


@pytest.mark.parametrize(
    ("path", "name", "holder"),
    [
        ("object.spec.containers[].imag", "imag", "object.spec.containers[]"),
        ("object.spec.containers.image", "image", "object.spec.containers"),
        ("object.spec.volumes[].hostPath.pth", "pth", "object.spec.volumes[].hostPath"),
        ("object.spec.priority.value", "value", "object.spec.priority"),
        ("request.userinfo.username", "userinfo", "request"),
        ("namespaceObject.spec", "spec", "namespaceObject"),
        ("inventory.node", "node", "inventory"),
    ],
)
def test_unknown(path: str, name: str, holder: str) -> None:
    found = unknown_field(path)
    assert found is not None
    assert (found.name, found.holder) == (name, holder)


@pytest.mark.parametrize(
    "path",
    [
        "object.metadata.labels.anything",
        "object.metadata.annotations['a/b']",
        "object.spec.volumes[].csi.volumeAttributes.x",
        "object.spec.containers[].livenessProbe.httpGet.port",
        "request.userInfo.extra['k'][]",
        "variables.x.y.z",
        "oldObject.spec.nope",
        "object",
    ],
)
def test_nothing_unknown(path: str) -> None:
    assert unknown_field(path) is None


@pytest.mark.parametrize(
    ("path", "parts"),
    [
        (f"{LIMITS}.cpu", [LIMITS, f"{LIMITS}.cpu"]),
        ("object.spec.containers[].image", []),
        ("object.spec.volumes[].hostPath.path", ["object.spec.volumes", "object.spec.volumes[].hostPath"]),
        ("namespaceObject.metadata.labels.a", ["namespaceObject.metadata.labels.a"]),
        ("request.name", ["request.name"]),
    ],
)
def test_what_some_pods_lack(path: str, parts: list[str]) -> None:
    assert optional_parts(path) == parts
