"""cel-python's parser: texts to lark trees. The only place that makes a `celpy.Environment`."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Final

import celpy
import lark
from celpy.celparser import CELParseError

from webhook.cel import text
from webhook.cel.expression import LIMITS, InvalidExpression

# The grammar has a dozen levels per bracket and one or two per operator of a chain, and an evaluation some Python
# frames per level.
_DEPTH: Final = 500
_FRAMES: Final = 2500


@contextmanager
def room() -> Iterator[None]:
    """Have frames enough for any tree within. cel-python would raise the limit once, for the whole process."""
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(max(limit, _FRAMES))
    try:
        yield
    finally:
        sys.setrecursionlimit(limit)


@cache
def environment() -> celpy.Environment:
    """Return the one environment. Its parser is a singleton of the process, which fixes the runner: the interpreter."""
    with room():
        return celpy.Environment(runner_class=celpy.InterpretedRunner)


def parse(source: str) -> lark.Tree[lark.Token]:
    """Return the tree of the expression. InvalidExpression with line and column."""
    text.check(source)
    try:
        tree: lark.Tree[lark.Token] = environment().compile(source)
    except CELParseError as error:
        raise _invalid(source, error) from None
    if _depth(tree) > _DEPTH:
        raise InvalidExpression(
            f"operators, calls or fields are nested or chained more than about {LIMITS.nesting} deep; "
            "split it with variables"
        )
    return tree


def _invalid(source: str, error: CELParseError) -> InvalidExpression:
    cause = error.__context__
    if not error.line or error.line < 1 or getattr(getattr(cause, "token", None), "type", "") == "$END":
        return InvalidExpression("the expression ends too early", *text.place(source, len(source.rstrip())))
    line, column = error.line, error.column or 1
    rest = source.split("\n")[line - 1][column - 1 :]
    if rest.startswith("?") and column > 1 and source.split("\n")[line - 1][column - 2] in ".[":
        return InvalidExpression("cel-python has no optional fields (.?); cel-expr-python has", line, column)
    return InvalidExpression(f"syntax error at {rest[:20]!r}", line, column)


def _depth(tree: lark.Tree[lark.Token]) -> int:
    """Return how deep the tree is, without recursion."""
    deepest = 0
    todo: list[tuple[lark.Tree[lark.Token], int]] = [(tree, 1)]
    while todo:
        node, depth = todo.pop()
        deepest = max(deepest, depth)
        todo.extend((child, depth + 1) for child in node.children if isinstance(child, lark.Tree))
    return deepest
