"""What a plain YAML scalar means: the core schema of YAML 1.2.2, section 10.3.

So `Off`, `on` and `yes` are strings (YAML 1.1 reads booleans, which turns `mode: Off` into `false`). What the two
versions read as different *numbers* is refused instead of guessed.
"""

from __future__ import annotations

import re

_NULL = frozenset({"", "~", "null", "Null", "NULL"})
_BOOL = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_INT = re.compile(r"[-+]?[0-9]+")
_BASED = re.compile(r"0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_NOT_FINITE = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")
_AMBIGUOUS = re.compile(r"[-+]?0[0-9]+")
_LONGEST_NUMBER = 32


class AmbiguousScalar(ValueError):
    """A plain scalar that YAML readers disagree about, or that JSON cannot carry. The text says what to write."""


def plain(text: str) -> str | int | float | bool | None:
    """Return the value of an unquoted scalar, or raise `AmbiguousScalar`."""
    if text in _NULL:
        return None
    if text in _BOOL:
        return _BOOL[text]
    if text[0] not in "+-.0123456789":
        return text
    if _NOT_FINITE.fullmatch(text):
        raise AmbiguousScalar(f"{text} is not a number that JSON can carry; quote it to mean the text")
    is_int = _INT.fullmatch(text) is not None
    is_based = not is_int and _BASED.fullmatch(text) is not None
    if not is_int and not is_based and not _FLOAT.fullmatch(text):
        return text
    if len(text) > _LONGEST_NUMBER:
        raise AmbiguousScalar(f"a number of {len(text)} characters is out of range; quote it to mean the text")
    if is_based:
        return int(text, 0)
    if not is_int:
        return _finite(text)
    if _AMBIGUOUS.fullmatch(text):
        raise AmbiguousScalar(f"{text} is octal to YAML 1.1 and decimal to YAML 1.2; {_clear(text)}")
    return int(text)


def _clear(text: str) -> str:
    digits = text.lstrip("+-")
    octal = (
        f"write {int(digits, 8)} or 0o{digits.lstrip('0') or '0'} for the octal number, "
        if not set(digits) & set("89")
        else ""
    )
    return f"{octal}quote it to mean the text"


def _finite(text: str) -> float:
    number = float(text)
    if number in {float("inf"), float("-inf")}:
        raise AmbiguousScalar(f"{text} is out of range; quote it to mean the text")
    return number
