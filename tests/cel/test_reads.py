from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings

from tests import strategies
from webhook.cel import Activation, Bindings, FailedEvaluation, Reads, cut, environment, together
from webhook.kube import Object

REQUEST = {"operation": "CREATE", "userInfo": {"username": "x", "groups": ["a"]}, "x": 1}
NAMESPACE = {"metadata": {"name": "x", "labels": {}}}
ALL = None
IMAGE: Reads = {"": {"image": ALL}}

SURVEYED: tuple[tuple[str, Reads], ...] = (
    ("true", {}),
    ("request.operation == 'CREATE'", {"request": {"operation": ALL}}),
    (
        "object.spec.containers.exists(c, has(c.resources.limits) && 'nvidia.com/gpu' in c.resources.limits)",
        {"object": {"spec": {"containers": {"": {"resources": {"limits": {"nvidia.com/gpu": {}}}}}}}},
    ),
    ("object.spec.containers.all(c, !c.image.endsWith('-debug'))", {"object": {"spec": {"containers": IMAGE}}}),
    (
        "!(has(object.metadata.name) && object.metadata.name.startsWith('jupyter-'))",
        {"object": {"metadata": {"name": ALL}}},
    ),
    ("has(object.metadata.labels)", {"object": {"metadata": {"labels": {}}}}),
    ("'cold' in object.metadata.labels", {"object": {"metadata": {"labels": {"cold": {}}}}}),
    ("'' in object.metadata.labels", {"object": {"metadata": {"labels": ALL}}}),
    ("object.metadata.labels['a/b'] == 'x'", {"object": {"metadata": {"labels": {"a/b": ALL}}}}),
    ("object.metadata.labels['a' + 'b'] == 'x'", {"object": {"metadata": {"labels": ALL}}}),
    ("object.metadata.name in object.metadata.labels", {"object": {"metadata": {"name": ALL, "labels": ALL}}}),
    ("object.spec.containers[0].image.contains('vllm')", {"object": {"spec": {"containers": IMAGE}}}),
    ("object.spec.containers.map(c, c.image).size() > 0", {"object": {"spec": {"containers": IMAGE}}}),
    ("object.spec.containers.map(c, true, c.image).size() > 0", {"object": {"spec": {"containers": IMAGE}}}),
    ("object.spec.containers.filter(c, c.name == 'x').size() > 0", {"object": {"spec": {"containers": {"": ALL}}}}),
    ("object.spec.containers.all(c, true)", {"object": {"spec": {"containers": {"": {}}}}}),
    ("object.spec.containers.size() == 1", {"object": {"spec": {"containers": ALL}}}),
    ("object.spec.containers == []", {"object": {"spec": {"containers": ALL}}}),
    ("object.spec.containers.exists(c, c == {'name': 'x'})", {"object": {"spec": {"containers": {"": ALL}}}}),
    ("object.spec.containers.exists(c, 'ar' + 'gs' in c)", {"object": {"spec": {"containers": {"": ALL}}}}),
    (
        "object.spec.containers.exists(c, c.exists(k, k.startsWith('ar')))",
        {"object": {"spec": {"containers": {"": {"": ALL}}}}},
    ),
    (
        "object.spec.containers.exists(c, c.env.exists(c, c.name == 'A'))",
        {"object": {"spec": {"containers": {"": {"env": {"": {"name": ALL}}}}}}},
    ),
    (
        "object.spec.volumes.exists(v, object.spec.containers.exists(c, c.name == v.name))",
        {"object": {"spec": {"volumes": {"": {"name": ALL}}, "containers": {"": {"name": ALL}}}}},
    ),
    ("object.exists(k, k == 'spec')", {"object": {"": ALL}}),
    ("object == oldObject", {"object": ALL, "oldObject": ALL}),
    ("object['spec']['nodeName'] == 'x'", {"object": {"spec": {"nodeName": ALL}}}),
    ("object.?spec.?nodeName.hasValue()", {"object": ALL}),
    ("cel.bind(o, object, o.spec.nodeName == 'x')", {"object": ALL}),
    ("[object].exists(o, o.spec.nodeName == 'x')", {"object": ALL}),
    ("{'a': object.spec}.a.nodeName == 'x'", {"object": {"spec": ALL}}),
    ("(true ? object.metadata : object.spec).name == 'x'", {"object": {"metadata": ALL, "spec": ALL}}),
    ("has(object.spec) && object.spec.nodeName == 'a'", {"object": {"spec": {"nodeName": ALL}}}),
    ("object.spec == {} || object.spec.nodeName == 'a'", {"object": {"spec": ALL}}),
    ("variables.x == 1 && inventory.nodes > 2", {"variables": {"x": ALL}, "inventory": {"nodes": ALL}}),
    ("namespaceObject.metadata.name == 'x'", {"namespaceObject": {"metadata": {"name": ALL}}}),
)
MORE = (
    "object.metadata.exists(k, k.startsWith('ann'))",
    "object.metadata.annotations.exists(k, k == 'x')",
    "'x' in object.spec.containers",
    "'sh' in object.spec.containers[0].command",
    "object.spec.containers[0].args[0] == 'x'",
    "object.spec['containers'].exists(c, has(c.env) && c.env.size() > 3)",
    "object.spec.containers['x'].image == 'x'",
    "object.spec.containers.image == 'x'",
    "object.spec.exists(c, c.image == 'x')",
    "object.spec.size() > 3",
    "object.spec.volumes[0][0].x",
    "object.spec.containers.map(c, c.name).exists(n, n == 'main')",
    "object.spec.containers.exists_one(c, c.image == 'a')",
    "has(object.spec.volumes) && object.spec.volumes.exists(v, has(v.emptyDir))",
    "object.spec.containers.all(c, c.volumeMounts.all(m, object.spec.volumes.exists(v, v.name == m.name)))",
    "type(object.spec.containers) == list",
    "object.spec.containers.map(c, c.image)",
    "object.spec.containers[0]",
    "object.metadata.annotations",
)


@pytest.mark.parametrize(("text", "expected"), SURVEYED)
def test_what_an_expression_reads(text: str, expected: Reads) -> None:
    assert environment("cel-expr-python").compile(text).reads == expected


_COMPILED = [environment("cel-expr-python").compile(text) for text in (*dict(SURVEYED), *MORE)]
_OTHERS = together([each.reads for each in _COMPILED[:6]])


@settings(max_examples=30)
@given(strategies.sound_pods() | strategies.broken_pods())
def test_the_answer_over_what_is_read_is_the_answer(pod: Object) -> None:
    for expression in _COMPILED:
        whole = _answer(expression, pod, None)
        # What CEL has no value for is no hindrance where it is not read.
        if "the pod or another variable" not in str(whole):
            assert _answer(expression, pod, expression.reads) == whole, expression.source
            assert _answer(expression, pod, together([expression.reads, _OTHERS])) == whole, expression.source


def test_the_other_engine_is_taken_to_read_all() -> None:
    assert environment("cel-python").compile("object.spec.x == 1").reads["object"] is ALL


def test_a_cut_shares_what_is_read_whole_and_empties_what_is_only_there() -> None:
    pod: Object = {"spec": {"a": {"b": [1]}, "c": [1, 2], "d": {"e": 1}, "f": 0}, "status": {}}
    found = cut(pod, {"spec": {"d": {}, "c": {}, "a": ALL, "none": ALL}})
    assert found == {"spec": {"d": {}, "c": [], "a": {"b": [1]}}}
    assert found["spec"]["a"] is pod["spec"]["a"]


def _answer(expression: Any, pod: Object, reads: Reads | None) -> object:
    def shown(name: str, value: Object) -> Object | None:
        return value if reads is None else cut(value, reads.get(name, {}))

    bindings = Bindings(
        object=shown("object", pod),
        request=shown("request", REQUEST),
        namespaceObject=shown("namespaceObject", NAMESPACE),
    )
    try:
        return expression.value(Activation(bindings).with_variables({"x": 1}))
    except FailedEvaluation as error:
        return str(error)
