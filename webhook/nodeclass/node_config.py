"""NodeConfig, the configuration of nodes that boot with nodeadm: its fields, and what is wrong with one.

nodeadm reads without strictness: what it does not know it passes over and says nothing (amazon-eks-ami 81fec2e,
nodeadm/internal/api/bridge/decode.go). So a misspelt field is a finding here, and nowhere else. The fields are
`node_config.json` beside this module.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from webhook.nodeclass.fault import Fault
from webhook.policy.finding import suggestion
from webhook.policy.legibility import shown
from webhook.policy.problem import Source
from webhook.policy.yaml_tree import Node, read

GROUP = "node.eks.aws"
# What the reader of YAML says of other lines: they would be lines of this text, not of the file around it.
_LINES = re.compile(r" \([^()]* that begins on line \d+\)$| on line \d+$")
_ROOT = frozenset({"apiVersion", "kind", "metadata", "spec"})


@dataclass(frozen=True, slots=True)
class NodeConfig:
    """One document as plain data, and the line of the text where it begins."""

    data: Mapping[str, Any]
    line: int

    def at(self, *path: str) -> Any:
        """Return the value at a path below `spec`; None where there is none."""
        value: Any = self.data.get("spec")
        for name in path:
            value = value.get(name) if isinstance(value, dict) else None
        return value


@cache
def schema() -> Mapping[str, Any]:
    """Return the fields of NodeConfig; read once. The data is part of the program, so a fault in it raises."""
    data: dict[str, Any] = json.loads(files("webhook.nodeclass").joinpath("node_config.json").read_text("utf-8"))
    return data


def node_config(text: str) -> tuple[NodeConfig | None, tuple[Fault, ...]]:
    """Return the NodeConfig of a text of YAML or JSON, and all that is wrong with it. Never raises."""
    documents, problems = read(Source("", text))
    last = text.count("\n") + 1  # the parser tells of the end of a text on the line after it
    faults = [
        Fault(each.code, _LINES.sub("", each.message), each.hint, min(each.line, last), each.column)
        for each in problems
    ]
    if not documents:
        if not faults:
            faults.append(Fault("N002", "a NodeConfig without content", "write one, or remove the part"))
        return None, tuple(faults)
    for more in documents[1:]:
        message = "nodeadm reads the first document of a part alone, and this is another"
        faults.append(Fault("N002", message, "give it a part of its own", more.root.line, more.root.column))
    root = documents[0].root
    faults.extend(_document(root))
    data = root.data()
    return (NodeConfig(data, root.line) if isinstance(data, dict) else None), tuple(faults)


def merged(configs: tuple[NodeConfig, ...]) -> NodeConfig:
    """Return what nodeadm makes of several: the last that says something wins (nodeadm/internal/api/merge.go)."""
    result: dict[str, Any] = {}
    for each in configs:
        result = _over(result, dict(each.data))
    return NodeConfig(result, configs[0].line if configs else 1)


def _over(below: dict[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    result = dict(below)
    for key, value in above.items():
        if isinstance(value, dict) and isinstance(result.get(key), dict):
            result[key] = _over(result[key], value)
        elif value not in (None, "", [], {}):  # mergo takes no empty value for an override
            result[key] = value
    return result


def _document(root: Node) -> Iterator[Fault]:
    if not isinstance(root.value, dict):
        yield _at(root, "a NodeConfig must be a mapping with apiVersion, kind and spec", f"apiVersion: {_version()}")
        return
    version, kind = (root.value.get(name) for name in ("apiVersion", "kind"))
    if version is None or version.value != _version():
        said = "missing" if version is None else f'"{shown(str(version.data()))}"'
        yield _at(version or root, f"apiVersion is {said}", f"apiVersion: {_version()}")
    if kind is None or kind.value != "NodeConfig":
        said = "missing" if kind is None else f'"{shown(str(kind.data()))}"'
        yield _at(kind or root, f"kind is {said}", "kind: NodeConfig")
    for name in root.value:
        if name not in _ROOT:
            yield _unknown(root, name, name, _ROOT)
    spec = root.value.get("spec")
    if spec is not None and spec.value is not None:
        yield from _checked(spec, schema()["spec"], "spec")


def _version() -> str:
    return str(schema()["version"])


def _checked(node: Node, wanted: Any, path: str) -> Iterator[Fault]:
    if isinstance(wanted, dict):
        if node.value is None:
            return
        if not isinstance(node.value, dict):
            yield _at(node, f"{path} must be a mapping", "indent what belongs to it")
            return
        for name, child in node.value.items():
            if name in wanted:
                yield from _checked(child, wanted[name], f"{path}.{name}")
            else:
                yield _unknown(node, name, f"{path}.{name}", wanted)
    elif isinstance(wanted, list):
        for item in _items(node):
            if item.value not in wanted:
                yield _at(
                    item, f'{path}: "{shown(str(item.data()))}" is no word of it', suggestion(_word(item), wanted)
                )
        if not isinstance(node.value, list):
            yield _at(node, f"{path} must be a list", "begin each entry with -")
    else:
        yield from _scalar(node, wanted, path)


def _scalar(node: Node, wanted: str, path: str) -> Iterator[Fault]:
    value = node.value
    if wanted == "any":
        return
    if wanted == "strings":
        if not isinstance(value, list) or not all(isinstance(item.value, str) for item in value):
            yield _at(node, f"{path} must be a list of texts", "quote what is a number or a truth value")
    elif wanted == "environment":
        inner = value.values() if isinstance(value, dict) else [node]
        for each in inner:
            if not isinstance(each.value, dict) or not all(isinstance(i.value, str) for i in each.value.values()):
                yield _at(each, f"{path} must map a service to variables, and these to texts", "default: {NAME: text}")
    elif wanted == "boolean":
        if not isinstance(value, bool):
            yield _at(node, f"{path} must be true or false", "without quotes")
    elif not isinstance(value, str):
        yield _at(node, f"{path} must be a text", "quote it")
    elif wanted == "bytes":
        try:
            base64.b64decode(value, validate=True)
        except (binascii.Error, ValueError):
            yield _at(node, f"{path} must be base64", "copy it from the cluster's description as it is")
    elif "|" in wanted and value not in wanted.split("|"):
        yield _at(node, f'{path}: "{shown(value)}" is no word of it', suggestion(value, wanted.split("|")))
    elif path == "spec.containerd.config":
        try:
            tomllib.loads(value)
        except (tomllib.TOMLDecodeError, RecursionError) as error:
            yield _at(node, f"{path} is not TOML: {shown(str(error), 120)}", "containerd does not start with it")


def _items(node: Node) -> list[Node]:
    return node.value if isinstance(node.value, list) else []


def _word(node: Node) -> str:
    return node.value if isinstance(node.value, str) else ""


def _unknown(parent: Node, name: str, path: str, known: Any) -> Fault:
    line, column = parent.keys[name]
    message = f"nodeadm knows no {shown(path)}, and passes over it"
    return Fault("N002", message, suggestion(name, known), line, column)


def _at(node: Node, message: str, hint: str = "") -> Fault:
    return Fault("N002", message, hint, node.line, node.column)
