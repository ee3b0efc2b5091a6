"""What is no expression, where, and what it says."""

import pytest

from webhook.cel import Activation, Environment, InvalidExpression, environment

# Both engines refuse these at the same place.
REFUSED = {
    "": ("empty", 1, 1),
    "  \n ": ("empty", 1, 1),
    "1 +": ("ends too early", 1, 4),
    "object.": ("ends too early", 1, 8),
    "(1": ("ends too early", 1, 3),
    "[1, 2": ("ends too early", 1, 6),
    "// nothing": ("ends too early", 1, 11),
    "1)": (r"(?i)syntax error.*'\)'", 1, 2),
    "1 2": ("(?i)syntax error.*'2'", 1, 3),
    "1 +\n  @": ("(?i)syntax error", 2, 3),
    "'abc": ("not closed", 1, 1),
    '1 + "abc': ("not closed", 1, 5),
    "'''abc": ("not closed", 1, 3),
    "'a\nb'": ("not closed", 1, 1),
    "objct": ("there is no variable 'objct'", 1, 1),
    "true &&\n\tpod == 1": ("there is no variable 'pod'; ", 2, 2),
    "[1].map(object, 1)": ("'object' is the name of a variable", 1, None),
    "[1].exists(request, true)": ("'request' is the name of a variable", 1, None),
    "foo(1)": ("no function 'foo'", 1, None),
    "object.foo(1)": ("no function 'foo'", 1, None),
    "has(object)": (r"has\(\)", 1, None),
    "object{}": ("not a type|no message types", 1, 1),
    "'a\x00'": ("control character", 1, 3),
    "'\ud800'": ("surrogate", 1, 2),
    "(" * 33 + "1" + ")" * 33: ("nested more than 32 deep", 1, 33),
    "[" * 33 + "1" + "]" * 33: ("nested more than 32 deep", 1, 33),
    "+".join(["1"] * 300): ("nested or chained more than", 1, 1),
    "object" + ".a" * 1000: ("nested or chained more than", 1, 1),
    "'" + "x" * 4095 + "'": ("4,097 bytes, at most 4,096", 1, 1),
    "'" + "é" * 2048 + "'": ("4,098 bytes, at most 4,096", 1, 1),
}


@pytest.mark.parametrize(("source", "expected"), REFUSED.items(), ids=[repr(each)[:40] for each in REFUSED])
def test_is_refused(engine: Environment, source: str, expected: tuple[str, int, int | None]) -> None:
    message, line, column = expected
    with pytest.raises(InvalidExpression, match=message) as refusal:
        engine.compile(source)
    assert "\n" not in refusal.value.message
    assert len(refusal.value.message) <= 400
    assert refusal.value.line == line
    assert column is None or refusal.value.column == column
    assert f"(line {refusal.value.line}, column {refusal.value.column})" in str(refusal.value)


# The default engine checks types; the other learns of these at evaluation.
ILL_TYPED = {
    "1 == 'a'": (r"no matching overload for '_==_' applied to '\(int, string\)'", 3),
    "quantity('1') + 1": ("kubernetes.Quantity", 15),
    "quantity(1)": (r"applied to '\(int\)'", 9),
    "quantity('1').isGreaterThan('1')": ("isGreaterThan", 28),
    "inventory.warmNodes(1)": ("warmNodes", 20),
    "object.warmNodes('a')": ("is a function of inventory", 17),
    "size()": ("no function 'size' of these arguments", 5),
    "quantty('1')": ("did you mean 'quantity'", 8),
    "objct.x": ("did you mean 'object'", 6),
    "object.metadata.name.matches('a(')": ("invalid regular expression", 29),
    "9223372036854775808": ("int literal", 1),
    "{'a': 1, 'a': 2}": ("duplicate key", 1),
    "if": ("reserved identifier", 1),
    "true ? 1 : " * 300 + "1": ("nested or chained more than", 1),
}


@pytest.mark.parametrize(("source", "expected"), ILL_TYPED.items(), ids=[each[:40] for each in ILL_TYPED])
def test_the_default_engine_checks_types(native: Environment, source: str, expected: tuple[str, int]) -> None:
    with pytest.raises(InvalidExpression, match=expected[0]) as refusal:
        native.compile(source)
    assert (refusal.value.line, refusal.value.column) == (1, expected[1])


ONLY_NATIVE = {
    "object.?metadata.?name": "vllm-0",
    "object.?spec.?nope": None,
    "object.?spec.?nope.orValue('x')": "x",
    "cel.bind(x, object.metadata.name, x + x)": "vllm-0vllm-0",
    "'a,b'.split(',')": ["a", "b"],
    "math.greatest(1, 2)": 2,
    "object.spec.containers.map(c, has(c.args), c.name)": ["main"],
    "inventory.warmNodes(object.?metadata.?nope.orValue('s3://models/llama'))": 2,
}


@pytest.mark.parametrize(("source", "expected"), ONLY_NATIVE.items(), ids=ONLY_NATIVE)
def test_the_other_engine_says_who_takes_it(
    native: Environment, pure: Environment, activation: Activation, source: str, expected: object
) -> None:
    assert native.compile(source).value(activation) == expected
    with pytest.raises(InvalidExpression, match=r"cel-expr-python|there is no variable '(cel|math)'"):
        pure.compile(source)


def test_engines_by_name() -> None:
    assert environment().name == "cel-expr-python"
    assert environment("cel-python").name == "cel-python"
    assert environment("cel-python") is environment("cel-python")
    with pytest.raises(ValueError, match="no CEL engine 'cel-go' here; known are cel-expr-python, cel-python"):
        environment("cel-go")


@pytest.mark.parametrize(
    ("source", "names"),
    [
        ("object.metadata.name", set()),
        ("variables.a + variables['b-c'] + 'variables.d'", {"a", "b-c"}),
        ("has(variables.a) && variables.b.c.d == 1 // variables.e", {"a", "b"}),
        ("variables.list.map(x, x + variables.y)", {"list", "y"}),
        ("object.variables.a == request.variables", set()),
    ],
)
def test_references(engine: Environment, source: str, names: set[str]) -> None:
    expression = engine.compile(source)
    assert expression.references == names
    assert expression.source == source
