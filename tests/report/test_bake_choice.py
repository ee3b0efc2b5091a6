"""What is taken under a budget, against every choice there is."""

from __future__ import annotations

from itertools import chain, combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webhook.report.bake_choice import Choice, Offer, choose

PARTS = {name: size for size, name in enumerate("abcdefgh", start=3)}
offers = st.lists(
    st.builds(
        Offer,
        st.integers(0, 20),
        st.sets(st.sampled_from(sorted(PARTS))).map(lambda names: {name: PARTS[name] for name in sorted(names)}),
    ),
    max_size=8,
)


def weight(chosen: list[Offer]) -> int:
    return sum({name: size for offer in chosen for name, size in offer.parts.items()}.values())


def by_force(given_offers: list[Offer], budget: int) -> int:
    every = chain.from_iterable(combinations(given_offers, count) for count in range(len(given_offers) + 1))
    return max((sum(offer.value for offer in some) for some in every if weight(list(some)) <= budget), default=0)


def is_sound(found: Choice, given_offers: list[Offer], budget: int) -> bool:
    chosen = [given_offers[index] for index in found.taken]
    return (
        list(found.taken) == sorted(set(found.taken))
        and found.bytes == weight(chosen) <= max(budget, 0)
        and found.value == sum(offer.value for offer in chosen)
        and all(offer.value for offer in chosen)
    )


@given(offers, st.integers(-1, 60))
def test_a_small_choice_is_the_best_there_is(given_offers: list[Offer], budget: int) -> None:
    found = choose(given_offers, budget)
    assert is_sound(found, given_offers, budget)
    assert found.is_best
    assert found.value == by_force(given_offers, max(budget, 0))


@given(offers, st.integers(0, 60))
def test_a_search_that_is_cut_short_keeps_its_bound(given_offers: list[Offer], budget: int) -> None:
    found = choose(given_offers, budget, most_looks=0)
    assert is_sound(found, given_offers, budget)
    assert found.value <= by_force(given_offers, budget) <= found.bound
    assert not given_offers or found.bound <= sum(offer.value for offer in given_offers)


@given(offers, st.integers(0, 60))
def test_more_room_is_never_worse(given_offers: list[Offer], budget: int) -> None:
    assert choose(given_offers, budget).value <= choose(given_offers, budget + 7).value


@pytest.mark.parametrize(
    ("given_offers", "budget", "taken"),
    [
        ([], 10, ()),
        ([Offer(5, {"a": 3})], 0, ()),
        ([Offer(5, {"a": 11})], 10, ()),
        ([Offer(0, {"a": 1})], 10, ()),
        ([Offer(5, {})], 0, (0,)),
        ([Offer(10, {"a": 10}), Offer(6, {"b": 5}), Offer(6, {"c": 5})], 10, (1, 2)),
        ([Offer(6, {"a": 1}), Offer(10, {"b": 10})], 10, (1,)),
        # Two that share a base layer fit where each of the others would fit alone.
        ([Offer(9, {"x": 12}), Offer(5, {"base": 8, "a": 2}), Offer(5, {"base": 8, "b": 2})], 12, (1, 2)),
    ],
    ids=["nothing", "no-budget", "too-large", "worthless", "free", "two-beat-one", "one-beats-density", "shared"],
)
def test_known_choices(given_offers: list[Offer], budget: int, taken: tuple[int, ...]) -> None:
    assert choose(given_offers, budget).taken == taken


def test_hundreds_of_offers_come_to_an_end_with_a_bound() -> None:
    many = [
        Offer(1000 + 37 * number % 911, {f"own-{number}": 100 + 53 * number % 97, f"base-{number % 9}": 400})
        for number in range(400)
    ]
    found = choose(many, 20_000)
    assert is_sound(found, many, 20_000)
    assert 0.7 * found.bound < found.value <= found.bound
