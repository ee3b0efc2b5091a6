"""Our own functions, the same for both engines: Kubernetes' `quantity()` library and `inventory.warmNodes()`.

Within CEL a quantity is a text, a mark and its exact number of nano units, so that equal quantities are equal texts.
The C++ engine types it as `kubernetes.Quantity`, which nothing else is.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from webhook.cel.expression import FailedEvaluation, InventoryView
from webhook.cel.quantity import MAX_INT64, NANO, InvalidQuantity, parse

QUANTITY: Final = "kubernetes.Quantity"
WARM_NODES: Final = "warmNodes"
_MARK = "\x1equantity "


@dataclass(frozen=True, slots=True)
class Signature:
    """One way to call a function of ours, in CEL's names of types; a member's first parameter is what it is of."""

    name: str
    parameters: tuple[str, ...]
    result: str
    member: bool = True


SIGNATURES: Final = (
    Signature("quantity", ("string",), QUANTITY, member=False),
    Signature("isQuantity", ("string",), "bool", member=False),
    Signature("sign", (QUANTITY,), "int"),
    Signature("isInteger", (QUANTITY,), "bool"),
    Signature("asInteger", (QUANTITY,), "int"),
    Signature("asApproximateFloat", (QUANTITY,), "double"),
    Signature("isGreaterThan", (QUANTITY, QUANTITY), "bool"),
    Signature("isLessThan", (QUANTITY, QUANTITY), "bool"),
    Signature("compareTo", (QUANTITY, QUANTITY), "int"),
    Signature("add", (QUANTITY, QUANTITY), QUANTITY),
    Signature("add", (QUANTITY, "int"), QUANTITY),
    Signature("sub", (QUANTITY, QUANTITY), QUANTITY),
    Signature("sub", (QUANTITY, "int"), QUANTITY),
    Signature(WARM_NODES, ("dyn", "string"), "int"),
)
ARITY: Final = {each.name: len(each.parameters) for each in SIGNATURES}
NAMES: Final = frozenset(ARITY)


def is_quantity(value: str) -> bool:
    """Whether a text within CEL stands for a quantity."""
    return value.startswith(_MARK)


@lru_cache(maxsize=4096)
def call(name: str, *arguments: str) -> Any:
    """Return what a function of quantities answers; numbers among the arguments come as text. FailedEvaluation."""
    try:
        return _QUANTITY_FUNCTIONS[name](*arguments)
    except (ValueError, OverflowError) as error:
        raise FailedEvaluation(f"{name}(): {error}") from None


def warm_nodes(inventory: InventoryView | None, name: str) -> int:
    """Return how many nodes are warm for the image or model. FailedEvaluation where there is no inventory."""
    if inventory is None:
        raise FailedEvaluation("inventory is null, so there is nothing to ask warmNodes() of")
    return inventory.warm_nodes(name)


def _quantity(text: str) -> str:
    return f"{_MARK}{parse(text)}"


def _is_quantity(text: str) -> bool:
    try:
        parse(text)
    except InvalidQuantity:
        return False
    return True


def _nanos(text: str) -> int:
    if not text.startswith(_MARK):
        raise FailedEvaluation(f"{text!r} is not a quantity; write quantity(...) around it")
    return int(text[len(_MARK) :])


def _operand(text: str) -> int:
    return _nanos(text) if text.startswith(_MARK) else int(text) * NANO


def _compare(a: str, b: str) -> int:
    left, right = _nanos(a), _nanos(b)
    return (left > right) - (left < right)


def _is_integer(text: str) -> bool:
    nanos = _nanos(text)
    return nanos % NANO == 0 and -MAX_INT64 - 1 <= nanos // NANO <= MAX_INT64


def _as_integer(text: str) -> int:
    if not _is_integer(text):
        raise FailedEvaluation("asInteger(): the quantity is not a whole number of 64 bits")
    return _nanos(text) // NANO


_QUANTITY_FUNCTIONS: Final[dict[str, Callable[..., Any]]] = {
    "quantity": _quantity,
    "isQuantity": _is_quantity,
    "sign": lambda a: (_nanos(a) > 0) - (_nanos(a) < 0),
    "isInteger": _is_integer,
    "asInteger": _as_integer,
    "asApproximateFloat": lambda a: _nanos(a) / NANO,
    "isGreaterThan": lambda a, b: _compare(a, b) > 0,
    "isLessThan": lambda a, b: _compare(a, b) < 0,
    "compareTo": _compare,
    "add": lambda a, b: f"{_MARK}{_nanos(a) + _operand(b)}",
    "sub": lambda a, b: f"{_MARK}{_nanos(a) - _operand(b)}",
}
