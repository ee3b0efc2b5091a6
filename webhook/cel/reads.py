"""Which parts of the variables an expression reads, by its tree; and values without the parts that are not read.

Engines convert what they are given as a whole, and conditions mostly read a few fields of a pod. Whatever the survey
does not know counts as reading everything below it, so an expression has the same answer over a value and over its cut.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from webhook.cel import tree
from webhook.cel.expression import EACH, VARIABLES, Reads

_TEST_ONLY: Final = 3  # of a Select: it is `has`
_STRING: Final = 0x32  # the first byte of a Constant that is one: field 6, its length, its bytes
_INTEGER: Final = 0x18

_Path = tuple[str, ...]
_Names = dict[str, _Path | None]


def cut(value: Any, reads: Reads | None) -> Any:
    """The value without what is not read, in the order of `reads`; parts that are read whole are shared with it.

    What is only asked whether it is there, or how many there are, is there and as many, but empty.
    """
    if reads is None:
        return value
    if type(value) is dict:
        if EACH in reads:
            return value  # a loop over a map goes over its keys
        return {key: cut(value[key], inner) for key, inner in reads.items() if key in value}
    if type(value) is list and reads.keys() <= {EACH}:
        if not reads:
            return []
        inner = reads[EACH]
        return [cut(entry, inner) for entry in value]
    return value


def together(several: Iterable[Reads]) -> Reads:
    """What any of these reads."""
    found: Reads = {}
    for each in several:
        _merge(found, each)
    return found


def survey(root: tree.Message) -> Reads:
    """What an expression reads, by the name of the variable."""
    found: Reads = {}
    _Survey(found).visit(root, {})
    return found


def _merge(into: Reads, other: Reads) -> None:
    for key, theirs in other.items():
        mine = into.setdefault(key, {})
        if theirs is None:
            into[key] = None
        elif mine is not None:
            _merge(mine, theirs)


class _Survey:
    """One pass over a tree. `names` are those of loops, each with the path of what it stands for, if there is one."""

    def __init__(self, found: Reads) -> None:
        self._found = found

    def visit(self, node: tree.Message, names: _Names) -> None:
        """Note what is read where the whole value of this node is wanted."""
        number, content = _content(node)
        if content is None:
            return  # a literal
        path = self._path(node, names)
        if path is not None:
            self._note(path, None)
        elif number == tree.COMPREHENSION:
            self._loop(content, names)
        elif (asked := self._asked(number, content, names)) is not None:
            self._note(asked, {})
        else:
            for child in content.children():
                for part in child.children() if child.kind == "Entry" else (child,):
                    self.visit(part, names)

    def _note(self, path: _Path, inner: Reads | None) -> None:
        reads = self._found
        for step in path[:-1]:
            below = reads.setdefault(step, {})
            if below is None:
                return
            reads = below
        if inner is None:
            reads[path[-1]] = None
        else:
            reads.setdefault(path[-1], inner)

    def _path(self, node: tree.Message | None, names: _Names) -> _Path | None:
        """The path of what a node stands for; None where it is no part of a variable."""
        number, content = (0, None) if node is None else _content(node)
        if content is None:
            return None
        if number == tree.IDENT:
            name = content.text(1).lstrip(".")
            return names.get(name, (name,) if name in VARIABLES else None)
        if number == tree.SELECT and not content.number(_TEST_ONLY):
            return _below(self._path(content.message(1), names), content.text(2))
        arguments = content.messages(3) if number == tree.CALL else []
        if len(arguments) == 2 and content.text(2) == "_[_]":
            return _below(self._path(arguments[0], names), _key(arguments[1]) or _index(arguments[1]))
        return None

    def _asked(self, number: int, content: tree.Message, names: _Names) -> _Path | None:
        """The path that `has(path)` or `'key' in path` asks for."""
        if number == tree.SELECT:
            return _below(self._path(content.message(1), names), content.text(2))
        arguments = content.messages(3) if number == tree.CALL else []
        if len(arguments) == 2 and content.text(2) == "@in":
            return _below(self._path(arguments[1], names), _key(arguments[0]))
        return None

    def _loop(self, content: tree.Message, names: _Names) -> None:
        over = content.message(tree.ITER_RANGE)
        element = None if content.text(8) else _below(self._path(over, names), EACH)
        if element is not None:
            self._note(element, {})
        elif over is not None:
            self.visit(over, names)
        gathered: _Names = {**names, content.text(3): None}
        inside: _Names = {**names, content.text(8): None, content.text(1): element, content.text(3): None}
        scopes = {tree.ACCU_INIT: names, tree.LOOP_CONDITION: inside, tree.LOOP_STEP: inside, tree.RESULT: gathered}
        for number, scope in scopes.items():
            for child in content.messages(number):
                self.visit(child, scope)


def _content(node: tree.Message) -> tuple[int, tree.Message | None]:
    return next(((number, value) for number, value in node.fields if isinstance(value, tree.Message)), (0, None))


def _below(path: _Path | None, step: str | None) -> _Path | None:
    return None if path is None or step is None else (*path, step)


def _key(node: tree.Message) -> str | None:
    """The text of a literal that can be a key; None for an empty one, which would be taken for `EACH`."""
    raw = _literal(node)
    return tree.decode(raw, "Constant").text(6) or None if raw[:1] == bytes([_STRING]) else None


def _index(node: tree.Message) -> str | None:
    return EACH if _literal(node)[:1] == bytes([_INTEGER]) else None


def _literal(node: tree.Message) -> bytes:
    return next((v for number, v in node.fields if number == tree.CONST and isinstance(v, bytes)), b"")
