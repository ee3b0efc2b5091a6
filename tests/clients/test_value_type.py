"""What values of settings may be: nothing that a client takes is a fault, and what it cannot take is one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webhook.clients.catalogue import catalogue
from webhook.clients.value_type import ValueType

BOOLEAN = ValueType("word", ("true", "false"))


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (BOOLEAN, "TRUE"),
        (BOOLEAN, ""),
        (BOOLEAN, " false "),
        (ValueType("integer", minimum=1), "8"),
        (ValueType("integer", minimum=-1), "-1"),
        (ValueType("number", minimum=0), "0.5"),
        (ValueType("url"), "https://s3.eu-central-1.amazonaws.com"),
        (ValueType("url"), "http://minio:9000/x"),
        (ValueType("path"), "/etc/ssl/ca.pem"),
        (ValueType("path"), "~/.cache"),
        (ValueType("json"), '{"max_concurrency": 64}'),
        (ValueType("size"), "16MB"),
        (ValueType("size"), "16MiB"),
        (ValueType("size"), "8388608"),
        (ValueType("rate"), "100Gb/s"),
        (ValueType("rate"), "50MB/s"),
        (ValueType("rate"), "1000000"),
        (ValueType("duration"), "1m 30s"),
        (ValueType("string", longest=3), "abc"),
    ],
)
def test_what_a_client_takes(kind: ValueType, value: str) -> None:
    assert kind.fault(value) == ""


@pytest.mark.parametrize(
    ("kind", "value", "fault"),
    [
        (BOOLEAN, "1", "is none of true, false"),
        (ValueType("integer", minimum=1), "0", "is below what the client takes: an integer, 1 or more"),
        (ValueType("integer", minimum=1, maximum=9), "10", "is above what the client takes: an integer, 1 to 9"),
        (ValueType("integer"), "8 MiB", "is not what the client takes: an integer"),
        (ValueType("integer"), "8.0", "is not what the client takes: an integer"),
        (ValueType("number", minimum=0), "nan", "is not what the client takes: a number, 0 or more"),
        (ValueType("url"), "s3.amazonaws.com", "is not what the client takes: a URL with its scheme"),
        (ValueType("path"), "s3://bucket/x", "is not what the client takes: a path"),
        (ValueType("json"), "[1]", "is not what the client takes: a JSON object"),
        (ValueType("json"), "[" * 100_000, "is not what the client takes: a JSON object"),
        (ValueType("size"), "16 megabytes", "is not what the client takes: a size like 16MB"),
        (ValueType("rate"), "100Gbps", "is not what the client takes: a rate like 25Gb/s"),
        (ValueType("duration"), "30", "is not what the client takes: a duration like 30s"),
        (ValueType("string", longest=3), "abcd", "is not what the client takes: at most 3 characters"),
    ],
)
def test_what_it_does_not_take(kind: ValueType, value: str, fault: str) -> None:
    assert kind.fault(value) == fault


@given(st.text(max_size=40))
def test_any_text_is_judged(text: str) -> None:
    kinds = {each.type for each in catalogue().variables.values() if each.type is not None}
    for kind in kinds | {each.type for each in catalogue().settings.values()}:
        assert isinstance(kind.fault(text), str)


def test_all_words_of_the_catalogue_are_taken() -> None:
    for each in catalogue().variables.values():
        for word in each.type.words if each.type is not None else ():
            assert each.type is not None
            assert not each.type.fault(word)
            assert not each.type.fault(word.upper())
