"""Comments that silence findings: where they reach, and which do not work."""

from __future__ import annotations

import pytest

from webhook.lint.lint import review
from webhook.policy.problem import Source

HEAD = "apiVersion: warmpod.dev/v1alpha1\nkind: WarmPolicy\nmetadata: {name: p}\nspec:\n"
WHY = "warmpod-lint: ignore W001 -- nodes are bought for this"
REQUIRE = "  images: {placement: Require}"


def found(text: str) -> tuple[list[str], list[str]]:
    report = review([Source("p.yaml", HEAD + text)])
    return [each.code for each in report.problems], [each.problem.code for each in report.ignored]


@pytest.mark.parametrize(
    "text",
    [
        f"{REQUIRE} # {WHY}\n",
        f"  # {WHY}\n{REQUIRE}\n",
        f"  #{WHY}\n  # and more to say\n\n{REQUIRE}\n",
        f"  # {WHY}\n  images:\n    placement: Require\n",
        f"  images:\n    # {WHY}\n    placement: Require\n",
        f"  images:\n    placement: Require\t# {WHY}\n",
        f"{REQUIRE} # {WHY.replace('W001', 'W001,W001')}\n",
        f"{REQUIRE} # warmpod-lint:ignore W001--why\n",
    ],
)
def test_silenced(text: str) -> None:
    assert found(text) == ([], ["W001"])


@pytest.mark.parametrize(
    ("text", "codes"),
    [
        (f"  # {WHY}\n  mode: Audit\n{REQUIRE}\n", ["W020", "W001"]),
        (f"{REQUIRE} # warmpod-lint: ignore W001\n", ["W001", "W019"]),
        (f"{REQUIRE} # warmpod-lint: ignore W001 --\n", ["W001", "W019"]),
        (f"{REQUIRE} # warmpod-lint: ignore -- why\n", ["W001", "W019"]),
        (f"{REQUIRE} # warmpod-lint: disable W001 -- why\n", ["W001", "W019"]),
        (f"{REQUIRE} # warmpod-lint\n", ["W001", "W019"]),
        (f"{REQUIRE} # warmpod-lint: ignore W01 -- why\n", ["W001", "W019"]),
        (f"{REQUIRE} # warmpod-lint: ignore P010 -- why\n", ["W001", "W019"]),
        (f"{REQUIRE} # warmpod-lint: ignore W020 -- why\n", ["W001", "W019"]),
        (f"{REQUIRE} # warmpod-lint: ignore W001, W002 -- why\n", ["W020"]),
        (f"{REQUIRE}\n  # {WHY}\n", ["W001", "W020"]),
        (f"{REQUIRE}\n  env: [{{name: A, value: '# {WHY}'}}]\n", ["W001"]),
        (f'{REQUIRE}\n  env: [{{name: A, value: "x # {WHY}"}}]\n', ["W001"]),
        (f"{REQUIRE}\n  env:\n    - name: A\n      value: |\n        # {WHY}\n", ["W001"]),
    ],
)
def test_not_silenced(text: str, codes: list[str]) -> None:
    assert found(text)[0] == codes


def test_a_comment_above_speaks_of_all_lines_of_a_text() -> None:
    text = (
        "  images: {placement: Prefer}\n  matchConditions:\n    - name: a\n"
        "      # warmpod-lint: ignore W015 -- pods of ours have it\n"
        "      expression: >-\n        request.namespace == 'x' &&\n        object.metadata.labels['team'] == 'ml'\n"
    )
    assert found(text) == ([], ["W015"])


def test_comments_are_not_called_useless_while_the_file_cannot_be_read() -> None:
    codes, _ = found(f"  mod: 1\n{REQUIRE} # {WHY}\n")
    assert codes == ["P010"]


def test_comments_can_be_left_unheeded() -> None:
    report = review([Source("p.yaml", f"{HEAD}{REQUIRE} # {WHY}\n")], heed_comments=False)
    assert [each.code for each in report.problems] == ["W001"]


def test_the_reason_is_kept() -> None:
    (ignored,) = review([Source("p.yaml", f"{HEAD}{REQUIRE} # {WHY}\n")]).ignored
    assert ignored.reason == "nodes are bought for this"
