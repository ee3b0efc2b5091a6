"""Reading manifests: what kubectl means by them, and one line for whatever cannot be one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from webhook.cli import documents
from webhook.cli.errors import CouldNotRun
from webhook.cli.render import yaml_text

BOMB = "a: &a [x,x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{name}: &{name} [{','.join([f'*{before}'] * 10)}]\n" for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a: 1e3", {"a": 1000.0}),
        ("a: 12:30", {"a": "12:30"}),
        ("a: 2024-01-01", {"a": "2024-01-01"}),
        ("a: on", {"a": True}),
        ("a: 'on'", {"a": "on"}),
        ("a: 0644", {"a": 420}),
        ("a: 0x1f", {"a": 31}),
        ("a: -3", {"a": -3}),
        ("a: 1_000", {"a": 1000}),
        ("a: .5", {"a": 0.5}),
        ("a: ~", {"a": None}),
        ("a:", {"a": None}),
        ("a: !!str 1", {"a": "1"}),
        ("1: x", {"1": "x"}),
        ("true: x", {"true": "x"}),
        ("a: &x {k: v}\nb: *x", {"a": {"k": "v"}, "b": {"k": "v"}}),
        ("a: &x {k: v, z: 0}\nb: {<<: *x, z: 1}", {"a": {"k": "v", "z": 0}, "b": {"z": 1, "k": "v"}}),
        ("'<<': 1", {"<<": 1}),
        ('{"a": "\\ud83d\\ude00"}', {"a": "\N{GRINNING FACE}"}),
        ("{a: 1, b: [x]}", {"a": 1, "b": ["x"]}),
        ("\N{ZERO WIDTH NO-BREAK SPACE}a: 1", {"a": 1}),
    ],
)
def test_values_mean_what_kubectl_takes_them_for(text: str, value: Any) -> None:
    (document,) = documents.parse(text.encode(), "f.yaml")
    assert document.content == value
    assert json.dumps(document.content) == json.dumps(value)


def test_documents_know_their_lines() -> None:
    stream = "# a comment\na: 1\n---\n---\n\n# another\nb: 2\n---\n...\n"
    assert [(each.line, each.content) for each in documents.parse(stream.encode(), "f")] == [
        (2, {"a": 1}),
        (7, {"b": 2}),
    ]


def test_a_stream_of_json_is_several_documents() -> None:
    found = documents.parse(b'{"a": 1}\n\n{"b": 2}\n', "f")
    assert [(each.line, each.content) for each in found] == [(1, {"a": 1}), (3, {"b": 2})]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"a: b: c", "f.yaml:1:5: not YAML: mapping values are not allowed in this context"),
        (b"a: 1\nb: {\n", "f.yaml:3:1: not YAML: did not find expected node content"),
        (b"a: 1\nb: \x00", "f.yaml:2: not YAML: control characters are not allowed"),
        (b"a: 1\n\xff\xfe", "f.yaml:2: not text in UTF-8 (byte 0xff at offset 5)"),
        (b"a: 1\na: 2", "f.yaml:2:1: the key 'a' stands twice in one mapping"),
        (b"? [a]\n: b", "f.yaml:1:3: a key must be a string"),
        (b"a: *b", "f.yaml:1:4: alias *b has no anchor before it"),
        (b"a: &a [*a]", "f.yaml:1:8: alias *a has no anchor before it"),
        (b"a: .inf", "f.yaml:1:4: .inf cannot be written in JSON, so no manifest can hold it"),
        (b"a: 1e999", "f.yaml:1:4: 1e999 is too large for a number"),
        (b"<<: 1", "f.yaml:1:5: << merges a mapping or a list of mappings"),
        (b"[" * 100_000, "f.yaml:1:201: nested deeper than 200 levels"),
        (b"- " * 5_000, "f.yaml:1:401: nested deeper than 200 levels"),
        (BOMB.encode(), "f.yaml:7:8: more than 2000000 values (aliases count as what they stand for)"),
        (
            b"a: !!python/object/apply:os.system [x]",
            "f.yaml:1:4: the tag 'tag:yaml.org,2002:python/object/apply:os.system' has no meaning in a manifest",
        ),
    ],
    ids=lambda value: (
        None if isinstance(value, str) else value[:24].decode("latin-1").encode("unicode_escape").decode()
    ),
)
def test_what_is_no_manifest_is_refused_in_one_line(data: bytes, message: str) -> None:
    with pytest.raises(CouldNotRun) as caught:
        documents.parse(data, "f.yaml")
    assert caught.value.message == message


def test_too_much_is_refused_unread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(documents, "MOST_BYTES", 8)
    with pytest.raises(CouldNotRun, match="more than"):
        documents.parse(b"a: 1\nb: 2\n", "f")


@given(st.binary(max_size=200) | st.text(alphabet="{}[]:-&*!|>'\"\n \t#%@ab01~?,", max_size=80).map(str.encode))
def test_any_bytes_are_documents_or_one_clear_line(data: bytes) -> None:
    try:
        found = documents.parse(data, "f")
    except CouldNotRun as error:
        assert error.message.startswith("f:")  # noqa: PT017 - the other outcome is as good
    else:
        json.dumps([each.content for each in found], allow_nan=False)


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=200)
@example({"08": "08", "-09": "+08.", "1": ["1", 1, "1.5", 1.5, "0o17", "1e3", "y"]})
@given(st.dictionaries(st.text(min_size=1), JSON, min_size=1, max_size=4))
def test_what_we_print_as_yaml_reads_back_the_same(value: dict[str, Any]) -> None:
    text = yaml_text(value)
    assert text.isascii()
    (document,) = documents.parse(text.encode(), "f")
    assert document.content == value


def test_a_directory_stands_for_its_files_in_order(tmp_path: Path) -> None:
    (tmp_path / "b.yaml").write_text("b: 1")
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "x.json").write_text('{"a": 1}')
    (tmp_path / "README.md").write_text("not: this")
    assert [each.content for each in documents.read_all((str(tmp_path),))] == [{"a": 1}, {"b": 1}]


def test_an_empty_directory_and_a_missing_file_say_so(tmp_path: Path) -> None:
    with pytest.raises(CouldNotRun, match=r"no \.yaml, \.yml or \.json file"):
        documents.read_all((str(tmp_path),))
    with pytest.raises(CouldNotRun, match="No such file or directory"):
        documents.read_all((str(tmp_path / "absent.yaml"),))
    with pytest.raises(CouldNotRun):
        documents.read_all(("a\0b",))
