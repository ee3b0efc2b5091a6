"""Which artifacts get a label: the budget."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webhook.inventory.backlog import Backlog
from webhook.inventory.plan import Holding, plan


def images(*sizes: int) -> list[Holding]:
    return [Holding(f"i{size}-{n}", "image", f"image {n}", "", size) for n, size in enumerate(sizes)]


def models(tenant: str, *sizes: int, adopted: bool = False) -> list[Holding]:
    return [
        Holding(f"m{tenant}{size}-{n}", "model", f"model {n}", tenant, size, 0, adopted) for n, size in enumerate(sizes)
    ]


def chosen(holdings: list[Holding], most: int) -> list[int]:
    return [holding.bytes for holding in plan(holdings, most)]


@pytest.mark.parametrize(
    ("holdings", "most", "expected"),
    [
        pytest.param(images(1, 3, 2), 2, [3, 2], id="the biggest first"),
        pytest.param(images(1, 2) + models("a", 9), 3, [9, 2], id="a model takes one label for the boot"),
        pytest.param(images(1, 2) + models("a", 9), 1, [2], id="no room for a model and its boot"),
        pytest.param(models("a", *range(30)), 20, [29, 28, 27, 26], id="a quarter is the most of one tenant"),
        pytest.param(images(*range(40)) + [m for t in "abcdef" for m in models(t, 99, 98)], 21,
                     [99] * 6 + [98] * 4 + list(range(39, 29, -1)), id="images are sure of half"),
        pytest.param(images(1) + [m for t in "abcdef" for m in models(t, 99, 98)], 11,
                     [99] * 6 + [98] * 3 + [1], id="of what they need of it"),
        pytest.param(images(*range(50, 80)) + models("a", 1, 2, adopted=True), 21,
                     [2, 1, *range(79, 61, -1)], id="adopted models stay"),
        pytest.param(models("a", 1, adopted=True) + models("a", 9, 8, 7), 13,
                     [1, 9, 8], id="within their tenant's share"),
        pytest.param(images(5) + models("a", 1), 0, [], id="no labels at all"),
        pytest.param([], 20, [], id="nothing"),
    ],
)  # fmt: skip
def test_plan(holdings: list[Holding], most: int, expected: list[int]) -> None:
    assert chosen(holdings, most) == expected


def test_further_names_of_an_image_come_after_the_first_of_all() -> None:
    big, small = Holding("a", "image", "a", "", 9, 1), Holding("b", "image", "b", "", 1, 0)
    assert plan([big, small], 1) == [small]


HOLDINGS = st.lists(
    st.builds(
        Holding,
        st.uuids().map(str),
        st.sampled_from(["image", "model"]),
        st.sampled_from(["", "n"]),
        st.sampled_from("abc"),
        st.integers(0, 2**53),
        st.integers(0, 2),
        st.booleans(),
    ),
    max_size=40,
)


@given(HOLDINGS, st.integers(0, 25), st.randoms(use_true_random=False))
def test_bounds_hold_and_order_does_not_matter(holdings: list[Holding], most: int, random: object) -> None:
    found = plan(holdings, most)
    has_models = any(holding.kind == "model" for holding in found)
    assert len(found) + has_models <= most
    share = Counter(holding.tenant for holding in found if holding.kind == "model" and holding.name)
    assert all(count <= max(1, (most - 1) // 4) for count in share.values())
    of_images = sum(holding.kind == "image" for holding in found)
    assert of_images >= min(sum(holding.kind == "image" for holding in holdings), most // 2)
    assert len({holding.label for holding in found}) == len(found)
    shuffled = list(holdings)
    random.shuffle(shuffled)  # type: ignore[attr-defined]  # hypothesis gives a Random
    assert plan(shuffled, most) == found


@given(st.lists(st.tuples(st.sampled_from("abcde"), st.none() | st.integers(0, 3)), max_size=30))
def test_a_backlog_is_ordered_by_gain_then_name(changes: list[tuple[str, int | None]]) -> None:
    backlog = Backlog()
    gains: dict[str, int] = {}
    for node, gain in changes:
        if gain is None:
            backlog.remove(node)
            gains.pop(node, None)
        else:
            backlog.put(node, gain)
            gains[node] = gain
    assert backlog.names() == sorted(gains, key=lambda node: (-gains[node], node))
