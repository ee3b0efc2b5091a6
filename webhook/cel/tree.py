"""The C++ engine's syntax tree, read and written in its serialised form.

`cel_expr_python` shows its tree only as protobuf bytes (`Expression.serialize`) and takes such bytes back
(`Env.deserialize`). This is the little of the protobuf wire format that it takes to look at the tree and to replace
parts of it. Message and field numbers are those of cel-spec's `cel/expr/syntax.proto` and `checked.proto`.
"""

from collections.abc import Iterator
from typing import Final

# Which fields of which message hold messages that matter here; whatever else a message holds is carried along as is.
_CHILDREN: Final[dict[str, dict[int, str]]] = {
    "Any": {2: "CheckedExpr"},
    "CheckedExpr": {4: "Expr"},
    "Expr": {4: "Ident", 5: "Select", 6: "Call", 7: "List", 8: "Struct", 9: "Comprehension"},
    "Ident": {},
    "Select": {1: "Expr"},
    "Call": {1: "Expr", 3: "Expr"},
    "List": {1: "Expr"},
    "Struct": {2: "Entry"},
    "Entry": {3: "Expr", 4: "Expr"},
    "Comprehension": {2: "Expr", 4: "Expr", 5: "Expr", 6: "Expr", 7: "Expr"},
    "Constant": {},
    "SourceInfo": {},
    "Position": {},
}
_VARINT, _BYTES = 0, 2

CONST, IDENT, SELECT, CALL, LIST, STRUCT, COMPREHENSION = 3, 4, 5, 6, 7, 8, 9  # the one of these that an Expr holds
ITER_RANGE, ACCU_INIT, LOOP_CONDITION, LOOP_STEP, RESULT = 2, 4, 5, 6, 7  # of a Comprehension


class Message:
    """One message: its fields in order, where a field is a number, bytes, or a message."""

    __slots__ = ("fields", "kind")

    def __init__(self, kind: str, fields: "list[tuple[int, int | bytes | Message]]") -> None:
        self.kind = kind
        self.fields = fields

    def messages(self, number: int) -> "list[Message]":
        """Return every message in the field."""
        return [value for field, value in self.fields if field == number and isinstance(value, Message)]

    def message(self, number: int) -> "Message | None":
        """Return the message in the field, if it is there."""
        return next(iter(self.messages(number)), None)

    def text(self, number: int) -> str:
        """Return the string in the field, empty when it is not there, as protobuf has it."""
        return next((v.decode() for field, v in self.fields if field == number and isinstance(v, bytes)), "")

    def number(self, number: int) -> int:
        """Return the number in the field, 0 when it is not there, as protobuf has it."""
        return next((v for field, v in self.fields if field == number and isinstance(v, int)), 0)

    def children(self) -> "Iterator[Message]":
        """Yield the messages it holds."""
        return (value for _, value in self.fields if isinstance(value, Message))

    def encode(self) -> bytes:
        """Return its bytes."""
        data = bytearray()
        for number, value in self.fields:
            if isinstance(value, int):
                data += _varint(number << 3 | _VARINT) + _varint(value)
            else:
                content = value.encode() if isinstance(value, Message) else value
                data += _varint(number << 3 | _BYTES) + _varint(len(content)) + content
        return bytes(data)


def decode(data: bytes, kind: str = "Any") -> Message:
    """Return the message of this kind. ValueError if it holds what such a message cannot hold."""
    children = _CHILDREN[kind]
    fields: list[tuple[int, int | bytes | Message]] = []
    at = 0
    while at < len(data):
        tag, at = _read_varint(data, at)
        value, at = _read_varint(data, at)
        number, wire = tag >> 3, tag & 7
        if wire == _VARINT:
            fields.append((number, value))
        elif wire == _BYTES and at + value <= len(data):
            content = data[at : at + value]
            at += value
            fields.append((number, decode(content, children[number]) if number in children else content))
        else:
            raise ValueError(f"wire type {wire} in a {kind} of the syntax tree")
    return Message(kind, fields)


def content(node: Message) -> "tuple[int, Message | None]":
    """Return what an Expr is, and holds: `CALL` and the Call, say; None for a literal."""
    return next(((number, value) for number, value in node.fields if isinstance(value, Message)), (0, None))


def expression(fields: "list[tuple[int, int | bytes | Message]]") -> Message:
    """Return an Expr with this content; it has no place in the source."""
    return Message("Expr", fields)


def ident(name: str) -> Message:
    """Return a name."""
    return expression([(IDENT, Message("Ident", [(1, name.encode())]))])


def call(function: str, *arguments: Message) -> Message:
    """Return the call of a global function or operator."""
    return expression([(CALL, Message("Call", [(2, function.encode()), *((3, each) for each in arguments)]))])


def member(target: Message, function: str, *arguments: Message) -> Message:
    """Return the call of a function on a target."""
    parts: list[tuple[int, int | bytes | Message]] = [(1, target), (2, function.encode())]
    parts.extend((3, each) for each in arguments)
    return expression([(CALL, Message("Call", parts))])


def string(value: str) -> Message:
    """Return a string literal."""
    return expression([(CONST, Message("Constant", [(6, value.encode())]))])


def literal(raw: bytes) -> Message:
    """Return a literal with this `Constant` message."""
    return expression([(CONST, raw)])


def checked(root: Message) -> Message:
    """Return the expression as `Env.deserialize` takes it; without types, which the engine does not need."""
    return Message("Any", [(1, b"type.googleapis.com/cel.expr.CheckedExpr"), (2, Message("CheckedExpr", [(4, root)]))])


def integer(value: int) -> Message:
    """Return an integer literal, not negative."""
    return expression([(CONST, Message("Constant", [(3, value)]))])


def bind(name: str, value: Message, body: Message) -> Message:
    """Return `body` in which `name` stands for `value`, as `cel.bind` does: a loop over nothing."""
    parts: list[tuple[int, int | bytes | Message]] = [
        (1, b"#unused"),
        (ITER_RANGE, expression([(LIST, Message("List", []))])),
        (3, name.encode()),
        (ACCU_INIT, value),
        (LOOP_CONDITION, expression([(CONST, Message("Constant", [(2, 0)]))])),
        (LOOP_STEP, ident(name)),
        (RESULT, body),
    ]
    return expression([(COMPREHENSION, Message("Comprehension", parts))])


def is_loop(comprehension: Message) -> bool:
    """Whether it goes over something: `cel.bind` is a comprehension too, over nothing."""
    condition = comprehension.message(LOOP_CONDITION)
    return condition is None or (CONST, b"\x10\x00") not in condition.fields


def builds_a_list(comprehension: Message) -> bool:
    """Whether it is a `map` or a `filter`: what it gathers begins as an empty list."""
    start = comprehension.message(ACCU_INIT)
    return start is not None and start.message(LIST) is not None and is_loop(comprehension)


def is_gathering(content: Message) -> bool:
    """Whether a Call is the one by which `map` and `filter` add an element to the list they build."""
    arguments = content.messages(3)
    first = arguments[0].message(IDENT) if content.text(2) == "_+_" and arguments else None
    return first is not None and first.text(1) == "@result"


def _varint(value: int) -> bytes:
    data = bytearray()
    while value > 0x7F:
        data.append(value & 0x7F | 0x80)
        value >>= 7
    data.append(value)
    return bytes(data)


def _read_varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        if at >= len(data):
            raise ValueError("the syntax tree ends in the middle of a number")
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
