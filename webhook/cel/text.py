"""What is refused of an expression's text before any engine sees it.

A parser that recurses is a parser that can be made to run out of stack, and the C++ one would take the process with
it; so length, characters and the depth of brackets are judged here, in one pass over the text.
"""

import re
from typing import Final

from webhook.cel.expression import LIMITS, InvalidExpression

# A string of any kind, a comment, or a bracket; in that order, because brackets in a string or a comment are none.
# Last, a quote that none of these begin with is one that is never closed: cel-python's own pattern for strings would
# try two readings of every escape after it, and four for two, and so on.
_TOKEN: Final = re.compile(
    r"""
    [rR][bB]?(?:\"{3}.*?\"{3}|'{3}.*?'{3}|"[^"\n]*"|'[^'\n]*')
    | (?:\"{3}(?:\\.|[^\\])*?\"{3}|'{3}(?:\\.|[^\\])*?'{3}|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*')
    | //[^\n]*
    | [(\[{}\])"']
    """,
    re.VERBOSE | re.DOTALL,
)


def check(source: str) -> None:
    """Return if the text is one that the engines may be given; InvalidExpression otherwise."""
    if not isinstance(source, str):
        raise InvalidExpression(f"an expression is text, not {type(source).__name__}")
    try:
        size = len(source.encode())
    except UnicodeEncodeError as error:
        line, column = place(source, error.start)
        raise InvalidExpression("the text holds half a surrogate pair, which is no character", line, column) from None
    if size > LIMITS.expression_bytes:
        raise InvalidExpression(
            f"the expression has {size:,} bytes, at most {LIMITS.expression_bytes:,} are taken; "
            "split it with spec.variables"
        )
    if not source.strip():
        raise InvalidExpression("the expression is empty")
    for index, character in enumerate(source):
        if character < " " and character not in "\t\n\r":
            raise InvalidExpression(f"the text holds the control character {character!r}", *place(source, index))
    depth = 0
    for token in _TOKEN.finditer(source):
        first = token.group()
        if first in ("(", "[", "{"):
            depth += 1
            if depth > LIMITS.nesting:
                raise InvalidExpression(
                    f"brackets are nested more than {LIMITS.nesting} deep", *place(source, token.start())
                )
        elif first in (")", "]", "}"):
            depth -= 1
        elif first in ("'", '"'):
            raise InvalidExpression("a text begins here and is not closed", *place(source, token.start()))


def place(source: str, index: int) -> tuple[int, int]:
    """Return line and column, from 1, of the character at the index."""
    return source.count("\n", 0, index) + 1, index - source.rfind("\n", 0, index)
