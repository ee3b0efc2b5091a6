"""Loops of the C++ engine's tree, told as they were written: `exists`, `all`, `map`, ..."""

from __future__ import annotations

from collections.abc import Iterator

from webhook.cel import tree
from webhook.cel.comparison import literal


def macro(content: tree.Message) -> str:
    """Return what a loop was written as, by what it begins with and how it goes on."""
    if tree.builds_a_list(content):
        step = content.message(tree.LOOP_STEP)
        return "filter" if step is not None and _keeps_elements(step, content.text(1)) else "map"
    start = content.message(tree.ACCU_INIT)
    value = literal(start) if start is not None else None
    return "all" if value is True else "exists" if value is False else "exists_one"


def _keeps_elements(step: tree.Message, name: str) -> bool:
    """Whether a step is that of `filter`: a condition, and then the element itself."""
    content = tree.content(step)[1]
    arguments = content.messages(3) if content is not None and content.text(2) == "_?_:_" else []
    added = tree.content(arguments[1])[1] if len(arguments) == 3 else None
    last = added.messages(3)[-1] if added is not None and added.text(2) == "_+_" else None
    listed = last.message(tree.LIST) if last is not None else None
    elements = listed.messages(1) if listed is not None else []
    ident = elements[0].message(tree.IDENT) if len(elements) == 1 else None
    return ident is not None and ident.text(1) == name


def _every(node: tree.Message) -> Iterator[tree.Message]:
    yield node
    for child in node.children():
        yield from _every(child)


def adds_lists(node: tree.Message) -> bool:
    """Whether anything in the tree adds two values, other than `map` and `filter` by what they gather."""
    return any(_adds(each) for each in _every(node))


def _adds(node: tree.Message) -> bool:
    content = node.message(tree.CALL)
    return content is not None and content.text(2) == "_+_" and not tree.is_gathering(content)


def function(node: tree.Message) -> str:
    """Return the name of the function or operator that the tree calls, empty where it calls none."""
    content = node.message(tree.CALL)
    return content.text(2) if content is not None else ""
