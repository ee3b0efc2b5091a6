"""Sets of nodes, each an integer whose bits are indexes of nodes: to count or compare one costs next to nothing.

In the snapshot file a set is a list of ascending indexes, or a hexadecimal mask where that is the shorter text.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

NodeSet = list[int] | str
"""A set of nodes as the snapshot file spells it."""

_HEXADECIMAL = frozenset("0123456789abcdef")


def mask(indexes: Iterable[int]) -> int:
    """The set of these indexes, in any order. Raises ValueError for a negative one."""
    indexes = tuple(indexes)
    if not indexes:
        return 0
    if min(indexes) < 0:
        raise ValueError(f"a node's index is not negative, this is {min(indexes)}")
    if len(indexes) == 1:
        return 1 << indexes[0]
    bits = bytearray(max(indexes) // 8 + 1)
    for index in indexes:
        bits[index >> 3] |= 1 << (index & 7)
    return int.from_bytes(bits, "little")


def indexes(mask: int) -> tuple[int, ...]:
    """The indexes in a set, ascending."""
    # As text: to take the lowest bit off a number of thousands of digits copies all of it, for every node.
    digits = f"{mask:b}"[::-1]
    found: list[int] = []
    place = digits.find("1")
    while place >= 0:
        found.append(place)
        place = digits.find("1", place + 1)
    return tuple(found)


def all_of(count: int) -> int:
    """The set of all of `count` nodes."""
    return (1 << count) - 1


def dump(mask: int) -> NodeSet:
    """The shorter spelling of a set; the same set is always spelt the same."""
    if not mask & (mask - 1):  # none or one, as in most of the columns that are long
        return [mask.bit_length() - 1] if mask else []
    digits = (mask.bit_length() + 3) // 4
    if mask.bit_count() * 2 > digits + 2:  # an index and its comma are two characters at least
        return f"{mask:x}"
    listed = list(indexes(mask))
    return listed if sum([len(str(index)) + 1 for index in listed]) < digits + 2 else f"{mask:x}"


def load(nodes: NodeSet, count: int) -> int:
    """The set that a file spells, of `count` nodes. Raises ValueError for one that is no set of these."""
    check(nodes, count)
    return _mask(nodes)


def check(nodes: NodeSet, count: int) -> None:
    """Raises ValueError, as `load` does, without making the set: many are never asked for."""
    if isinstance(nodes, str):
        if not nodes or not _HEXADECIMAL.issuperset(nodes):
            raise ValueError(f"{nodes[:40]!r} is not hexadecimal")
        if len(nodes) * 4 > count + 256:  # before it becomes a number: its length is a stranger's choice
            raise ValueError(f"a mask of {len(nodes)} digits, there are {count} nodes")
        beyond = int(nodes, 16) >> count
        if beyond:
            raise ValueError(f"names node {count + beyond.bit_length() - 1}, there are {count} nodes")
        return
    if nodes and not 0 <= min(nodes) <= max(nodes) < count:
        raise ValueError(f"names node {min(nodes) if min(nodes) < 0 else max(nodes)}, there are {count} nodes")
    if len(nodes) > 1 and len(set(nodes)) != len(nodes):
        raise ValueError("names a node twice")


class Column(Mapping[str, int]):
    """The sets of nodes that bear each value of one label, kept as they are spelt until they are asked for.

    Host names make columns of as many values as there are nodes: as numbers they would fill memory.
    """

    __slots__ = ("_spelt",)

    def __init__(self, spelt: Mapping[str, NodeSet]) -> None:
        self._spelt = spelt

    def __getitem__(self, value: str) -> int:
        return _mask(self._spelt[value])

    def __iter__(self) -> Iterator[str]:
        return iter(self._spelt)

    def __len__(self) -> int:
        return len(self._spelt)


def _mask(nodes: NodeSet) -> int:
    return int(nodes, 16) if isinstance(nodes, str) else mask(nodes)
