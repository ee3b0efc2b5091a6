"""The table of a Pod's fields against the API's own schema."""

from __future__ import annotations

import json
from importlib import resources
from typing import Any

import pytest

from webhook.lint.pod_fields import FIELDS, prefixes, unasked_part, unknown_field

SCHEMAS = resources.files("kubernetes_validate") / "kubernetes-json-schema"
POD: dict[str, Any] = json.loads((SCHEMAS / "v1.37.0-local" / "pod-v1.json").read_text())
DEFINITIONS: dict[str, Any] = json.loads((SCHEMAS / "v1.37.0-local" / "_definitions.json").read_text())["$defs"]


def at(path: str) -> dict[str, Any]:
    node = POD
    for step in path.removeprefix("object").replace("[]", ".[]").split(".")[1:]:
        node = node["items"] if step == "[]" else node["properties"][step]
        if "$ref" in node:
            node = DEFINITIONS[node["$ref"].rpartition("/")[2]]
    return node


@pytest.mark.parametrize("path", FIELDS)
def test_the_fields_are_those_of_the_api(path: str) -> None:
    assert set(at(path)["properties"]) == FIELDS[path]


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


def test_judgements() -> None:
    assert unknown_field("object.spec.containers[].imag") == ("imag", "object.spec.containers[]")
    assert unknown_field("object.metadata.labels.anything") is None
    limits = "object.spec.containers[].resources.limits"
    assert unasked_part(f"{limits}.cpu", []) == limits
    assert unasked_part(f"{limits}.cpu", [limits]) == f"{limits}.cpu"
    assert unasked_part(f"{limits}.cpu", [limits, f"{limits}.cpu"]) is None
    assert unasked_part("object.spec.containers[].image", []) is None
