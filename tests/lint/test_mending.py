"""Mending: what it does to a text, what it leaves alone, and the laws of every edit."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from webhook.lint.fixes import FIXABLE
from webhook.lint.lint import CODES, review
from webhook.lint.mending import mend
from webhook.policy.problem import CODES as READING_CODES
from webhook.policy.problem import Source
from webhook.policy.yaml_tree import read

BAD = {path.stem: path.read_text() for path in sorted((Path(__file__).parent / "bad").glob("*.yaml"))}
HEAD = "apiVersion: warmpod.dev/v1alpha1\nkind: WarmPolicy\nmetadata: {name: p}\nspec:\n  images: {placement: Prefer}\n"


def mended(text: str) -> str:
    (source,) = mend([Source("p.yaml", text)]).sources
    return source.text


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("  acknowledge: [RequireBlocksScaleFromZero]\n", ""),
        ("  acknowledge:\n    - RequireBlocksScaleFromZero\n  mode: Audit\n", "  mode: Audit\n"),
        ("  Mode: Audit  # soon\n", "  mode: Audit  # soon\n"),
        ('  "Mode": Audit\n', '  "mode": Audit\n'),
        ("  failure_policy: Ignore\n", "  failurePolicy: Ignore\n"),
        ("  mode: enforce\n", "  mode: Enforce\n"),
        ("  mode: 'enforce'\n", "  mode: 'Enforce'\n"),
        ("  env: [{name: A, value: 10}]\n", '  env: [{name: A, value: "10"}]\n'),
        ("  env:\n    - name: A\n      value: 1.50 # half\n", '  env:\n    - name: A\n      value: "1.50" # half\n'),
        ("  match: {accelerators: [a/b, c/d, a/b]}\n", "  match: {accelerators: [a/b, c/d]}\n"),
        ("  match: {accelerators: [a/b, a/b, c/d]}\n", "  match: {accelerators: [a/b, c/d]}\n"),
        ("  match: {accelerators: a/b}\n", "  match: {accelerators: [a/b]}\n"),
        ("  match:\n    accelerators:\n      - a/*\n\n      - a/b\n", "  match:\n    accelerators:\n      - a/*\n\n"),
        ("  variables:\n    - name: a\n      expression: '1'\n  mode: Audit\n", "  mode: Audit\n"),
        (
            "  variables:\n    - expression: |\n        1 +\n        2\n      name: a\n  mode: Audit\n",
            "  mode: Audit\n",
        ),
        ("  # warmpod-lint: ignore W010 -- once\n  mode: Audit\n", "  mode: Audit\n"),
        ("  mode: Audit   # warmpod-lint: ignore W010 -- once\n", "  mode: Audit\n"),
        ("  failurePolicy: Fail\n", ""),
        ("  mode: Audit\n  failurePolicy: Fail", "  mode: Audit\n"),
    ],
)
def test_what_is_mended(before: str, after: str) -> None:
    assert mended(HEAD + before) == HEAD + after


@pytest.mark.parametrize(
    "text",
    [
        "  acknowledge: [RequireBlocksScaleFromZero]  # we wait for it\n",
        "  acknowledge:\n    # since May\n    - RequireBlocksScaleFromZero\n  mode: Audit\n",
        "  matchConditions: [{name: a, expression: &e request.namespace == 'x'}, {name: b, expression: *e}]\n",
        "  env: [{name: A, value: 0644}]\n",
        "  env: [{name: A, value: }]\n",
        "  mod: Audit\n  mode: Audit\n",
        "  frobnicate: 1\n",
        "  mode: Of\n",
        "  x: [\n",
    ],
    ids=["comment", "comment-within", "anchors", "octal", "empty", "taken", "unlike", "short", "not-yaml"],
)
def test_what_is_left_to_people(text: str) -> None:
    assert mended(HEAD + text) == HEAD + text


def test_a_byte_order_mark_goes() -> None:
    assert mended(f"\ufeff{HEAD}") == HEAD


def test_line_ends_stay() -> None:
    text = (HEAD + "  failurePolicy: Fail\n  mode: enforce\n").replace("\n", "\r\n")
    assert mended(text) == (HEAD + "  mode: Enforce\n").replace("\n", "\r\n")


def test_other_documents_of_a_file_stay_and_many_edits_go_together() -> None:
    text = "---\n".join(
        HEAD.replace("name: p", f"name: p{index}") + "  failurePolicy: Fail\n  env: [{name: A, value: 1}]\n"
        for index in range(5)
    )
    wanted = text.replace("  failurePolicy: Fail\n", "").replace("value: 1", 'value: "1"')
    assert mended(text) == wanted


def test_an_edit_that_brings_up_what_cannot_be_mended_is_dropped() -> None:
    text = HEAD + "  Mode: sideways\n"
    result = mend([Source("p.yaml", text)])
    assert (result.sources[0].text, result.done) == (text, ())


def documents(text: str) -> list[object]:
    return [each.root.data() for each in read(Source("p", text))[0]]


def comments(text: str) -> list[str]:
    """The comments that are not for lint."""
    return [each for each in re.findall(r"(?<!\S)#.*", text) if "warmpod-lint" not in each]


@pytest.mark.parametrize("name", BAD)
def test_laws_of_mending(name: str) -> None:
    text = BAD[name]
    before = review([Source("p", text)])
    result = mend([Source("p", text)])
    (after,) = result.sources
    assert len(result.report.problems) == len(before.problems) - len(result.done) or not result.done
    assert {each.code for each in result.report.problems} <= {each.code for each in before.problems}
    assert {each.code for each in result.done} <= FIXABLE
    again = mend([after])
    assert (again.sources, again.done) == ((after,), ())
    assert comments(text) == comments(after.text)
    assert (after.text == text) == (not result.done)
    if result.done and all(each.code == "W020" for each in result.done):
        assert documents(after.text) == documents(text)


@settings(max_examples=40, deadline=None)
@given(
    names=st.lists(st.sampled_from(sorted(BAD)), min_size=2, max_size=4, unique=True),
    gap=st.sampled_from(["---\n", "--- \n", "\n---\n# between\n"]),
)
def test_mending_a_file_of_many_documents_is_lawful_too(names: list[str], gap: str) -> None:
    text = gap.join(BAD[name] for name in names)
    result = mend([Source("p", text)])
    (after,) = result.sources
    assert mend([after]).done == ()
    assert len(after.text.split("\n---")) == len(text.split("\n---"))
    assert comments(text) == comments(after.text)
    old, new = documents(text), documents(after.text)
    assert len(old) == len(new)
    changed = sum(one != other for one, other in zip(old, new, strict=True))
    assert changed <= len(result.done)


def test_every_fixable_code_exists_and_has_a_bad_policy_that_is_mended() -> None:
    assert {*CODES, *READING_CODES} >= FIXABLE
    done = {each.code for text in BAD.values() for each in mend([Source("p", text)]).done}
    assert FIXABLE - done <= {"P001", "P015"}  # these are above
