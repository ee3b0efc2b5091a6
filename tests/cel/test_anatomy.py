"""The structure by the C++ engine's tree: the same as by cel-python's, and what only it tells."""

from __future__ import annotations

from dataclasses import replace

import pytest

from webhook.cel import Fact, InvalidExpression, Structure, Use, anatomy, environment, structure
from webhook.cel.native_structure import PURE_NAMES
from webhook.cel.pure_functions import NAMES

SOURCES = [
    "object.metadata.name == 'x'",
    "true &&\n  object.spec.priority > request.x",
    "object.metadata.labels['a/b'].size()",
    "object.spec.containers[0].image",
    "object.spec.containers.exists(c, c.resources.limits['nvidia.com/gpu'] == '1')",
    "object.a.exists(x, x.b.exists(y, y.c == x.d))",
    "object.a[object.b].c",
    "'object.a' + \"object.b\" // object.c",
    "variables.x + variables['y']",
    "{'a': object.a, object.b: 1}",
    "object",
    "has(object.a.b) && object.a.b['c'] == 1",
    "'k' in object.a && object.a['k'] == 1",
    "object.c.all(x, has(x.y) && x.y == 1)",
    "object.a.map(x, x).exists(y, y == 1)",
    "object.a.exists(x, [1, 2].exists(y, x == y))",
    "object.a.exists(x, x.b.filter(y, y > 1).exists(z, z == 2))",
    "object.a.map(a, object.a.map(b, a + b)).size()",
    "object.a.exists(x,\n object.b.exists(y, true))",
    "(object.a + object.b).exists(x, x == 1)",
    "object.a.exists_one(x, (x.f ? x.b : x.c).exists(y, y))",
    "size(object.a.b) > 1 && object.x.startsWith('é') && object.y == 'ü'",
    "object.a.exists(x, variables.v.exists(y, y == x))",
]


@pytest.mark.parametrize("source", SOURCES)
def test_both_trees_give_the_same_structure(source: str) -> None:
    ours, theirs = anatomy(source), structure(source)
    # `filter` gathers its elements themselves, and the C++ tree shows macros from the outside in.
    assert _fields(ours) == _fields(theirs)
    assert sorted(use.text for use in ours.macros) == sorted(use.text for use in theirs.macros)
    assert sorted(use.text for use in ours.functions) == sorted(use.text for use in theirs.functions)
    same = replace(theirs, paths=(), macros=(), functions=(), facts=(), required=())
    assert replace(ours, paths=(), macros=(), functions=(), facts=(), required=()) == same
    assert ours.references == theirs.references


def _fields(read: Structure) -> set[Use]:
    return {each for each in read.paths if not each.text.endswith("[]")}


def test_the_functions_of_cel_python_are_those_it_has() -> None:
    assert PURE_NAMES == NAMES


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("object.?a.orValue(1) == 1", "cel-python has no function orValue()"),
        ("object.?a == optional.none()", "optional"),
        ("object[?'a'].hasValue()", "hasValue()"),
        ("cel.bind(a, object.x, a == 1)", "cel-python has no cel.bind()"),
        ("object.a.map(x, x.b, x.c) == []", "cel-python has no map() of 3 arguments"),
        ("object.a.lowerAscii() == 'x'", "cel-python has no function lowerAscii()"),
        ("math.greatest(1, 2) == 2", "cel-python has no function"),
    ],
)
def test_what_only_the_default_engine_reads(source: str, said: str) -> None:
    found = anatomy(source)
    assert found.foreign is not None
    assert said in found.foreign.text
    with pytest.raises(InvalidExpression):
        environment("cel-python").compile(source)


@pytest.mark.parametrize("source", SOURCES)
def test_what_both_engines_read(source: str) -> None:
    assert anatomy(source).foreign is None


def facts(source: str) -> list[tuple[str, str, tuple[object, ...], bool]]:
    return [_plain(each) for each in anatomy(source).facts]


def _plain(fact: Fact) -> tuple[str, str, tuple[object, ...], bool]:
    return fact.path, fact.relation, fact.values, fact.negated


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("object.a == 'x'", ("object.a", "==", ("x",), False)),
        ("'x' != object.a", ("object.a", "==", ("x",), True)),
        ("object.a == -2", ("object.a", "==", (-2,), False)),
        ("object.a >= 1.5", ("object.a", "<", (1.5,), False)),
        ("object.a == null", ("object.a", "==", (None,), False)),
        ("object.a == true", ("object.a", "==", (True,), False)),
        ("object.a in ['x', 'y']", ("object.a", "in", ("x", "y"), False)),
        ("'k' in object.a", ("object.a['k']", "has", (), False)),
        ("has(object.a.b)", ("object.a.b", "has", (), False)),
        ("object.a.startsWith('x')", ("object.a", "startsWith", ("x",), False)),
    ],
)
def test_facts(source: str, expected: tuple[object, ...]) -> None:
    assert facts(source) == [expected]


@pytest.mark.parametrize("source", ["object.a == object.b", "object.a in object.b", "object.a + 1 == 2", "object.a"])
def test_no_facts(source: str) -> None:
    assert facts(source) == []


@pytest.mark.parametrize(
    ("source", "groups"),
    [
        ("object.a == 1 && object.b == 2", [["object.a", "object.b"]]),
        ("object.a == 1 || object.b == 2", []),
        ("!(object.a == 1 || object.b == 2)", [["object.a", "object.b"]]),
        ("object.l.exists(x, x.a == 1 && x.b == 2) && object.c == 1", [["object.l[].a", "object.l[].b"], ["object.c"]]),
        ("object.l.all(x, x.a == 1)", []),
        ("!object.l.exists(x, x.a == 1)", []),
    ],
)
def test_what_must_hold_where_it_is_true(source: str, groups: list[list[str]]) -> None:
    assert [[fact.path for fact in group] for group in anatomy(source).required] == groups


def test_a_negation_turns_facts_round() -> None:
    (group,) = anatomy("!(object.a == 'x' || object.b != 'y')").required
    assert [(fact.path, fact.negated) for fact in group] == [("object.a", True), ("object.b", False)]
