"""Which engines there are, and which one serves."""

from functools import cache, lru_cache
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Final

from webhook.cel.expression import Environment

if TYPE_CHECKING:
    from webhook.cel.structures import Structure

ENGINES: Final = {
    "cel-expr-python": ("cel_expr_python", "webhook.cel.native", "NativeEnvironment"),
    "cel-python": ("celpy", "webhook.cel.pure", "PureEnvironment"),
}


@cache
def environment(engine: str | None = None) -> Environment:
    """Return the engine of this name, or the best one installed. ValueError if there is no such engine here."""
    if engine is None:
        engine = next((name for name, (package, _, _) in ENGINES.items() if find_spec(package)), "")
    package, module, name = ENGINES.get(engine, ("", "", ""))
    if not package or not find_spec(package):
        raise ValueError(f"there is no CEL engine {engine!r} here; known are {', '.join(ENGINES)}")
    made: Environment = getattr(import_module(module), name)()
    return made


def structure(source: str) -> "Structure":
    """Return the structure of an expression by cel-python's tree. InvalidExpression if it cannot be read.

    Loads cel-python when first called: the webhook itself never does, and saves some 0.2 s and 20 MB.
    """
    from webhook.cel.outline import structure as read  # noqa: PLC0415 - see above

    return read(source)


@lru_cache(maxsize=4096)
def anatomy(source: str) -> "Structure":
    """Return the structure of a sound expression as the engine that serves reads it. InvalidExpression if none does.

    The C++ engine's tree takes a tenth of the time, and tells more; without that engine it is `structure`.
    """
    if find_spec(ENGINES["cel-expr-python"][0]) is None:
        return structure(source)
    from webhook.cel.native import NativeEnvironment  # noqa: PLC0415 - only where there is one
    from webhook.cel.native_structure import read  # noqa: PLC0415 - only where there is one

    engine = environment("cel-expr-python")
    assert isinstance(engine, NativeEnvironment)
    return read(source, engine.checked(source).serialize())
