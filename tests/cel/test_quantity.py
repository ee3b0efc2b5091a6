"""Quantities against Kubernetes' own tables (apimachinery's quantity_test.go, apiserver's library/quantity_test.go)."""

from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webhook.cel import Activation, Environment, FailedEvaluation, environment
from webhook.cel.quantity import MAX_INT64, NANO, InvalidQuantity, parse

PARSED = {
    "0": 0, "0n": 0, "0Ki": 0, "0k": 0, "0Gi": 0, "0T": 0, "1": 1, "-1": -1, "+1": 1, "00012": 12,
    "1Ki": 2**10, "8Ki": 8 * 2**10, "7Mi": 7 * 2**20, "6Gi": 6 * 2**30, "5Ti": 5 * 2**40, "4Pi": 4 * 2**50,
    "3Ei": 3 * 2**60,
    "5n": "5e-9", "4u": "4e-6", "3m": "0.003", "9": 9, "8k": 8000, "7M": 7 * 10**6, "6G": 6 * 10**9, "5T": 5 * 10**12,
    "2P": 2 * 10**15, "1E": 10**18, "12E": 12 * 10**18,
    "1E-3": "0.001", "1e3": 1000, "1E6": 10**6, "1E18": 10**18, "1e14": 10**14, "1.3E+6": 1300000, "0.5e-1": "0.05",
    "100.035k": 100035, "0.0005k": "0.5", "0.05000": "0.05", "9.01": "9.01", "6.987654321G": 6987654321,
    "1.01E": 101 * 10**16,
    "3.001n": "4e-9", "-3.001n": "-4e-9", "1.1E-9": "2e-9", "0.0000000001": "1e-9", "0.5e-9": "1e-9", "0.9n": "1e-9",
    "0.00000012345": "124e-9", "0.000000000001Ki": "2e-9",
    "9Ei": MAX_INT64, "8Ei": MAX_INT64, "-9Ei": -MAX_INT64, "9223372036854775807Ki": MAX_INT64,
    "18446744073709551616": 2**64,
    "100.035Ki": "102435.84", "0.5Mi": 2**19, "0.025Ti": "27487790694.4",
    ".001": "0.001", ".0001k": "0.1", "1.": 1, "1.G": 10**9,
}  # fmt: skip
INVALID = [
    "", "1.1.M", "1+1.0M", "0.1mi", "0.1am", "aoeu", ".5i", "1i", "-3.01i", "-3.01e-", " 1", "1 ", "Mi", "-",
    ".", "e3", "+", "10Mo", "10Mm",
    "200K", "1,3G", "Three", "--1", "1e", "1e3k", "1e1.5", "1ee3", "1e+-3", "٣", "1_000", "0x10", "1e101",
    "1e-101", "1e99999999999", "9" * 257,
    "inf", "nan", "1\n", "1\x00", "1\n2",
]  # fmt: skip


@pytest.mark.parametrize(("text", "expected"), PARSED.items(), ids=PARSED)
def test_parses(text: str, expected: Any) -> None:
    assert parse(text) == Fraction(expected) * NANO


@pytest.mark.parametrize("text", INVALID, ids=[repr(each)[:20] for each in INVALID])
def test_is_no_quantity(text: str) -> None:
    with pytest.raises(InvalidQuantity) as refusal:
        parse(text)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("engine_name", ["cel-expr-python", "cel-python"])
@pytest.mark.parametrize("text", INVALID, ids=[repr(each)[:20] for each in INVALID])
def test_is_no_quantity_in_cel(engine_name: str, text: str, bound: Any) -> None:
    activation = bound(variables={"q": text})
    if "\x00" in text:
        with pytest.raises(FailedEvaluation, match="NUL"):
            environment(engine_name).compile("isQuantity(variables.q)").test(activation)
        return
    assert not environment(engine_name).compile("isQuantity(variables.q)").test(activation)
    with pytest.raises(FailedEvaluation, match="quantity"):
        environment(engine_name).compile("quantity(variables.q).sign()").value(activation)


KUBERNETES = {
    "isQuantity('20')": True,
    "isQuantity('20Mi')": True,
    "isQuantity('20Mo')": False,
    "quantity('200M') == quantity('0.2G') && quantity('0.2G') == quantity('200M')": True,
    "quantity('2M') == quantity('0.002G') && quantity('2000k') == quantity('2M')": True,
    "quantity('200M') == quantity('0.3G')": False,
    "quantity('50M').isLessThan(quantity('50Mi'))": True,
    "quantity('100M').isLessThan(quantity('50M'))": False,
    "quantity('50Mi').isGreaterThan(quantity('50M'))": True,
    "quantity('50M').isGreaterThan(quantity('100M'))": False,
    "quantity('200M').compareTo(quantity('0.2G'))": 0,
    "quantity('50M').compareTo(quantity('50Mi'))": -1,
    "quantity('50Mi').compareTo(quantity('50M'))": 1,
    "quantity('50k').add(quantity('20')) == quantity('50.02k')": True,
    "quantity('50k').add(20).isLessThan(quantity('50020'))": False,
    "quantity('50k').sub(quantity('20')) == quantity('49.98k')": True,
    "quantity('50k').sub(20) == quantity('49980')": True,
    "quantity('50k').add(20).sub(quantity('100k')).asInteger()": -49980,
    "quantity('50k').add(20).sub(quantity('100k')).sub(-50000).asInteger()": 20,
    "quantity('50k').asInteger()": 50000,
    "quantity('9999999999999999999999999999999999999G').isInteger()": False,
    "quantity('50').isInteger() && quantity('50000000G').isInteger()": True,
    "quantity('50.703k').asApproximateFloat()": 50703.0,
    "quantity('50k').sub(20000).asApproximateFloat() == 30000.0": True,
    "[quantity('9999999999999999999999999999999999999')]"
    ".all(x, x.add(quantity('1')).compareTo(x.add(quantity('2'))) == -1)": True,
    "quantity('-1').sign() == -1 && quantity('0').sign() == 0 && quantity('1n').sign() == 1": True,
    "quantity('1m').isInteger()": False,
    "quantity('9223372036854775807').asInteger()": MAX_INT64,
    "[quantity('1'), quantity('2')] == [quantity('1000m'), quantity('2.0')]": True,
    "dyn(quantity('1')) == '1' || dyn(quantity('1')) == 1": False,
    "object.spec.containers.exists(c, has(c.resources.limits) && "
    "quantity(c.resources.limits['nvidia.com/gpu']).compareTo(quantity('8')) >= 0)": True,
}


@pytest.mark.parametrize(("source", "expected"), KUBERNETES.items(), ids=[each[:60] for each in KUBERNETES])
def test_is_as_in_kubernetes(engine: Environment, activation: Activation, source: str, expected: Any) -> None:
    answer = engine.compile(source).value(activation)
    assert (answer, type(answer)) == (expected, type(expected))


@pytest.mark.parametrize(
    "source",
    [
        "quantity('10Mo').sign()",
        "quantity('9999999999999999999999999999999999999G').asInteger()",
        "quantity('1m').asInteger()",
        "dyn('1').asInteger()",
        "dyn('x').add(dyn('1')).sign()",
        "dyn('x').isGreaterThan(quantity('1'))",
        "quantity('1').add(dyn(1.5)).sign()",
        "quantity('1').add(dyn('1.5')).sign()",
        "quantity(dyn(1)).sign()",
    ],
)
def test_has_no_answer(engine: Environment, activation: Activation, source: str) -> None:
    with pytest.raises(FailedEvaluation):
        engine.compile(source).value(activation)


SUFFIXES = st.sampled_from(["n", "u", "m", "", "k", "M", "G", "Ki", "Mi", "Gi", "e3", "E-3"])


@given(st.decimals(allow_nan=False, allow_infinity=False, places=3, min_value=-(10**6), max_value=10**6), SUFFIXES)
def test_order_is_that_of_the_numbers(number: Any, suffix: str) -> None:
    exact = Fraction(number) * Fraction(parse(f"1000{suffix}"), 1000)
    assert abs(parse(f"{number}{suffix}") - exact) < 1
    assert abs(parse(f"{number}{suffix}")) >= abs(exact)


@given(st.text(max_size=20))
def test_any_text_is_a_quantity_or_is_none(text: str) -> None:
    try:
        parse(text)
    except InvalidQuantity as refusal:
        assert str(refusal)  # noqa: PT017 - either is right
