"""The values of the variables, judged before any engine converts them.

One pass of msgspec over them, some microseconds, tells their size and whether they nest too deep for a C++ stack, hold
half a surrogate pair, a number beyond 64 bits or a NUL (which the C++ engine takes for the end of the text).
"""

from typing import Any, Final

import msgspec

from webhook.cel.expression import Activation, FailedEvaluation, request_variable

_ENCODER: Final = msgspec.json.Encoder()


class Values:
    """What the variables of one activation stand for, and what the engines have made of them."""

    __slots__ = ("by_name", "native", "native_answers", "problem", "pure", "size")

    def __init__(self, by_name: dict[str, Any], size: int, problem: str) -> None:
        self.by_name = by_name
        self.size = size
        self.problem = problem
        self.native: Any = None
        self.pure: Any = None
        self.native_answers = 0  # how many answers `native` was made with

    def require(self, limit: int | None) -> None:
        """FailedEvaluation if they cannot be evaluated over, or have more than `limit` bytes as JSON."""
        if self.problem:
            raise FailedEvaluation(self.problem)
        if limit is not None and self.size > limit:
            raise FailedEvaluation(
                f"the pod and the other variables have {self.size:,} bytes as JSON; "
                f"this expression, for its loops or the texts it builds, is evaluated over at most {limit:,}"
            )


def values(activation: Activation, *, own: bool) -> Values:
    """Return the values, made once per activation; with `own`, those that include `variables`."""
    store = activation.own if own else activation.common
    known: Values | None = store.get("values")
    if known is None:
        known = store["values"] = _with_variables(activation) if own else _common(activation)
    return known


def _common(activation: Activation) -> Values:
    bindings = activation.bindings
    view = bindings.inventory
    by_name = {
        "object": bindings.object,
        "oldObject": bindings.oldObject,
        "request": request_variable(bindings),
        "namespaceObject": bindings.namespaceObject,
    }
    size, problem = _judged(by_name)
    by_name["inventory"] = None if view is None else {"nodes": view.nodes, "usable": view.usable}
    return Values(by_name, size, problem)


def _with_variables(activation: Activation) -> Values:
    common = values(activation, own=False)
    size, problem = _judged({"variables": activation.variables})
    by_name = {**common.by_name, "variables": activation.variables}
    return Values(by_name, common.size + size, common.problem or problem)


def _judged(by_name: dict[str, Any]) -> tuple[int, str]:
    try:
        data = _ENCODER.encode(by_name)
    except RecursionError:
        return 0, "the pod or another variable is nested too deep to be evaluated over"
    except (TypeError, ValueError, OverflowError) as error:
        return 0, f"the pod or another variable holds what CEL has no value for: {error}"
    # An escaped backslash before `u0000` is text about a NUL, not one.
    if b"\\u0000" in data and b"\\u0000" in data.replace(b"\\\\", b""):
        return 0, "the pod or another variable holds a NUL character"
    return len(data), ""
