"""Values grown along paths, and pruned: a pod that has what an expression reads, and one that lacks it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from webhook.lint.pod_fields import prefixes, required_fields, type_of

MISSING: Final = object()
_SCALARS: Final[dict[str, Any]] = {"string": "x", "integer": 1, "number": 1.0, "boolean": True}
_MOST: Final = 8  # elements of a list that are made


def made(kind: str) -> Any:
    """Return a value of a type with no more than the API requires."""
    if kind in _SCALARS:
        return _SCALARS[kind]
    if kind[:1] == "[":
        return [made(kind[1:-1])]
    if kind[:1] == "{":
        return {}
    return {name: made(inner) for name, inner in required_fields(kind).items()} if kind != "any" else "x"


def grown(roots: Mapping[str, Any], path: str, values: Sequence[Any] = ()) -> dict[str, Any]:
    """Return the values of the variables, in which there is something at the path: one of `values`, if there are any.

    Elements of a list get the values in turn. What is there already stays where no value is asked for. The given values
    are not changed.
    """
    parts = prefixes(path)
    return {**roots, parts[0]: _grown(roots.get(parts[0]), parts, 1, values)}


def _grown(value: Any, parts: list[str], depth: int, values: Sequence[Any]) -> Any:
    holder = parts[depth - 1]
    if depth == len(parts):
        if values:
            return values[0]
        return made(type_of(holder)) if value is None or value is MISSING else value
    if parts[depth].endswith("[]"):
        items = value if isinstance(value, list) and value else [made(type_of(holder)[1:-1] or "any")]
        items = [*items, *[items[0]] * (min(len(values), _MOST) - len(items))]
        turns = len(values) or 1
        return [
            _grown(each, parts, depth + 1, values[index % turns :][:1] if values else ())
            for index, each in enumerate(items)
        ]
    name = step(holder, parts[depth])
    found: dict[str, Any] = dict(value) if isinstance(value, dict) else _fields(type_of(holder))
    found[name] = _grown(found.get(name, MISSING), parts, depth + 1, values)
    return found


def _fields(kind: str) -> dict[str, Any]:
    return {name: made(inner) for name, inner in required_fields(kind).items()}


def pruned(roots: Mapping[str, Any], path: str) -> dict[str, Any]:
    """Return the values of the variables without what is at the path; in lists, of every element."""
    parts = prefixes(path)
    return {**roots, parts[0]: _pruned(roots.get(parts[0]), parts, 1)}


def _pruned(value: Any, parts: list[str], depth: int) -> Any:
    if depth == len(parts):
        return value
    if parts[depth].endswith("[]"):
        return [_pruned(each, parts, depth + 1) for each in value] if isinstance(value, list) else value
    name = step(parts[depth - 1], parts[depth])
    if not isinstance(value, dict) or name not in value:
        return value
    if depth + 1 == len(parts):
        return {key: each for key, each in value.items() if key != name}
    return {**value, name: _pruned(value[name], parts, depth + 1)}


def lacks(roots: Mapping[str, Any], path: str) -> bool:
    """Whether what is at the path is missing, while what would hold it is there."""
    found: list[Any] = [roots]
    parts = ["", *prefixes(path)]
    for depth in range(1, len(parts)):
        inner: list[Any] = []
        for value in found:
            if parts[depth].endswith("[]"):
                inner.extend(value if isinstance(value, list) else ())
            elif isinstance(value, dict):
                name = step(parts[depth - 1], parts[depth]) if depth > 1 else parts[depth]
                if name in value:
                    inner.append(value[name])
                elif depth + 1 == len(parts):
                    return True
        found = inner
    return False


def step(holder: str, whole: str) -> str:
    """Return the field's name, or the key, by which a part of a path goes on from what holds it."""
    rest = whole[len(holder) :]
    return rest[1:] if rest[:1] == "." else _unquoted(rest[1:-1])


def _unquoted(text: str) -> str:
    return text[1:-1].replace("\\'", "'").replace("\\\\", "\\")
