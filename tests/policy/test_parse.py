"""Documents to policies: what is refused, in which words, and what a refusal leaves alone."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from webhook.policy.model import FailurePolicy, Mode, OnFailure, Placement, PolicySet, Tenancy
from webhook.policy.parse import MAX_FILES, MAX_PROBLEMS, parse
from webhook.policy.problem import CODES, Problem, Source

HERE = Path(__file__).parent
GOOD = (HERE / "good.yaml").read_text()
DOCUMENTS = list(yaml.safe_load_all(GOOD))
DUMPER: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)  # the same, slower, where libyaml is not built in
# Each case is the good file with edits, or a text of its own, and the whole of every problem it has.
BAD: dict[str, Any] = json.loads((HERE / "bad_documents.json").read_text())


def parsed(*texts: str) -> PolicySet:
    return parse([Source(f"{index}.yaml", text) for index, text in enumerate(texts)])


def edited(edits: list[tuple[str, str]]) -> str:
    text = GOOD
    for old, new in edits:
        assert old in text
        text = text.replace(old, new, 1)
    return text


def policy(name: str, rest: str = "") -> str:
    return f"apiVersion: warmpod.dev/v1alpha1\nkind: WarmPolicy\nmetadata: {{name: {name}}}\nspec: {{{rest}}}\n"


@pytest.mark.parametrize("case", BAD.values(), ids=BAD.keys())
def test_a_bad_document_is_refused_in_these_words(case: dict[str, Any]) -> None:
    text = case["text"] if "text" in case else edited(case["edits"])
    found = parse([Source("p.yaml", text)])
    told = [f"{each.code} {each}" for each in found.problems]
    # What the CEL engine says is the engine's; that it is said, and where, is ours.
    assert [each.split("not CEL: ")[0] for each in told] == [each.split("not CEL: ")[0] for each in case["problems"]]
    assert found.policies == ()


def test_every_code_of_a_document_has_a_case() -> None:
    shown = {problem.split()[0] for case in BAD.values() for problem in case["problems"]}
    assert shown == set(CODES) - {"P007"}  # P007 is about files: tests/sources/test_policy_files.py


def test_a_good_file_becomes_what_it_says() -> None:
    found = parsed(GOOD)
    assert found.problems == ()
    (got,) = found.policies
    assert (got.name, got.mode, got.failure_policy) == ("llm", Mode.AUDIT, FailurePolicy.IGNORE)
    assert (got.namespace_selector, got.accelerators, got.accelerator_patterns) == (None, None, ())
    assert got.object_selector is not None
    assert got.object_selector.matches({"app": "vllm"})
    assert [each.name for each in got.conditions] == ["big"]
    assert [each.name for each in got.variables] == ["bucket"]
    assert got.image_placement is Placement.PREFER
    (model,) = got.models
    assert (model.source.kind, model.source.text, model.allow) == (
        "annotation",
        "warmpod.dev/model",
        ("s3://acme-models/*",),
    )
    assert (model.mount_path, model.redirect, model.placement) == ("/models", True, Placement.PREFER)
    assert model.on_failure is OnFailure.RETRY
    assert model.cache is found.caches[0]
    assert (model.cache.tenancy, model.cache.keep_free) == (Tenancy.NAMESPACE, "20%")
    assert model.cache.volume == {"hostPath": {"path": "/mnt/warmpod"}}
    assert got.volumes[0].volume == {"name": "dshm", "emptyDir": {"medium": "Memory"}}
    assert got.profiles[0].env == {"AWS_MAX_ATTEMPTS": "10"}
    assert got.profiles[0].aws_config == {"s3": {"direct_io": True}}
    assert got.env == (("NCCL_DEBUG", "WARN"),)
    assert got.origin.at("spec.models[0].cache") == (17, 14)
    assert got.origin.at("spec.models[0].placement") == (14, 7)  # not given: the entry it would stand in


def test_an_empty_spec_is_a_policy_in_audit_that_does_nothing() -> None:
    (got,) = parsed(policy("a")).policies
    assert (got.mode, got.image_placement, got.models, got.env) == (Mode.AUDIT, Placement.OFF, (), ())


@pytest.mark.parametrize("word", ["Off", "'Off'", '"Off"'])
def test_off_is_a_word_and_no_boolean(word: str) -> None:
    assert parsed(policy("a", f"mode: {word}")).policies[0].mode is Mode.OFF


@pytest.mark.parametrize("value", ["on", "yes", "no", "0x", "1_000", "12:30:00", "2026-11-22", "'10'"])
def test_values_that_only_look_special_are_strings(value: str) -> None:
    (got,) = parsed(policy("a", f"env: [{{name: A, value: {value}}}]")).policies
    assert got.env == (("A", value.strip("'")),)


def test_a_value_allows_itself() -> None:
    text = edited(
        [("{annotation: warmpod.dev/model}", "{value: s3://b-1/x}"), ('      allow: ["s3://acme-models/*"]\n', "")]
    )
    assert parsed(text).policies[0].models[0].allow == ("s3://b-1/x",)


def test_policies_come_by_name_and_empty_documents_do_not_count() -> None:
    found = parsed(f"---\n# nothing here\n---\n{policy('b')}---\n{policy('a')}", "", "\n---\n---\n")
    assert [each.name for each in found.policies] == ["a", "b"]
    assert found.problems == ()


def test_a_bad_document_takes_nothing_with_it() -> None:
    text = f"{policy('a')}---\n{policy('b', 'mod: Off')}---\nspec: [\n---\n{policy('c')}"
    found = parsed(text, "\x00", policy("d"))
    assert [each.name for each in found.policies] == ["a", "c", "d"]
    assert [(each.file, each.line, each.code) for each in found.problems] == [
        ("0.yaml", 9, "P010"),
        ("0.yaml", 12, "P002"),
        ("1.yaml", 1, "P001"),
    ]


def test_a_bad_cache_takes_out_the_policies_that_use_it_and_says_so() -> None:
    found = parsed(edited([("tenancy: Namespace", "tenancy: x")]), policy("other"))
    assert [each.name for each in found.policies] == ["other"]
    assert [each.code for each in found.problems] == ["P032", "P013"]
    assert [each.name for each in found.profiles] == ["s3-fast"]


def test_of_two_with_one_name_the_first_stays_and_both_are_named() -> None:
    found = parsed(policy("a", "mode: Off"), policy("a", "mode: Enforce"))
    assert [each.mode for each in found.policies] == [Mode.OFF]
    (problem,) = found.problems
    assert (problem.file, problem.code) == ("1.yaml", "P030")
    assert "0.yaml:1" in problem.message


def test_names_are_unique_by_kind_only() -> None:
    text = GOOD.replace("name: s3-fast", "name: nvme").replace("[s3-fast]", "[nvme]")
    assert parsed(text).problems == ()


def test_the_digest_is_of_the_content() -> None:
    one = parsed(policy("a"), policy("b")).digest
    assert parsed(f"{policy('b')}---\n# a comment\n{policy('a')}").digest == one
    assert parsed(policy("a"), policy("b", "mode: Off")).digest != one


def test_windows_line_ends_keep_the_places() -> None:
    text = edited([("mode: Audit", "mode: x")])
    assert parsed(text.replace("\n", "\r\n")).problems == parsed(text).problems


def test_aliases_may_repeat_a_value() -> None:
    text = policy("a", "env: [{name: A, value: &x y}, {name: B, value: *x}]")
    assert parsed(text).policies[0].env == (("A", "y"), ("B", "y"))


def test_accelerator_patterns_that_are_equal_share_their_lookups() -> None:
    texts = [policy(name, "match: {accelerators: [amd.com/gpu]}") for name in "ab"]
    first, second = parsed(*texts).policies
    assert first.accelerators is not None
    assert first.accelerators is second.accelerators


def test_a_file_over_the_limit_is_refused_whole() -> None:
    found = parsed(f"{policy('a')}#{'x' * (1 << 20)}\n", policy("b"))
    assert [each.name for each in found.policies] == ["b"]
    assert [str(each) for each in found.problems] == ["0.yaml:1:1: the file is larger than 1 MiB; split it"]


def test_all_files_together_have_limits() -> None:
    found = parse([Source(f"{index:04}.yaml", "") for index in range(MAX_FILES + 2)])
    assert [each.file for each in found.problems] == [f"{MAX_FILES:04}.yaml"]
    found = parse([Source(f"{index:02}.yaml", " " * (1 << 20)) for index in range(18)])
    assert [each.file for each in found.problems] == ["16.yaml"]


def test_problems_of_one_file_are_counted_out() -> None:
    found = parsed("---\na: b\n" * (MAX_PROBLEMS + 7))
    assert len(found.problems) == MAX_PROBLEMS + 1
    assert found.problems[-1].message == "7 more problems in this file"


def test_many_documents_are_cut_off_and_the_first_stay() -> None:
    found = parsed(policy("a") + "---\n" * 200_000)
    assert [each.name for each in found.policies] == ["a"]
    assert [each.code for each in found.problems] == ["P005"]


# Laws.


def is_told_of(problem: Problem, text: str) -> bool:
    lines = text.split("\n")
    return (
        1 <= problem.line <= len(lines) + 1
        and problem.column >= 1
        and problem.code in CODES
        and "\n" not in str(problem)
    )


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=200))
def test_any_text_gives_a_set(text: str) -> None:
    assert all(is_told_of(each, text) for each in parsed(text).problems)


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_give_a_set(data: bytes) -> None:
    text = data.decode("utf-8", "surrogateescape")
    assert all(is_told_of(each, text) for each in parsed(text).problems)


TOKENS = st.sampled_from(
    [
        "null",
        "[]",
        "{}",
        "-1",
        "1.5",
        "true",
        "''",
        "'*'",
        "[[]]",
        "{a: {b: c}}",
        "*x",
        "&x y",
        "!!str",
        "|",
        ": ",
        "\n",
        '"',
        "# ",
    ]
)


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_any_mutation_of_a_good_file_gives_a_set_or_says_why_not(data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(GOOD)))
    end = data.draw(st.integers(start, min(len(GOOD), start + 40)))
    text = GOOD[:start] + data.draw(TOKENS | st.text(max_size=5)) + GOOD[end:]
    found = parsed(text)
    assert found.policies or found.problems or "kind: WarmPolicy" not in text
    assert all(is_told_of(each, text) for each in found.problems)


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_any_value_anywhere_gives_a_set_or_says_why_not(data: st.DataObject) -> None:
    """Every field of the good file takes every sort of value in turn."""
    documents = copy.deepcopy(DOCUMENTS)
    node: Any = documents
    while True:
        keys = list(node) if isinstance(node, dict) else list(range(len(node)))
        key = keys[data.draw(st.integers(0, len(keys) - 1))]
        if isinstance(node[key], dict | list) and node[key] and data.draw(st.integers(0, 3)):
            node = node[key]
            continue
        node[key] = data.draw(VALUES)
        break
    text = yaml.dump_all(documents, Dumper=DUMPER, allow_unicode=True)
    for problem in parsed(text).problems:
        assert problem.code in CODES
        assert "\n" not in str(problem)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=5,
)


def test_what_a_message_quotes_stays_on_one_line() -> None:
    text = edited([("{emptyDir: {}}", '{"a\\n\\e[31m": {}}')])
    (problem,) = [each for each in parsed(text).problems if each.code == "P017"]
    assert str(problem).isprintable()
