"""What the C++ engine's syntax tree tells before an expression is ever evaluated, and the bounds put into it.

The engine stops an evaluation after 10,000 turns of all its loops together, but a turn has no bound of its own: `map`
and `filter` copy the list they build on every turn, and `object.x.matches(...)` within a loop reads all of `object.x`
on every turn. So a list under `map` or `filter` is given a greatest size, within the tree, and an expression with loops
a greatest size of pod, by what it does in them.
"""

from dataclasses import dataclass, field
from typing import Final

from webhook.cel import functions, tree
from webhook.cel.expression import LIMITS, VARIABLES, InvalidExpression, Reads
from webhook.cel.growth import greatest_input
from webhook.cel.reads import survey
from webhook.cel.text import place

TOO_LONG: Final = "@too_long"
_RANGE: Final = "@range"
# Their work grows with the size of what they are given, be it the pod's or a result of their own.
_HEAVY: Final = frozenset(
    (
        "_+_",
        "matches",
        "contains",
        "indexOf",
        "lastIndexOf",
        "replace",
        "split",
        "join",
        "format",
        "lowerAscii",
        "upperAscii",
        "reverse",
        "trim",
    )
)


@dataclass(frozen=True, slots=True)
class Pattern:
    """A literal regular expression, as the tree has it, and the place of its use."""

    raw: bytes
    line: int
    column: int


@dataclass(slots=True)
class Facts:
    """What there is to know of an expression before it is evaluated."""

    names: set[str]
    variables: set[str]
    builders: int = 0
    nested_builder: bool = False
    loops: bool = False
    heavy_loops: bool = False
    asks: bool = False
    growth: int | None = None
    patterns: list[Pattern] = field(default_factory=list)
    reads: Reads = field(default_factory=dict)

    @property
    def elements(self) -> int:
        """How many elements a list may have under `map` and `filter`."""
        return LIMITS.nested_elements if self.nested_builder or self.builders > 1 else LIMITS.elements

    @property
    def bytes(self) -> int | None:
        """How large the pod and the other variables may be together, as JSON; None when it does not matter."""
        bounds = [LIMITS.heavy_loop_bytes] * self.heavy_loops + [LIMITS.loop_bytes] * self.loops
        if self.growth is not None:
            bounds.append(self.growth)
        return min(bounds, default=None)


def study(source: str, root: tree.Message) -> Facts:
    """Return the facts of a checked expression. InvalidExpression where it is sound CEL but not for us."""
    checked = root.messages(2)[0]
    facts = Facts(set(), set())
    _Walk(source, checked, facts).visit(checked.messages(4)[0], in_loop=False)
    facts.reads = survey(checked.messages(4)[0])
    facts.growth = greatest_input(checked.messages(4)[0], facts.elements)
    if facts.growth == 0:
        raise InvalidExpression(
            f"it can build more than {LIMITS.built_bytes >> 20} MiB of texts and lists, whatever the pod: "
            "texts that are doubled again and again, or replaced by longer ones"
        )
    return facts


def bound_lists(message: tree.Message, elements: int) -> tree.Message:
    """Return the message, in which every list under `map` and `filter` is looked at before the first turn."""
    message.fields = [
        (number, bound_lists(value, elements) if isinstance(value, tree.Message) else value)
        for number, value in message.fields
    ]
    if message.kind == "Comprehension" and tree.builds_a_list(message):
        size = tree.call("_<=_", tree.call("size", tree.ident(_RANGE)), tree.integer(elements))
        bounded = tree.call("_?_:_", size, tree.ident(_RANGE), tree.ident(TOO_LONG))
        message.fields = [
            (
                number,
                tree.bind(_RANGE, value, bounded)
                if number == tree.ITER_RANGE and not isinstance(value, int | bytes)
                else value,
            )
            for number, value in message.fields
        ]
    return message


class _Walk:
    """One pass over a tree."""

    def __init__(self, source: str, checked: tree.Message, facts: Facts) -> None:
        self._source = source
        self._checked = checked
        self._facts = facts

    def visit(self, node: tree.Message, *, in_loop: bool) -> None:
        number, content = next((field for field in node.fields if isinstance(field[1], tree.Message)), (0, None))
        if not isinstance(content, tree.Message):
            return  # a literal
        if number == tree.IDENT:
            self._facts.names.add(content.text(1))
        elif number == tree.COMPREHENSION:
            self._comprehension(node, content, in_loop=in_loop)
            return
        elif number == tree.SELECT:
            self._variable(content.message(1), content.text(2))
        elif number == tree.CALL:
            self._call(node, content, in_loop=in_loop)
        for child in content.children():
            if child.kind == "Entry":
                for part in child.children():
                    self.visit(part, in_loop=in_loop)
            else:
                self.visit(child, in_loop=in_loop)

    def _comprehension(self, node: tree.Message, content: tree.Message, *, in_loop: bool) -> None:
        for name in (content.text(1), content.text(3), content.text(8)):
            if name in VARIABLES:
                raise self._invalid(f"{name!r} is the name of a variable; choose another for the macro's own", node)
        loop = tree.is_loop(content)
        if loop:
            self._facts.loops = True
            if tree.builds_a_list(content):
                self._facts.builders += 1
                self._facts.nested_builder |= in_loop
        for number, child in content.fields:
            if isinstance(child, tree.Message):
                inside = number in (tree.LOOP_CONDITION, tree.LOOP_STEP)
                self.visit(child, in_loop=in_loop or (loop and inside))

    def _variable(self, operand: tree.Message | None, name: str) -> None:
        content = operand.message(tree.IDENT) if operand else None
        if content is not None and content.text(1) == "variables":
            self._facts.variables.add(name)

    def _call(self, node: tree.Message, content: tree.Message, *, in_loop: bool) -> None:
        name = content.text(2)
        arguments = content.messages(3)
        if name == "_[_]" and len(arguments) == 2:
            key = next((value for number, value in arguments[1].fields if number == tree.CONST), None)
            if isinstance(key, bytes) and key[:1] == b"\x32":  # a string: field 6, its length, its bytes
                self._variable(arguments[0], tree.decode(key, "Constant").text(6))
        elif name in functions.NAMES:
            self._facts.asks = True
            target = content.message(1)
            holder = target.message(tree.IDENT) if target else None
            if name == functions.WARM_NODES and (holder is None or holder.text(1) != "inventory"):
                raise self._invalid("warmNodes() is a function of inventory: inventory.warmNodes(...)", node)
        elif name == "matches" and arguments:
            raw = next((value for number, value in arguments[-1].fields if number == tree.CONST), None)
            if isinstance(raw, bytes):
                self._facts.patterns.append(Pattern(raw, *self._place(node)))
        if in_loop and name in _HEAVY and not tree.is_gathering(content):
            self._facts.heavy_loops = True

    def _invalid(self, message: str, node: tree.Message) -> InvalidExpression:
        return InvalidExpression(message, *self._place(node))

    def _place(self, node: tree.Message) -> tuple[int, int]:
        info = next((v for n, v in self._checked.fields if n == 5 and isinstance(v, bytes)), b"")
        for number, position in tree.decode(info, "SourceInfo").fields:
            if number == 4 and isinstance(position, bytes):
                entry = tree.decode(position, "Position")
                if entry.number(1) == node.number(2):
                    return place(self._source, entry.number(2))
        return 1, 1
