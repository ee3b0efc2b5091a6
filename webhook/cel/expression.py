"""What both CEL engines share: errors, limits, what an expression may see, and the shape of a compiled expression."""

from dataclasses import dataclass, field
from typing import Any, Final, Protocol

VARIABLES: Final = ("object", "oldObject", "request", "namespaceObject", "variables", "inventory")
# Kubernetes hands the two objects over as variables of their own and leaves them out of `request`.
_OBJECTS: Final = frozenset({"object", "oldObject"})

Reads = dict[str, "Reads | None"]
"""Which fields of a value are read, and which of each of them; None reads all there is below."""
EACH: Final = ""
"""Stands for every element of a list."""

NO_FIELDS: Final = "a field was asked of a value that has none: null, a text, a number or a list"


class InvalidExpression(ValueError):
    """The text is not an expression we accept. `line` and `column` count from 1 within the expression."""

    def __init__(self, message: str, line: int = 1, column: int = 1) -> None:
        super().__init__(f"{message} (line {line}, column {column})")
        self.message = message
        self.line = line
        self.column = column


class FailedEvaluation(Exception):
    """The expression is sound but has no answer here: a missing key, no overload, a budget exceeded, a wrong type."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How large an expression may be and how much work one evaluation may do.

    `iterations` is the C++ engine's own constant for all loops of one evaluation together and cannot be set.
    `elements` bounds the list under a `map` or `filter`: that engine builds such a list by copying it once per
    element, so the time grows with the square (1,000 elements: 20-30 ms; 9,000: 3 s). `nested_elements` bounds it
    where an expression has several of them or has one inside a loop.
    `loop_bytes` bounds the pod and the other variables together, as JSON, for an expression with loops, and
    `heavy_loop_bytes` for one that searches or joins texts within a loop. `built_bytes` bounds what one evaluation can
    build in texts and lists, by an estimate made when compiling.
    """

    expression_bytes: int = 4096
    nesting: int = 32
    iterations: int = 10_000
    elements: int = 1_000
    nested_elements: int = 128
    loop_bytes: int = 262_144
    heavy_loop_bytes: int = 32_768
    built_bytes: int = 67_108_864


LIMITS: Final = Limits()


class InventoryView(Protocol):
    """What `inventory` is made of."""

    @property
    def nodes(self) -> int:
        """Nodes that have an accelerator."""

    @property
    def usable(self) -> bool:
        """Whether the snapshot is there and fresh."""

    def warm_nodes(self, name: str) -> int:
        """How many nodes hold this image (canonical name) or model (source URI)."""


@dataclass(frozen=True, slots=True)
class Bindings:
    """The values of the variables of an expression. What is None is null in CEL."""

    object: dict[str, Any] | None = None
    oldObject: dict[str, Any] | None = None  # noqa: N815 - the names are those of Kubernetes' CEL
    request: dict[str, Any] | None = None
    namespaceObject: dict[str, Any] | None = None  # noqa: N815
    variables: dict[str, Any] = field(default_factory=dict)
    inventory: InventoryView | None = None


class Activation:
    """Bindings ready for evaluation: what an engine makes of them is kept, so that a review pays for it once.

    Never shared between reviews, and the bound objects must not change while it lives.
    """

    __slots__ = ("bindings", "common", "own", "variables")

    def __init__(self, bindings: Bindings) -> None:
        self.bindings = bindings
        self.variables: dict[str, Any] = bindings.variables
        # What the engines keep: by engine, in `common` what does not depend on variables, in `own` what does.
        self.common: dict[str, Any] = {}
        self.own: dict[str, Any] = {}

    def with_variables(self, variables: dict[str, Any]) -> "Activation":
        """Return the same bindings with these variables instead; costs next to nothing."""
        other = Activation.__new__(Activation)
        other.bindings = self.bindings
        other.variables = variables
        other.common = self.common
        other.own = {}
        return other


class Expression(Protocol):
    """A compiled expression. Evaluation changes nothing outside itself."""

    @property
    def source(self) -> str:
        """The text it was compiled from."""

    @property
    def references(self) -> frozenset[str]:
        """Names x of the `variables.x` it reads."""

    @property
    def reads(self) -> Reads:
        """What it reads of the variables, by their names: over no more than that, its answer is the same."""

    def test(self, activation: Activation) -> bool:
        """Return its answer, which must be true or false; else FailedEvaluation."""

    def value(self, activation: Activation) -> Any:
        """Return its answer as str, int, float, bool, None, list or dict; else FailedEvaluation."""


class Environment(Protocol):
    """A CEL engine that knows our variables and functions."""

    @property
    def name(self) -> str:
        """`cel-expr-python` or `cel-python`."""

    def compile(self, source: str) -> Expression:
        """Compile once, evaluate often; InvalidExpression with line and column where the text is at fault."""


def request_variable(bindings: Bindings) -> dict[str, Any] | None:
    """Return `request` as Kubernetes shows it to CEL: without the objects."""
    request = bindings.request
    if request is None:
        return None
    return {name: value for name, value in request.items() if name not in _OBJECTS}
