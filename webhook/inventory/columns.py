"""Sets of nodes by what they have in common, kept up to date node by node."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterable, Iterator, Sequence
from typing import Generic, TypeVar

from webhook.inventory import nodeset

K = TypeVar("K", bound=Hashable)


class Columns(Generic[K]):
    """For each key the set of the nodes that have it (see `webhook.inventory.nodeset`).

    `touched` are the keys whose set changed; who acts on them empties it.
    """

    __slots__ = ("_masks", "touched")

    def __init__(self) -> None:
        self._masks: dict[K, int] = {}
        self.touched: set[K] = set()

    def move(self, index: int, before: Iterable[K], now: Iterable[K]) -> None:
        """The node of this index had the keys `before` and has the keys `now`."""
        bit = 1 << index
        gone, come = set(before), set(now)
        for key in gone - come:
            left = self._masks[key] ^ bit
            if left:
                self._masks[key] = left
            else:
                del self._masks[key]
            self.touched.add(key)
        for key in come - gone:
            self._masks[key] = self._masks.get(key, 0) | bit
            self.touched.add(key)

    def insert(self, index: int, keys: Iterable[K]) -> None:
        """A node with these keys comes in at this index: those from there on move up by one."""
        low = (1 << index) - 1
        for key, mask in self._masks.items():
            if mask > low:
                self._masks[key] = mask >> index << index + 1 | mask & low
                self.touched.add(key)
        self.move(index, (), keys)

    def delete(self, index: int, keys: Iterable[K]) -> None:
        """The node of this index, with these keys, goes: those after it move down by one."""
        self.move(index, keys, ())
        low = (1 << index) - 1
        for key, mask in self._masks.items():
            if mask > low:
                self._masks[key] = mask >> index + 1 << index | mask & low
                self.touched.add(key)

    def rebuild(self, rows: Sequence[Iterable[K]]) -> None:
        """The nodes are others, or many have other keys: `rows` are the keys of each, by index."""
        indexes: defaultdict[K, list[int]] = defaultdict(list)
        for index, row in enumerate(rows):
            for key in row:
                indexes[key].append(index)
        masks = {key: nodeset.mask(nodes) for key, nodes in indexes.items()}
        self.touched.update(key for key in self._masks.keys() | masks.keys() if self._masks.get(key) != masks.get(key))
        self._masks = masks

    def __getitem__(self, key: K) -> int:
        """The nodes that have the key; none for one that nobody has."""
        return self._masks.get(key, 0)

    def __contains__(self, key: K) -> bool:
        return key in self._masks

    def __iter__(self) -> Iterator[K]:
        return iter(self._masks)
