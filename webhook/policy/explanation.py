"""Pydantic's errors as sentences with the place in the file: what is wrong there, and what to write instead."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from webhook.policy import finding
from webhook.policy.finding import Finding, Path, suggestion
from webhook.policy.legibility import shown
from webhook.policy.problem import Problem
from webhook.policy.yaml_tree import Document, Node

_KEY = "[key]"  # how pydantic marks an error of a mapping's key
_QUOTED = re.compile(r"'([^']*)'")
_LONGEST = 500  # characters of a message, which may quote the document
_WANTED = {
    "string_type": "a string",
    "bool_type": "true or false",
    "list_type": "a list",
    "dict_type": "a mapping",
    "model_type": "a mapping",
    "model_attributes_type": "a mapping",
}


def explain(error: ValidationError, document: Document, model: type[BaseModel]) -> list[Problem]:
    """Return every error of one document, in the order of the file."""
    faults = list(_faults(error.errors(include_url=False), (), document, model))
    # A misspelt field is one fault, not an unknown field and a missing one.
    meant = {(at[:-1], fault.hint) for at, fault in faults if fault.code == "P010"}
    found = [
        _problem(at, fault, document)
        for at, fault in faults
        if fault.code != "P011" or (at[:-1], f'did you mean "{at[-1]}"?') not in meant
    ]
    return sorted(found, key=lambda problem: (problem.line, problem.column))


def _faults(
    errors: Sequence[Any], prefix: Path, document: Document, model: type[BaseModel]
) -> Iterator[tuple[Path, Finding]]:
    for error in errors:
        at: Path = (*prefix, *error["loc"])
        if error["type"] == finding.KIND:
            for fault in error["ctx"]["findings"]:
                yield (*_plain(at), *fault.at), fault
            yield from _faults(error["ctx"]["inner"], at, document, model)
        else:
            yield _plain(at), _fault(error, _plain(at), document, model)


def _plain(at: Path) -> Path:
    return tuple(part for part in at if part != _KEY)


def _fault(error: Mapping[str, Any], at: Path, document: Document, model: type[BaseModel]) -> Finding:
    kind, given = error["type"], error["input"]
    if kind == "extra_forbidden":
        hint = suggestion(str(at[-1]), _fields(model, at[:-1]))
        return Finding("P010", f'unknown field "{shown(str(at[-1]))}"', hint, on_key=True)
    if kind == "missing":
        return Finding("P011", f'missing field "{at[-1]}"')
    if kind == "literal_error":
        known = _QUOTED.findall(error["ctx"]["expected"])
        wanted = f"must be {known[0]}" if len(known) == 1 else f"must be one of {', '.join(known)}"
        hint = suggestion(given, known) if isinstance(given, str) and len(known) > 1 else ""
        return Finding("P013", f"{wanted}, is {_described(given)}", "" if hint.startswith("known") else hint)
    if kind in _WANTED:
        return Finding("P012", f"must be {_WANTED[kind]}, is {_described(given)}", _hint(kind, given, at, document))
    if kind == "too_short":
        return Finding("P014", "must not be empty", "remove the field or list something")
    if kind == "too_long":
        return Finding("P005", f"must not have more than {error['ctx']['max_length']} entries")
    return Finding("P012", shown(str(error["msg"]), 200))


def _hint(kind: str, given: Any, at: Path, document: Document) -> str:
    if given is None:
        return "remove the field or give it a value"
    if kind == "string_type" and not isinstance(given, dict | list):
        raw = _node(document.root, at)[0].raw
        return f'quote it: "{shown(raw)}"'
    if kind == "bool_type":
        return "write true or false, without quotes"
    if kind == "list_type" and not isinstance(given, dict | list):
        return f"write [{shown(str(given))}]"
    return ""


def _described(given: Any) -> str:
    match given:
        case None:
            return "empty"
        case bool():
            return "true" if given else "false"
        case int() | float():
            return f"the number {given}"
        case str():
            return f'"{shown(given)}"'
        case list():
            return "a list"
        case _:
            return "a mapping"


def _fields(model: type[BaseModel], at: Path) -> list[str]:
    """Return the YAML names of the fields at a place."""
    here: Any = model
    for part in at:
        if isinstance(part, str) and isinstance(here, type) and issubclass(here, BaseModel):
            annotation = next((f.annotation for f in here.model_fields.values() if f.alias == part), None)
            here = _model_in(annotation)
    fields = here.model_fields if isinstance(here, type) and issubclass(here, BaseModel) else {}
    return [field.alias or name for name, field in fields.items()]


def _model_in(annotation: Any) -> Any:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for found in map(_model_in, get_args(annotation)) if found is not None), None)


def _problem(at: Path, fault: Finding, document: Document) -> Problem:
    node, key = _node(document.root, at)
    line, column = node.line, node.column
    if fault.on_key and key is not None:
        line, column = key
    elif fault.within is not None:
        line, column = within(node, *fault.within)
    message, hint = shown(fault.message, _LONGEST), shown(fault.hint, _LONGEST)
    return Problem(fault.code, "error", document.file, line, column, path(at), message, hint)


def path(at: Path) -> str:
    """Spell a place as people do: `spec.models[0].cache`."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{shown(part)}" for part in at)
    return text.removeprefix(".")


def _node(root: Node, at: Path) -> tuple[Node, tuple[int, int] | None]:
    """Return the node at a place, or the nearest around it, and the place of its key."""
    node, key = root, None
    for part in at:
        if isinstance(node.value, dict) and part in node.value:
            key, node = node.keys[str(part)], node.value[part]
        elif isinstance(node.value, list) and isinstance(part, int) and part < len(node.value):
            key, node = None, node.value[part]
        else:
            return node, None
    return node, key


def within(node: Node, line: int, column: int) -> tuple[int, int]:
    """Return where in the file the character stands that is at a line and column of a scalar's value.

    Folding and indentation change white space alone, so the characters that are not white space are counted off.
    """
    raw = node.raw
    if raw[:1] in {"!", "&"} or (raw[:1] == '"' and "\\" in raw):
        return node.line, node.column
    before = node.value.split("\n")[:line]
    target = len("".join("".join([*before[:-1], before[-1][: column - 1]]).split()))
    start = raw.find("\n") + 1 if raw[:1] in {"|", ">"} else int(raw[:1] in {'"', "'"})
    index, last, seen = start, start, 0
    while index < len(raw):
        if not raw[index].isspace():
            if seen == target:
                last = index
                break
            seen += 1
            index += raw[:1] == "'" and raw[index] == "'"
            last = index + 1
        index += 1
    newline = raw.rfind("\n", 0, last)
    return node.line + raw.count("\n", 0, last), last - newline if newline >= 0 else node.column + last
