"""JSON Patch (RFC 6902): the operations that turn one JSON object into another, and their application.

`diff` is for objects that share most of their parts, as a pod and its edited copy do: parts that are the same Python object
are skipped without a look. Equality is JSON's: `true`, `1` and `1.0` are three different values, though Python's `==` says
otherwise. Both functions recurse once per level; `webhook.kube.review` refuses what is nested too deeply.
"""

from __future__ import annotations

from typing import Any

from webhook.kube import Object

_KEYS = ("name", "mountPath")
"""What tells the entries of a list apart, tried in this order: containers, volumes, variables; then volume mounts."""


class UnapplicablePatch(ValueError):
    """The operation at `index` cannot be applied, `reason` says why. The document it was for is unchanged."""

    def __init__(self, index: int, reason: str) -> None:
        super().__init__(f"operation {index}: {reason}")
        self.index = index
        self.reason = reason


def diff(before: Object, after: Object) -> list[Object]:
    """The operations (`add`, `replace`, `remove`) that turn `before` into `after`; none when they are equal.

    Entries of a list are told apart by name, so that a container put in front is one `add` and its neighbours stay
    untouched. The same input gives the same operations in the same order. The values in them are parts of `after`, not
    copies.
    """
    operations: list[Object] = []
    if before is not after:
        _diff_objects(before, after, "", operations)
    return operations


def apply(document: Object, operations: list[Object]) -> Object:
    """The document that `operations` make of `document`, which stays as it is; unchanged parts are shared.

    Knows `add`, `replace` and `remove`. Raises UnapplicablePatch for anything else, and wherever RFC 6902 demands an error.
    """
    fresh: dict[
        int, Any
    ] = {}  # the containers made here, which may be edited; holding them keeps their ids from being reused
    for index, operation in enumerate(operations):
        try:
            document = _applied(document, operation, fresh)
        except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
            reason = error.args[0] if type(error) is ValueError and error.args else f"malformed operation ({error!r})"
            raise UnapplicablePatch(index, str(reason)) from None
    return document


def equal(one: Any, other: Any) -> bool:
    """Whether two JSON values are equal as JSON: the order of keys is nothing, the type of a number or a boolean is."""
    if one is other:
        return True
    kind = type(one)
    if kind is not type(other):
        return False
    if kind is dict:
        if len(one) != len(other):
            return False
        for key, value in one.items():
            if key not in other or not equal(value, other[key]):
                return False
        return True
    if kind is list:
        if len(one) != len(other):
            return False
        for value, counterpart in zip(one, other, strict=True):
            if value is not counterpart and not equal(value, counterpart):
                return False
        return True
    return bool(one == other)


def _escaped(key: str) -> str:
    """A key as one token of a JSON pointer (RFC 6901)."""
    if "~" in key or "/" in key:
        return key.replace("~", "~0").replace("/", "~1")
    return key


def _diff(before: Any, after: Any, path: str, operations: list[Object]) -> None:
    """Operations for two values at `path` that are not the same Python object."""
    kind = type(before)
    if kind is type(after):
        if kind is dict:
            _diff_objects(before, after, path, operations)
            return
        if kind is list:
            _diff_lists(before, after, path, operations)
            return
        if before == after:
            return
    operations.append({"op": "replace", "path": path, "value": after})


def _diff_objects(before: Object, after: Object, path: str, operations: list[Object]) -> None:
    for key, value in before.items():
        if key not in after:
            operations.append({"op": "remove", "path": f"{path}/{_escaped(key)}"})
        elif (wanted := after[key]) is not value:
            _diff(value, wanted, f"{path}/{_escaped(key)}", operations)
    for key, wanted in after.items():
        if key not in before:
            operations.append({"op": "add", "path": f"{path}/{_escaped(key)}", "value": wanted})


def _diff_lists(before: list[Any], after: list[Any], path: str, operations: list[Object]) -> None:
    """Skip what both begin and end with, then pair what is left between."""
    last, wanted_last = len(before), len(after)
    start = 0
    shorter = min(last, wanted_last)
    while start < shorter and equal(before[start], after[start]):
        start += 1
    while last > start and wanted_last > start and equal(before[last - 1], after[wanted_last - 1]):
        last -= 1
        wanted_last -= 1
    if start == last:
        for index in range(start, wanted_last):
            operations.append({"op": "add", "path": f"{path}/{index}", "value": after[index]})
    elif start == wanted_last:
        # From the end, so that every index still means what it meant.
        operations.extend({"op": "remove", "path": f"{path}/{index}"} for index in range(last - 1, start - 1, -1))
    else:
        _diff_middles(before[start:last], after[start:wanted_last], start, path, operations)


def _diff_middles(before: list[Any], after: list[Any], start: int, path: str, operations: list[Object]) -> None:
    """Operations for two lists that begin and end differently; they stand at index `start` of the list at `path`."""
    for key in _KEYS:
        names, wanted_names = _names(before, key), _names(after, key)
        if names is None or wanted_names is None:
            continue
        if [name for name in names if name in wanted_names] == [name for name in wanted_names if name in names]:
            _diff_named(before, after, (names, wanted_names), start, path, operations)
            return
        break
    if _is_subsequence(before, after):
        position = 0
        for index, wanted in enumerate(after):
            if position < len(before) and equal(before[position], wanted):
                position += 1
            else:
                operations.append({"op": "add", "path": f"{path}/{start + index}", "value": wanted})
        return
    paired = min(len(before), len(after))
    for index in range(paired):
        if before[index] is not after[index]:
            _diff(before[index], after[index], f"{path}/{start + index}", operations)
    for index in range(paired, len(after)):
        operations.append({"op": "add", "path": f"{path}/{start + index}", "value": after[index]})
    for index in range(len(before) - 1, paired - 1, -1):
        operations.append({"op": "remove", "path": f"{path}/{start + index}"})


def _names(entries: list[Any], key: str) -> dict[str, int] | None:
    """Name to index, in order; None when the entries are not all objects with a name of their own."""
    names: dict[str, int] = {}
    for index, entry in enumerate(entries):
        name = entry.get(key) if type(entry) is dict else None
        if type(name) is not str or name in names:
            return None
        names[name] = index
    return names


def _diff_named(
    before: list[Any],
    after: list[Any],
    names: tuple[dict[str, int], dict[str, int]],
    start: int,
    path: str,
    operations: list[Object],
) -> None:
    """Operations for two lists of named entries, those in both standing in the same order."""
    have, wanted = names
    gone = [index for name, index in have.items() if name not in wanted]
    operations.extend({"op": "remove", "path": f"{path}/{start + index}"} for index in reversed(gone))
    for name, index in wanted.items():
        if name not in have:
            operations.append({"op": "add", "path": f"{path}/{start + index}", "value": after[index]})
        elif (entry := before[have[name]]) is not after[index]:
            _diff(entry, after[index], f"{path}/{start + index}", operations)


def _is_subsequence(few: list[Any], many: list[Any]) -> bool:
    if len(few) > len(many):
        return False
    position = 0
    for entry in many:
        if position < len(few) and equal(few[position], entry):
            position += 1
    return position == len(few)


def _editable(container: Any, fresh: dict[int, Any]) -> Any:
    """The container itself when it was made by this patch, else a shallow copy that is."""
    if id(container) in fresh:
        return container
    made = container.copy()
    fresh[id(made)] = made
    return made


def _applied(document: Object, operation: Object, fresh: dict[int, Any]) -> Object:
    verb, path = operation["op"], operation["path"]
    if verb not in ("add", "replace", "remove"):
        raise ValueError(f"{verb!r} is not add, replace or remove")
    if verb != "remove" and "value" not in operation:
        raise ValueError(f"{verb} {path} has no value")
    if path == "":
        if verb == "remove" or type(operation["value"]) is not dict:
            raise ValueError(f"{verb} of the whole document leaves no object")
        return dict(operation["value"])
    if path[0] != "/":
        raise ValueError(f"{path!r} is not a JSON pointer: it does not begin with '/'")
    tokens = path[1:].split("/")
    if "~" in path:
        tokens = [_unescaped(token) for token in tokens]
    root = target = _editable(document, fresh)
    for token in tokens[:-1]:
        kind = type(target)
        if kind is dict:
            if token not in target:
                raise ValueError(f"{path}: there is no {token!r}")
            place: Any = token
        elif kind is list:
            place = _index(token, len(target) - 1, path)
        else:
            raise ValueError(f"{path}: {token!r} is asked of a value that has no parts")
        child = target[place]
        if type(child) is dict or type(child) is list:
            child = _editable(child, fresh)
            target[place] = child
        target = child
    _edit(target, tokens[-1], verb, operation, path)
    return root


def _edit(target: Any, token: str, verb: str, operation: Object, path: str) -> None:
    """Do one operation on the container that holds the place."""
    if type(target) is dict:
        if verb == "add":
            target[token] = operation["value"]
        elif token not in target:
            raise ValueError(f"{path}: there is nothing to {verb}")
        elif verb == "replace":
            target[token] = operation["value"]
        else:
            del target[token]
    elif type(target) is list:
        if verb == "add":
            place = len(target) if token == "-" else _index(token, len(target), path)
            target.insert(place, operation["value"])
        else:
            place = _index(token, len(target) - 1, path)
            if verb == "replace":
                target[place] = operation["value"]
            else:
                del target[place]
    else:
        raise ValueError(f"{path}: {token!r} is asked of a value that has no parts")


def _index(token: str, highest: int, path: str) -> int:
    """An array index as RFC 6901 allows it: ASCII digits without a leading zero."""
    if not (token.isascii() and token.isdigit()) or (token[0] == "0" and token != "0") or len(token) > 10:
        raise ValueError(f"{path}: {token!r} is not an array index")
    index = int(token)
    if index > highest:
        raise ValueError(f"{path}: index {index} is beyond the end")
    return index


def _unescaped(token: str) -> str:
    rest = token.replace("~0", "").replace("~1", "")
    if "~" in rest:
        raise ValueError(f"{token!r}: '~' is followed by neither 0 nor 1")
    return token.replace("~1", "/").replace("~0", "~")
