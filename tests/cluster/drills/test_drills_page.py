"""docs/drills.md has a row for each drill, and no row without one."""

from __future__ import annotations

import re
from pathlib import Path

HERE = Path(__file__).parent
PAGE = HERE.parents[2] / "docs" / "drills.md"


def test_every_drill_is_on_the_page_and_every_row_is_a_drill() -> None:
    table = PAGE.read_text().partition("\n## ")[0]
    drilled = {
        name
        for file in HERE.glob("test_drills_*.py")
        if file != Path(__file__)
        for name in re.findall(r"^def (test_\w+)", file.read_text(), re.MULTILINE)
    }
    assert set(re.findall(r"`(test_\w+)`", table)) == drilled
