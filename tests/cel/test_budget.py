"""No expression runs away, however long its lists and texts are.

Bounds on time are generous: what counts is that it stops.
"""

import time
from collections.abc import Callable
from typing import Any

import pytest

from webhook.cel import LIMITS, Activation, Environment, FailedEvaluation, InvalidExpression

RUNAWAY = "variables.l.map(a, variables.l.map(b, a + b)).size()"


def stopped(environment: Environment, source: str, activation: Activation) -> str:
    """Return what the evaluation says when it is stopped, which must not take long."""
    expression = environment.compile(source)
    start = time.perf_counter()
    with pytest.raises(FailedEvaluation) as failure:
        expression.value(activation)
    assert time.perf_counter() - start < 0.5
    return str(failure.value)


def test_the_runaway_of_200_elements_is_stopped(native: Environment, bound: Callable[..., Activation]) -> None:
    message = stopped(native, RUNAWAY, bound(variables={"l": list(range(200))}))
    assert message == (
        "a list under map() or filter() has too many elements: at most 1,000 are taken, or 128 where there is more "
        "than one of them or a loop around"
    )


@pytest.mark.parametrize(
    ("source", "elements", "message"),
    [
        (RUNAWAY, 128, "stopped after 10,000 turns"),
        ("variables.l.map(a, variables.l.filter(b, true)).size()", 129, "too many elements"),
        ("variables.l.map(a, a).map(a, a).size()", 1000, "too many elements"),
        ("variables.l.map(a, a).size()", 1001, "too many elements"),
        ("variables.l.filter(a, a > 0).size()", 9000, "too many elements"),
        ("variables.l.exists(a, variables.l.exists(b, a + b == -1))", 5000, "stopped after 10,000 turns"),
        ("variables.l.all(a, a >= 0)", 10_001, "stopped after 10,000 turns"),
        ("(variables.l + variables.l).map(a, a).size()", 600, "too many elements"),
    ],
)
def test_is_stopped(
    native: Environment, bound: Callable[..., Activation], source: str, elements: int, message: str
) -> None:
    assert message in stopped(native, source, bound(variables={"l": list(range(elements))}))


@pytest.mark.parametrize(
    ("source", "elements", "answer"),
    [
        ("variables.l.map(a, a).size()", 1000, 1000),
        ("variables.l.map(a, a).map(a, a).size()", 128, 128),
        ("variables.l.map(a, variables.l.map(b, a + b)).size()", 90, 90),
        ("variables.l.all(a, a >= 0)", 9_000, True),
        ("variables.l.exists(a, variables.l.exists(b, a + b == 98))", 90, True),
        ("cel.bind(l, variables.l, l.map(a, a)).size()", 1000, 1000),
    ],
)
def test_what_is_within_bounds_is_not_stopped(
    native: Environment, bound: Callable[..., Activation], source: str, elements: int, answer: Any
) -> None:
    assert native.compile(source).value(bound(variables={"l": list(range(elements))})) == answer


def test_a_list_that_is_too_long_gives_way_as_any_error_does(
    native: Environment, bound: Callable[..., Activation]
) -> None:
    expression = native.compile("variables.l.map(a, a).size() == 1 || true")
    assert expression.test(bound(variables={"l": list(range(2000))}))


@pytest.mark.parametrize(
    ("source", "limit"),
    [
        ("object.l.exists(x, x == 1)", LIMITS.loop_bytes),
        ("object.l.exists(x, object.s.contains('a'))", LIMITS.heavy_loop_bytes),
        ("object.l.all(x, (object.s + x).size() > 0)", LIMITS.heavy_loop_bytes),
        ("object.s.replace('x', '" + "y" * 3000 + "').size()", 16_384),
        ("object.l.map(x, object.s).size()", LIMITS.loop_bytes),
        ("object.s.contains('a')", None),
        ("object.s + object.s", None),
    ],
)
def test_a_large_pod_is_refused_where_the_work_grows_with_it(
    native: Environment, bound: Callable[..., Activation], source: str, limit: int | None
) -> None:
    expression = native.compile(source)
    expression.value(bound(object={"s": "x" * 10_000, "l": []}))
    large = bound(object={"s": "x" * 300_000, "l": []})
    if limit is None:
        expression.value(large)
        return
    with pytest.raises(FailedEvaluation, match=rf"have 300,\d+ bytes as JSON; .* evaluated over at most {limit:,}$"):
        expression.value(large)


@pytest.mark.parametrize(
    "source",
    [
        "cel.bind(a, object.s, " + "cel.bind(a, a + a, " * 25 + "a" + ")" * 26,
        "cel.bind(a, object.s + object.s + object.s + object.s, cel.bind(b, a + a + a + a, "
        "cel.bind(c, b + b + b + b, cel.bind(d, c + c + c + c, cel.bind(e, d + d + d + d, e + e + e + e)))))"
        ".size() + 'x'.replace('', '" + "y" * 3000 + "').replace('y', '" + "z" * 600 + "').size()",
        "object.s.replace('a', object.t).replace('b', object.t).replace('c', object.t)",
        "[object.s, object.s].map(x, [x, x].map(y, [y, y].map(z, [z, z].map(w, object.s + w))))",
    ],
    ids=["doubling", "doubling-slower", "replacing", "lists"],
)
def test_what_could_fill_the_memory_is_refused_or_bounded(
    native: Environment, bound: Callable[..., Activation], source: str
) -> None:
    try:
        expression = native.compile(source)
    except InvalidExpression as refusal:
        assert "can build more than 64 MiB" in refusal.message  # noqa: PT017 - or it is bounded, as follows
        return
    with pytest.raises(FailedEvaluation, match="evaluated over at most"):
        expression.value(bound(object={"s": "abc" * 100_000, "t": "x" * 100_000}))


def test_usual_texts_are_built_whatever_the_pod(native: Environment, bound: Callable[..., Activation]) -> None:
    source = "['s3:/', object.a, object.b, object.a].join('/') + '/' + object.b.replace('x', 'yy') + '/' + object.a"
    pod = {"a": "a" * 250_000, "b": "x" * 250_000}
    assert len(native.compile(source).value(bound(object=pod))) > 1_000_000


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (RUNAWAY, "its turns multiply and cel-python would not stop them; the default engine, cel-expr-python"),
        ("object.a.exists(x, object.b.exists(y, x == y))", "its turns multiply"),
        ("object.a.exists(x, [x].exists(y, object.b.exists(z, z == y)))", "its turns multiply"),
        ("object.a.exists(x, (has(x.y) ? x.y : object.b).exists(z, z == 1))", "its turns multiply"),
        (f"object.a.exists(x, [{', '.join('1' * 17)}].exists(y, x == y))", "its turns multiply"),
        ("(object.a + object.b).exists(x, x == 1)", "a loop over added lists"),
    ],
)
def test_the_engine_without_a_budget_refuses_what_it_could_not_stop(
    pure: Environment, source: str, message: str
) -> None:
    with pytest.raises(InvalidExpression, match=message) as refusal:
        pure.compile(source)
    assert refusal.value.column > 1


@pytest.mark.parametrize(
    "source",
    [
        "object.a.exists(x, x.b.exists(y, y.c.exists(z, z == 1)))",
        "object.a.exists(x, (has(x.b) ? x.b : []).exists(z, z == 1))",
        "object.a.exists(x, x.b.filter(y, y == 1).map(y, y).exists(z, z == 1))",
        "object.a.exists(x, ['p', 'q'].exists(y, x == y))",
        "object.a.exists(x, x == 1) && object.b.exists(x, x == 1)",
    ],
)
def test_loops_over_parts_of_what_is_gone_over_are_taken(pure: Environment, source: str) -> None:
    pure.compile(source)


def test_the_engine_without_a_budget_takes_no_long_lists(pure: Environment, bound: Callable[..., Activation]) -> None:
    expression = pure.compile("object.a.exists(x, x == -1)")
    assert not expression.test(bound(object={"a": [0] * 1000}))
    with pytest.raises(FailedEvaluation, match="a list of 1,001 elements: cel-python goes over at most 1,000"):
        expression.test(bound(object={"a": [0] * 1001}))
    with pytest.raises(FailedEvaluation, match="evaluated over at most 32,768"):
        expression.test(bound(object={"a": [0], "s": "x" * 40_000}))
    assert pure.compile("object.s.size()").value(bound(object={"s": "x" * 40_000, "a": [0] * 5000})) == 40_000
