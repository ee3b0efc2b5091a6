"""Steps of a path in the C++ engine's tree: `.x`, `[x]`, `.?x`, `[?x]`."""

from __future__ import annotations

from typing import Final

from webhook.cel import tree
from webhook.cel.comparison import key

OPTIONAL: Final = frozenset(("_?._", "_[?_]"))
STEPS: Final = frozenset(("_[_]", *OPTIONAL))


def root(node: tree.Message) -> tree.Message:
    """Return the innermost value of a path."""
    number, content = tree.content(node)
    while content is not None:
        inner = content.message(1) if number == tree.SELECT else None
        if number == tree.CALL and content.text(2) in STEPS:
            inner = content.messages(3)[0]
        if inner is None:
            return node
        node = inner
        number, content = tree.content(node)
    return node


def is_optional(node: tree.Message | None) -> bool:
    """Whether a step of the path is optional, and so all after it."""
    while node is not None:
        number, content = tree.content(node)
        if content is None:
            return False
        if number == tree.CALL:
            if content.text(2) in OPTIONAL:
                return True
            node = content.messages(3)[0] if content.text(2) in STEPS else None
        else:
            node = content.message(1) if number == tree.SELECT else None
    return False


def is_indexed(node: tree.Message | None) -> bool:
    """Whether a step of the path is the index of a list's element, or a key that is no literal text."""
    while node is not None:
        number, content = tree.content(node)
        if content is None:
            return False
        if number == tree.CALL:
            arguments = content.messages(3)
            if content.text(2) not in STEPS or key(arguments[1]) is None:
                return True
            node = arguments[0]
        else:
            node = content.message(1) if number == tree.SELECT else None
    return False


def unwrapped(node: tree.Message) -> tree.Message:
    """Return the optional of which a tree is the value or a default: `x` of `x.orValue('')`."""
    content = node.message(tree.CALL)
    target = content.message(1) if content is not None and content.text(2) in ("orValue", "value") else None
    return node if target is None else target
