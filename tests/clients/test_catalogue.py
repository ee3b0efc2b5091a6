"""The catalogue of S3 clients: sound in itself, true to botocore where that is installed, and shown as it is."""

from __future__ import annotations

import json
from importlib.resources import files
from pathlib import Path

import pytest

from tests.clients.page import page
from webhook.clients.catalogue import catalogue

ROOT = Path(__file__).parents[2]
KNOWN = catalogue()


def test_no_name_stands_in_it_twice() -> None:
    data = json.loads(files("webhook.clients").joinpath("catalogue.json").read_text())
    for section, key in (("clients", "id"), ("variables", "name"), ("prefixes", "prefix"), ("settings", "key")):
        names = [row[key] for row in data[section]]
        assert sorted(set(names)) == sorted(names)
    assert [row["name"] for row in data["variables"]] == sorted(KNOWN.variables)


def test_every_row_has_a_source_and_known_clients() -> None:
    data = json.loads(files("webhook.clients").joinpath("catalogue.json").read_text())
    rows = [row for section in ("variables", "settings", "prefixes", "codeOnly") for row in data[section]]
    assert all(row["source"] and all(row["source"]) for row in rows)
    assert {client for row in rows for client in row["clients"]} <= KNOWN.clients.keys()
    assert {part for each in KNOWN.clients.values() for part in each.built_on} <= KNOWN.clients.keys()


def test_what_is_read_has_readers_and_a_type_and_what_is_not_has_neither_readers_nor_a_type() -> None:
    for each in KNOWN.variables.values():
        assert (each.status == "none") == (not each.clients) == (each.type is None), each.name
        assert (each.status == "dead") == bool(each.gone), each.name


def test_what_is_named_instead_is_read() -> None:
    for each in KNOWN.variables.values():
        for name in each.instead:
            if name.startswith("awsConfig "):
                assert name.removeprefix("awsConfig ") in KNOWN.settings, each.name
            else:
                assert KNOWN.readers(name), each.name


def test_a_client_is_all_that_it_is_built_on() -> None:
    assert KNOWN.whole(["s5cmd"]) == {"s5cmd", "aws-sdk-go", "openssl"}
    assert {"botocore", "runai-streamer", "hf-xet", "aws-sdk-cpp"} < KNOWN.whole(["vllm"])
    assert "awscrt" not in KNOWN.whole(["vllm"])
    assert KNOWN.whole([]) == frozenset()


@pytest.mark.parametrize(
    ("name", "readers"),
    [
        ("S5CMD_NUM_WORKERS", frozenset()),
        ("TRANSFORMERS_CACHE", frozenset()),
        ("RCLONE_TRANSFERS", {"rclone"}),
        ("AWS_ENDPOINT_URL_STS", {"aws-cli", "botocore"}),
        ("RUNAI_STREAMER_SPEED", None),
        ("MY_PROGRAMS_OWN", None),
    ],
)
def test_who_reads_a_name(name: str, readers: frozenset[str] | None) -> None:
    assert KNOWN.readers(name) == readers


def test_its_page_shows_it_as_it_is() -> None:
    assert (ROOT / "docs/s3-clients.md").read_text() == page(KNOWN), (
        "run: python -m tests.clients.page > docs/s3-clients.md"
    )
