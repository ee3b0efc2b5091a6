"""JSON Patch (RFC 6902): the operations that turn one JSON object into another, and their application.

`diff` is for objects that share most of their parts, as a pod and its edited copy do: parts that are the same Python
object are skipped without a look. Equality is JSON's: `true`, `1` and `1.0` are three different values, though Python's
`==` says otherwise. Both functions recurse once per level; `webhook.kube.review` refuses what is nested too deeply.
"""

from __future__ import annotations

from typing import Any

from webhook.kube import Object

_KEYS = ("name", "mountPath")
"""What tells the entries of a list apart, tried in this order: containers, volumes, variables; then volume mounts."""

_MISSING = object()


class UnapplicablePatch(ValueError):
    """The operation at `index` cannot be applied, `reason` says why. The document it was for is unchanged."""

    def __init__(self, index: int, reason: str) -> None:
        super().__init__(f"operation {index}: {reason}")
        self.index = index
        self.reason = reason


def diff(before: Object, after: Object) -> list[Object]:
    """The operations (`add`, `replace`, `remove`) that turn `before` into `after`; none when they are equal.

    Entries of a list are told apart by name, so that a container put in front is one `add`. Equal inputs give equal
    operations, whatever the order of their keys. The values in them are parts of `after`, not copies.
    """
    operations: list[Object] = []
    if before is not after:
        _diff_objects(before, after, "", operations)
    return operations


def apply(document: Object, operations: list[Object]) -> Object:
    """The document that `operations` make of `document`, which stays as it is; unchanged parts are shared.

    Knows `add`, `replace` and `remove`. Raises UnapplicablePatch for anything else, and wherever RFC 6902 demands an
    error.
    """
    if not operations:
        return document
    edit = _Edit(document)
    for index, operation in enumerate(operations):
        try:
            edit.apply(operation)
        except _Refused as refused:
            raise UnapplicablePatch(index, str(refused)) from None
        except (KeyError, TypeError, AttributeError):
            raise UnapplicablePatch(index, "an operation is an object with op, path and value") from None
    return edit.root


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
        for key, value in one.items():  # a plain loop: this runs for most parts of a pod
            counterpart = other.get(key, _MISSING)
            if value is not counterpart and not equal(value, counterpart):
                return False
        return True
    if kind is list:
        return len(one) == len(other) and all(map(equal, one, other))
    return bool(one == other)


def _escaped(key: str) -> str:
    """A key as one step of a JSON pointer (RFC 6901)."""
    if "~" in key or "/" in key:
        return key.replace("~", "~0").replace("/", "~1")
    return key


def _addition(path: str, index: int, value: Any) -> Object:
    return {"op": "add", "path": f"{path}/{index}", "value": value}


def _removal(path: str, index: int) -> Object:
    return {"op": "remove", "path": f"{path}/{index}"}


def _diff(before: Any, after: Any, path: str, operations: list[Object]) -> None:
    """Operations for two values at `path` that are not the same Python object."""
    kind = type(before) if type(before) is type(after) else None
    if kind is dict:
        _diff_objects(before, after, path, operations)
    elif kind is list:
        _diff_lists(before, after, path, operations)
    elif kind is None or before != after:
        operations.append({"op": "replace", "path": path, "value": after})


def _diff_objects(before: Object, after: Object, path: str, operations: list[Object]) -> None:
    changed = [key for key, value in before.items() if after.get(key, _MISSING) is not value]
    changed += [key for key in after if key not in before]
    for key in sorted(changed):  # the order of keys is nothing, also not to the order of operations
        inner = f"{path}/{_escaped(key)}"
        if key not in after:
            operations.append({"op": "remove", "path": inner})
        elif key not in before:
            operations.append({"op": "add", "path": inner, "value": after[key]})
        else:
            _diff(before[key], after[key], inner, operations)


def _diff_lists(before: list[Any], after: list[Any], path: str, operations: list[Object]) -> None:
    """Skip what both begin and end with, then pair what is left between."""
    last, wanted_last = len(before), len(after)
    start, shorter = 0, min(last, wanted_last)
    while start < shorter and (before[start] is after[start] or equal(before[start], after[start])):
        start += 1
    is_pair = last == wanted_last == start + 1  # seen to differ: the one container of most pods
    while not is_pair and last > start and wanted_last > start and equal(before[last - 1], after[wanted_last - 1]):
        last -= 1
        wanted_last -= 1
    if start == last:
        operations += [_addition(path, index, after[index]) for index in range(start, wanted_last)]
    elif start == wanted_last:
        # From the end, so that every index still means what it meant.
        operations.extend(_removal(path, index) for index in range(last - 1, start - 1, -1))
    else:
        _diff_middles(before[start:last], after[start:wanted_last], start, path, operations)


def _diff_middles(before: list[Any], after: list[Any], start: int, path: str, operations: list[Object]) -> None:
    """Operations for two lists that begin and end differently; they stand at index `start` of the list at `path`."""
    for key in _KEYS:
        names, wanted_names = _names(before, key), _names(after, key)
        if names is None or wanted_names is None:
            continue
        if [name for name in names if name in wanted_names] == [name for name in wanted_names if name in names]:
            _diff_named((before, names), (after, wanted_names), start, path, operations)
            return
        break
    if (strewn := _inserted(before, after)) is not None:
        operations.extend(_addition(path, start + index, after[index]) for index in strewn)
        return
    paired = min(len(before), len(after))
    for index, (one, other) in enumerate(zip(before, after, strict=False)):
        if one is not other:
            _diff(one, other, f"{path}/{start + index}", operations)
    operations.extend(_addition(path, start + index, after[index]) for index in range(paired, len(after)))
    operations.extend(_removal(path, start + index) for index in range(len(before) - 1, paired - 1, -1))


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
    before: tuple[list[Any], dict[str, int]],
    after: tuple[list[Any], dict[str, int]],
    start: int,
    path: str,
    operations: list[Object],
) -> None:
    """Operations for two lists of entries with the index of each name; names in both stand in the same order."""
    entries, have = before
    wanted_entries, wanted = after
    gone = [index for name, index in have.items() if name not in wanted]
    operations.extend(_removal(path, start + index) for index in reversed(gone))
    for name, index in wanted.items():
        if name not in have:
            operations.append(_addition(path, start + index, wanted_entries[index]))
        elif (entry := entries[have[name]]) is not wanted_entries[index]:
            _diff(entry, wanted_entries[index], f"{path}/{start + index}", operations)


def _inserted(few: list[Any], many: list[Any]) -> list[int] | None:
    """Which entries of `many` were put between those of `few`; None when it is not `few` with more between."""
    position, indexes = 0, []
    for index, entry in enumerate(many):
        if position < len(few) and equal(few[position], entry):
            position += 1
        else:
            indexes.append(index)
    return indexes if position == len(few) else None


class _Refused(ValueError):
    """Why one operation cannot be applied."""


class _Edit:
    """A document being edited: every container on the way to a change is copied once, the rest is shared."""

    __slots__ = ("_copies", "_target", "_target_path", "root")

    def __init__(self, document: Object) -> None:
        self._begin(document)

    def _begin(self, document: Object) -> None:
        self.root = dict(document)
        # What was copied here and may be edited; holding it keeps its id from being reused.
        self._copies: dict[int, Any] = {id(self.root): self.root}
        # Operations mostly come in rows on one container: the last one stays at hand.
        self._target: Any = self.root
        self._target_path = ""

    def apply(self, operation: Object) -> None:
        """Do one operation. Raises _Refused, or KeyError, TypeError, AttributeError for what is no operation."""
        verb, path = operation["op"], operation["path"]
        if verb not in ("add", "replace", "remove"):
            raise _Refused(f"{verb!r} is not add, replace or remove")
        value = None if verb == "remove" else operation["value"]
        parent, slash, last = path.rpartition("/")
        if not slash:
            if path or type(value) is not dict:
                raise _Refused(f"{path!r} is not a JSON pointer" if path else f"{verb} of the whole leaves no object")
            self._begin(value)
            return
        if parent != self._target_path:
            self._target = self._editable(parent)
            self._target_path = parent
        target = self._target
        if "~" in last:
            last = _unescaped(last)
        if type(target) is dict:
            if verb != "add" and last not in target:
                raise _Refused(f"{path}: there is nothing to {verb}")
            if verb == "remove":
                del target[last]
            else:
                target[last] = value
        elif type(target) is list:
            if verb == "add":
                end = len(target)
                target.insert(end if last == "-" or last == str(end) else _index(last, end, path), value)
            elif verb == "replace":
                target[_index(last, len(target) - 1, path)] = value
            else:
                del target[_index(last, len(target) - 1, path)]
        else:
            raise _Refused(f"{path}: {last!r} is asked of a value that has no parts")

    def _editable(self, path: str) -> Any:
        """The value at `path`; when it is a container it may be edited."""
        # Whatever happens below, the container at hand may no longer be the one at its path.
        self._target_path = ""
        self._target = self.root
        if not path:
            return self.root
        first, *steps = path.split("/")
        if first:
            raise _Refused(f"{path!r} is not a JSON pointer: it does not begin with '/'")
        value: Any = self.root
        for step in steps:
            name = _unescaped(step) if "~" in step else step
            place: Any
            if type(value) is dict:
                if name not in value:
                    raise _Refused(f"{path}: there is no {name!r}")
                place = name
            elif type(value) is list:
                place = _index(name, len(value) - 1, path)
            else:
                raise _Refused(f"{path}: {name!r} is asked of a value that has no parts")
            inner = value[place]
            if id(inner) not in self._copies and (type(inner) is dict or type(inner) is list):
                inner = value[place] = inner.copy()
                self._copies[id(inner)] = inner
            value = inner
        return value


def _index(step: str, highest: int, path: str) -> int:
    """An array index as RFC 6901 allows it: ASCII digits without a leading zero."""
    if not (step.isascii() and step.isdigit()) or (step[0] == "0" and step != "0") or len(step) > 10:
        raise _Refused(f"{path}: {step!r} is not an array index")
    index = int(step)
    if index > highest:
        raise _Refused(f"{path}: index {index} is beyond the end")
    return index


def _unescaped(step: str) -> str:
    if "~" in step.replace("~0", "").replace("~1", ""):
        raise _Refused(f"{step!r}: '~' is followed by neither 0 nor 1")
    return step.replace("~1", "/").replace("~0", "~")
