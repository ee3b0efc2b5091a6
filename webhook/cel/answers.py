"""How the C++ engine comes by the answers of our own functions without calling Python.

Calling Python from `cel_expr_python` 0.1.3 leaks: the arguments and the result of each call are never freed (about 160
bytes for a number, 270 for a text; measured), and a webhook lives for months. So a call `f(x)` in the syntax tree is
replaced by a look-up: `answers[q][q]` with `q` for "@f x", where `answers` is a variable that no expression can name.
An evaluation that ends in "no such key" tells which answer it lacks; it is found, kept, and the expression evaluated
again. Questions are remembered, so from the second review on it is one evaluation, and quicker than a call back (3 us
instead of 11). A question without an answer has an empty map: "no such key" again, which `||` and `&&` treat as they
do any error.

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
    key = tree.string(f"@{name}\n")
    for index, argument in enumerate(arguments):
        if index:
            key = tree.call("_+_", key, tree.string("\n"))
        number = index == 1 and name in ("add", "sub")
        key = tree.call("_+_", key, tree.call("string", argument) if number else argument)
    answers, question = tree.ident(ANSWERS), tree.ident(_KEY)
    found = tree.call("_[_]", tree.call("_[_]", answers, question), question)
    if ask:
        found = tree.call("_?_:_", tree.call("@in", question, answers), found, tree.call(ASK, question))
    return tree.bind(_KEY, key, found)


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

    __slots__ = ("_inventory", "reasons", "table")

    def __init__(self, inventory: InventoryView | None) -> None:
        self._inventory = inventory
        self.reasons: dict[str, str] = {}
        self.table: dict[str, dict[str, Any]] = {}

    def find(self, question: str) -> dict[str, Any]:
        """Return the answer under its question, or nothing where the question has none; `reasons` then says why."""
        answer = self.table.get(question)
        if answer is None:
            try:
                answer = {question: self._call(question)}
            except FailedEvaluation as error:
                self.reasons[question] = str(error)
                answer = {}
            self.table[question] = answer
        return answer

    def _call(self, question: str) -> Any:
        name, _, text = question[1:].partition("\n")
        if name == functions.WARM_NODES:
            return functions.warm_nodes(self._inventory, text)
        return functions.call(name, *text.split("\n", functions.ARITY[name] - 1))
