"""The engine for where the default has no wheel: cel-python, pure Python, some hundred times slower.

It has no budget and no type check, so what would need them is refused when compiling: a loop whose turns multiply, a
name or function that is not there. Only its interpreter is used, and it is quiet: its other runner prints, and the two
cannot live in one process. Where it departs from the CEL specification in what our expressions are likely to meet
(`1 == 'a'` is false, not an error), it is put right here; tests/cel holds both engines to the same answers.
"""

import re
from typing import Any, Final

import celpy
from celpy.evaluation import CELEvalError

from webhook.cel.conversion import bind, plain
from webhook.cel.expression import LIMITS, NO_FIELDS, VARIABLES, Activation, FailedEvaluation, InvalidExpression, Reads
from webhook.cel.grammar import environment, parse, room
from webhook.cel.outline import structure_of
from webhook.cel.pure_functions import FUNCTIONS, NAMES
from webhook.cel.structures import Structure, Use
from webhook.cel.values import values

NAME: Final = "cel-python"

_CLASS: Final = re.compile(r"<class '(?:[\w.]*\.)?(\w+)'>")
_TOKEN: Final = re.compile(r"Token\('\w+', '(\w+)'\)")
_OTHER_ENGINE: Final = "the default engine, cel-expr-python, takes it"
_TYPES: Final = frozenset(("bool", "bytes", "double", "int", "list", "map", "null_type", "string", "type", "uint"))


class PureEnvironment:
    """The engine with our variables and functions."""

    name = NAME

    def compile(self, source: str) -> "PureExpression":
        """Return the compiled expression. InvalidExpression with line and column."""
        tree = parse(source)
        facts = structure_of(tree)
        _require_known(facts)
        _require_bounded(facts)
        return PureExpression(source, facts, environment().program(tree, functions=FUNCTIONS))


class PureExpression:
    """An expression compiled by cel-python."""

    __slots__ = ("_bytes", "_loops", "_own", "_program", "reads", "references", "source")

    def __init__(self, source: str, facts: Structure, program: celpy.Runner) -> None:
        self.source = source
        self.references = facts.references
        self.reads: Reads = dict.fromkeys(VARIABLES)
        self._program = program
        self._own = any(use.text.startswith("variables") for use in facts.paths)
        self._loops = facts.depth > 0

    def test(self, activation: Activation) -> bool:
        """Return its answer, which must be true or false; else FailedEvaluation."""
        answer = self.value(activation)
        if not isinstance(answer, bool):
            raise FailedEvaluation(f"the answer must be true or false, it is {type(answer).__name__}")
        return answer

    def value(self, activation: Activation) -> Any:
        """Return its answer as str, int, float, bool, None, list or dict; else FailedEvaluation."""
        bound = values(activation, own=self._own)
        bound.require(LIMITS.heavy_loop_bytes if self._loops else None)
        converted = bind(activation, bound, own=self._own)
        if self._loops and converted.longest > LIMITS.elements:
            raise FailedEvaluation(
                f"a list of {converted.longest:,} elements: cel-python goes over at most {LIMITS.elements:,}"
            )
        try:
            with room():
                answer = self._program.evaluate(converted.context)
        except CELEvalError as error:
            raise FailedEvaluation(_reason(error)) from None
        except Exception as error:  # noqa: BLE001 - cel-python lets any error of its own operators through
            raise FailedEvaluation(f"{type(error).__name__}: {error}"[:300]) from None
        return plain(answer)


def _require_known(facts: Structure) -> None:
    for use in facts.names:
        if use.text not in _TYPES:
            raise _invalid(use, f"there is no variable {use.text[:100]!r}; the variables are {', '.join(VARIABLES)}")
    for use in facts.functions:
        if use.text not in NAMES:
            raise _invalid(use, f"cel-python has no function {use.text[:100]!r}; if it is CEL, {_OTHER_ENGINE}")
    for use in facts.macros:
        if not use.text.endswith("/2"):
            raise _invalid(use, f"cel-python has no {use.text.partition('/')[0]}() of this kind; {_OTHER_ENGINE}")


def _require_bounded(facts: Structure) -> None:
    if facts.unbounded:
        message = (
            "a loop within a loop over an unrelated list: its turns multiply and cel-python would not stop them; "
            f"{_OTHER_ENGINE} and stops it"
        )
        raise _invalid(facts.unbounded, message)
    if facts.grown:
        message = (
            f"a loop over added lists, which may be of any length and cel-python would not stop it; {_OTHER_ENGINE}"
        )
        raise _invalid(facts.grown, message)


def _invalid(use: Use, message: str) -> InvalidExpression:
    return InvalidExpression(message, use.line, use.column)


def _reason(error: CELEvalError) -> str:
    said = str(error.args[0]) if error.args else type(error).__name__
    if said == "return error for overflow" and len(error.args) > 2 and error.args[2]:
        said = str(error.args[2][0])  # what the function itself said
    if "does not support field selection" in said:
        return NO_FIELDS
    said = _CLASS.sub(lambda found: found.group(1).removesuffix("Type").lower(), _TOKEN.sub(r"\1", said))
    return " ".join(said.replace("no such member in mapping", "no such key").split())[:300]
