"""The default engine: `cel_expr_python`, the CEL project's C++ implementation.

Version 0.1.3 has edges that could end the process or bend an answer; each is met here, and tests/cel holds it:

- it drops a reference to None whenever it hands a null to Python, so enough nulls abort the interpreter: the type of
  a value is asked first, and nulls are never taken from it (`evaluation`);
- it cuts texts at NUL and overflows the stack on data nested tens of thousands deep: both are refused (`values`);
- it leaks what passes through Python functions: a call of ours is a look-up instead (`answers`);
- it counts the turns of loops, not their work: lists and pods under a loop have a greatest size (`facts`).
"""

from typing import Final

from cel_expr_python import cel  # type: ignore[import-untyped] # its wheel has stubs but no py.typed
from cel_expr_python.ext import (  # type: ignore[import-untyped] # the same
    ext_bindings,
    ext_math,
    ext_optional,
    ext_strings,
)

from webhook.cel import functions, text, tree
from webhook.cel.answers import ANSWERS, ASK, replace_calls
from webhook.cel.complaints import invalid, reason
from webhook.cel.evaluation import AskingExpression, Engine, NativeExpression
from webhook.cel.expression import VARIABLES, InvalidExpression
from webhook.cel.facts import Pattern, bound_lists, study

NAME: Final = "cel-expr-python"

_TYPES: Final = {
    "string": cel.Type.STRING,
    "bool": cel.Type.BOOL,
    "int": cel.Type.INT,
    "double": cel.Type.DOUBLE,
    "dyn": cel.Type.DYN,
    functions.QUANTITY: cel.Type.AbstractType(functions.QUANTITY),
}


class NativeEnvironment:
    """The engine with our variables and functions."""

    name = NAME

    def __init__(self) -> None:
        self._engine = Engine()
        self._engine.native = self._native = cel.NewEnv(
            variables=dict.fromkeys(VARIABLES, cel.Type.DYN),
            extensions=[
                ext_strings.ExtStrings(),
                ext_optional.ExtOptional(),
                ext_bindings.ExtBindings(),
                ext_math.ExtMath(),
            ],
            functions=_declarations(self._engine),
        )
        self._nothing = self._native.Activation({**dict.fromkeys(VARIABLES), ANSWERS: {}})

    def compile(self, source: str) -> NativeExpression:
        """Return the compiled expression. InvalidExpression with line and column."""
        checked = self.checked(source)
        data = checked.serialize()
        facts = study(source, tree.decode(data))
        kind = checked.return_type().name()
        for pattern in facts.patterns:
            self._require_pattern(pattern)

        def program(*, ask: bool) -> cel.Expression:
            root = bound_lists(replace_calls(tree.decode(data), ask=ask), facts.elements)
            return self._program(_unwrapped(root) if kind.startswith("optional_type") else root)

        is_bool = kind == "BOOL"
        if not facts.asks:
            return NativeExpression(source, facts, self._engine, program(ask=False), is_bool=is_bool)
        return AskingExpression(
            source,
            facts,
            self._engine,
            program(ask=False),
            is_bool=is_bool,
            asking=program(ask=True),
        )

    def checked(self, source: str) -> cel.Expression:
        """Return the expression as the engine's type checker leaves it. InvalidExpression with line and column."""
        text.check(source)
        try:
            return self._native.compile(source)
        except RuntimeError as error:
            raise invalid(source, str(error)) from None

    def _require_pattern(self, pattern: Pattern) -> None:
        """InvalidExpression if a literal regular expression is none: better here than at every review."""
        matches = tree.member(tree.string(""), "matches", tree.literal(pattern.raw))
        value = self._program(tree.checked(matches)).eval(self._nothing)
        if value.type().name() == "ERROR":
            raise InvalidExpression(reason(value.value()), pattern.line, pattern.column)

    def _program(self, root: tree.Message) -> cel.Expression:
        """Return the tree as a program, planned here and now rather than within the first review."""
        program = self._native.deserialize(root.encode())
        try:
            program.eval(self._nothing)
        except RuntimeError as error:
            if "budget" not in str(error):
                raise InvalidExpression(reason(str(error))) from None
        return program


def _declarations(engine: Engine) -> list[cel.FunctionDecl]:
    """Return our functions as the type checker shall know them; only the one for asking has an implementation."""
    overloads: dict[str, list[cel.Overload]] = {
        ASK: [cel.Overload(ASK, cel.Type.DYN, [cel.Type.STRING], is_member=False, impl=engine.ask)]
    }
    for each in functions.SIGNATURES:
        identifier = "_".join((each.name, *each.parameters))
        parameters = [_TYPES[name] for name in each.parameters]
        overload = cel.Overload(identifier, _TYPES[each.result], parameters, is_member=each.member)
        overloads.setdefault(each.name, []).append(overload)
    return [cel.FunctionDecl(name, each) for name, each in overloads.items()]


def _unwrapped(root: tree.Message) -> tree.Message:
    """Return the tree whose answer, an optional, is its value or null."""
    checked = root.messages(2)[0]
    null = tree.expression([(tree.CONST, tree.Message("Constant", [(1, 0)]))])
    checked.fields = [
        (number, tree.member(value, "orValue", null) if number == 4 and isinstance(value, tree.Message) else value)
        for number, value in checked.fields
    ]
    return root
