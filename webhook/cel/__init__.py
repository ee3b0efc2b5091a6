"""CEL behind one door: two engines, one set of variables and functions, one way to fail.

    expression = environment().compile("object.spec.containers.exists(c, 'nvidia.com/gpu' in c.resources.limits)")
    expression.test(Activation(Bindings(object=pod)))

A text that is no expression is an InvalidExpression, an expression without an answer a FailedEvaluation; there is no
third. `cel-expr-python` is the default; `cel-python` serves where the first has no wheel.
"""

from webhook.cel.engines import ENGINES, anatomy, environment, structure
from webhook.cel.expression import (
    LIMITS,
    VARIABLES,
    Activation,
    Bindings,
    Environment,
    Expression,
    FailedEvaluation,
    InvalidExpression,
    InventoryView,
    Limits,
    Reads,
)
from webhook.cel.reads import cut, together
from webhook.cel.structures import Fact, Scalar, Structure, Use

__all__ = [
    "ENGINES",
    "LIMITS",
    "VARIABLES",
    "Activation",
    "Bindings",
    "Environment",
    "Expression",
    "Fact",
    "FailedEvaluation",
    "InvalidExpression",
    "InventoryView",
    "Limits",
    "Reads",
    "Scalar",
    "Structure",
    "Use",
    "anatomy",
    "cut",
    "environment",
    "structure",
    "together",
]
