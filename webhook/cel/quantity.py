"""Kubernetes quantities as exact whole numbers of nano units.

Reads what `resource.ParseQuantity` of k8s.io/apimachinery reads, with its rounding (a finer fraction than nano goes
away from zero) and its cap (a binary quantity ends at 2^63-1). Ours alone: a suffix without a number is refused, as
Kubernetes' documents say and its code does not do; an exponent ends at +-100 and a text at 256 characters, where its
code would build numbers of any length.
"""

from typing import Final

NANO: Final = 10**9
MAX_INT64: Final = 2**63 - 1

_MAX_LENGTH = 256
_MAX_EXPONENT = 100
_DECIMAL = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_BINARY = {"Ki": 10, "Mi": 20, "Gi": 30, "Ti": 40, "Pi": 50, "Ei": 60}
_DIGITS = "0123456789"


class InvalidQuantity(ValueError):
    """The text is not a quantity; the message says why."""


def parse(text: str) -> int:
    """Return the quantity in nano units: `1` is 1000000000, `1n` is 1. InvalidQuantity if the text is none."""
    if not text:
        raise InvalidQuantity("an empty text is not a quantity")
    if len(text) > _MAX_LENGTH:
        raise InvalidQuantity(f"a quantity has at most {_MAX_LENGTH} characters")
    unsigned = text[1:] if text[0] in "+-" else text
    rest = unsigned.lstrip(_DIGITS)
    whole = unsigned[: len(unsigned) - len(rest)]
    fraction = ""
    if rest.startswith("."):
        suffix = rest[1:].lstrip(_DIGITS)
        fraction = rest[1 : len(rest) - len(suffix)]
        rest = suffix
    binary = _BINARY.get(rest)
    exponent = _exponent(text, rest) if binary is None else 0
    if not whole and not fraction:
        raise InvalidQuantity(f"{text!r} is not a quantity: there is no number in it")
    digits = int(whole + fraction) << (binary or 0)
    shift = exponent - len(fraction) + 9
    scale: int = 10 ** abs(shift)
    nanos = digits * scale if shift >= 0 else -(-digits // scale)
    if binary is not None:
        nanos = min(nanos, MAX_INT64 * NANO)
    return -nanos if text[0] == "-" else nanos


def _exponent(text: str, suffix: str) -> int:
    known = _DECIMAL.get(suffix)
    if known is not None:
        return known
    digits = suffix[2:] if suffix[1:2] in ("+", "-") else suffix[1:]
    if suffix[0] not in "eE" or not digits or digits.strip(_DIGITS):
        units = ", ".join([*filter(None, _DECIMAL), *_BINARY])
        raise InvalidQuantity(f"{text!r} is not a quantity: a number and one of {units}, or an exponent such as e3")
    exponent = int(suffix[1:])
    if abs(exponent) > _MAX_EXPONENT:
        raise InvalidQuantity(f"{text!r} has an exponent beyond {_MAX_EXPONENT}")
    return exponent
