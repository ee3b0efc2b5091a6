"""Quantities as apimachinery/pkg/api/resource reads and prints them."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webhook.kube import quantity
from webhook.kube.quantity import InvalidQuantity

SUFFIXES: dict[str, Fraction | int] = {
    "n": Fraction(1, 10**9),
    "u": Fraction(1, 10**6),
    "m": Fraction(1, 1000),
    "": 1,
    "k": 10**3,
    "M": 10**6,
    "G": 10**9,
    "T": 10**12,
    "P": 10**15,
    "E": 10**18,
    "Ki": 2**10,
    "Mi": 2**20,
    "Gi": 2**30,
    "Ti": 2**40,
    "Pi": 2**50,
    "Ei": 2**60,
}
MOST = 2**63 - 1


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_every_suffix_is_exact(suffix: str) -> None:
    assert quantity.parse(f"3{suffix}") == 3 * SUFFIXES[suffix]
    assert quantity.parse(f"-1.5{suffix}") == (
        Fraction(-3, 2) * SUFFIXES[suffix] if suffix != "n" else -2 * SUFFIXES["n"]
    )


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (8, 8),
        (0, 0),
        (-3, -3),
        (0.5, Fraction(1, 2)),
        (1e-7, Fraction(1, 10**7)),
        (1e3, 1000),
        ("0", 0),
        ("-0", 0),
        ("+1", 1),
        (".5", Fraction(1, 2)),
        ("1.", 1),
        ("0.1", Fraction(1, 10)),
        ("1e3", 1000),
        ("1E3", 1000),
        ("1e+3", 1000),
        ("15e-1", Fraction(3, 2)),
        ("1E", 10**18),
        ("1Ei", 2**60),
        ("0.5Gi", 2**29),
        ("1.5Ki", 1536),
        ("100m", Fraction(1, 10)),
        ("1n", Fraction(1, 10**9)),
        ("0.1n", Fraction(1, 10**9)),
        ("1.00000000001", 1 + Fraction(1, 10**9)),
        ("-0.1n", Fraction(-1, 10**9)),
        ("0.0000000001Ki", Fraction(103, 10**9)),
        ("8Ei", MOST),
        ("100E", MOST),
        ("-100E", -MOST),
        (10**30, MOST),
        (-(10**30), -MOST),
        ("1e999999999999", MOST),
        ("0e999999999999", 0),
        ("1e-999999999999", Fraction(1, 10**9)),
        ("9" * 128, MOST),
    ],
    ids=repr,
)
def test_numbers(value: Any, expected: int | Fraction) -> None:
    found = quantity.parse(value)
    assert found == expected
    assert type(found) is (int if Fraction(expected).denominator == 1 else Fraction)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("", "no digits"),
        ("Gi", "no digits"),
        (".", "no digits"),
        ("-", "no digits"),
        ("e3", "no digits"),
        ("1e", "is not a quantity"),
        ("1K", "is not a quantity"),
        ("1ki", "is not a quantity"),
        ("1gi", "is not a quantity"),
        ("1GiB", "is not a quantity"),
        ("1 Gi", "is not a quantity"),
        (" 1", "is not a quantity"),
        ("1\n", "is not a quantity"),
        ("--1", "is not a quantity"),
        ("1.2.3", "is not a quantity"),
        ("1e3Mi", "is not a quantity"),
        ("1_000", "is not a quantity"),
        ("\u0661", "is not a quantity"),
        ("0x10", "is not a quantity"),
        ("inf", "is not a quantity"),
        (float("inf"), "is not a quantity"),
        (float("nan"), "is not a quantity"),
        ("1" * 129, "more than 128"),
        (None, "this is null"),
        (True, "this is bool"),
        (["1"], "this is list"),
        ({}, "this is dict"),
    ],
    ids=repr,
)
def test_junk_is_refused_with_a_reason(value: Any, words: str) -> None:
    with pytest.raises(InvalidQuantity, match=words):
        quantity.parse(value)


@pytest.mark.parametrize(
    ("text", "like", "expected"),
    [
        ("0", "1Gi", "0"),
        ("2048Mi", "1Mi", "2Gi"),
        ("1.5Gi", "1Gi", "1536Mi"),
        ("1000", "1Gi", "1k"),
        ("1023", "1Gi", "1023"),
        ("1024", "1Gi", "1Ki"),
        ("1025", "1Gi", "1025"),
        ("1024.5", "1Gi", "1025"),
        ("0.5", "1Gi", "500m"),
        ("-2Gi", "1Gi", "-2Gi"),
        ("4Ei", "1Gi", "4Ei"),
        ("500m", "1", "500m"),
        ("1500m", "100m", "1500m"),
        ("2000m", "100m", "2"),
        ("1000", "1", "1k"),
        ("1Gi", "1", "1073741824"),
        ("1G", "", "1G"),
        ("1E", "1", "1E"),
        ("-0.1", "1", "-100m"),
        ("1n", "1", "1n"),
        ("12e6", "1e3", "12e6"),
        ("12345", "1e3", "12345"),
        ("0.5", "1e3", "500e-3"),
        ("1E", "1E", "1E"),
    ],
)
def test_canonical_text(text: str, like: str, expected: str) -> None:
    assert quantity.format(quantity.parse(text), like) == expected


@given(st.integers(-(10**18), 10**18), st.sampled_from(["", "m", "n", "Ki", "Gi", "k", "e3", "E"]))
def test_printing_loses_nothing(number: int, like: str) -> None:
    value = quantity.parse(f"{number}n") if like == "n" else number
    assert quantity.parse(quantity.format(value, f"1{like}")) == value


def test_sums_beyond_the_most_are_still_printed() -> None:
    assert quantity.format(20 * 10**18, "1") == "20E"
    assert quantity.format(20 * 2**60, "1Gi") == "20Ei"


@given(st.text(max_size=12))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        found = quantity.parse(text)
    except InvalidQuantity:
        return
    assert -MOST <= found <= MOST


@given(st.lists(st.sampled_from(["0.1", "100m", "3", "1Ki", "1e-3"]), max_size=20))
def test_sums_and_comparisons_are_exact(texts: list[str]) -> None:
    total = sum(quantity.parse(text) for text in texts)
    assert total == sum(Fraction(str(quantity.parse(text))) for text in texts)
    assert (total > 1) == (sum(Fraction(str(quantity.parse(text))) for text in texts) > 1)
