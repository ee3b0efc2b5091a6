"""Small bad policies, each with what lint finds in it and where: that, and nothing else."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from webhook.lint.lint import CODES, review
from webhook.policy.problem import CODES as READING_CODES
from webhook.policy.problem import Source

HERE = Path(__file__).parent
BAD = sorted((HERE / "bad").glob("*.yaml"))
SHIPPED = sorted((HERE.parents[1] / "policies").rglob("policy.yaml"))


@pytest.mark.parametrize("path", BAD, ids=lambda path: path.stem)
def test_what_is_found(path: Path) -> None:
    text = path.read_text()
    report = review([Source(path.name, text)])
    assert [f"{each.code} {each.line}:{each.column}" for each in report.problems] == expected(text)


def expected(text: str) -> list[str]:
    """What the first line of a file says that is found in it."""
    return text.partition("\n")[0].removeprefix("# finds: ").split(", ")


def test_there_are_enough_of_them() -> None:
    assert len(BAD) >= 60


def test_places_are_in_the_text() -> None:
    for path in BAD:
        lines = path.read_text().split("\n")
        for each in expected(lines[0]):
            line, column = map(int, re.findall(r"\d+", each)[1:])
            assert 1 <= column <= len(lines[line - 1]) + 1, f"{path.name}: {each}"


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.parent.name)
def test_shipped_policies_are_clean(path: Path) -> None:
    assert review([Source(path.name, path.read_text())]).problems == ()


def test_no_code_is_used_twice() -> None:
    assert not set(CODES) & set(READING_CODES)
    assert all(re.fullmatch(r"[WN]0\d\d", code) for code in CODES)
