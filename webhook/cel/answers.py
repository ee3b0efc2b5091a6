"""How the C++ engine comes by the answers of our own functions without calling Python.

Calling Python from `cel_expr_python` 0.1.3 leaks: the arguments and the result of each call are never freed (about 160
bytes for a number, 270 for a text; measured), and a webhook lives for months. So a call `f(x)` in the syntax tree is
replaced by a look-up: `answers["@f x"][0]`, where `answers` is a variable that no expression can name. An evaluation
that ends in "no such key" tells which answer it lacks; it is found, kept, and the expression evaluated again. An
expression remembers its questions, so from the second review on it is one evaluation, and quicker than a call back
(3 us instead of 11). An empty list stands for a question that has no answer, so that `||` and `&&` treat it as any
other error.

One case is left: an error of the expression itself may hide a question (`object.nope || f(x)`), since CEL reports one
of two errors. Then the tree with real calls in place of missing answers is evaluated, once, and its questions kept.
"""

import ast
from typing import Any, Final

from webhook.cel import functions, tree
from webhook.cel.expression import FailedEvaluation, InventoryView

ANSWERS: Final = "@answers"
ASK: Final = "@ask"
_KEY: Final = "@key"
_MISSING: Final = "NOT_FOUND: Key not found in map : "


def replace_calls(message: tree.Message, *, ask: bool) -> tree.Message:
    """Return the Expr with every call of our functions replaced; with `ask`, a missing answer is asked of Python."""
    message.fields = [
        (number, replace_calls(value, ask=ask) if isinstance(value, tree.Message) else value)
        for number, value in message.fields
    ]
    node = message.message(tree.CALL) if message.kind == "Expr" else None
    if node is None or node.text(2) not in functions.NAMES:
        return message
    name = node.text(2)
    arguments = [*([] if name == functions.WARM_NODES else node.messages(1)), *node.messages(3)]
    key = tree.string(f"@{name}")
    for index, argument in enumerate(arguments):
        number = index == 1 and name in ("add", "sub")
        key = tree.call("_+_", key, tree.string("\n"))
        key = tree.call("_+_", key, tree.call("string", argument) if number else argument)
    answers = tree.ident(ANSWERS)
    if not ask:
        return _first(tree.call("_[_]", answers, key))
    found = _first(tree.call("_[_]", answers, tree.ident(_KEY)))
    known = tree.call("@in", tree.ident(_KEY), answers)
    return tree.bind(_KEY, key, tree.call("_?_:_", known, found, tree.call(ASK, tree.ident(_KEY))))


def _first(value: tree.Message) -> tree.Message:
    return tree.call("_[_]", value, tree.integer(0))


def missing(error: str) -> str | None:
    """Return the question that an evaluation ended at, None if the error is another."""
    if not error.startswith(_MISSING):
        return None
    try:
        key = ast.literal_eval(error.removeprefix(_MISSING).strip())
    except (ValueError, SyntaxError):
        return None
    return key if isinstance(key, str) and key[:1] == "@" and key[1:].partition("\n")[0] in functions.NAMES else None


class Answers:
    """The answers given in one review. `table` is what the look-ups read; it only grows."""

    __slots__ = ("_inventory", "_reasons", "table")

    def __init__(self, inventory: InventoryView | None) -> None:
        self._inventory = inventory
        self._reasons: dict[str, str] = {}
        self.table: dict[str, list[Any]] = {}

    def find(self, key: str) -> list[Any]:
        """Return the answer as the only element of a list; an empty list when the question has none."""
        answer = self.table.get(key)
        if answer is None:
            try:
                answer = [self._call(key)]
            except FailedEvaluation as error:
                self._reasons[key] = str(error)
                answer = []
            self.table[key] = answer
        return answer

    @property
    def reason(self) -> str:
        """Why questions had no answer, empty if all had."""
        return "; ".join(self._reasons.values())

    def _call(self, key: str) -> Any:
        name, _, text = key[1:].partition("\n")
        if name == functions.WARM_NODES:
            return functions.warm_nodes(self._inventory, text)
        return functions.call(name, *text.split("\n", functions.ARITY[name] - 1))
