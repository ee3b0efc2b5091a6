"""How much text and how many elements an expression can build, before it is evaluated.

Neither the engine nor CEL bounds it: `cel.bind(a, s + s, cel.bind(b, a + a, ...))` doubles with every level, `replace`
multiplies. So every value is given an upper bound, a polynomial in the size of the variables as JSON, and what all of
them come to says over how large a pod the expression may be evaluated. The bounds are generous: a part of a value is
taken to be as large as the whole.
"""

from typing import Final

from webhook.cel import tree
from webhook.cel.expression import LIMITS

Size = tuple[int, ...]  # coefficients, the constant first

_SMALL: Final[Size] = (32,)  # a bool, a number, a time
_ALL: Final[Size] = (0, 1)
_SCALAR_RESULTS: Final = frozenset(
    (
        "_==_",
        "_!=_",
        "_<_",
        "_<=_",
        "_>_",
        "_>=_",
        "_&&_",
        "_||_",
        "!_",
        "@in",
        "size",
        "matches",
        "contains",
        "startsWith",
        "endsWith",
        "indexOf",
        "lastIndexOf",
    )
)
_BUILDING: Final = frozenset(("_+_", "replace", "join", "format", "strings.quote", "string"))
_STEPS: Final = tuple(2**power for power in range(23, 11, -1))  # 8 MiB, more than a request has, to 4 KiB


def greatest_input(root: tree.Message, elements: int) -> int | None:
    """Return how large the variables may be for the checked expression, None if any size will do, 0 if none.

    `elements` is how many elements a list under `map` and `filter` may have.
    """
    walk = _Walk(elements)
    answer = walk.size(root, {}, 1)
    total = _plus(walk.built, answer)
    for index, step in enumerate(_STEPS):
        if sum(coefficient * step**power for power, coefficient in enumerate(total)) <= LIMITS.built_bytes:
            return None if index == 0 else step
    return 0


def _plus(a: Size, b: Size) -> Size:
    longer, shorter = (a, b) if len(a) >= len(b) else (b, a)
    return tuple(each + (shorter[index] if index < len(shorter) else 0) for index, each in enumerate(longer))


def _times(a: Size, b: Size) -> Size:
    product = [0] * (len(a) + len(b) - 1)
    for i, left in enumerate(a):
        for j, right in enumerate(b):
            product[i + j] += left * right
    return tuple(product)


class _Walk:
    """One pass; `built` adds up what every step of the evaluation builds."""

    def __init__(self, elements: int) -> None:
        self._elements = elements
        self._nesting = 0
        self.built: Size = (0,)

    def size(self, node: tree.Message, scope: dict[str, Size], times: int) -> Size:
        """Return the bound on a value's size. `times` is how often it is computed."""
        number, content = next((field for field in node.fields if field[0] >= tree.CONST), (0, b""))
        if not isinstance(content, tree.Message):
            return (len(content) if isinstance(content, bytes) else 32,)
        if number == tree.IDENT:
            return scope.get(content.text(1), _ALL)
        if number == tree.CALL:
            return self._call(content, scope, times)
        if number == tree.COMPREHENSION:
            return self._comprehension(content, scope, times)
        parts = [
            part for child in content.children() for part in (child.children() if child.kind == "Entry" else (child,))
        ]
        total: Size = _SMALL
        for part in parts:
            total = _plus(total, self.size(part, scope, times))
        return total

    def _call(self, content: tree.Message, scope: dict[str, Size], times: int) -> Size:
        name = content.text(2)
        sizes = [self.size(each, scope, times) for each in (*content.messages(1), *content.messages(3))]
        if name in _SCALAR_RESULTS:
            return _SMALL
        total: Size = _SMALL
        for each in sizes:
            total = _plus(total, each)
        if name in ("replace", "join") and len(sizes) > 1:
            total = _plus(total, _times(sizes[0], sizes[2] if name == "replace" and len(sizes) > 2 else sizes[1]))
        if name == "_[_]":
            total = sizes[0]
        # `map` and `filter` add an element to their list without copying what it holds.
        if name in _BUILDING and not tree.is_gathering(content):
            self.built = _plus(self.built, _times((times,), total))
        return total

    def _comprehension(self, content: tree.Message, scope: dict[str, Size], times: int) -> Size:
        parts = {number: value for number, value in content.fields if isinstance(value, tree.Message)}
        names = (content.text(1), content.text(8))
        start = self.size(parts[tree.ACCU_INIT], scope, times)
        if not tree.is_loop(content):  # cel.bind
            return self.size(parts[tree.RESULT], {**scope, content.text(3): start}, times)
        over = self.size(parts[tree.ITER_RANGE], scope, times)
        builds = tree.builds_a_list(content)
        self._nesting += 1
        # The elements together are no larger than the list: so once with the whole list for the element, ...
        whole = {**scope, **dict.fromkeys(names, over), content.text(3): _SMALL}
        result = self.size(parts[tree.LOOP_STEP], whole, times)
        if builds:
            # ... and as often as there may be elements with an empty one, for what does not depend on it.
            empty = _SMALL if self._nesting <= 4 else over
            alone = {**whole, **dict.fromkeys(names, empty)}
            fixed = self.size(parts[tree.LOOP_STEP], alone, times * self._elements)
            result = _plus(result, _times((self._elements,), fixed))
        self._nesting -= 1
        return result if builds else _SMALL
