"""Which of many things to take under a budget of bytes, where things may share parts and each part counts once.

That is the set-union knapsack problem, which is NP-hard. For the dozens of images that a node class runs, the best
choice is found by branch and bound; where that would take too long, the greedy choice is told with a bound: no choice
at all can be worth more than that.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from heapq import heapify, heappop, heappush
from typing import NamedTuple

# A look at one offer in one place of the search. Half a second's worth; then what was found so far has to do.
_MOST_LOOKS = 300_000
# Deeper searches never end within the looks, unless one part of the choice is obvious.
_MOST_SEARCHED = 200


class Offer(NamedTuple):
    """Something to take. `value` in any whole unit; `parts` are bytes by name, alike names being the same bytes."""

    value: int
    parts: Mapping[str, int]


class Choice(NamedTuple):
    """What to take, by index, ascending.

    `bytes` are those of the union of all parts. No choice within the budget is worth more than `bound`, which is
    `value` itself where this is known to be a best choice.
    """

    taken: tuple[int, ...]
    value: int
    bytes: int
    bound: int

    @property
    def is_best(self) -> bool:
        """Whether no choice is worth more."""
        return self.bound == self.value


def choose(offers: Sequence[Offer], budget: int, most_looks: int = _MOST_LOOKS) -> Choice:
    """The choice of the highest value that fits; of several such one, and always the same.

    What is worth nothing, or cannot fit by itself, is never taken. Values and bytes are whole and not negative.
    """
    fitting = [
        index for index, offer in enumerate(offers) if offer.value > 0 and sum(offer.parts.values()) <= max(budget, 0)
    ]
    search = _Search([offers[index] for index in fitting], budget, most_looks)
    taken, value, weight, bound = search.best()
    return Choice(tuple(sorted(fitting[place] for place in taken)), value, weight, bound)


class _Found(NamedTuple):
    taken: tuple[int, ...]
    value: int
    weight: int
    bound: int


class _Search:
    """Parts that the same offers share are one class; an offer is the bits of its classes."""

    def __init__(self, offers: Sequence[Offer], budget: int, most_looks: int) -> None:
        owners: dict[str, int] = {}
        sizes: dict[str, int] = {}
        for index, offer in enumerate(offers):
            for name, size in offer.parts.items():
                owners[name] = owners.get(name, 0) | 1 << index
                sizes[name] = max(sizes.get(name, 0), size)
        classes: dict[int, int] = {}
        for name, mask in owners.items():
            classes[mask] = classes.get(mask, 0) + sizes[name]
        self._weights = list(classes.values())
        # The share of a class that each of its owners pays: together never more than the class weighs.
        self._shares = [weight // mask.bit_count() for mask, weight in classes.items()]
        self._values = [offer.value for offer in offers]
        self._masks = [0] * len(offers)
        for bit, mask in enumerate(classes):
            for index in _bits(mask):
                self._masks[index] |= 1 << bit
        self._budget = max(budget, 0)
        self._looks = most_looks
        self._best = _Found((), 0, 0, 0)

    def best(self) -> _Found:
        everything = list(range(len(self._values)))
        self._alone(everything)
        self._greedy(everything)
        self._together(everything)
        bound = self._bound(everything, 0, 0, 0)
        is_whole = self._best.value < bound and len(everything) <= _MOST_SEARCHED and self._walk(everything)
        return self._best._replace(bound=self._best.value if is_whole else max(bound, self._best.value))

    def _alone(self, offers: list[int]) -> None:
        """The most valuable one, alone: without it the greedy choice can be as bad as one likes."""
        best = max(offers, key=lambda index: (self._values[index], -index), default=None)
        if best is not None:
            self._note([best], self._values[best], _sum(self._weights, self._masks[best]))

    def _greedy(self, offers: list[int]) -> None:
        """By value for each byte that comes to what is taken already."""
        extra = {index: _sum(self._weights, self._masks[index]) for index in offers}
        queue = [(-self._values[index] / (size or 0.5), index, size) for index, size in extra.items()]
        heapify(queue)
        left, taken, mask, value, weight = set(offers), list[int](), 0, 0, 0
        while queue:
            _, index, size = heappop(queue)
            if index not in left or size != extra[index]:
                continue
            left.remove(index)
            if weight + size > self._budget:
                continue
            weight += size
            value += self._values[index]
            fresh = self._masks[index] & ~mask
            mask |= fresh
            taken.append(index)
            for other in left:
                if self._masks[other] & fresh:
                    extra[other] = less = _sum(self._weights, self._masks[other] & ~mask)
                    heappush(queue, (-self._values[other] / (less or 0.5), other, less))
        self._note(sorted(taken), value, weight)

    def _together(self, offers: list[int]) -> None:
        """By value for each byte of their shares: what many share costs each of them little, before any is taken."""
        taken, mask, value, weight = list[int](), 0, 0, 0
        for index in sorted(offers, key=lambda each: (-self._density(each, 0), each)):
            size = _sum(self._weights, self._masks[index] & ~mask)
            if weight + size <= self._budget:
                weight += size
                value += self._values[index]
                mask |= self._masks[index]
                taken.append(index)
        self._note(sorted(taken), value, weight)

    def _note(self, taken: Sequence[int], value: int, weight: int) -> None:
        if (value, -weight) > (self._best.value, -self._best.weight):
            self._best = _Found(tuple(taken), value, weight, 0)

    def _walk(self, everything: list[int]) -> bool:
        """Look at every choice that could be better than the best so far; False when there were too many."""
        stack: list[tuple[list[int], list[int], int, int, int]] = [(everything, [], 0, 0, 0)]
        while stack:
            left, taken, mask, weight, value = stack.pop()
            if self._looks <= 0:
                return False
            self._note(taken, value, weight)
            left = [each for each in left if self._fits(each, mask, weight)]
            if not left or self._bound(left, mask, weight, value) <= self._best.value:
                continue
            first = max(left, key=lambda each: (self._density(each, mask), -each))
            rest = [each for each in left if each != first]
            gained = weight + _sum(self._weights, self._masks[first] & ~mask)
            stack.append((rest, taken, mask, weight, value))
            stack.append(
                (rest, sorted([*taken, first]), mask | self._masks[first], gained, value + self._values[first])
            )
        return True

    def _fits(self, offer: int, mask: int, weight: int) -> bool:
        return weight + _sum(self._weights, self._masks[offer] & ~mask) <= self._budget

    def _density(self, offer: int, mask: int) -> float:
        return self._values[offer] / (_sum(self._shares, self._masks[offer] & ~mask) or 0.5)

    def _bound(self, offers: list[int], mask: int, weight: int, value: int) -> int:
        """More than this cannot come of what is taken and these: as if they could be cut, each paying its shares."""
        self._looks -= len(offers)
        room = self._budget - weight
        shares = [(self._values[each], _sum(self._shares, self._masks[each] & ~mask)) for each in offers]
        for worth, share in sorted(shares, key=lambda pair: pair[0] / (pair[1] or 0.5), reverse=True):
            if share > room:
                return value + -(-worth * room // share)
            room -= share
            value += worth
        return value


def _bits(mask: int) -> Iterator[int]:
    while mask:
        low = mask & -mask
        yield low.bit_length() - 1
        mask ^= low


def _sum(weights: Sequence[int], mask: int) -> int:
    return sum(weights[bit] for bit in _bits(mask))
