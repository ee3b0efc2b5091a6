"""Our functions for cel-python, and its own where they depart from the CEL specification.

cel-python finds `dyn(1) == 'a'`, `dyn(1) == 1.0`, `dyn(1) < 1.5` and `'a' in dyn([1])` to have no overload; they are
false, true, true and false. It takes `list[-1]` for the last element and `'abc'[0]` for 'a'; both are errors.
"""

import operator
from collections.abc import Callable
from typing import Any, Final

from celpy import celtypes
from celpy.evaluation import CELEvalError, base_functions

from webhook.cel import functions
from webhook.cel.conversion import Inventory, Quantity
from webhook.cel.expression import FailedEvaluation

_NUMBERS = (celtypes.IntType, celtypes.UintType, celtypes.DoubleType)
_BOOLS = (bool, celtypes.BoolType)
_RESULTS: Final[dict[str, Callable[[Any], Any]]] = {
    functions.QUANTITY: Quantity,
    "bool": celtypes.BoolType,
    "int": celtypes.IntType,
    "double": celtypes.DoubleType,
}


def _operator(function: Callable[[Any, Any], bool]) -> Callable[[Any, Any], Any]:
    """Return the function as cel-python calls operators: errors are values and pass through."""

    def apply(a: Any, b: Any) -> Any:
        for each in (a, b):
            if isinstance(each, CELEvalError):
                return each
        return celtypes.BoolType(function(a, b))

    return apply


def _bare(number: Any) -> int | float:
    return float(number) if isinstance(number, float) else int(number)


def _equal(a: Any, b: Any) -> bool:
    for types, bare in ((_NUMBERS, _bare), (_BOOLS, bool), ((str,), str)):
        if isinstance(a, types) and isinstance(b, types):
            return bool(bare(a) == bare(b))
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(_equal, a, b))
    if isinstance(a, dict) and isinstance(b, dict):
        return len(a) == len(b) and all(key in b and _equal(each, b[key]) for key, each in a.items())
    if isinstance(a, type) and isinstance(b, type):  # as in `type(x) == string`
        return a is b or {a, b} == {String, celtypes.StringType}
    return type(a) is type(b) and bool(a == b)


def _in(item: Any, container: Any) -> bool:
    if isinstance(container, dict):
        return item in container
    if isinstance(container, list):
        return any(_equal(item, each) for each in container)
    raise TypeError(f"no such overload: in {type(container).__name__}")


def _item(container: Any, key: Any) -> Any:
    """Index; unlike Python, neither from the end nor into a text."""
    if isinstance(container, list) and isinstance(key, celtypes.IntType | celtypes.UintType):
        if key < 0:
            raise IndexError(f"list index {int(key)}")
        return container[int(key)]
    if isinstance(container, dict):
        return container[key]
    raise TypeError(f"no such overload: {type(container).__name__}[{type(key).__name__}]")


class String(celtypes.StringType):
    """The conversion `string()`: the text of a bool is `true`, not Python's `True`."""

    def __new__(cls, value: Any) -> Any:
        """Return the text."""
        return celtypes.StringType(str(bool(value)).lower() if isinstance(value, _BOOLS) else value)


def _ordered(compare: Callable[[Any, Any], bool]) -> Callable[[Any, Any], Any]:
    def apply(a: Any, b: Any) -> bool:
        if isinstance(a, _NUMBERS) and isinstance(b, _NUMBERS):
            return compare(_bare(a), _bare(b))
        if type(a) is not type(b) and not (isinstance(a, str) and isinstance(b, str)):
            raise TypeError(f"no such overload: {type(a).__name__} and {type(b).__name__}")
        return compare(a, b)

    return _operator(apply)


def _of_quantities(name: str, result: str, arity: int) -> Callable[..., Any]:
    def apply(*arguments: Any) -> Any:
        if len(arguments) != arity:
            raise TypeError(f"{name}() takes {arity} arguments")
        texts = []
        for index, each in enumerate(arguments):
            is_text = name in ("quantity", "isQuantity")
            is_number = index == 1 and name in ("add", "sub") and isinstance(each, celtypes.IntType)
            if not isinstance(each, str if is_text else Quantity) and not is_number:
                raise TypeError(f"no such overload: {name}() of {type(each).__name__}")
            texts.append(each.text if isinstance(each, Quantity) else str(each))
        try:
            return _RESULTS[result](functions.call(name, *texts))
        except FailedEvaluation as error:
            return CELEvalError(str(error))

    return apply


def _warm_nodes(inventory: Any, name: Any) -> Any:
    if not isinstance(inventory, Inventory) or not isinstance(name, str):
        raise TypeError("warmNodes() is a function of inventory: inventory.warmNodes('...')")
    return celtypes.IntType(inventory.view.warm_nodes(str(name)))


FUNCTIONS: Final[dict[str, Callable[..., Any]]] = {
    "_==_": _operator(_equal),
    "_!=_": _operator(lambda a, b: not _equal(a, b)),
    "_in_": _operator(_in),
    "_[_]": _item,
    "string": String,
    "_<_": _ordered(operator.lt),
    "_<=_": _ordered(operator.le),
    "_>_": _ordered(operator.gt),
    "_>=_": _ordered(operator.ge),
    **{
        each.name: _of_quantities(each.name, each.result, len(each.parameters))
        for each in functions.SIGNATURES
        if each.name != functions.WARM_NODES
    },
    functions.WARM_NODES: _warm_nodes,
}
NAMES: Final = (
    frozenset(name for name in base_functions if name.isidentifier()) - {"_in_"} | functions.NAMES | {"has", "dyn"}
)
