"""The structure of an expression by cel-python's tree: for the engine that has no budget, and where there is no other.

What its grammar lacks (`.?`, `[?`) is an InvalidExpression here.
"""

import ast
from collections.abc import Iterator
from typing import Final

import lark

from webhook.cel.expression import VARIABLES, InvalidExpression
from webhook.cel.grammar import parse
from webhook.cel.structures import Structure, Use

MACROS: Final = frozenset(("all", "exists", "exists_one", "map", "filter"))
_NO_WRAPPING: Final = frozenset(("list_lit", "map_lit", "exprlist", "mapinits", "fieldinits", "member_object"))
_FEW: Final = 16  # elements of a literal list that may be gone over within a loop
_Tree = lark.Tree[lark.Token]


def structure(source: str) -> Structure:
    """Return the structure of an expression. InvalidExpression with line and column if it cannot be read."""
    return structure_of(parse(source))


def structure_of(tree: _Tree) -> Structure:
    """Return the structure of a tree."""
    walk = _Walk()
    walk.visit(tree, {}, 0)
    return Structure(
        paths=tuple(walk.paths),
        tested=frozenset(walk.tested),
        depth=walk.depth,
        unbounded=walk.unbounded,
        grown=walk.grown,
        names=tuple(walk.names),
        functions=tuple(walk.functions),
        macros=tuple(walk.macros),
    )


def _inner(tree: _Tree) -> _Tree:
    """Return the first tree below that is more than a level of precedence or brackets around another."""
    while tree.data not in _NO_WRAPPING and len(tree.children) == 1 and isinstance(tree.children[0], lark.Tree):
        tree = tree.children[0]
    return tree


def _children(tree: _Tree) -> Iterator[_Tree]:
    return (child for child in tree.children if isinstance(child, lark.Tree))


def _use(text: str, tree: _Tree | lark.Token) -> Use:
    if isinstance(tree, lark.Token):
        return Use(text, tree.line or 1, tree.column or 1)
    return Use(text, tree.meta.line, tree.meta.column)


def _literal(tree: _Tree) -> str | None:
    """Return the text of a literal string, None for anything else."""
    tree = _inner(tree)
    if tree.data != "literal":
        return None
    token = tree.children[0]
    try:
        value = ast.literal_eval(str(token))
    except (ValueError, SyntaxError):
        return None
    return value if isinstance(value, str) else None


class _Walk:
    """One pass over a tree. `scope` holds what the variables of the macros around stand for: a path, or none."""

    def __init__(self) -> None:
        self.paths: list[Use] = []
        self.tested: set[str] = set()
        self.depth = 0
        self.unbounded: Use | None = None
        self.grown: Use | None = None
        self.names: list[Use] = []
        self.functions: list[Use] = []
        self.macros: list[Use] = []

    def visit(self, tree: _Tree, scope: dict[str, str], depth: int) -> None:
        """Record what the tree holds."""
        tree = _inner(tree)
        path = self._path(tree, scope)
        if path is not None:
            if path:
                self.paths.append(_use(path, tree))
            self._visit_indices(tree, scope, depth)
        elif tree.data in ("ident", "dot_ident"):
            self.names.append(_use(str(tree.children[-1]), tree))
        elif tree.data == "member_dot_arg":
            self._method(tree, scope, depth)
        elif tree.data == "member_object":
            raise InvalidExpression("there are no message types here", tree.meta.line, tree.meta.column)
        elif tree.data in ("ident_arg", "dot_ident_arg"):
            self._function(tree, scope, depth)
        else:
            if tree.data == "relation" and len(tree.children) == 2:
                self._membership(tree, scope)
            for child in _children(tree):
                self.visit(child, scope, depth)

    def _visit_indices(self, tree: _Tree, scope: dict[str, str], depth: int) -> None:
        """Record what stands in the brackets of a path."""
        while tree.data in ("member_dot", "member_index"):
            if tree.data == "member_index":
                self.visit(tree.children[1], scope, depth)  # type: ignore[arg-type] # the grammar: a member, an expr
            tree = _inner(tree.children[0])  # type: ignore[arg-type] # the grammar: a member

    def _path(self, tree: _Tree, scope: dict[str, str]) -> str | None:
        """Return the path that the tree is, empty if it leads from a value that has none, None if it is no path."""
        steps: list[str] = []
        while tree.data in ("member_dot", "member_index"):
            member, step = tree.children
            if tree.data == "member_dot":
                steps.append(f".{step}")
            else:
                key = _literal(step) if isinstance(step, lark.Tree) else None
                steps.append("[]" if key is None else f"[{key!r}]")
            tree = _inner(member)  # type: ignore[arg-type] # the grammar: a member
        if tree.data not in ("ident", "dot_ident"):
            return None
        name = str(tree.children[-1])
        root = scope.get(name, name if name in VARIABLES else None)
        return None if root is None else root and root + "".join(reversed(steps))

    def _function(self, tree: _Tree, scope: dict[str, str], depth: int) -> None:
        name = (
            tree.children[-2]
            if len(tree.children) > 1 and isinstance(tree.children[-1], lark.Tree)
            else tree.children[-1]
        )
        self.functions.append(_use(str(name), tree))
        arguments = _arguments(tree)
        if str(name) == "has":
            if len(arguments) != 1 or _inner(arguments[0]).data != "member_dot":
                raise InvalidExpression("has() takes one field: has(object.spec.x)", tree.meta.line, tree.meta.column)
            path = self._path(_inner(arguments[0]), scope)
            if path:
                self.tested.add(path)
        for argument in arguments:
            self.visit(argument, scope, depth)

    def _membership(self, tree: _Tree, scope: dict[str, str]) -> None:
        operator, container = list(_children(tree))
        if operator.data == "relation_in":
            key, path = _literal(next(_children(operator))), self._path(_inner(container), scope)
            if key is not None and path:
                self.tested.add(f"{path}[{key!r}]")

    def _method(self, tree: _Tree, scope: dict[str, str], depth: int) -> None:
        target, name = next(_children(tree)), str(tree.children[1])
        arguments = _arguments(tree)
        self.visit(target, scope, depth)
        variable = _inner(arguments[0]) if len(arguments) > 1 else None
        if name not in MACROS or variable is None or variable.data != "ident":
            self.functions.append(_use(name, _token(tree)))
            for argument in arguments:
                self.visit(argument, scope, depth)
            return
        bound = str(variable.children[0])
        if bound in VARIABLES:
            line, column = variable.meta.line, variable.meta.column
            raise InvalidExpression(
                f"{bound!r} is the name of a variable; choose another for the macro's own", line, column
            )
        use = _use(name, _token(tree))
        self.macros.append(_use(f"{name}/{len(arguments)}", _token(tree)))
        if depth and self.unbounded is None and not self._is_part(target, scope):
            self.unbounded = use
        if self.grown is None and any(node.data == "addition_add" for node in target.iter_subtrees()):
            self.grown = use
        self.depth = max(self.depth, depth + 1)
        path = self._path(_inner(target), scope)
        inner = {**scope, bound: f"{path}[]" if path else ""}
        for argument in arguments[1:]:
            self.visit(argument, inner, depth + 1)

    def _is_part(self, tree: _Tree, scope: dict[str, str]) -> bool:
        """Whether a list is part of what a loop around goes over, or so short that it does not matter."""
        tree = _inner(tree)
        if tree.data == "expr":  # a condition: either of its branches
            return all(self._is_part(each, scope) for each in list(_children(tree))[1:])
        if tree.data == "list_lit":
            elements = next(_children(tree), None)
            return elements is None or len(elements.children) <= _FEW
        if tree.data == "member_dot_arg":
            return str(tree.children[1]) in ("filter", "map") and self._is_part(next(_children(tree)), scope)
        while tree.data in ("member_dot", "member_index"):
            tree = _inner(next(_children(tree)))
        return tree.data == "ident" and str(tree.children[0]) in scope


def _arguments(tree: _Tree) -> list[_Tree]:
    last = tree.children[-1]
    return list(_children(last)) if isinstance(last, lark.Tree) and last.data == "exprlist" else []


def _token(tree: _Tree) -> lark.Token:
    return next(child for child in tree.children if isinstance(child, lark.Token))
