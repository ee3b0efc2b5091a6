"""Make webhook/lint/pod_schema.json of the Kubernetes API's own schema, as the package kubernetes-validate carries it.

    python -m tests.lint.generate_pod_schema

Take a new version of Kubernetes by naming it below; the test beside this file holds the two together.
"""

from __future__ import annotations

import json
from importlib import resources
from pathlib import Path
from typing import Any

VERSION = "1.37"
TARGET = Path(__file__).parents[2] / "webhook" / "lint" / "pod_schema.json"

_SCALARS = {"string": "string", "integer": "integer", "number": "number", "boolean": "boolean"}
_CORE = "io.k8s.api.core.v1."


def generated() -> str:
    """The text of the file."""
    folder = resources.files("kubernetes_validate") / "kubernetes-json-schema" / f"v{VERSION}.0-local"
    definitions: dict[str, Any] = json.loads((folder / "_definitions.json").read_text())["$defs"]
    types: dict[str, dict[str, str]] = {}
    todo = [f"{_CORE}Pod"]
    while todo:
        name = todo.pop()
        if _short(name) in types:
            continue
        definition = definitions[name]
        required = set(definition.get("required", ()))
        types[_short(name)] = {
            f"{field}!" if field in required else field: _type(each, definitions, todo)
            for field, each in sorted(definition["properties"].items())
        }
    return json.dumps({"kubernetes": VERSION, "types": dict(sorted(types.items()))}, indent=0) + "\n"


def _short(name: str) -> str:
    return name.rpartition(".")[2]


def _type(schema: dict[str, Any], definitions: dict[str, Any], todo: list[str]) -> str:
    """`string`, `[Container]` for a list, `{string}` for a map, the name of a type, or `any`."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        target = definitions[name]
        if target.get("properties"):
            todo.append(name)
            return _short(name)
        # As the API server writes them: quantities and times are texts, a port may be either.
        return {"Quantity": "string", "Time": "string", "MicroTime": "string"}.get(_short(name), "any")
    kinds = schema.get("type", [])
    kind = next((each for each in ([kinds] if isinstance(kinds, str) else kinds) if each != "null"), "any")
    if kind == "array":
        return f"[{_type(schema['items'], definitions, todo)}]"
    if kind == "object":
        inner = schema.get("additionalProperties")
        return f"{{{_type(inner, definitions, todo)}}}" if isinstance(inner, dict) else "any"
    return _SCALARS.get(kind, "any")


if __name__ == "__main__":
    TARGET.write_text(generated(), encoding="utf-8")
