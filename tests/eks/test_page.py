"""docs/eks.md is what its data say, and what it points at exists."""

from __future__ import annotations

import os
import re
import subprocess
import sys

from tests.eks.page import beliefs, page, techniques
from tests.eks.recipes import EKS, RECIPES

ROOT = EKS.parents[1]
ROWS = [each for rows in techniques().values() for each in rows]
FIELDS = {"name", "does", "recipe", "shown"}


def test_the_page_is_current() -> None:
    assert (ROOT / "docs" / "eks.md").read_text() == page(), "run: python -m tests.eks.page > docs/eks.md"


def test_every_test_that_is_named_exists() -> None:
    named = sorted({test for each in ROWS for test in each.get("shown", ())})
    assert len(named) > 20
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "--collect-only", "-qq", "-n0", "-p", "no:cacheprovider", *named],
        cwd=ROOT,
        env={name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_rows_are_whole_and_where_nothing_is_done_or_shown_the_row_says_so() -> None:
    assert len({each["name"] for each in ROWS}) == len(ROWS) >= 24
    for each in ROWS:
        assert set(each) <= FIELDS
        assert each.get("shown") or each["does"].startswith("Nothing"), each["name"]
    assert {each["recipe"] for each in ROWS if "recipe" in each} == {recipe.name for recipe in RECIPES}


def test_codes_that_rows_name_are_explained() -> None:
    text = (ROOT / "docs" / "lint.md").read_text()
    told = [*(each["does"] for each in ROWS), *(each["checked"] for each in beliefs())]
    codes = {code for each in told for code in re.findall(r"\b[NW]0\d\d\b", each)}
    assert codes
    assert [code for code in sorted(codes) if f"## {code}\n" not in text] == []


def test_every_belief_has_a_source() -> None:
    assert len(beliefs()) >= 20
    for each in beliefs():
        assert set(each) == {"belief", "truth", "source", "checked"}
        assert all(each.values()), each
