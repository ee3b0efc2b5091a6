"""The figures are what they say they are, and none is there for nothing."""

from __future__ import annotations

import json
import re
from importlib.resources import files
from pathlib import Path
from typing import get_args

import pytest

from webhook.cost.figures import Assumed, Case, Figure, Grade, Unit, figure, figures
from webhook.cost.volume import Reader, VolumeKind

ROOT = Path(__file__).parents[2]
ALL = sorted(figures().values())


@pytest.mark.parametrize("row", ALL, ids=lambda row: row.name)
def test_a_figure_has_a_range_a_unit_and_a_source(row: Figure) -> None:
    assert 0 <= row.low <= row.likely <= row.high
    assert row.likely > 0
    assert row.unit in get_args(Unit)
    assert len(row.source) > 10
    assert row.grade in Grade


@pytest.mark.parametrize("row", [row for row in ALL if row.grade is not Grade.INFERRED], ids=lambda row: row.name)
def test_what_was_not_inferred_says_where_it_was_read(row: Figure) -> None:
    # Figures of the loaders with and without a compile cache share one source.
    places = re.findall(r"https://[^\s),;]+|docs/[a-z-]+\.md", row.source)
    assert places or row.source.startswith("as engine.compile")
    for place in places:
        assert place.startswith("https://") or (ROOT / place).exists()


def test_names_are_unique_and_in_order() -> None:
    rows = json.loads(files("webhook.cost").joinpath("figures.json").read_text(encoding="utf-8"))["figures"]
    names = [row["name"] for row in rows]
    assert names == sorted(set(names))


def test_each_figure_is_asked_for_by_the_code() -> None:
    code = "".join(path.read_text() for path in (ROOT / "webhook" / "cost").glob("*.py"))
    asked = set(re.findall(r'"([a-z0-9]+\.[a-z0-9.-]+|contended)"', code))
    kinds = {f"volume.{kind}.{way}" for kind in VolumeKind for way in ("sequential", "mapped")}
    asked |= kinds | {"volume.mountpoint.parallel"}
    asked |= {f"reader.{reader}" for reader in Reader} | {f"engine.{way}" for way in ("compile", "compiled", "eager")}
    asked |= {f"pull.{way}" for way in ("containerd", "soci-al2023", "soci-bottlerocket")}
    assert [row.name for row in ALL if row.name not in asked] == []


@pytest.mark.parametrize(
    ("name", "slow", "fast"),
    [("pull.containerd", 50e6, 85e6), ("node.boot", 65.0, 30.0), ("contended", 2.17, 1.0)],
)
def test_fast_is_a_great_rate_and_little_of_all_else(name: str, slow: float, fast: float) -> None:
    assert Assumed(Case.SLOW)(name) == figure(name).at(Case.SLOW) == slow
    assert Assumed(Case.FAST)(name) == fast
    assert slow != Assumed()(name) or name == "contended"


def test_what_is_given_goes_before_the_case() -> None:
    assumed = Assumed(Case.SLOW, {"node.boot": 7.0, "node.provision": 0.0})
    assert (assumed("node.boot"), assumed("node.provision"), assumed("cache.hit")) == (7.0, 0.0, 2.0)


def test_a_name_that_is_none_is_a_bug() -> None:
    with pytest.raises(KeyError, match="nonesuch"):
        Assumed()("nonesuch")
