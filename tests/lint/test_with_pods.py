"""What only pods show: bad policies beside the pods that they are bad for, and sound ones beside real manifests."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.lint.trade import manifests, problems

HERE = Path(__file__).parent
BAD = sorted((HERE / "bad/with_pods").glob("*.yaml"))
SHIPPED = sorted((HERE.parents[1] / "policies").glob("*/policy.yaml"))
CASES = sorted((HERE.parents[1] / "policies").glob("*/cases/*/input.yaml"))


@pytest.mark.parametrize("path", BAD, ids=lambda path: path.stem)
def test_what_is_found_with_its_pods_and_nothing_else(path: Path) -> None:
    text, _, pods = path.read_text().partition("# pods\n")
    found = [f"{each.code} {each.line}:{each.column}" for each in problems(text, manifests(pods))]
    assert found == text.partition("\n")[0].removeprefix("# finds: ").split(", ")


@pytest.mark.parametrize("path", BAD, ids=lambda path: path.stem)
def test_without_its_pods_it_is_not_found(path: Path) -> None:
    text, _, _ = path.read_text().partition("# pods\n")
    assert not {each.code for each in problems(text)} & {"W037", "W045", "W050", "W051", "W052"}


@pytest.mark.parametrize("level", ["privileged", "baseline", "restricted"])
def test_the_shipped_policies_are_sound_for_all_pods_of_their_cases(level: str) -> None:
    text = "---\n".join(path.read_text() for path in SHIPPED)
    labels = {"pod-security.kubernetes.io/enforce": level, "warm-start": "trial"}
    pods = tuple(each for path in CASES for each in manifests(path.read_text(), labels))
    assert len(pods) > 20
    # Together, policies that are shipped apart clash where they set one variable: that is what lint is to say.
    assert {each.code for each in problems(text, pods)} <= {"W003", "W004"}
