"""The C++ engine's words, made into ours: one line, where, and what to do."""

import re
from difflib import get_close_matches
from typing import Final

from webhook.cel.expression import LIMITS, NO_FIELDS, VARIABLES, InvalidExpression
from webhook.cel.facts import TOO_LONG
from webhook.cel.functions import NAMES

_ERROR: Final = re.compile(r"ERROR: <input>:(-?\d+):(-?\d+): (.*)")
_STATUS: Final = re.compile(r"^[A-Z_]+: | \[[A-Z_]+\]$")
_UNDECLARED: Final = re.compile(r"undeclared reference to '([^']*)'.*")
_DEEP: Final = (
    f"operators, calls or fields are nested or chained more than {LIMITS.nesting} deep; split it with variables"
)
_LONG: Final = (
    f"a list under map() or filter() has too many elements: at most {LIMITS.elements:,} are taken, or "
    f"{LIMITS.nested_elements:,} where there is more than one of them or a loop around"
)
_KNOWN: Final[tuple[tuple[str, str], ...]] = (
    (TOO_LONG, _LONG),
    ("Iteration budget exceeded", f"stopped after {LIMITS.iterations:,} turns of its loops"),
    ("Applying SELECT to non-message type", NO_FIELDS),
    ("basic_string: construction from null", "a text of the pod holds half a surrogate pair, which is no character"),
)


def invalid(source: str, message: str) -> InvalidExpression:
    """Return what the engine's refusal to compile says, at the place of the first complaint."""
    errors = [(int(line), int(column), said) for line, column, said in _ERROR.findall(message)]
    if "recursion" in message:
        return InvalidExpression(_DEEP)
    placed = min((each for each in errors if each[0] > 0), default=None)
    if placed is None:
        return InvalidExpression(reason(message))
    line, column, said = placed
    rest = "\n".join(source.split("\n")[line - 1 :])[column - 1 :]
    if said.startswith("Syntax error") and not rest.strip():
        return InvalidExpression("the expression ends too early", line, column)
    return InvalidExpression(_compile_reason(said, is_call=rest.startswith("(")), line, column)


def _compile_reason(said: str, *, is_call: bool) -> str:
    undeclared = _UNDECLARED.match(said)
    if undeclared:
        name = undeclared.group(1)[:100]
        if name in VARIABLES:
            return f"{name!r} is a variable, not a type"
        close = get_close_matches(name.partition(".")[0], NAMES if is_call else VARIABLES, n=1)
        if is_call:
            hint = f"; did you mean {close[0]!r}?" if close and close[0] != name else ""
            return f"there is no function {name!r} of these arguments{hint}"
        hint = f"did you mean {close[0]!r}?" if close else f"the variables are {', '.join(VARIABLES)}"
        return f"there is no variable {name!r}; {hint}"
    if said.startswith("Syntax error"):
        said = said.partition(" expecting ")[0]
    return said[:300]


def reason(message: str) -> str:
    """Return in one line why an evaluation failed."""
    for theirs, ours in _KNOWN:
        if theirs in message:
            return ours
    line = " ".join(message.split())
    while (shorter := _STATUS.sub("", line)) != line:
        line = shorter
    return line[:300].replace("Key not found in map :", "no such key:")
