"""Label selectors: which objects a `matchLabels` and `matchExpressions` pair picks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_OPERATORS = ("In", "NotIn", "Exists", "DoesNotExist")


class InvalidSelector(ValueError):
    """A selector the API server would refuse. `path` says where inside the selector, `reason` says what."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f"{path}: {reason}" if path else reason)
        self.path = path
        self.reason = reason


@dataclass(frozen=True, slots=True)
class LabelSelector:
    """A compiled selector. All parts must hold; one without parts matches everything.

    What a selector that is absent means is the caller's to say: in the API it depends on the field.
    """

    equal: tuple[tuple[str, str], ...] = ()
    expressions: tuple[tuple[str, str, frozenset[str]], ...] = ()

    @classmethod
    def parse(cls, selector: Any) -> LabelSelector:
        """Compile `{matchLabels, matchExpressions}`; InvalidSelector, with the path, for what the API would refuse."""
        if not isinstance(selector, Mapping):
            raise InvalidSelector("", f"a label selector is an object, this is {_kind(selector)}")
        for key in selector:
            if key not in ("matchLabels", "matchExpressions"):
                raise InvalidSelector(str(key), "unknown field; a label selector has matchLabels and matchExpressions")
        return cls(_equalities(selector.get("matchLabels")), _expressions(selector.get("matchExpressions")))

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Whether an object with these labels is picked."""
        for key, value in self.equal:
            if labels.get(key) != value:
                return False
        for key, operator, values in self.expressions:
            value_or_none = labels.get(key)
            if operator == "In":
                holds = value_or_none in values
            elif operator == "NotIn":
                holds = value_or_none not in values
            elif operator == "Exists":
                holds = value_or_none is not None
            else:
                holds = value_or_none is None
            if not holds:
                return False
        return True


def _kind(value: Any) -> str:
    return "null" if value is None else f"a {type(value).__name__}"


def _equalities(labels: Any) -> tuple[tuple[str, str], ...]:
    if labels is None:
        return ()
    if not isinstance(labels, Mapping):
        raise InvalidSelector("matchLabels", f"an object of label keys and values is expected, this is {_kind(labels)}")
    for key, value in labels.items():
        if not isinstance(key, str) or not key:
            raise InvalidSelector("matchLabels", f"a label key is text, this is {key!r}")
        if not isinstance(value, str):
            raise InvalidSelector(f"matchLabels[{key}]", f"a label value is text, this is {_kind(value)}; quote it")
    return tuple(sorted(labels.items()))


def _expressions(expressions: Any) -> tuple[tuple[str, str, frozenset[str]], ...]:
    if expressions is None:
        return ()
    if not isinstance(expressions, list):
        raise InvalidSelector("matchExpressions", f"a list is expected, this is {_kind(expressions)}")
    return tuple(_expression(f"matchExpressions[{index}]", item) for index, item in enumerate(expressions))


def _expression(path: str, expression: Any) -> tuple[str, str, frozenset[str]]:
    if not isinstance(expression, Mapping):
        raise InvalidSelector(path, f"an object with key, operator and values is expected, this is {_kind(expression)}")
    for field in expression:
        if field not in ("key", "operator", "values"):
            raise InvalidSelector(f"{path}.{field}", "unknown field; a requirement has key, operator and values")
    key, operator, values = expression.get("key"), expression.get("operator"), expression.get("values")
    if not isinstance(key, str) or not key:
        raise InvalidSelector(f"{path}.key", "a label key is required")
    if operator not in _OPERATORS:
        raise InvalidSelector(f"{path}.operator", f"must be one of {', '.join(_OPERATORS)}, this is {operator!r}")
    if values is None:
        values = []
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise InvalidSelector(f"{path}.values", "a list of text values is expected")
    if operator in ("In", "NotIn") and not values:
        raise InvalidSelector(f"{path}.values", f"{operator} needs at least one value")
    if operator in ("Exists", "DoesNotExist") and values:
        raise InvalidSelector(f"{path}.values", f"{operator} takes no values")
    return key, operator, frozenset(values)
