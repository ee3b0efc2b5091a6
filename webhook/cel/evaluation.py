"""Expressions of the C++ engine at work: what they are given, and what is taken from them."""

from contextvars import ContextVar
from typing import Any, Final

from cel_expr_python import cel

from webhook.cel.answers import ANSWERS, Answers, missing
from webhook.cel.complaints import reason
from webhook.cel.expression import Activation, FailedEvaluation
from webhook.cel.facts import Facts
from webhook.cel.functions import is_quantity
from webhook.cel.values import Values, values

_ROUNDS: Final = 64  # how often one evaluation may come back for an answer
_QUESTIONS: Final = 64  # how many an expression remembers from review to review
_QUESTION_LENGTH: Final = 512
# Each question asked by a call leaks some 300 bytes in the engine; after this many (30 MB) none are asked that way.
_CALLS_AT_MOST: Final = 100_000


class Calls:
    """The answering of calls from within an evaluation, which is where it is known whose review they belong to."""

    __slots__ = ("_answers", "_count")

    def __init__(self) -> None:
        self._answers: ContextVar[Answers] = ContextVar("answers")
        self._count = 0

    def ask(self, key: str) -> Any:
        """Answer a call; raises to say that there is no answer."""
        self._count += 1
        (answer,) = self._answers.get().find(key)
        return answer

    def evaluate(self, program: cel.Expression, native: cel.Activation, answers: Answers) -> cel.Value | None:
        """Evaluate a program that calls `ask` for what it lacks; None when that was done too often already."""
        if self._count >= _CALLS_AT_MOST:
            return None
        token = self._answers.set(answers)
        try:
            return _run(program, native)
        finally:
            self._answers.reset(token)


class NativeExpression:
    """An expression compiled by the C++ engine."""

    __slots__ = ("_bytes", "_engine", "_is_bool", "_own", "_program", "references", "source")

    def __init__(self, source: str, facts: Facts, engine: cel.Env, program: cel.Expression, *, is_bool: bool) -> None:
        self.source = source
        self.references = frozenset(facts.variables)
        self._engine = engine
        self._program = program
        self._is_bool = is_bool
        self._own = "variables" in facts.names
        self._bytes = facts.bytes

    def test(self, activation: Activation) -> bool:
        """Return its answer, which must be true or false; else FailedEvaluation."""
        value = self._evaluate(activation)
        if not self._is_bool and value.type().name() != "BOOL":
            raise FailedEvaluation(f"the answer must be true or false, it is of type {_kind(value)}")
        return value.value() is True

    def value(self, activation: Activation) -> Any:
        """Return its answer as str, int, float, bool, None, list or dict; else FailedEvaluation."""
        return _plain(self._evaluate(activation))

    def _evaluate(self, activation: Activation) -> cel.Value:
        """Return the answer, which is not an error."""
        bound = values(activation, own=self._own)
        bound.require(self._bytes)
        if bound.native is None:
            # It converts a value when an expression first reads it, and keeps it for the next.
            bound.native = self._engine.Activation(bound.by_name)
        value = _run(self._program, bound.native)
        error = self._error(value)
        if error is not None:
            raise FailedEvaluation(reason(error))
        return value

    def _error(self, value: cel.Value) -> str | None:
        """Return the engine's words if the value is an error; where the answer is a bool, any text is one."""
        if self._is_bool:
            answer = value.value()
            return answer if isinstance(answer, str) else None
        return str(value.value()) if value.type().name() == "ERROR" else None


class AskingExpression(NativeExpression):
    """One that calls functions of ours. It has a second program, with real calls in it, and knows what it was asked."""

    __slots__ = ("_asking", "_calls", "_questions")

    def __init__(
        self,
        source: str,
        facts: Facts,
        engine: cel.Env,
        program: cel.Expression,
        *,
        is_bool: bool,
        asking: cel.Expression,
        calls: Calls,
    ) -> None:
        super().__init__(source, facts, engine, program, is_bool=is_bool)
        self._asking = asking
        self._calls = calls
        self._questions: dict[str, None] = {}

    def _evaluate(self, activation: Activation) -> cel.Value:
        bound = values(activation, own=self._own)
        bound.require(self._bytes)
        answers: Answers | None = activation.common.get("answers")
        if answers is None:
            answers = activation.common["answers"] = Answers(activation.bindings.inventory)
        for question in self._questions:
            answers.find(question)
        error = ""
        for _ in range(_ROUNDS):
            value = _run(self._program, self._native_with(bound, answers))
            error = self._error(value) or ""
            if not error:
                return value
            question = missing(error)
            if question is None or question in answers.table:
                break
            answers.find(question)
            self._remember(question)
        known = set(answers.table)
        again = self._calls.evaluate(self._asking, self._native_with(bound, answers), answers)
        for question in answers.table.keys() - known:
            self._remember(question)
        if again is not None and self._error(again) is None:
            return again
        raise FailedEvaluation(answers.reason if "Index error" in error and answers.reason else reason(error))

    def _native_with(self, bound: Values, answers: Answers) -> cel.Activation:
        if bound.native_answers is None or bound.native_answers[0] != len(answers.table):
            native = self._engine.Activation({**bound.by_name, ANSWERS: answers.table})
            bound.native_answers = (len(answers.table), native)
        return bound.native_answers[1]

    def _remember(self, question: str) -> None:
        if len(question) <= _QUESTION_LENGTH:
            if len(self._questions) >= _QUESTIONS:
                self._questions.clear()
            self._questions[question] = None


def _run(program: cel.Expression, native: cel.Activation) -> cel.Value:
    try:
        return program.eval(native)
    except RuntimeError as error:
        raise FailedEvaluation(reason(str(error))) from None


def _kind(value: cel.Value) -> str:
    return value.type().name().partition("<")[0].lower()


def _plain(value: cel.Value) -> Any:
    """Return plain data. Nulls are told by their type, never taken (see `native`)."""
    kind = _kind(value)
    if kind == "null":
        return None
    try:
        data = value.value()
    except (TypeError, RuntimeError):
        raise FailedEvaluation("the answer, or a part of it, is an optional or a value of no plain kind") from None
    if kind == "list":
        return [_plain(each) for each in data]
    if kind == "map":
        return {key: _plain(each) for key, each in data.items()}
    if kind == "error":
        raise FailedEvaluation(reason(str(data)))
    if kind not in ("bool", "int", "uint", "double", "string") or (kind == "string" and is_quantity(data)):
        raise FailedEvaluation(f"the answer, or a part of it, is of type {kind if kind != 'string' else 'quantity'}")
    return data
