"""Comparisons with literals in the C++ engine's tree: `path == 'x'`, `path in ['x', 'y']`, `has(path)`, ..."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from webhook.cel import tree
from webhook.cel.structures import Relation, Scalar

_NULL, _BOOL, _INT, _UINT, _DOUBLE, _STRING = 0x08, 0x10, 0x18, 0x20, 0x29, 0x32  # the first byte of a Constant
_ORDERS: Final = frozenset(("_<_", "_<=_", "_>_", "_>=_"))
_TESTS: Final[dict[str, Relation]] = {"startsWith": "startsWith", "endsWith": "endsWith", "contains": "contains"}


class NotLiteral(ValueError):
    """The tree is no literal of a plain type."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """What is compared, how, and with which literals. `step` is what `has` asks for below the operand."""

    operand: tree.Message
    relation: Relation
    values: tuple[Scalar, ...]
    negated: bool
    step: str = ""


def literal(node: tree.Message) -> Scalar:
    """Return the value of a literal; NotLiteral for anything else."""
    raw = next((v for number, v in node.fields if number == tree.CONST and isinstance(v, bytes)), None)
    if raw is None:
        raise NotLiteral
    kind = raw[0] if raw else _NULL
    if kind == _NULL:
        return None
    if kind == _DOUBLE:
        value: float = struct.unpack("<d", raw[1:9])[0]
        return value
    if kind not in (_BOOL, _INT, _UINT, _STRING):
        raise NotLiteral
    constant = tree.decode(raw, "Constant")
    if kind == _STRING:
        return constant.text(6)
    number = constant.number(kind >> 3)
    if kind == _BOOL:
        return number == 1
    return number - 2**64 if number >= 2**63 and kind == _INT else number


def key(node: tree.Message) -> str | None:
    """Return the text of a literal that is one, None for anything else."""
    try:
        value = literal(node)
    except NotLiteral:
        return None
    return value if isinstance(value, str) else None


def comparison(node: tree.Message) -> Comparison | None:
    """Return what the tree compares with literals, None if it is not such a comparison."""
    number, content = tree.content(node)
    if content is None:
        return None
    if number == tree.SELECT:
        operand = content.message(1)
        if not content.number(3) or operand is None:
            return None
        return Comparison(operand, "has", (), negated=False, step=f".{content.text(2)}")
    name, target, arguments = content.text(2), content.message(1), content.messages(3)
    try:
        if name in _TESTS and target is not None and len(arguments) == 1:
            return Comparison(target, _TESTS[name], (literal(arguments[0]),), negated=False)
        if len(arguments) != 2:
            return None
        if name == "@in":
            return _membership(*arguments)
        if name in ("_==_", "_!=_"):
            return _sided(arguments, "==", negated=name == "_!=_")
        return _sided(arguments, "<", negated=False) if name in _ORDERS else None
    except NotLiteral:
        return None


def _membership(element: tree.Message, container: tree.Message) -> Comparison | None:
    wanted = key(element)
    if wanted is not None:
        return Comparison(container, "has", (), negated=False, step=f"[{wanted!r}]")
    listed = container.message(tree.LIST)
    if listed is None:
        return None
    return Comparison(element, "in", tuple(map(literal, listed.messages(1))), negated=False)


def _sided(arguments: list[tree.Message], relation: Relation, *, negated: bool) -> Comparison:
    left, right = arguments
    try:
        return Comparison(left, relation, (literal(right),), negated)
    except NotLiteral:
        return Comparison(right, relation, (literal(left),), negated)


def conjuncts(node: tree.Message, *, negated: bool = False) -> Iterator[tuple[tree.Message, bool]]:
    """Yield the parts that are true wherever the tree is, or false where the second says so."""
    content = tree.content(node)[1]
    name = content.text(2) if content is not None and content.kind == "Call" else ""
    arguments = content.messages(3) if content is not None else []
    if name == "!_" and len(arguments) == 1:
        yield from conjuncts(arguments[0], negated=not negated)
    elif name == ("_||_" if negated else "_&&_"):
        for each in arguments:
            yield from conjuncts(each, negated=negated)
    else:
        yield node, negated
