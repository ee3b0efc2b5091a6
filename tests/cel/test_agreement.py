"""What both engines must answer, and answer the same: the part of CEL that shipped policies may use."""

from typing import Any

import pytest

from webhook.cel import Activation, Environment, FailedEvaluation

ANSWERS: dict[str, Any] = {
    # fields
    "object.metadata.name": "vllm-0",
    "object.metadata.labels['team/name']": "search",
    "object.metadata.labels.app == 'vllm'": True,
    ".object.metadata.name": "vllm-0",
    "object.spec.containers[0].name": "main",
    "object.metadata.uid": None,
    "object.metadata.uid == null": True,
    "has(object.metadata.labels)": True,
    "has(object.metadata.annotations)": False,
    "has(object.metadata.labels) && 'app' in object.metadata.labels": True,
    "!has(object.metadata.annotations) || object.metadata.annotations['x'] == 'y'": True,
    "'nope' in object.metadata.labels": False,
    "object.spec": {
        "containers": [
            {
                "name": "main",
                "image": "vllm/vllm-openai:v0.11.0",
                "args": ["--model", "s3://models/llama"],
                "env": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}],
                "resources": {"limits": {"nvidia.com/gpu": "8", "memory": "64Gi"}},
            },
            {"name": "sidecar", "image": "envoy", "resources": {}},
        ],
        "priority": 7,
        "ratio": 1.5,
        "flag": True,
    },
    # variables
    "request.namespace": "default",
    "request": {"namespace": "default", "operation": "CREATE"},
    "'object' in request || 'oldObject' in request": False,
    "oldObject == null && namespaceObject == null": True,
    "variables.bucket + '/' + request.namespace": "s3://models/default",
    "variables['bucket']": "s3://models",
    "has(variables.bucket) && !has(variables.nope)": True,
    "variables.none": None,
    "variables.map == {'a': 1}": True,
    "inventory.nodes > 3 && inventory.usable": True,
    "inventory.warmNodes('s3://models/llama')": 2,
    "inventory.warmNodes(object.spec.containers[0].image) >= 3": True,
    "inventory.warmNodes(variables.bucket + '/llama') > inventory.nodes / 4": True,
    "inventory.warmNodes('')": 0,
    # macros
    "object.spec.containers.exists(c, has(c.resources.limits) && 'nvidia.com/gpu' in c.resources.limits)": True,
    "object.spec.containers.all(c, c.image.startsWith('vllm/'))": False,
    "object.spec.containers.exists_one(c, c.name == 'main')": True,
    "object.spec.containers.map(c, c.name)": ["main", "sidecar"],
    "object.spec.containers.filter(c, has(c.args)).map(c, c.args[1])": ["s3://models/llama"],
    "object.spec.containers.exists(c, has(c.env) && c.env.exists(e, e.name == 'B' && e.value == '2'))": True,
    "object.metadata.labels.exists(key, key.startsWith('team/'))": True,
    "[].exists(x, true) || ![].all(x, false)": False,
    "[1, 2, 3].filter(x, x > 1).map(x, x * 10)": [20, 30],
    # an error gives way to whatever decides without it
    "object.nope == 1 || true": True,
    "true || object.nope == 1": True,
    "object.nope == 1 && false": False,
    "false && object.nope == 1": False,
    "[0, 2].exists(x, 4 / x == 2)": True,
    "[0, 1].all(x, 4 / x == 2)": False,
    "object.nope == 1 || inventory.warmNodes('s3://models/llama') == 2": True,
    "object.spec.containers.exists(c, quantity(c.name).sign() == 1) || true": True,
    "quantity('x').sign() == 1 || true": True,
    # equality and order are those of the specification, across types
    "dyn(1) == dyn('1')": False,
    "dyn(1) != dyn('1')": True,
    "dyn(1) == 1.0 && dyn(1u) == 1": True,
    "dyn(true) == 1": False,
    "dyn(null) == false": False,
    "object.spec.priority == 7.0": True,
    "object.spec.ratio > 1": True,
    "dyn('a') in [1, 2]": False,
    "dyn(1) in [1.0, 'a']": True,
    "dyn([1, 'a', {'b': null}]) == [1.0, 'a', {'b': null}]": True,
    "dyn({'a': 1}) == {'a': 'x'}": False,
    "'a' < 'b' && false < true && 1.5 >= 1.5": True,
    "type(1) == int && type('a') == string && type([]) == list": True,
    # arithmetic
    "7 / 2": 3,
    "-7 / 2": -3,
    "-7 % 3": -1,
    "7 % -3": 1,
    "--1 + -(-1)": 2,
    "-9223372036854775808": -9223372036854775808,
    "0x1F": 31,
    "1e3": 1000.0,
    "0.1 + 0.2": 0.30000000000000004,
    "1.0 / 0.0": float("inf"),
    # conversion
    "int('5') + int(1.9)": 6,
    "string(5) + string(true) + string(1.5) + string('x')": "5true1.5x",
    "double('1.5')": 1.5,
    "uint(5)": 5,
    # texts
    "'é😀'.size()": 2,
    "size('') + size([1]) + size({'a': 1})": 2,
    "object.metadata.name.matches('^vllm-[0-9]+$')": True,
    "'abc'.contains('b') && 'abc'.endsWith('c')": True,
    r"'\u00e9' == 'é'": True,
    r"r'\n' + '\n'": "\\n\n",
    '"it\'s" + \'a "b"\'': "it's" + 'a "b"',
    "'// no comment' // a comment": "// no comment",
    # the rest
    "object.spec.flag ? 'yes' : 'no'": "yes",
    "{'a': [1, {'b': null}]}": {"a": [1, {"b": None}]},
    "[1] + [2]": [1, 2],
    "duration('1h') > duration('59m')": True,
    "timestamp('2026-01-01T00:00:00Z') < timestamp('2026-11-22T00:00:00Z')": True,
    "b'abc' == b'abc'": True,
}
FAILURES: dict[str, str] = {
    "object.nope": "no such key",
    "object.nope == 1 || false": "no such key",
    "variables.nope": "no such key",
    "object.metadata.uid.x": "a field was asked of a value that has none",
    "oldObject.x": "a field was asked of a value that has none",
    "object.spec.containers[5]": "ndex|invalid_argument",
    "object.spec.containers[-1]": "ndex|invalid_argument",
    "[0, 2].all(x, 4 / x == 2)": "divide by zero",
    "1 / 0": "divide by zero",
    "9223372036854775807 + object.spec.priority": "overflow",
    "object.metadata.name + object.spec.priority": "overload",
    "object.metadata.name < object.spec.priority": "overload",
    "object.metadata.name[0]": "overload|container",
    "int(object.metadata.name)": "int",
    "quantity(object.metadata.name)": "'vllm-0' is not a quantity",
    "quantity('1')": "of type quantity",
    "[quantity('1')]": "of type quantity",
    "duration('1h')": "of type duration",
    "timestamp('2026-01-01T00:00:00Z')": "of type timestamp",
    "b'abc'": "of type bytes",
    "{'a': b'abc'}": "of type bytes",
    "type(1)": "of type type",
}


@pytest.mark.parametrize(("source", "expected"), ANSWERS.items(), ids=ANSWERS)
def test_answers(engine: Environment, activation: Activation, source: str, expected: Any) -> None:
    answer = engine.compile(source).value(activation)
    assert (answer, type(answer)) == (expected, type(expected))
    assert engine.compile(source).value(activation) == expected  # what was remembered changes nothing


@pytest.mark.parametrize(("source", "message"), FAILURES.items(), ids=FAILURES)
def test_has_no_answer(engine: Environment, activation: Activation, source: str, message: str) -> None:
    expression = engine.compile(source)
    for _ in range(2):
        with pytest.raises(FailedEvaluation, match=message) as failure:
            expression.value(activation)
        assert "\n" not in str(failure.value)
        assert "celpy" not in str(failure.value)
        assert "<class" not in str(failure.value)


@pytest.mark.parametrize("source", ["true", "object.spec.flag", "1 == 1"])
def test_true_is_true(engine: Environment, activation: Activation, source: str) -> None:
    assert engine.compile(source).test(activation) is True


@pytest.mark.parametrize("source", ["false", "!object.spec.flag", "1 == 2", "[].exists(x, x)"])
def test_false_is_false(engine: Environment, activation: Activation, source: str) -> None:
    assert engine.compile(source).test(activation) is False


@pytest.mark.parametrize("source", ["1", "'true'", "null", "object", "object.spec.priority", "[true]", "0.0"])
def test_a_condition_must_be_true_or_false(engine: Environment, activation: Activation, source: str) -> None:
    with pytest.raises(FailedEvaluation, match="must be true or false, it is"):
        engine.compile(source).test(activation)
