"""The structure of an expression by the C++ engine's tree: in a fraction of the time that cel-python's parser takes.

The engine has unfolded macros into loops, so these are told by what they gather and how. Both trees give the same
structure (tests/cel holds them to it); this one knows more.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from webhook.cel import functions, tree
from webhook.cel.comparison import comparison, conjuncts, key
from webhook.cel.expression import VARIABLES
from webhook.cel.loops import adds_lists, function, macro
from webhook.cel.steps import OPTIONAL, STEPS, is_indexed, is_optional, root, unwrapped
from webhook.cel.structures import Fact, Structure, Use
from webhook.cel.text import place

PURE_NAMES: Final = functions.NAMES.union(
    ("bool", "bytes", "contains", "double", "duration", "dyn", "endsWith", "has", "int", "list", "map", "matches"),
    ("null_type", "size", "startsWith", "string", "timestamp", "type", "uint"),
    ("getDate", "getDayOfMonth", "getDayOfWeek", "getDayOfYear", "getFullYear", "getHours", "getMilliseconds"),
    ("getMinutes", "getMonth", "getSeconds"),
)
"""The functions that cel-python has."""

_FEW: Final = 16  # elements of a literal list that may be gone over within a loop


@dataclass(frozen=True, slots=True)
class _Bound:
    """What a name of a macro stands for: a path, empty where there is none. `turns`: it changes in a loop."""

    path: str
    turns: bool


_Scope = dict[str, _Bound]


def read(source: str, data: bytes) -> Structure:
    """Return the structure of an expression whose checked tree has these bytes."""
    checked = tree.decode(data).messages(2)[0]
    walk = _Walk(source, checked)
    top = checked.messages(4)[0]
    walk.visit(top, {}, 0)
    walk.require(top, {})
    return Structure(
        paths=tuple(walk.paths),
        tested=frozenset(walk.tested),
        depth=walk.depth,
        unbounded=walk.unbounded,
        grown=walk.grown,
        names=(),
        functions=tuple(walk.functions),
        macros=tuple(walk.macros),
        facts=tuple(walk.facts),
        required=tuple(walk.required),
        foreign=walk.foreign,
    )


class _Walk:
    """One pass over a tree. `scope` holds what the names of the macros around stand for."""

    def __init__(self, source: str, checked: tree.Message) -> None:
        self.paths: list[Use] = []
        self.tested: set[str] = set()
        self.depth = 0
        self.unbounded: Use | None = None
        self.grown: Use | None = None
        self.functions: list[Use] = []
        self.macros: list[Use] = []
        self.facts: list[Fact] = []
        self.required: list[tuple[Fact, ...]] = []
        self.foreign: Use | None = None
        self._source = source
        info = next((value for number, value in checked.fields if number == 5 and isinstance(value, bytes)), b"")
        entries = (value for number, value in tree.decode(info, "SourceInfo").fields if number == 4)
        positions = (tree.decode(entry, "Position") for entry in entries if isinstance(entry, bytes))
        self._offsets = {each.number(1): each.number(2) for each in positions}

    def visit(self, node: tree.Message, scope: _Scope, depth: int) -> None:
        """Record what the tree holds."""
        number, content = tree.content(node)
        if content is None:
            return  # a literal
        path = self._path(node, scope)
        if path is not None:
            if path:
                self.paths.append(self._use(path, root(node)))
            self._steps(node, scope, depth)
            return
        if number == tree.COMPREHENSION:
            self._loop(node, content, scope, depth)
            return
        fact = self._fact(node, scope, negated=False)
        if fact is not None:
            self.facts.append(fact)
        if number == tree.CALL:
            self._call(node, content, scope)
        elif number == tree.SELECT:
            self.functions.append(self._use("has", node))
            if self._asked(node, content, scope, depth):
                return
        for child in content.children():
            for part in child.children() if child.kind == "Entry" else (child,):
                self.visit(part, scope, depth)

    def _asked(self, node: tree.Message, content: tree.Message, scope: _Scope, depth: int) -> bool:
        """`has(path)`: it reads the path as far as it goes. False where it is of no path."""
        operand = content.message(1)
        path = self._path(operand, scope) if operand is not None else None
        if operand is None or path is None:
            return False
        if path:
            whole = f"{path}.{content.text(2)}"
            self.tested.add(whole)
            self.paths.append(self._use(whole, root(node)))
        self._steps(operand, scope, depth)
        return True

    def _call(self, node: tree.Message, content: tree.Message, scope: _Scope) -> None:
        name = content.text(2)
        if name[:1].isalpha():
            self.functions.append(self._use(name, node))
            if name not in PURE_NAMES:
                self._mark_foreign(f"cel-python has no function {name[:60]}()", node)
        if name in OPTIONAL:
            self._mark_foreign("cel-python has no optional fields (.? and [?)", node)
        arguments = content.messages(3)
        if name == "@in" and len(arguments) == 2:
            wanted, path = key(arguments[0]), self._path(arguments[1], scope)
            if wanted is not None and path:
                self.tested.add(f"{path}[{wanted!r}]")

    def _fact(self, node: tree.Message, scope: _Scope, *, negated: bool) -> Fact | None:
        found = comparison(node)
        path = self._path(unwrapped(found.operand), scope) if found is not None else None
        if found is None or not path:
            return None
        use = self._use(path + found.step, root(unwrapped(found.operand)))
        return Fact(use.text, found.relation, found.values, found.negated != negated, use.line, use.column)

    def _loop(self, node: tree.Message, content: tree.Message, scope: _Scope, depth: int) -> None:
        over, start = content.message(tree.ITER_RANGE), content.message(tree.ACCU_INIT)
        accumulator = content.text(3)
        if not tree.is_loop(content):  # cel.bind
            self._mark_foreign("cel-python has no cel.bind()", node)
            if start is not None:
                self.visit(start, scope, depth)
                scope = {**scope, accumulator: _Bound(self._path(start, scope) or "", turns=False)}
            for result in content.messages(tree.RESULT):
                self.visit(result, scope, depth)
            return
        name = macro(content)
        use = self._use(name, node)
        arguments = (
            2 + bool(content.text(8)) + (name == "map" and function(content.messages(tree.LOOP_STEP)[0]) == "_?_:_")
        )
        self.macros.append(self._use(f"{name}/{arguments}", node))
        if arguments > 2:
            self._mark_foreign(f"cel-python has no {name}() of {arguments} arguments", node)
        path = None
        if over is not None:
            self.visit(over, scope, depth)
            path = self._path(over, scope)
            if depth and self.unbounded is None and not self._is_part(over, scope):
                self.unbounded = use
            if self.grown is None and adds_lists(over):
                self.grown = use
        self.depth = max(self.depth, depth + 1)
        inner = self._inner(content, path, scope)
        for number in (tree.LOOP_CONDITION, tree.LOOP_STEP):
            for child in content.messages(number):
                self.visit(child, inner, depth + 1)

    @staticmethod
    def _inner(content: tree.Message, path: str | None, scope: _Scope) -> _Scope:
        """The scope within a loop over the path."""
        nothing = _Bound("", turns=True)
        element = nothing if content.text(8) or not path else _Bound(f"{path}[]", turns=True)
        return {**scope, content.text(8): nothing, content.text(1): element, content.text(3): nothing}

    def _is_part(self, node: tree.Message, scope: _Scope) -> bool:
        """Whether a list is part of what a loop around goes over, or so short that it does not matter."""
        number, content = tree.content(node)
        if content is None:
            return False
        arguments = content.messages(3) if number == tree.CALL else []
        if content.text(2) == "_?_:_" and len(arguments) == 3:
            return all(self._is_part(each, scope) for each in arguments[1:])
        if number == tree.LIST:
            return len(content.messages(1)) <= _FEW
        if number == tree.COMPREHENSION:
            over = content.message(tree.ITER_RANGE)
            return over is not None and tree.builds_a_list(content) and self._is_part(over, scope)
        name = root(node).message(tree.IDENT)
        return name is not None and name.text(1) in scope and scope[name.text(1)].turns

    def _path(self, node: tree.Message | None, scope: _Scope) -> str | None:
        """Return the path that the tree is, empty if it leads from a value that has none, None if it is no path.

        What is read by `.?` and `[?`, and what is read of that, may be absent: it counts as asked about.
        """
        number, content = (0, None) if node is None else tree.content(node)
        if content is None:
            return None
        if number == tree.IDENT:
            name = content.text(1).lstrip(".")
            bound = scope.get(name)
            return bound.path if bound is not None else name if name in VARIABLES else None
        if number == tree.SELECT and not content.number(3):
            operand, text = content.message(1), f".{content.text(2)}"
        else:
            arguments = content.messages(3) if number == tree.CALL else []
            if len(arguments) != 2 or content.text(2) not in STEPS:
                return None
            step = key(arguments[1])
            plain = content.text(2) == "_?._"
            text = "[]" if step is None else f".{step}" if plain else f"[{step!r}]"
            operand = arguments[0]
        path = self._path(operand, scope)
        if not path:
            return path
        if is_optional(node):
            self.tested.add(path + text)
        return path + text

    def _steps(self, node: tree.Message, scope: _Scope, depth: int) -> None:
        """Record what stands in the brackets of a path."""
        number, content = tree.content(node)
        while content is not None and number != tree.IDENT:
            if number == tree.SELECT:
                inner = content.message(1)
            else:
                inner, index = content.messages(3)
                if content.text(2) in OPTIONAL:
                    self._mark_foreign("cel-python has no optional fields (.? and [?)", node)
                self.visit(index, scope, depth)
            if inner is None:
                return
            number, content = tree.content(inner)

    def require(self, node: tree.Message, scope: _Scope, element: str = "") -> None:
        """Note the facts that hold wherever the expression is true, and the same of the elements it asks for.

        `element` is the name of the innermost loop: of what loops around go over, other elements may be meant.
        """
        group: list[Fact] = []
        for part, negated in conjuncts(node):
            found, fact = comparison(part), self._fact(part, scope, negated=negated)
            # Of two elements of a list, different things may be said at once.
            if found is not None and fact is not None and _is_about(found.operand, scope, element):
                group.append(fact)
            number, content = tree.content(part)
            if number != tree.COMPREHENSION or content is None or negated or not tree.is_loop(content):
                continue
            if macro(content) == "exists":
                over, step = content.message(tree.ITER_RANGE), content.message(tree.LOOP_STEP)
                body = tree.content(step)[1] if step is not None else None
                if over is not None and body is not None:
                    inner = self._inner(content, self._path(over, scope), scope)
                    self.require(body.messages(3)[-1], inner, content.text(1))
        if group:
            self.required.append(tuple(group))

    def _mark_foreign(self, said: str, node: tree.Message) -> None:
        if self.foreign is None:
            self.foreign = self._use(said, node)

    def _use(self, text: str, node: tree.Message) -> Use:
        offset = self._offsets.get(node.number(2), 0)
        name = text.partition("/")[0]
        if self._source[max(offset - len(name), 0) : offset] == name:
            offset -= len(name)  # of a call, the tree has the place of its bracket
        return Use(text, *place(self._source, offset))


def _is_about(operand: tree.Message, scope: _Scope, element: str) -> bool:
    """Whether what is said of the operand is said of one value: of the pod, or of this element."""
    name = root(operand).message(tree.IDENT)
    if name is None or is_indexed(operand) or is_optional(operand):
        return False
    bound = scope.get(name.text(1))
    return bound is None or not bound.turns or name.text(1) == element
