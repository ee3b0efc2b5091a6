"""Plain values to cel-python's and back."""

from dataclasses import dataclass
from typing import Any, Final

from celpy import celtypes

from webhook.cel.expression import Activation, FailedEvaluation, InventoryView
from webhook.cel.values import Values, values

_INT: Final = range(-(2**63), 2**63)


class Inventory(celtypes.MapType):
    """The variable `inventory`: a map that also knows whom to ask."""

    def __init__(self, view: InventoryView) -> None:
        super().__init__({celtypes.StringType("nodes"): celtypes.IntType(view.nodes)})
        self[celtypes.StringType("usable")] = celtypes.BoolType(view.usable)
        self.view = view


@dataclass(frozen=True, slots=True)
class Quantity:
    """A quantity, equal to an equal one and to nothing else."""

    text: str


@dataclass(slots=True)
class Context:
    """The variables as cel-python has them, and the length of the longest list or map in them."""

    context: dict[str, Any]
    longest: int = 0

    def convert(self, value: Any) -> Any:
        """Return the value in cel-python's types. FailedEvaluation where CEL has none for it."""
        if isinstance(value, str):
            return celtypes.StringType(value)
        if value is None:
            return None
        if isinstance(value, bool):
            return celtypes.BoolType(value)
        if isinstance(value, int):
            if value not in _INT:
                raise FailedEvaluation(f"the number {value} of the pod or another variable has more than 64 bits")
            return celtypes.IntType(value)
        if isinstance(value, float):
            return celtypes.DoubleType(value)
        if isinstance(value, dict):
            self.longest = max(self.longest, len(value))
            return celtypes.MapType({self.convert(key): self.convert(each) for key, each in value.items()})
        if isinstance(value, list):
            self.longest = max(self.longest, len(value))
            return celtypes.ListType([self.convert(each) for each in value])
        raise FailedEvaluation(
            f"the pod or another variable holds a {type(value).__name__}, for which CEL has no value"
        )


def bind(activation: Activation, bound: Values, *, own: bool) -> Context:
    """Return the variables converted, once per activation; what does not depend on `variables`, once per review."""
    known: Context | None = bound.pure
    if known is not None:
        return known
    if own:
        common = bind(activation, values(activation, own=False), own=False)
        known = Context(dict(common.context), common.longest)
        known.context["variables"] = known.convert(activation.variables)
    else:
        view = activation.bindings.inventory
        known = Context({"inventory": None if view is None else Inventory(view), "variables": celtypes.MapType()})
        for name in ("object", "oldObject", "request", "namespaceObject"):
            known.context[name] = known.convert(bound.by_name[name])
    bound.pure = known
    return known


def plain(value: Any) -> Any:
    """Return plain data. FailedEvaluation if it, or a part of it, is of a type that is none."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, celtypes.BoolType):
        return bool(value)
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return float(value)
    if isinstance(value, str):
        return str(value)
    if isinstance(value, list):
        return [plain(each) for each in value]
    if isinstance(value, dict):
        return {plain(key): plain(value[key]) for key in sorted(value, key=str)}
    kind = type(value).__name__.removesuffix("Type").lower()
    raise FailedEvaluation(f"the answer, or a part of it, is of type {kind}")
