"""Any text is an expression or refused, any evaluation answers or fails, and both engines agree."""

from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from webhook.cel import Activation, Bindings, FailedEvaluation, InvalidExpression, environment

TOKENS = st.sampled_from(
    [
        "object", "request", "variables", "inventory", "oldObject", ".metadata", ".name", ".x", "['x']", "[0]",
        "(", ")", "[", "]", "{", "}", ",", ":", "?", "||", "&&", "!", "-", "+", "*", "/", "%", "==", "!=", "<",
        "<=", ">", ">=", "in", "'a'", '"b"', "r'\\'", "b'c'", "'''", "1", "2u", "3.5", "-1", "0x2", "1e3",
        "true", "false", "null", ".exists(x,", ".map(x,", ".filter(x,", ".all(x,", ".exists_one(x,", "x", "y",
        "has(", "size(", "int(", "string(", "quantity(", "isQuantity(", ".isGreaterThan(", ".add(",
        ".asInteger()", "inventory.warmNodes(", ".startsWith(", ".matches(", ".split(", "cel.bind(y,", ".?",
        "[?", "optional.of(", ".orValue(", "math.greatest(", "dyn(", "type(", "//", "\n", "'\\n'",
    ]
)  # fmt: skip
FRAGMENTS = st.one_of(
    st.text(max_size=60),
    st.lists(TOKENS, max_size=24).map(" ".join),
    st.lists(TOKENS, max_size=24).map("".join),
)
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False),
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8),
)
KEYS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=5)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4), max_leaves=20
)

QUICK = settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])


class Stock:
    """An inventory that has one of everything."""

    nodes = 1
    usable = True

    def warm_nodes(self, name: str) -> int:
        return len(name)


def answer(engine: str, source: str, activation: Activation) -> tuple[str, Any]:
    """Return what became of it."""
    try:
        expression = environment(engine).compile(source)
    except InvalidExpression as refusal:
        assert refusal.line >= 1  # noqa: PT017 - one of three ways it may end
        assert refusal.column >= 1  # noqa: PT017
        return ("invalid", None)
    try:
        return ("answer", expression.value(activation))
    except FailedEvaluation:
        return ("failed", None)


@QUICK
@given(FRAGMENTS)
def test_any_text(source: str) -> None:
    activation = Activation(Bindings(object={"metadata": {"name": "a"}, "x": [1, "a"]}, inventory=Stock()))
    native, pure = answer("cel-expr-python", source, activation), answer("cel-python", source, activation)
    if native[0] == pure[0] == "answer":
        assert unordered(native[1]) == unordered(pure[1])


def unordered(value: Any) -> str:
    """Return a text in which the order of lists does not matter: a map gone over by a macro has none."""
    if isinstance(value, list):
        return f"[{sorted(map(unordered, value))}]"
    if isinstance(value, dict):
        return f"{{{sorted((repr(key), unordered(each)) for key, each in value.items())}}}"
    return repr(value)


@QUICK
@given(VALUES)
def test_any_value_comes_back(value: Any) -> None:
    for engine in ("cel-expr-python", "cel-python"):
        activation = Activation(Bindings(object={"x": value}, variables={"x": value}))
        assert answer(engine, "object.x", activation) == ("answer", value)
        assert answer(engine, "[variables.x, object.x]", activation) == ("answer", [value, value])


@QUICK
@given(VALUES, VALUES)
def test_equality_is_the_same(a: Any, b: Any) -> None:
    activation = Activation(Bindings(object={"a": a, "b": b}))
    for source in ("object.a == object.b", "object.a != object.b", "object.a in [object.b]", "object.a == object.a"):
        native, pure = answer("cel-expr-python", source, activation), answer("cel-python", source, activation)
        assert native == pure
        assert native[0] == "answer"
