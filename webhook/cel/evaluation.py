"""Expressions of the C++ engine at work: what they are given, and what is taken from them."""

from contextvars import ContextVar
from typing import Any, Final

from cel_expr_python import cel  # type: ignore[import-untyped] # its wheel has stubs but no py.typed

from webhook.cel.answers import ANSWERS, Answers, missing
from webhook.cel.complaints import reason
from webhook.cel.expression import Activation, FailedEvaluation
from webhook.cel.facts import Facts
from webhook.cel.functions import is_quantity
from webhook.cel.values import Values, values

_ROUNDS: Final = 64  # how often one evaluation may come back for an answer
_QUESTIONS: Final = 64  # how many are remembered from review to review
_QUESTION_LENGTH: Final = 512
# Each question asked by a call leaks some 300 bytes in the engine; after this many (30 MB) none are asked that way.
_CALLS_AT_MOST: Final = 100_000


class Engine:
    """The C++ environment, the questions its expressions have asked, and the answering of calls within evaluations.

    The questions are remembered, never the answers: those belong to one review.
    """

    __slots__ = ("_answers", "_calls", "_questions", "native")

    def __init__(self) -> None:
        self.native: cel.Env = None
        self._questions: dict[str, None] = {}
        self._calls = 0
        self._answers: ContextVar[Answers] = ContextVar("answers")

    def activation(self, activation: Activation, bound: Values) -> cel.Activation:
        """Return the engine's own activation. It converts a value when an expression first reads it, and keeps it."""
        if bound.native is None:
            answers = self.answers(activation)
            for question in self._questions:
                answers.find(question)
            self.renew(bound, answers)
        return bound.native

    def answers(self, activation: Activation) -> Answers:
        """Return the answers of the review."""
        answers: Answers | None = activation.common.get("answers")
        if answers is None:
            answers = activation.common["answers"] = Answers(activation.bindings.inventory)
        return answers

    def renew(self, bound: Values, answers: Answers) -> None:
        """Make the engine's own activation anew, with all answers there are."""
        bound.native = self.native.Activation({**bound.by_name, ANSWERS: answers.table})
        bound.native_answers = len(answers.table)

    def remember(self, question: str) -> None:
        """Have the answer at hand from now on."""
        if len(question) <= _QUESTION_LENGTH:
            if len(self._questions) >= _QUESTIONS:
                self._questions.clear()
            self._questions[question] = None

    def ask(self, question: str) -> Any:
        """Answer a call from within an evaluation; raises to say that there is no answer."""
        self._calls += 1
        self.remember(question)
        return self._answers.get().find(question)[question]

    def evaluate_asking(self, program: cel.Expression, native: cel.Activation, answers: Answers) -> cel.Value | None:
        """Evaluate a program that calls `ask` for what it lacks; None when that was done too often already."""
        if self._calls >= _CALLS_AT_MOST:
            return None
        token = self._answers.set(answers)
        try:
            return run(program, native)
        finally:
            self._answers.reset(token)


class NativeExpression:
    """An expression compiled by the C++ engine."""

    __slots__ = ("_bytes", "_engine", "_is_bool", "_own", "_program", "reads", "references", "source")

    def __init__(self, source: str, facts: Facts, engine: Engine, program: cel.Expression, *, is_bool: bool) -> None:
        self.source = source
        self.references = frozenset(facts.variables)
        self.reads = facts.reads
        self._engine = engine
        self._program = program
        self._is_bool = is_bool
        self._own = "variables" in facts.names
        self._bytes = facts.bytes

    def test(self, activation: Activation) -> bool:
        """Return its answer, which must be true or false; else FailedEvaluation."""
        value = self._evaluate(activation)
        if not self._is_bool and _kind(value) != "bool":
            raise FailedEvaluation(f"the answer must be true or false, it is of type {_kind(value)}")
        return value.value() is True

    def value(self, activation: Activation) -> Any:
        """Return its answer as str, int, float, bool, None, list or dict; else FailedEvaluation."""
        return _plain(self._evaluate(activation))

    def _evaluate(self, activation: Activation) -> cel.Value:
        """Return the answer, which is not an error."""
        bound = values(activation, own=self._own)
        bound.require(self._bytes)
        value = run(self._program, self._engine.activation(activation, bound))
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
    """One that calls functions of ours. It has a second program, with real calls in it (see `answers`)."""

    __slots__ = ("_asking",)

    def __init__(
        self,
        source: str,
        facts: Facts,
        engine: Engine,
        program: cel.Expression,
        *,
        is_bool: bool,
        asking: cel.Expression,
    ) -> None:
        super().__init__(source, facts, engine, program, is_bool=is_bool)
        self._asking = asking

    def _evaluate(self, activation: Activation) -> cel.Value:
        bound = values(activation, own=self._own)
        bound.require(self._bytes)
        engine = self._engine
        native = engine.activation(activation, bound)
        answers = engine.answers(activation)
        error, question = "", None
        for _ in range(_ROUNDS):
            value = run(self._program, native)
            said = self._error(value)
            if said is None:
                return value
            error, question = said, missing(said)
            if question is None or (question in answers.table and bound.native_answers == len(answers.table)):
                break  # an error of its own or of an answer that is none, perhaps one that hides a question
            answers.find(question)
            engine.remember(question)
            engine.renew(bound, answers)
            native = bound.native
        again = engine.evaluate_asking(self._asking, native, answers)
        if again is not None and self._error(again) is None:
            return again
        raise FailedEvaluation(answers.reasons.get(question or "") or reason(error))


def run(program: cel.Expression, native: cel.Activation) -> cel.Value:
    """Evaluate the program; its value may be an error. FailedEvaluation where the engine gives up."""
    try:
        return program.eval(native)
    except RuntimeError as error:
        raise FailedEvaluation(reason(str(error))) from None
    except MemoryError:
        raise FailedEvaluation("there is not enough memory for what it builds") from None


def _kind(value: cel.Value) -> str:
    return str(value.type().name()).partition("<")[0].lower()


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
        # The engine's maps have an order of their own that changes from process to process.
        return {key: _plain(data[key]) for key in sorted(data, key=str)}
    if kind == "error":
        raise FailedEvaluation(reason(str(data)))
    if kind not in ("bool", "int", "uint", "double", "string") or (kind == "string" and is_quantity(data)):
        raise FailedEvaluation(f"the answer, or a part of it, is of type {kind if kind != 'string' else 'quantity'}")
    return data
