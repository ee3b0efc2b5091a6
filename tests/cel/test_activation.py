"""What expressions see, and that nothing of one review is seen by another."""

import copy
from typing import Any

import pytest

from webhook.cel import Activation, Bindings, Environment, FailedEvaluation


class Stock:
    """An inventory that counts what it is asked."""

    def __init__(self, nodes: int, warm: dict[str, int]) -> None:
        self.nodes = nodes
        self.usable = nodes > 0
        self.warm = warm
        self.asked: list[str] = []

    def warm_nodes(self, name: str) -> int:
        self.asked.append(name)
        return self.warm.get(name, 0)


def test_what_is_absent_is_null(engine: Environment) -> None:
    nothing = Activation(Bindings())
    for name in ("object", "oldObject", "request", "namespaceObject", "inventory"):
        assert engine.compile(f"{name} == null").test(nothing)
        assert engine.compile(name).value(nothing) is None
    assert engine.compile("variables").value(nothing) == {}


def test_the_objects_are_not_in_the_request(engine: Environment) -> None:
    request = {"uid": "u", "object": {"a": 1}, "oldObject": {"b": 2}, "options": {"c": 3}, "dryRun": False}
    before = copy.deepcopy(request)
    activation = Activation(Bindings(object=request["object"], request=request))  # type: ignore[arg-type] # a mix
    assert engine.compile("request").value(activation) == {"uid": "u", "options": {"c": 3}, "dryRun": False}
    assert engine.compile("object.a").value(activation) == 1
    assert request == before


def test_variables_are_those_of_the_activation(engine: Environment) -> None:
    expression = engine.compile("variables.x + object.y")
    first = Activation(Bindings(object={"y": 1}, variables={"x": 10}))
    second = first.with_variables({"x": 20})
    third = second.with_variables({})
    assert [expression.value(each) for each in (first, second, first, second)] == [11, 21, 11, 21]
    with pytest.raises(FailedEvaluation, match="no such key"):
        expression.value(third)
    assert engine.compile("object.y").value(third) == 1


def test_answers_belong_to_one_review(engine: Environment) -> None:
    expression = engine.compile("inventory.warmNodes(object.image) * 10 + inventory.nodes")
    for nodes, warm in ((3, 1), (5, 2), (3, 0)):
        activation = Activation(Bindings(object={"image": "a"}, inventory=Stock(nodes, {"a": warm})))
        assert expression.value(activation) == warm * 10 + nodes
        assert expression.value(activation) == warm * 10 + nodes
    with pytest.raises(FailedEvaluation):
        expression.value(Activation(Bindings(object={"image": "a"})))


def test_a_question_is_put_once_per_review(native: Environment) -> None:
    stock = Stock(3, {"once": 1})
    activation = Activation(Bindings(object={"image": "once"}, inventory=stock, variables={"x": 1}))
    for source in ("inventory.warmNodes('once')", "inventory.warmNodes(object.image)"):
        assert native.compile(source).value(activation) == 1
    assert native.compile("inventory.warmNodes(object.image) * variables.x").value(activation) == 1
    assert stock.asked.count("once") == 1


@pytest.mark.parametrize(
    "name", ["", "a b", "a\nb", "@quantity\n1", 'it\'s "x"', "\\x41", "é😀", "ffff", "x" * 5000, "\x1f\x7f\u2028"]
)
def test_any_name_can_be_asked_for(engine: Environment, name: str) -> None:
    for _ in range(2):
        activation = Activation(Bindings(variables={"n": name}, inventory=Stock(1, {name: 7})))
        assert engine.compile("inventory.warmNodes(variables.n)").value(activation) == 7


def test_more_names_than_are_remembered(native: Environment) -> None:
    expression = native.compile("object.images.map(i, inventory.warmNodes(i)).filter(n, n > 0).size()")
    for start in range(0, 200, 40):
        names = [f"image-{number}" for number in range(start, start + 40)]
        activation = Activation(Bindings(object={"images": names}, inventory=Stock(1, dict.fromkeys(names[:3], 1))))
        assert expression.value(activation) == 3


def test_a_question_hidden_by_an_error_is_answered(engine: Environment) -> None:
    """`||` reports one of two errors; a missing answer must not be taken for the error that hides it."""
    for number in range(5):
        name = f"hidden-{number}"
        activation = Activation(Bindings(object={"image": name}, inventory=Stock(1, {name: 1})))
        for source in (
            "object.nope == 1 || inventory.warmNodes(object.image) == 1",
            "!(object.nope == 1 && inventory.warmNodes(object.image) != 1)",
            "[object.image].exists(i, i.x == 1 || inventory.warmNodes(i) == 1)",
        ):
            assert engine.compile(source).test(activation)


def test_keys_of_users_are_no_questions(engine: Environment) -> None:
    activation = Activation(Bindings(object={"labels": {}}, inventory=Stock(1, {"x": 1})))
    with pytest.raises(FailedEvaluation, match="no such key"):
        engine.compile("object.labels['@warmNodes\\nx'] + inventory.warmNodes('y')").value(activation)


def test_evaluation_changes_nothing(engine: Environment) -> None:
    pod: dict[str, Any] = {"spec": {"containers": [{"name": "a", "env": [{"name": "X"}]}], "nothing": None}}
    before = copy.deepcopy(pod)
    activation = Activation(Bindings(object=pod))
    value = engine.compile("object.spec").value(activation)
    value["containers"].clear()
    assert pod == before
    assert engine.compile("object.spec").value(activation) == before["spec"]
