"""What the text of an expression tells by its structure."""

import pytest

from webhook.cel import InvalidExpression, structure

PATHS = {
    "object.metadata.name == 'x'": [("object.metadata.name", 1, 1)],
    "true &&\n  object.spec.priority > request.x": [("object.spec.priority", 2, 3), ("request.x", 2, 26)],
    "object.metadata.labels['a/b'].size()": [("object.metadata.labels['a/b']", 1, 1)],
    "object.spec.containers[0].image": [("object.spec.containers[].image", 1, 1)],
    "object.spec.containers.exists(c, c.resources.limits['nvidia.com/gpu'] == '1')": [
        ("object.spec.containers", 1, 1),
        ("object.spec.containers[].resources.limits['nvidia.com/gpu']", 1, 34),
    ],
    "object.a.exists(x, x.b.exists(y, y.c == x.d))": [
        ("object.a", 1, 1),
        ("object.a[].b", 1, 20),
        ("object.a[].b[].c", 1, 34),
        ("object.a[].d", 1, 41),
    ],
    "object.a[object.b].c": [("object.a[].c", 1, 1), ("object.b", 1, 10)],
    "(object.a).b": [("object.a.b", 1, 1)],
    "[1, 2].exists(x, x.y == object.z)": [("object.z", 1, 25)],
    "'object.a' + \"object.b\" // object.c": [],
    "variables.x + variables['y']": [("variables.x", 1, 1), ("variables['y']", 1, 15)],
    "{'a': object.a, object.b: 1}": [("object.a", 1, 7), ("object.b", 1, 17)],
    "object": [("object", 1, 1)],
}


@pytest.mark.parametrize(("source", "expected"), PATHS.items(), ids=PATHS)
def test_paths(source: str, expected: list[tuple[str, int, int]]) -> None:
    assert [(use.text, use.line, use.column) for use in structure(source).paths] == expected


@pytest.mark.parametrize(
    ("source", "path", "guarded"),
    [
        ("has(object.a.b) && object.a.b == 1", "object.a.b", True),
        ("has(object.a.b) && object.a.b.c == 1", "object.a.b.c", True),
        ("has(object.a.b) && object.a.b['c'] == 1", "object.a.b['c']", True),
        ("has(object.a.b) && object.a.bc == 1", "object.a.bc", False),
        ("object.a.b == 1", "object.a.b", False),
        ("'k' in object.a && object.a['k'] == 1", "object.a['k']", True),
        ("'k' in object.a && object.a['l'] == 1", "object.a['l']", False),
        ("object.c.all(x, has(x.y) && x.y == 1)", "object.c[].y", True),
    ],
)
def test_guards(source: str, path: str, guarded: bool) -> None:
    read = structure(source)
    assert path in {use.text for use in read.paths}
    assert read.guarded(path) is guarded


@pytest.mark.parametrize(
    ("source", "depth", "unbounded"),
    [
        ("1 + 1", 0, None),
        ("object.a.map(x, x)", 1, None),
        ("object.a.map(x, x).exists(y, y == 1)", 1, None),
        ("object.a.exists(x, x.b.exists(y, true))", 2, None),
        ("object.a.exists(x, [1, 2].exists(y, x == y))", 2, None),
        ("object.a.map(a, object.a.map(b, a + b)).size()", 2, ("map", 26)),
        ("object.a.exists(x,\n object.b.exists(y, true))", 2, ("exists", 11)),
    ],
)
def test_loops(source: str, depth: int, unbounded: tuple[str, int] | None) -> None:
    read = structure(source)
    assert read.depth == depth
    assert (read.unbounded and (read.unbounded.text, read.unbounded.column)) == unbounded


def test_functions_and_names() -> None:
    read = structure("has(object.a) && quantity(object.a).sign() == size(pod) && object.b.matches('x')")
    assert [use.text for use in read.functions] == ["has", "quantity", "sign", "size", "matches"]
    assert [(use.text, use.column) for use in read.names] == [("pod", 52)]
    assert read.references == frozenset()
    assert structure("variables.a + variables['b'] + variables").references == {"a", "b"}


@pytest.mark.parametrize("source", ["object.?a", "1 +", "object.a.map(object, 1)", "'" * 3])
def test_what_cannot_be_read(source: str) -> None:
    with pytest.raises(InvalidExpression):
        structure(source)
