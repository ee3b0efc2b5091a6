"""Quantities of resources: `500m`, `16Gi`, `1e3`. Exact: the numbers are integers and fractions, never floats.

Follows k8s.io/apimachinery/pkg/api/resource: what lies below one billionth is rounded away from zero to it, what lies
beyond 2^63-1 is cut to it.
"""

from __future__ import annotations

import re
from fractions import Fraction
from functools import lru_cache
from typing import Any

Quantity = int | Fraction
"""A parsed quantity: an int when it is whole, which is nearly always. The two compare and add up exactly."""

_NANO = 10**9
_MOST = 2**63 - 1
# Kubernetes takes a number of any length; nobody writes one longer than this, and reading it would cost time.
_LONGEST = 128

_TEXT = re.compile(r"([+-]?)([0-9]*)(?:\.([0-9]*))?(?:([numkMGTPE]|[KMGTPE]i)?|[eE]([+-]?[0-9]+))")
_DECIMAL = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_BINARY = {"Ki": 10, "Mi": 20, "Gi": 30, "Ti": 40, "Pi": 50, "Ei": 60}


class InvalidQuantity(ValueError):
    """A value that is no quantity; the text says why."""


def parse(value: Any) -> Quantity:
    """The exact number that a quantity stands for. Raises InvalidQuantity, for a value of any type."""
    if type(value) is str:
        return _parse(value)
    if type(value) is int:
        return max(-_MOST, min(_MOST, value))
    if type(value) is float:
        return _parse(repr(value))
    raise InvalidQuantity(
        f"a quantity is text or a number, this is {'null' if value is None else type(value).__name__}"
    )


def format(value: Quantity, like: str = "") -> str:  # noqa: A001  # `quantity.format` reads as what it is
    """The canonical text of a quantity, in the style of `like`: binary (`Gi`), decimal (`G`) or exponent (`e9`).

    The largest suffix that leaves a whole number, as Kubernetes prints it: 1536 Mi is `1536Mi`, 2048 Mi is `2Gi`, half
    a CPU is `500m`. Below 1024 a binary quantity is printed decimally. Finer than a billionth is rounded away from
    zero.
    """
    sign, number = ("-", -value) if value < 0 else ("", value)
    if like.endswith("i") and number >= 1024:
        # Kubernetes rounds a fraction up here: a binary suffix stands behind whole numbers only.
        whole = -(-number.numerator // number.denominator)
        suffix = ""
        for name in _BINARY:
            if whole % 1024:
                break
            whole //= 1024
            suffix = name
        return f"{sign}{whole}{suffix}"
    nanos = _nanos(number)
    exponent = -9
    while nanos and nanos % 1000 == 0 and exponent < 18:
        nanos //= 1000
        exponent += 3
    if not nanos:
        exponent = 0
    if _is_exponent(like):
        return f"{sign}{nanos}e{exponent}" if exponent else f"{sign}{nanos}"
    suffix = next(name for name, power in _DECIMAL.items() if power == exponent)
    return f"{sign}{nanos}{suffix}"


def _is_exponent(like: str) -> bool:
    """Whether a quantity is written as `1e3`; `1E` alone is an exa."""
    return ("e" in like or "E" in like) and like[-1:].isdigit()


def _nanos(number: Quantity) -> int:
    """Billionths, rounded up."""
    scaled = number * _NANO
    return -(-scaled.numerator // scaled.denominator)


@lru_cache(maxsize=4096)
def _parse(text: str) -> Quantity:
    if len(text) > _LONGEST:
        raise InvalidQuantity(f"a quantity of {len(text)} characters; more than {_LONGEST} are not read")
    match = _TEXT.fullmatch(text)
    if match is None:
        raise InvalidQuantity(
            f"{text!r} is not a quantity: a number, then n u m k M G T P E, Ki Mi Gi Ti Pi Ei, or an exponent (1e3)"
        )
    sign, whole, fraction, suffix, exponent = match.groups()
    digits = whole + (fraction or "")
    if not digits:
        raise InvalidQuantity(f"{text!r} is not a quantity: it has no digits")
    number = int(digits)
    scale = -len(fraction or "")
    if suffix in _BINARY:
        number <<= _BINARY[suffix]
    elif exponent is not None:
        # Beyond this every number is cut to the most or rounded to a billionth anyway, and 10**exponent would fill
        # memory.
        scale += max(-10 * _LONGEST, min(10 * _LONGEST, int(exponent)))
    else:
        scale += _DECIMAL[suffix or ""]
    exact = Fraction(number) * Fraction(10) ** scale
    rounded = Fraction(min(_nanos(exact), _MOST * _NANO), _NANO)
    result: Quantity = rounded.numerator if rounded.denominator == 1 else rounded
    return -result if sign == "-" else result
