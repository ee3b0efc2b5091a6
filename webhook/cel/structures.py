"""What the text of an expression tells by its structure, whichever engine's tree it was read from."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from typing import Literal

Scalar = str | int | float | bool | None
Relation = Literal["==", "<", "in", "has", "startsWith", "endsWith", "contains"]


@dataclass(frozen=True, slots=True)
class Use:
    """A name or a path used at a place. A path: `object.spec.containers[].image`, `object.metadata.labels['a/b']`."""

    text: str
    line: int
    column: int


@dataclass(frozen=True, slots=True)
class Fact:
    """One comparison of a path with literals, at a place; with `negated`, of its opposite.

    `has` has no values: the path is there. `<` stands for all four orders, and says only what is compared with what.
    """

    path: str
    relation: Relation
    values: tuple[Scalar, ...]
    negated: bool
    line: int
    column: int


@dataclass(frozen=True, slots=True)
class Structure:
    """The structure of one expression.

    `paths` are the fields it reads of the variables, where elements of a list gone over by a macro are `[]`.
    `tested` are the paths it asks about first, with `has(path)`, `'key' in path` or `.?`, so that they may be absent.
    `depth` is how deep its loops are nested. `unbounded` is the first loop within a loop over a list that is not part
    of what the outer one goes over, so that the turns multiply; `grown` the first loop over lists added up.

    Only the C++ engine's tree gives the rest. `facts` are its comparisons with literals, wherever they stand.
    `required` are groups of them: where the expression is true, all facts of a group hold of one pod, or of one
    element of its lists. `foreign` is the first thing that cel-python does not read, in words.
    """

    paths: tuple[Use, ...]
    tested: frozenset[str]
    depth: int
    unbounded: Use | None
    grown: Use | None
    names: tuple[Use, ...]
    functions: tuple[Use, ...]
    macros: tuple[Use, ...]
    facts: tuple[Fact, ...] = ()
    required: tuple[tuple[Fact, ...], ...] = ()
    foreign: Use | None = None

    def guarded(self, path: str) -> bool:
        """Whether the expression asks whether the path, or something it is part of, is there."""
        return any(path == each or path.startswith((f"{each}.", f"{each}[")) for each in self.tested)

    @property
    def references(self) -> frozenset[str]:
        """Names x of the `variables.x` it reads."""
        return frozenset(
            part
            for use in self.paths
            if use.text.startswith(("variables.", "variables['"))
            for part in [_first_field(use.text)]
        )


def _first_field(path: str) -> str:
    rest = path.removeprefix("variables")
    if rest.startswith("."):
        return rest[1:].partition(".")[0].partition("[")[0]
    return str(ast.literal_eval(rest[1 : rest.index("]")]))
