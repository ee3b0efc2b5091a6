"""The JSON Schema that editors and CI get."""

from __future__ import annotations

import json
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from webhook.policy.problem import Source
from webhook.policy.schema import json_schema
from webhook.policy.yaml_tree import read

# No stubs for it here, and only this file uses it.
Draft202012Validator: Any = import_module("jsonschema").Draft202012Validator

HERE = Path(__file__).parent
DESIGN = (HERE / "design.yaml").read_text()  # the example of the design
PAGE = (HERE.parents[1] / "docs" / "policies.md").read_text()


def documents(text: str) -> list[Any]:
    found, problems = read(Source("d.yaml", text))
    assert problems == []
    return [each.root.data() for each in found]


def errors(schema: Any, text: str) -> list[str]:
    validator = Draft202012Validator(schema)
    return [error.message for document in documents(text) for error in validator.iter_errors(document)]


def test_it_is_a_schema_and_takes_the_design_example() -> None:
    schema = json_schema()
    Draft202012Validator.check_schema(schema)
    assert schema["$id"] == "https://warmpod.dev/v1alpha1/policy.schema.json"
    assert errors(schema, DESIGN) == []


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("cache: nvme", "cach: nvme"),
        ("mode: Audit", "mode: audit"),
        ("value: WARN", "value: 10"),
        ("{annotation: warmpod.dev/model}", "{annotation: a, label: b}"),
        ('["s3://acme-models/*", "file:///fsx/models/*"]', "['acme-models/*']"),
        ("name: llm-serving", "name: LLM"),
        ("kind: NodeCache", "kind: NodeCach"),
        ("keepFree: 20%", "keepFree: 20"),
    ],
    ids=["typo", "case", "number", "two-sources", "allow", "name", "kind", "keep-free"],
)
def test_it_refuses(old: str, new: str) -> None:
    assert old in DESIGN
    assert errors(json_schema(), DESIGN.replace(old, new, 1)) != []


def test_each_kind_has_its_own() -> None:
    for index, kind in enumerate(("WarmPolicy", "NodeCache", "ClientProfile")):
        validator = Draft202012Validator(json_schema(kind))
        assert [validator.is_valid(document) for document in documents(DESIGN)] == [index == each for each in range(3)]


def test_it_says_the_same_every_time() -> None:
    assert json.dumps(json_schema()) == json.dumps(json_schema())


def test_every_field_is_described() -> None:
    def undescribed(schema: Any, path: str = "") -> list[str]:
        if isinstance(schema, list):
            return [name for index, each in enumerate(schema) for name in undescribed(each, f"{path}[{index}]")]
        if not isinstance(schema, dict):
            return []
        here = [f"{path}.{name}" for name, each in schema.get("properties", {}).items() if not each.get("description")]
        return here + [name for key, each in schema.items() for name in undescribed(each, f"{path}.{key}")]

    assert undescribed(json_schema()) == []


def rows(schema: Any, name: str, prefix: str = "") -> list[tuple[str, str]]:
    """Every field of a kind by path, with its description."""
    found = []
    for field, each in schema["$defs"][name]["properties"].items():
        found.append((f"{prefix}{field}", each["description"].replace("|", "\\|")))
        text = json.dumps(each)
        if "#/$defs/" in text:
            inner = text.partition("#/$defs/")[2].partition('"')[0]
            found += rows(schema, inner, f"{prefix}{field}{'[]' if each.get('type') == 'array' else ''}.")
    return found


@pytest.mark.parametrize("kind", ["WarmPolicy", "NodeCache", "ClientProfile"])
def test_the_reference_page_says_what_the_schema_says(kind: str) -> None:
    section = PAGE.split(f"\n## {kind}\n")[1].split("\n## ")[0]
    told = [line.split(" | ") for line in section.splitlines() if line.startswith("| `")]
    expected = [row for row in rows(json_schema(), f"{kind}Document") if row[0] not in {"apiVersion", "kind"}]
    assert [(each[0].strip("| `"), each[-1].removesuffix(" |")) for each in told] == expected
